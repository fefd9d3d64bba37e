//! Which edge cases of Ed25519 verification are accepted. RFC 8032 leaves several open and
//! implementations differ; this is the policy that `VerifyingKey` documents.

use crate::shared_data::vectors;
use serde::Deserialize;
use std::collections::BTreeSet;
use tlog::note::{Signature, VerifyingKey};

#[derive(Deserialize)]
struct Case {
    number: u32,
    key: String,
    sig: String,
    msg: String,
    flags: Option<BTreeSet<String>>,
}

/// Each flag that alone decides: the encodings and residues that are refused. Points of low order
/// are accepted where none of these holds.
const REFUSED: [&str; 4] = [
    "non_canonical_A",
    "non_canonical_R",
    "low_order_residue",
    "reencoded_k",
];

fn verifies(case: &Case) -> bool {
    let public = hex::decode(&case.key).unwrap().try_into().unwrap();
    let key = VerifyingKey::new("key", public).unwrap();
    let signature = Signature::new("key", key.id(), hex::decode(&case.sig).unwrap()).unwrap();
    key.verifies(&case.msg, &signature)
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
