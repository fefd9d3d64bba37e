//! What must hold for any bytes given to `timestamp`'s parsers. Each function is the body of a fuzz
//! target and of a regular test over the committed corpus.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each target calls one entry; a broken promise must stop it"
)]

use timestamp::{Certificate, Error, Expected, Request, Response, Token, Trust};

/// The root of nobody: its key was never kept.
const ROOT: &str = include_str!("root-of-nobody.pem");

/// A response is a token or the reason why not; the token is judged as in [`time_stamp_token`].
pub fn time_stamp_response(data: &[u8]) {
    let Ok(response) = Response::from_der(data) else {
        return;
    };
    let granted = response.info().status.is_granted();
    match response.into_token() {
        Ok(token) => {
            assert!(granted);
            time_stamp_token(token.as_der());
        }
        Err(error) => assert!(!granted && matches!(error, Error::Refused(_))),
    }
}

/// No token verifies under a root that signed nothing; one that reads is kept byte for byte, and what
/// it claims does not depend on the certificates in it.
pub fn time_stamp_token(data: &[u8]) {
    let Ok(token) = Token::from_der(data) else {
        return;
    };
    assert_eq!(token.as_der(), data);
    let expected = Expected::imprint(token.claims().imprint.clone());
    let root = Certificate::from_pem(ROOT).expect("a certificate");
    let trust = Trust::new(root).expect("a root").allowing_sha1();
    assert!(token.verify(&expected, &trust).is_err());
    let stored = token
        .with_certificates(token.certificates())
        .expect("no more than there was");
    assert_eq!(stored.claims(), token.claims());
    // Whoever trusts what the bag holds gets some verdict, and the same with the bag set in order.
    if let Ok(trust) = Trust::new(token.certificates().to_vec()) {
        let trust = trust.allowing_sha1();
        let verdict = |token: &Token| token.verify(&expected, &trust).is_ok();
        assert_eq!(verdict(&token), verdict(&stored));
    }
}

/// A request that reads is written in one way, which reads as the same request.
pub fn time_stamp_request(data: &[u8]) {
    let Ok(request) = Request::from_der(data) else {
        return;
    };
    let written = request.to_der();
    assert_eq!(Request::from_der(&written).as_ref(), Ok(&request));
}

/// A certificate that reads is kept byte for byte, through PEM too.
pub fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(data) {
        assert_eq!(certificate.as_der(), data);
        let again = Certificate::from_pem(&certificate.to_pem()).expect("its own PEM");
        assert_eq!(again, [certificate]);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        drop(Certificate::from_pem(text));
    }
}
