//! The fixtures of trailofbits/rfc3161-client: good tokens of three authorities, and the attacks that
//! other implementations fell for.

use std::path::PathBuf;
use timestamp::{Certificate, Digest, Error, Expected, Imprint, Request, Response, Token, Trust};

/// The folder of fixtures, or `None` after saying why the test is skipped.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let shared = std::env::var_os("TACHO_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("vectors/rfc3161/test/fixtures");
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "skipped: no vectors at {} (set TACHO_SHARED)",
        path.display()
    );
    None
}

/// Pins the last certificate of the chain, supplies the others.
pub(crate) fn trust(folder: &std::path::Path) -> Trust {
    let bytes = std::fs::read(folder.join("ts_chain.pem")).unwrap();
    // One of the files is DER under that name.
    let mut chain = match std::str::from_utf8(&bytes) {
        Ok(pem) => Certificate::from_pem(pem).unwrap(),
        Err(_) => vec![Certificate::from_der(&bytes).unwrap()],
    };
    let root = chain.pop().unwrap();
    Trust::new(vec![root]).unwrap().with_intermediates(chain)
}

pub(crate) fn token(path: &std::path::Path) -> Token {
    let bytes = std::fs::read(path).unwrap();
    Response::from_der(&bytes).unwrap().into_token().unwrap()
}

fn hash(digest: Digest, data: &[u8]) -> Imprint {
    use aws_lc_rs::digest as aws;
    let function = match digest {
        Digest::Sha384 => &aws::SHA384,
        Digest::Sha512 => &aws::SHA512,
        _ => &aws::SHA256,
    };
    Imprint::new(digest, aws::digest(function, data).as_ref()).unwrap()
}

#[test]
fn good_ones() {
    let Some(fixtures) = fixtures() else { return };
    let payload = std::fs::read(fixtures.join("sigstore.mock/payload")).unwrap();
    let hello = b"hello".as_slice();
    let cases = [
        (
            "identrust/issue-104.tsr",
            Digest::Sha512,
            hello,
            "2025-03-11T08:52:08Z",
            3,
        ),
        (
            "sigstage/response-sha256.tsr",
            Digest::Sha256,
            hello,
            "2025-05-09T11:58:55Z",
            2,
        ),
        (
            "sigstage/response-sha384.tsr",
            Digest::Sha384,
            hello,
            "2025-05-09T11:58:55Z",
            2,
        ),
        (
            "sigstage/response-sha512.tsr",
            Digest::Sha512,
            hello,
            "2025-05-09T11:58:56Z",
            2,
        ),
        (
            "sigstage/response-no-embedded-cert.tsr",
            Digest::Sha256,
            hello,
            "2025-06-18T08:13:02Z",
            2,
        ),
        (
            "sigstore.mock/response-expired.tsr",
            Digest::Sha256,
            &payload,
            "2023-02-01T00:00:00Z",
            2,
        ),
        (
            "test_tsa/response.tsr",
            Digest::Sha512,
            hello,
            "2024-10-08T15:40:32Z",
            3,
        ),
    ];
    for (file, digest, data, time, chain) in cases {
        let path = fixtures.join(file);
        let trust = trust(path.parent().unwrap());
        let verified = token(&path)
            .verify(&Expected::imprint(hash(digest, data)), &trust)
            .unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(verified.claims.gen_time.to_string(), time, "{file}");
        assert_eq!(verified.chain.len(), chain, "{file}: {:?}", verified.chain);
        let other = Expected::imprint(hash(digest, b"other data"));
        assert_eq!(
            token(&path).verify(&other, &trust),
            Err(Error::ImprintMismatch),
            "{file}"
        );
    }
}

#[test]
fn answers_to_their_requests() {
    let Some(fixtures) = fixtures() else { return };
    let folder = fixtures.join("test_tsa");
    let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
    let [own, other] = ["request.der", "other_request.der"].map(read);
    let verdict = |request: &[u8]| {
        let expected = Expected::answer_to(&Request::from_der(request).unwrap());
        token(&folder.join("response.tsr")).verify(&expected, &trust(&folder))
    };
    verdict(&own).unwrap();
    assert_eq!(verdict(&other), Err(Error::NonceMismatch("another")));
    for request in [own, other] {
        assert_eq!(Request::from_der(&request).unwrap().to_der(), request);
    }
}

#[test]
fn bad_ones() {
    let Some(fixtures) = fixtures() else { return };
    let hello = |digest| Expected::imprint(hash(digest, b"hello"));
    let bent = token(&fixtures.join("sigstage/response-invalid-signature.tsr"));
    let verdict = bent.verify(&hello(Digest::Sha256), &trust(&fixtures.join("sigstage")));
    assert!(
        matches!(verdict, Err(Error::BadSignature { .. })),
        "{verdict:?}"
    );

    // By an authority of the same names, with other keys.
    let folder = fixtures.join("test_tsa");
    let namesake = token(&folder.join("other_response.tsr"));
    let verdict = namesake.verify(&hello(Digest::Sha512), &trust(&folder));
    assert!(
        matches!(verdict, Err(Error::NoPinnedRoot { .. })),
        "{verdict:?}"
    );

    // Certificates injected in front and behind: the true signer is found, the others change nothing.
    let injected = token(&folder.join("response-injected-certs.tsr"));
    let clean = token(&folder.join("response.tsr"));
    let verdict = |token: &Token| {
        token
            .verify(&hello(Digest::Sha512), &trust(&folder))
            .unwrap()
    };
    assert_eq!(verdict(&injected), verdict(&clean));
    assert_eq!(injected.certificates().len(), 3);
    // And they cannot make anybody trusted: pinned alone, the spoofed one is no signer.
    for spoofed in injected.certificates() {
        let verdict = injected.verify(
            &hello(Digest::Sha512),
            &Trust::new(vec![spoofed.clone()]).unwrap(),
        );
        match verdict {
            Ok(verified) => assert_eq!(verified.chain, verdict_signer(&clean, &folder)),
            Err(error) => assert!(matches!(error, Error::NoPinnedRoot { .. }), "{error}"),
        }
    }

    // Every authority's token fails under every other's root.
    let folders = ["identrust", "sigstage", "sigstore.mock", "test_tsa"];
    let files = [
        "identrust/issue-104.tsr",
        "sigstage/response-sha256.tsr",
        "sigstore.mock/response-expired.tsr",
        "test_tsa/response.tsr",
    ];
    for (own, file) in folders.iter().zip(files) {
        for folder in folders.iter().filter(|folder| *folder != own) {
            let token = token(&fixtures.join(file));
            let expected = Expected::imprint(token.claims().imprint.clone());
            assert!(
                token
                    .verify(&expected, &trust(&fixtures.join(folder)))
                    .is_err(),
                "{file} under {folder}"
            );
        }
    }
}

fn verdict_signer(clean: &Token, folder: &std::path::Path) -> Vec<Certificate> {
    let expected = Expected::imprint(clean.claims().imprint.clone());
    vec![
        clean
            .verify(&expected, &trust(folder))
            .unwrap()
            .chain
            .remove(0),
    ]
}
