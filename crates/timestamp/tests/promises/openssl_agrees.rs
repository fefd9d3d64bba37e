//! What openssl makes verifies here, what is asked here openssl answers, and both judge alike.

use crate::forge::{certificate, trust};
use jiff::{SignedDuration, Timestamp};
use testkit::authority::{Authority, EC, RSA, Style};
use timestamp::{
    Accuracy, Digest, Error, Expected, Failure, Imprint, Nonce, Request, Response, Scheme, Status,
};

fn asked(authority: &Authority, name: &str, style: Style, request: &Request) -> Vec<u8> {
    authority.reply(name, style, &request.to_der()).unwrap()
}

/// The judgement of `openssl ts -verify` on a response and the query that it answers.
fn openssl_says(authority: &Authority, reply: &[u8], query: &[u8], extra: &[&str]) -> bool {
    std::fs::write(authority.dir().join("reply.der"), reply).unwrap();
    std::fs::write(authority.dir().join("query.der"), query).unwrap();
    let mut arguments = vec![
        "ts",
        "-verify",
        "-in",
        "reply.der",
        "-queryfile",
        "query.der",
        "-CAfile",
        "root.pem",
    ];
    arguments.extend(extra);
    authority.openssl(&arguments).is_ok()
}

#[test]
fn on_every_key_and_style() {
    let authority = Authority::new().unwrap();
    let trust = trust(&authority);
    let imprints = [
        Imprint::sha256([1; 32]),
        Imprint::new(Digest::Sha384, &[2; 48]).unwrap(),
        Imprint::new(Digest::Sha512, &[3; 64]).unwrap(),
    ];
    for name in [RSA, EC] {
        for (style, digest) in [
            (Style::Plain, Digest::Sha256),
            (Style::Chain, Digest::Sha256),
            (Style::Strong, Digest::Sha512),
            (Style::Old, Digest::Sha384),
        ] {
            for imprint in &imprints {
                for nonce in [[0; 8], [0, 0, 0, 0, 0, 0, 1, 2], [0x80; 8], [0xff; 8]] {
                    let request = Request::new(imprint.clone(), Nonce::new(nonce));
                    let reply = asked(&authority, name, style, &request);
                    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
                    let verified = token
                        .verify(&Expected::answer_to(&request), &trust)
                        .unwrap();
                    assert_eq!(verified.algorithms.digest, digest);
                    let scheme = if name == RSA {
                        Scheme::RsaPkcs1(digest)
                    } else {
                        Scheme::Ecdsa(digest)
                    };
                    assert_eq!(verified.algorithms.signature, scheme);
                    assert_eq!(verified.claims.nonce.as_ref(), request.nonce());
                    assert_eq!(verified.chain.len(), 3);
                    assert!(openssl_says(&authority, &reply, &request.to_der(), &[]));
                }
            }
        }
    }
}

#[test]
fn on_what_a_token_says() {
    let authority = Authority::new().unwrap();
    let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]))
        .under_policy(timestamp::ObjectIdentifier::new_unwrap("1.2.3.4.5"));
    let before = Timestamp::now();
    let reply = asked(&authority, EC, Style::Plain, &request);
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    let verified = token
        .verify(&Expected::answer_to(&request), &trust(&authority))
        .unwrap();
    let claims = verified.claims;
    assert_eq!(claims.policy.to_string(), "1.2.3.4.5");
    assert_eq!(
        claims.accuracy,
        Some(Accuracy {
            seconds: 1,
            millis: 500,
            micros: 100
        })
    );
    assert!(claims.ordering);
    assert_eq!(
        claims.authority.as_ref().unwrap().to_string(),
        "CN=tsa-ec,O=Tachograph tests"
    );
    assert_eq!(
        claims.authority.as_ref().unwrap().to_string(),
        verified.chain[0].subject()
    );
    let bracket = claims.bracket(Accuracy::default());
    assert_eq!(
        bracket.latest.duration_since(bracket.earliest),
        SignedDuration::from_micros(3_000_200)
    );
    let after = Timestamp::now();
    assert!(bracket.earliest <= after && before <= bracket.latest);

    // openssl reads the same serial number and time.
    std::fs::write(authority.dir().join("reply.der"), &reply).unwrap();
    let text = authority
        .openssl(&["ts", "-reply", "-in", "reply.der", "-text"])
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    let serial = format!(
        "Serial number: 0x{}",
        claims.serial.to_string().to_uppercase()
    );
    assert!(text.contains(&serial), "{serial} in {text}");
    let time = claims.gen_time.strftime("%H:%M:%S").to_string();
    assert!(text.contains(&time), "{time} in {text}");
}

