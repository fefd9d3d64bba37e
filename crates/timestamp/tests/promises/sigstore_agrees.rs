//! The verifier of the sigstore project, which knows EC keys, judges as this one does.

use crate::forge::certificate;
use crate::public_vectors_hold::{fixtures, trust as trust_of};
use proptest::prelude::*;
use sigstore_types::{DerCertificate, SignatureBytes, TimestampToken, TsaAuthority};
use std::sync::OnceLock;
use testkit::authority::{Authority, EC, INTERMEDIATE, Issue, MAY_ISSUE, ROOT, Style};
use timestamp::{Certificate, Digest, Expected, Imprint, Nonce, Request, Response, Token, Trust};

const DATA: &[u8] = b"hello";

/// A token over [`DATA`], and whom to trust, for both.
struct Case {
    token: Vec<u8>,
    trust: Trust,
    theirs: TsaAuthority,
}

impl Case {
    fn in_bag(&self, at: usize) -> bool {
        let token = Token::from_der(&self.token).unwrap();
        token.certificates().iter().any(|certificate| {
            let der = certificate.as_der();
            let from = self
                .token
                .windows(der.len())
                .position(|window| window == der)
                .unwrap();
            (from..from + der.len()).contains(&at)
        })
    }
}

fn authority(chain: &[Certificate]) -> TsaAuthority {
    let der = |certificate: &Certificate| DerCertificate::from_bytes(certificate.as_der());
    let [leaf, between @ .., root] = chain else {
        panic!("a chain")
    };
    TsaAuthority::new(
        der(leaf),
        between.iter().map(der).collect(),
        der(root),
        None,
    )
}

fn imprint() -> Imprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, DATA);
    Imprint::new(Digest::Sha256, digest.as_ref()).unwrap()
}

fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    CASES.get_or_init(|| {
        let openssl = Authority::with_root().unwrap();
        // It wants the usage in every certificate below the root.
        let intermediate = Issue {
            issuer: ROOT,
            extensions: &format!("{MAY_ISSUE}extendedKeyUsage=timeStamping\n"),
            ..Issue::authority(INTERMEDIATE)
        };
        openssl.issue(&intermediate).unwrap();
        openssl.issue(&Issue::authority(EC)).unwrap();
        let chain = [EC, INTERMEDIATE, ROOT].map(|name| certificate(&openssl, name));
        let request = Request::new(imprint(), Nonce::new([9; 8]));
        // Without a fraction of a second, which it does not read.
        let reply = openssl.reply(EC, Style::Chain, &request.to_der()).unwrap();
        let mut cases = vec![Case {
            token: Response::from_der(&reply)
                .unwrap()
                .into_token()
                .unwrap()
                .as_der()
                .to_vec(),
            // Both have every certificate from outside the token.
            trust: crate::forge::trust(&openssl).with_intermediates(chain.to_vec()),
            theirs: authority(&chain),
        }];
        if let Some(fixtures) = fixtures() {
            for file in [
                "response-sha256.tsr",
                "response-no-embedded-cert.tsr",
                "response-invalid-signature.tsr",
            ] {
                let folder = fixtures.join("sigstage");
                let chain = std::fs::read_to_string(folder.join("ts_chain.pem")).unwrap();
                cases.push(Case {
                    token: crate::public_vectors_hold::token(&folder.join(file))
                        .as_der()
                        .to_vec(),
                    trust: trust_of(&folder),
                    theirs: authority(&Certificate::from_pem(&chain).unwrap()),
                });
            }
        }
        cases
    })
}

fn ours(case: &Case, token: &[u8]) -> Result<i64, timestamp::Error> {
    let verified = Token::from_der(token)?.verify(&Expected::imprint(imprint()), &case.trust)?;
    Ok(verified.claims.gen_time.as_second())
}

fn theirs(case: &Case, token: &[u8]) -> Result<i64, String> {
    let token = TimestampToken::from_bytes(token);
    let data = SignatureBytes::from_bytes(DATA);
    sigstore_tsa::verify_timestamp_for_authority(&token, &data, &case.theirs)
        .map(|time| time.as_second())
        .map_err(|error| error.to_string())
}

#[test]
fn on_tokens_as_they_came() {
    for (at, case) in cases().iter().enumerate() {
        match (ours(case, &case.token), theirs(case, &case.token)) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
            (Err(_), Err(_)) if at == 3 => {}
            verdicts => panic!("token {at}: {verdicts:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// What both accept has the same time, and what one accepts alone is one of the known differences.
    #[test]
    fn on_altered_tokens(case in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), mask in 1_u8..) {
        let case = case.get(cases());
        let mut token = case.token.clone();
        let at = at.index(token.len());
        token[at] ^= mask;
        let (ours, theirs) = (ours(case, &token), theirs(case, &token));
        match (&ours, theirs) {
            // It reads every certificate of the bag, and refuses the token for one that is none.
            (Ok(_), Err(theirs)) => prop_assert!(case.in_bag(at), "byte {at}: refused there only: {theirs}"),
            (Ok(time), Ok(theirs)) => prop_assert_eq!(*time, theirs),
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => prop_assert!(stricter(error), "byte {at}: refused here only: {error}"),
        }
    }
}

/// What is refused here and accepted there, on purpose: structures that are not the DER of their
/// specification; a signature algorithm that is not the one used, which it does not read; a signer bound
/// to another certificate, which it does not read either because it has the signer's pinned.
fn stricter(error: &timestamp::Error) -> bool {
    use timestamp::Error;
    matches!(
        error,
        Error::Malformed { .. }
            | Error::UnsupportedAlgorithm { .. }
            | Error::AlgorithmsDisagree { .. }
            | Error::MissingSignerCertificate
            | Error::SignerCertificateMismatch
    )
}
