//! A log, its witnesses and what they sign, from seeds that anybody can see are no secrets.

use tlog::{
    Checkpoint, Frontier, Hash,
    cosignature::{Cosigner, Timestamp},
    leaf_hash,
    note::{Note, SigningKey, VerifyingKey},
};

pub(crate) const ORIGIN: &str = "example.com/log";

pub(crate) fn log() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[1; 32]).unwrap()
}

/// Witness `n`, `witness.example/w<n>`: of the older kind with an odd number, post-quantum with an
/// even one.
pub(crate) fn witness(n: u8) -> Cosigner {
    let name = format!("witness.example/w{n}");
    let seed = [0x40 + n; 32];
    if n % 2 == 1 {
        Cosigner::ed25519(&name, &seed).unwrap()
    } else {
        Cosigner::ml_dsa_44(&name, &seed).unwrap()
    }
}

pub(crate) fn public(witness: &Cosigner) -> VerifyingKey {
    witness.verifying_key().clone()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds).unwrap()
}

/// The log's leaves; those from `fork` on are another history's where one is given.
pub(crate) fn leaves(size: u64, fork: Option<u64>) -> Vec<Hash> {
    (0..size)
        .map(|n| match fork {
            Some(from) if n >= from => leaf_hash(format!("other {n}").as_bytes()),
            _ => leaf_hash(format!("leaf {n}").as_bytes()),
        })
        .collect()
}

pub(crate) fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

pub(crate) fn checkpoint(leaves: &[Hash]) -> Checkpoint {
    Checkpoint::new(ORIGIN, leaves.len() as u64, root(leaves)).unwrap()
}

/// The checkpoint of `size` leaves, signed by the log and by `witnesses` at `time`.
pub(crate) fn cosigned(size: u64, witnesses: &[&Cosigner], time: u64) -> Note {
    let checkpoint = checkpoint(&leaves(size, None));
    let signed = checkpoint.sign(&log()).unwrap();
    witnesses.iter().fold(signed, |note, witness| {
        note.with_signature(witness.cosign(&checkpoint, at(time)).unwrap())
            .unwrap()
    })
}
