//! The verdict on one time-stamp of a published head.

use crate::verify::{Options, Verdict};
use jiff::Timestamp;
use timestamp::{Accuracy, Certificate, Error, Expected, Imprint, Response, Token, Trust};

/// What a time-stamp is worth.
#[derive(Debug)]
pub(super) struct Stamp {
    pub(super) verdict: Verdict,
    /// What the authority says, or is said to.
    pub(super) time: Option<Timestamp>,
    /// Between which times the head was stamped.
    pub(super) bracket: Option<(Timestamp, Timestamp)>,
    pub(super) detail: String,
}

impl Stamp {
    fn without_time(verdict: Verdict, detail: String) -> Self {
        Self {
            verdict,
            time: None,
            bracket: None,
            detail,
        }
    }
}

/// Judges an authority's whole answer over the bytes of a checkpoint, at the time that it states.
pub(super) fn judge(answer: &[u8], checkpoint: &[u8], options: &Options) -> Stamp {
    let token = match Response::from_der(answer).and_then(Response::into_token) {
        Ok(token) => token,
        Err(error) => return Stamp::without_time(Verdict::Invalid, error.to_string()),
    };
    let expected = Expected::imprint(Imprint::sha256(crate::body::sha256(checkpoint)));
    let expected = match options.at {
        Some(at) => expected.no_later_than(at),
        None => expected,
    };
    let (verdict, detail) = match &options.roots {
        Some(trust) => verified(&token, &expected, trust),
        None => consistent(&token, &expected),
    };
    let claims = token.claims();
    // RFC 3161, section 2.4.2, leaves an accuracy that is not stated to the authority's policy, and most state whole seconds.
    let bracket = claims.bracket(Accuracy {
        seconds: 1,
        ..Accuracy::default()
    });
    Stamp {
        verdict,
        time: Some(claims.gen_time),
        bracket: (verdict != Verdict::Invalid).then_some((bracket.earliest, bracket.latest)),
        detail,
    }
}

fn verified(token: &Token, expected: &Expected, trust: &Trust) -> (Verdict, String) {
    match token.verify(expected, trust) {
        Ok(verified) => {
            let signer = verified.chain.first().map(Certificate::subject);
            let root = verified.chain.last().map(Certificate::subject);
            let mut detail = format!(
                "signed by {} under the root {}",
                signer.unwrap_or_default(),
                root.unwrap_or_default()
            );
            let spare = token
                .certificates()
                .iter()
                .filter(|certificate| !verified.chain.contains(certificate));
            let spare: Vec<String> = spare.map(Certificate::subject).collect();
            if !spare.is_empty() {
                detail.push_str(&format!(
                    "; it carries certificates that its chain does not need, which were ignored: {}",
                    spare.join(", ")
                ));
            }
            (Verdict::Valid, detail)
        }
        // Under no root of the auditor's: only what it carries itself can still speak against it.
        Err(error @ Error::NoPinnedRoot { .. }) => match broken(token, expected) {
            Some(broken) => (Verdict::Invalid, broken.to_string()),
            None => (Verdict::Unverifiable, error.to_string()),
        },
        Err(error) => (weight(&error), error.to_string()),
    }
}

/// Whether an error speaks against the token, or only leaves it without weight for this auditor.
const fn weight(error: &Error) -> Verdict {
    match error {
        Error::NoPinnedRoot { .. }
        | Error::NoRoots
        | Error::TooLate { .. }
        | Error::UnsupportedAlgorithm { .. }
        | Error::WeakAlgorithm(_)
        | Error::MissingSignerCertificate
        | Error::PolicyNotAccepted(_)
        | Error::ImprintAlgorithmMismatch { .. } => Verdict::Unverifiable,
        _ => Verdict::Invalid,
    }
}

/// Without roots: the token is held against itself and the checkpoint, which shows damage and nothing more.
fn consistent(token: &Token, expected: &Expected) -> (Verdict, String) {
    match broken(token, expected) {
        Some(error) => (Verdict::Invalid, error.to_string()),
        None => (
            Verdict::Unverifiable,
            "it is a time-stamp of this head; without the authority's root (--roots FILE) nobody vouches for it".into(),
        ),
    }
}

/// What speaks against a token when its own certificates are believed.
fn broken(token: &Token, expected: &Expected) -> Option<Error> {
    let own = Trust::new(token.certificates().to_vec());
    let error = own.and_then(|own| token.verify(expected, &own)).err()?;
    // The chain ends at the signer then, so what else the signature binds cannot be in it.
    let speaks = weight(&error) == Verdict::Invalid
        && !matches!(error, Error::SigningCertificateOutsideChain);
    speaks.then_some(error)
}
