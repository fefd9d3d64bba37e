//! A request has one encoding, and a response says one thing.

use crate::forge::{oid, seq, tlv};
use proptest::prelude::*;
use timestamp::{
    Digest, Error, Failure, Imprint, Nonce, ObjectIdentifier, Request, Response, Status,
};

/// The query for 32 bytes of 7 with a nonce of 0x0102030405060708: sent like this, for ever.
const GOLDEN: &str = "30430201013031300d0609608648016503040201050004200707070707070707070707070707070707070707070707070707070707070707020801020304050607080101ff";

#[test]
fn a_request_is_these_bytes() {
    let request = Request::new(
        Imprint::sha256([7; 32]),
        Nonce::new([1, 2, 3, 4, 5, 6, 7, 8]),
    );
    assert_eq!(hex::encode(request.to_der()), GOLDEN);
    assert_eq!(
        Request::from_der(&hex::decode(GOLDEN).unwrap()).unwrap(),
        request
    );
}

proptest! {
    #[test]
    fn a_request_reads_as_it_was_written(digest in any::<[u8; 32]>(), nonce in any::<[u8; 8]>(), policy in prop::option::of(0_u32..99_999)) {
        let mut request = Request::new(Imprint::sha256(digest), Nonce::new(nonce));
        if let Some(arc) = policy {
            request = request.under_policy(ObjectIdentifier::new(&format!("1.2.3.{arc}")).unwrap());
        }
        prop_assert_eq!(Request::from_der(&request.to_der()), Ok(request));
    }
}

#[test]
fn requests_that_are_none() {
    let imprint = seq(&[
        &seq(&[&oid(crate::forge::SHA256), &[5, 0]]),
        &tlv(4, &[&[7; 32]]),
    ]);
    let request = |parts: &[&[u8]]| Request::from_der(&seq(parts));
    request(&[&[2, 1, 1], &imprint]).unwrap();
    let cases: &[(&str, &[&[u8]])] = &[
        ("version 2", &[&[2, 1, 2], &imprint]),
        ("no version", &[&imprint]),
        (
            "nonce with a needless zero",
            &[&[2, 1, 1], &imprint, &[2, 2, 0, 1]],
        ),
        (
            "policy after the nonce",
            &[&[2, 1, 1], &imprint, &[2, 1, 1], &oid("1.2.3")],
        ),
        (
            "a truth that is not 255",
            &[&[2, 1, 1], &imprint, &[1, 1, 1]],
        ),
        (
            "an extension",
            &[&[2, 1, 1], &imprint, &tlv(0xa0, &[&[4, 0]])],
        ),
    ];
    for (name, parts) in cases {
        assert!(
            matches!(request(parts), Err(Error::Malformed { .. })),
            "{name}"
        );
    }
    let sha3 = seq(&[
        &seq(&[&oid("2.16.840.1.101.3.4.2.8")]),
        &tlv(4, &[&[7; 32]]),
    ]);
    assert!(matches!(
        request(&[&[2, 1, 1], &sha3]),
        Err(Error::UnsupportedAlgorithm { .. })
    ));
    assert!(Imprint::new(Digest::Sha384, &[0; 32]).is_err());
}

#[test]
fn a_refusal_is_told_in_words() {
    let info = |parts: &[&[u8]]| seq(&[&seq(parts)]);
    let bits = |bits: &[u8]| tlv(3, &[bits]);
    let text = seq(&[
        &tlv(12, &["out of\x07 ticks".as_bytes()]),
        &tlv(12, &["é".as_bytes()]),
    ]);
    let every = bits(&[6, 0b1010_0100, 0b0000_0011, 0b1100_0000, 0b0100_0000]);
    let response = Response::from_der(&info(&[&[2, 1, 2], &text, &every])).unwrap();
    assert_eq!(response.info().status, Status::Rejection);
    assert_eq!(response.info().text, ["out of ticks", "é"]);
    assert_eq!(
        response.info().failures,
        [
            Failure::BadAlg,
            Failure::BadRequest,
            Failure::BadDataFormat,
            Failure::TimeNotAvailable,
            Failure::UnacceptedPolicy,
            Failure::UnacceptedExtension,
            Failure::AddInfoNotAvailable,
            Failure::SystemFailure,
        ]
    );
    let told = response.into_token().unwrap_err().to_string();
    let expected = "the authority gave no token: rejected; it does not know the hash function; it does not permit or support \
        the request; it could not read the request; its source of time is not available; it does not serve the policy; it \
        does not support an extension; additional information is not available; it failed; \"out of ticks\"; \"é\"";
    assert_eq!(told, expected);

    let statuses = [
        (3, Status::Waiting),
        (4, Status::RevocationWarning),
        (5, Status::RevocationNotification),
        (6, Status::Other(6)),
    ];
    for (number, status) in statuses {
        assert_eq!(
            Response::from_der(&info(&[&[2, 1, number]]))
                .unwrap()
                .info()
                .status,
            status
        );
    }
    for granted in [0, 1] {
        assert_eq!(
            Response::from_der(&info(&[&[2, 1, granted]])),
            Err(Error::MissingToken)
        );
    }
    let with_token = seq(&[&seq(&[&[2, 1, 2]]), &seq(&[])]);
    assert!(matches!(
        Response::from_der(&with_token),
        Err(Error::UngrantedToken(_))
    ));
    let broken = [
        info(&[&[2, 1, 0xff]]),
        info(&[]),
        info(&[&[2, 1, 2], &every, &text]),
        info(&[&[2, 1, 2], &bits(&[0; 10])]),
    ];
    broken.iter().for_each(|bytes| {
        assert!(
            matches!(Response::from_der(bytes), Err(Error::Malformed { .. })),
            "{bytes:?}"
        )
    });
}