#[test]
fn on_what_is_wrong() {
    let authority = Authority::new().unwrap();
    let stranger = Authority::new().unwrap();
    let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]));
    let reply = asked(&authority, RSA, Style::Plain, &request);
    let flip = |at: usize| {
        let mut bent = reply.clone();
        bent[at] ^= 1;
        bent
    };
    let find = |needle: &[u8]| {
        reply
            .windows(needle.len())
            .position(|window| window == needle)
            .unwrap()
    };
    let other = Request::new(Imprint::sha256([1; 32]), Nonce::new([8; 8]));
    let elsewhere = Request::new(Imprint::sha256([2; 32]), Nonce::new([9; 8]));
    let cases = [
        ("as it came", reply.clone(), &request, true),
        ("imprint", flip(find(&[1; 32])), &request, false),
        ("nonce in the token", flip(find(&[9; 8])), &request, false),
        (
            "last byte of the signature",
            flip(reply.len() - 1),
            &request,
            false,
        ),
        ("another nonce", reply.clone(), &other, false),
        ("another imprint", reply.clone(), &elsewhere, false),
    ];
    for (name, reply, request, good) in &cases {
        let ours = Response::from_der(reply)
            .and_then(Response::into_token)
            .and_then(|token| token.verify(&Expected::answer_to(request), &trust(&authority)));
        assert_eq!(ours.is_ok(), *good, "{name}: {ours:?}");
        assert_eq!(
            openssl_says(&authority, reply, &request.to_der(), &[]),
            *good,
            "openssl on {name}"
        );
    }
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    let verdict = token.verify(&Expected::answer_to(&request), &trust(&stranger));
    // The stranger's root has the same name and another key.
    assert!(
        matches!(verdict, Err(Error::NoPinnedRoot { .. })),
        "{verdict:?}"
    );
    assert!(!openssl_says(&stranger, &reply, &request.to_der(), &[]));
}

#[test]
fn on_expired_certificates() {
    let authority = Authority::new().unwrap();
    let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]));
    // This authority stamps although its certificate has expired: genTime is now.
    let old = testkit::authority::Issue {
        validity: ("210101000000Z", "220101000000Z"),
        ..testkit::authority::Issue::authority("old")
    };
    authority.issue(&old).unwrap();
    let reply = asked(&authority, "old", Style::Plain, &request);
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    let verdict = token.verify(&Expected::answer_to(&request), &trust(&authority));
    assert!(matches!(verdict, Err(Error::Expired { .. })), "{verdict:?}");
    assert!(!openssl_says(&authority, &reply, &request.to_der(), &[]));

    // openssl judges at the present time and takes another one by option; a later time is ours to add.
    let reply = asked(&authority, EC, Style::Plain, &request);
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    for (at, good) in [
        ("2048-01-01T00:00:00Z", true),
        ("2051-01-01T00:00:00Z", false),
    ] {
        let at: Timestamp = at.parse().unwrap();
        let verdict = token.verify(
            &Expected::answer_to(&request),
            &trust(&authority).also_valid_at(at),
        );
        assert_eq!(verdict.is_ok(), good, "{verdict:?}");
        let seconds = at.as_second().to_string();
        assert_eq!(
            openssl_says(
                &authority,
                &reply,
                &request.to_der(),
                &["-attime", &seconds]
            ),
            good
        );
    }
}

#[test]
fn on_sha1_only_when_it_is_allowed() {
    let authority = Authority::new().unwrap();
    let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]));
    let reply = asked(&authority, RSA, Style::Sha1, &request);
    let token = Response::from_der(&reply).unwrap().into_token().unwrap();
    let expected = Expected::answer_to(&request);
    let verdict = token.verify(&expected, &trust(&authority));
    assert_eq!(
        verdict,
        Err(Error::WeakAlgorithm("the signature of the token"))
    );
    let verified = token
        .verify(&expected, &trust(&authority).allowing_sha1())
        .unwrap();
    assert_eq!(
        verified.algorithms.signature,
        Scheme::RsaPkcs1(Digest::Sha1)
    );
}

#[test]
fn on_refusals() {
    let authority = Authority::new().unwrap();
    let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]));
    let cases = [
        (
            request
                .clone()
                .under_policy(timestamp::ObjectIdentifier::new_unwrap("1.2.3.9"))
                .to_der(),
            Failure::UnacceptedPolicy,
        ),
        (
            {
                let mut query = request.to_der();
                query[19] ^= 1;
                query
            },
            Failure::BadAlg,
        ),
        (b"\x30\x00".to_vec(), Failure::BadDataFormat),
    ];
    for (query, failure) in cases {
        let reply = authority.reply(EC, Style::Plain, &query).unwrap();
        let response = Response::from_der(&reply).unwrap();
        assert_eq!(response.info().status, Status::Rejection);
        assert_eq!(response.info().failures, [failure], "{}", response.info());
        let error = response.into_token().unwrap_err();
        assert!(matches!(error, Error::Refused(_)));
        assert!(error.to_string().contains(&failure.to_string()), "{error}");
    }
}

#[test]
fn on_a_request() {
    let authority = Authority::with_root().unwrap();
    // Made by openssl, read here.
    let digest = hex::encode([7; 32]);
    let query = authority
        .openssl(&[
            "ts",
            "-query",
            "-digest",
            &digest,
            "-sha256",
            "-cert",
            "-tspolicy",
            "1.2.3.4.5",
        ])
        .unwrap();
    let request = Request::from_der(&query).unwrap();
    assert_eq!(request.imprint(), &Imprint::sha256([7; 32]));
    assert_eq!(request.policy().unwrap().to_string(), "1.2.3.4.5");
    assert_eq!(request.to_der(), query);
    // Made here, read by openssl.
    let query = Request::new(
        Imprint::sha256([7; 32]),
        Nonce::new([0x80, 1, 2, 3, 4, 5, 6, 7]),
    )
    .to_der();
    std::fs::write(authority.dir().join("ours.tsq"), &query).unwrap();
    let text = authority
        .openssl(&["ts", "-query", "-in", "ours.tsq", "-text"])
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "Version: 1",
        "Hash Algorithm: sha256",
        "Nonce: 0x8001020304050607",
        "Certificate required: yes",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(
        certificate(&authority, "root").subject(),
        certificate(&authority, "root").issuer()
    );
}
