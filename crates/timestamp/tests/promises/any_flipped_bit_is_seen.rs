//! Every bit of a token, flipped: the token is refused, or the verdict is the same to the last field.
//! The second is possible where nobody signed: certificates in the bag that the chain does not need,
//! revocation lists, unsigned attributes, and a parameter NULL that may as well be left out.

use crate::forge::{Forge, Key, certificate, expected, oid, tlv, trust};
use std::ops::Range;
use testkit::authority::{Authority, EC, INTERMEDIATE, RSA, Style};
use timestamp::{Expected, Imprint, Nonce, Request, Response, Token, Trust, Verified};

/// Flips every bit; returns where a flip did not matter.
fn unseen(token: &[u8], expected: &Expected, trust: &Trust) -> Vec<usize> {
    let verdict = |bytes: &[u8]| -> Option<Verified> {
        Token::from_der(bytes).ok()?.verify(expected, trust).ok()
    };
    let honest = verdict(token).unwrap();
    let mut unseen = Vec::new();
    for at in 0..token.len() * 8 {
        let mut bent = token.to_vec();
        bent[at / 8] ^= 1 << (at % 8);
        if let Some(verified) = verdict(&bent) {
            assert_eq!(verified, honest, "bit {at} changed the verdict");
            unseen.push(at / 8);
        }
    }
    unseen.dedup();
    unseen
}

fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let at = whole
        .windows(part.len())
        .position(|window| window == part)
        .unwrap();
    at..at + part.len()
}

#[test]
fn in_tokens_of_openssl() {
    let authority = Authority::new().unwrap();
    let trust = trust(&authority);
    for (name, style) in [(EC, Style::Plain), (EC, Style::Chain), (RSA, Style::Old)] {
        let request = Request::new(Imprint::sha256([1; 32]), Nonce::new([9; 8]));
        let reply = authority.reply(name, style, &request.to_der()).unwrap();
        let token = Response::from_der(&reply).unwrap().into_token().unwrap();
        let unseen = unseen(token.as_der(), &Expected::answer_to(&request), &trust);
        assert_eq!(unseen, [0; 0], "{name} {style:?}");
    }
}

#[test]
fn but_where_nobody_signed() {
    let authority = Authority::new().unwrap();
    authority
        .issue(&testkit::authority::Issue::authority("another"))
        .unwrap();
    let another = certificate(&authority, "another").as_der().to_vec();
    let attribute = tlv(
        0x30,
        &[
            &oid("1.2.3.4"),
            &tlv(0x31, &[&tlv(4, &[b"nobody vouches for this"])]),
        ],
    );
    let mut forged = Forge::honest(&authority, EC, Key::Ec);
    forged.bag.push(another.clone());
    forged.unsigned = tlv(0xa1, &[&attribute]);
    let token = forged.token();
    let unseen = unseen(&token, &expected(), &trust(&authority));
    let (bag, attributes) = (place(&token, &another), place(&token, &attribute));
    assert!(
        unseen.iter().any(|at| bag.contains(at)) && unseen.iter().any(|at| attributes.contains(at))
    );
    for at in unseen {
        assert!(
            bag.contains(&at) || attributes.contains(&at),
            "byte {at} of {}",
            hex::encode(&token)
        );
    }
    // What the chain needs is seen, though nobody signed the bag.
    assert!(token.windows(8).any(|window| {
        certificate(&authority, INTERMEDIATE)
            .as_der()
            .starts_with(window)
    }));
}
