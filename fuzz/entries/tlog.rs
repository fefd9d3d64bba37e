//! What must hold for any bytes given to `tlog`'s parsers. Each function is the body of a fuzz
//! target and of a regular test over the committed corpus.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each target calls one entry; a broken promise must stop it"
)]

use std::collections::BTreeMap;
use tlog::{
    Checkpoint, Error, Hash,
    bundle::{self, MAX_ENTRY_BYTES},
    cosignature::{Cosigner, Timestamp},
    note::{Algorithm, Note, SigningKey, VerifyingKey},
    policy::Policy,
    proof,
    receipt::Receipt,
    tile::{BundleId, TILE_WIDTH, TileId},
    witness::{AddCheckpoint, Answer, Decision, Head, Refusal, Witness},
};

/// A note or a vkey that parses is written back byte for byte, and nobody's signature verifies.
pub fn note(data: &[u8]) {
    if let Some(key) = text(data).and_then(|text| text.parse::<VerifyingKey>().ok()) {
        assert_eq!(key.to_string().as_bytes(), data);
    }
    let Ok(note) = Note::parse(data) else { return };
    assert_eq!(note.to_string().as_bytes(), data);
    let known: Vec<VerifyingKey> = note
        .signatures()
        .iter()
        .filter_map(|signature| made_up_key(signature.name(), Algorithm::Ed25519))
        .collect();
    let verdict = note.verify(&known);
    assert!(
        matches!(verdict, Err(Error::Unsigned | Error::BadSignature(_))),
        "a key that never signed: {verdict:?}"
    );
}

/// A checkpoint that parses is written back byte for byte.
pub fn checkpoint(data: &[u8]) {
    if let Some(checkpoint) = text(data).and_then(|text| text.parse::<Checkpoint>().ok()) {
        assert_eq!(checkpoint.to_string().as_bytes(), data);
        assert!(!checkpoint.origin().is_empty());
    }
    let key = made_up_key("example.com/log", Algorithm::Ed25519).expect("a key name");
    assert!(Checkpoint::open(data, "example.com/log", &[key]).is_err());
}

/// A bundle that reads to its end is its entries and nothing else.
pub fn bundle(data: &[u8]) {
    let mut copy = Vec::new();
    let mut entries = 0_u16;
    for entry in bundle::entries(data) {
        let Ok(entry) = entry else {
            // Whatever width it is said to have; all of them would take a hundred times as long.
            let widths = [1, entries, entries + 1, TILE_WIDTH];
            assert!(
                widths
                    .iter()
                    .all(|width| bundle::decode(data, *width).is_err())
            );
            return;
        };
        assert!(entry.len() <= MAX_ENTRY_BYTES);
        bundle::encode_entry(&mut copy, entry).expect("a decoded entry fits");
        entries += 1;
    }
    assert_eq!(copy, data);
    assert!(entries <= TILE_WIDTH);
    assert!(bundle::decode(data, entries).is_ok());
}

/// A path that parses is the only spelling of its tile or bundle.
pub fn tile_path(data: &[u8]) {
    let Some(path) = text(data) else { return };
    if let Ok(tile) = path.parse::<TileId>() {
        assert_eq!(tile.path(), path);
    }
    if let Ok(bundle) = path.parse::<BundleId>() {
        assert_eq!(bundle.path(), path);
    }
}

/// No made-up proof verifies. The first 16 bytes are the two numbers, the rest hashes.
pub fn proof(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let Some((second, rest)) = rest.split_first_chunk::<8>() else {
        return;
    };
    let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
    let path: Vec<Hash> = rest
        .as_chunks::<32>()
        .0
        .iter()
        .copied()
        .map(Hash::new)
        .collect();
    let (leaf, root) = (tlog::leaf_hash(b"leaf"), tlog::leaf_hash(b"root"));
    assert!(proof::verify_inclusion(&leaf, first, second, &path, &root).is_err());
    assert!(proof::verify_consistency(first, second, &path, &leaf, &root).is_err());
}

/// The name of the log of the committed seeds, and its key, which is no secret.
const ORIGIN: &str = "example.com/log";

fn log() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[1; 32]).expect("a seed")
}

/// A signature is of one of the three texts that the seeds' keys have signed, or does not verify,
/// and what it says of time is in the range of the format.
pub fn cosigned(data: &[u8]) {
    let Ok(note) = Note::parse(data) else { return };
    assert_eq!(note.to_string().as_bytes(), data);
    let algorithms = [
        Algorithm::Ed25519,
        Algorithm::Ed25519Cosignature,
        Algorithm::MlDsa44Cosignature,
    ];
    for signature in note.signatures() {
        for algorithm in algorithms {
            let Some(key) = made_up_key(signature.name(), algorithm) else {
                continue;
            };
            assert!(key.verify(note.text(), signature).is_err());
        }
    }
    let seeds = [
        Cosigner::ed25519("witness.example/w1", &[0x41; 32]).expect("a seed"),
        Cosigner::ml_dsa_44("witness.example/w2", &[0x42; 32]).expect("a seed"),
    ];
    let known: Vec<VerifyingKey> = seeds
        .iter()
        .map(|seed| seed.verifying_key().clone())
        .collect();
    let Ok(verified) = note.verify(&known) else {
        return;
    };
    // Only a checkpoint can have been cosigned.
    let checkpoint: Checkpoint = note.text().parse().expect("a cosigned checkpoint");
    assert_eq!(checkpoint.origin(), ORIGIN);
    for signer in verified.signers {
        assert!(signer.time.is_none_or(|time| time <= Timestamp::MAX));
    }
}

/// A policy that reads names each witness once and accepts nothing that nobody signed.
pub fn policy(data: &[u8]) {
    let policy = match Policy::parse(data) {
        Ok(policy) => policy,
        Err(Error::Policy { line, why }) => {
            assert!(line >= 1 && !why.is_empty());
            assert!(why.len() < 2_000, "an error as long as its cause");
            return;
        }
        Err(error) => {
            assert!(matches!(error, Error::OverLimit { .. }), "{error}");
            return;
        }
    };
    let names: Vec<&[u8]> = policy
        .witnesses()
        .map(|witness| &witness.name[..])
        .collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names.iter().skip(at + 1).any(|other| other == name));
    }
    let checkpoint = Checkpoint::new(ORIGIN, 7, tlog::leaf_hash(b"root")).expect("an origin");
    let signed = checkpoint.sign(&log()).expect("a note");
    let policy = policy.with_log(log().verifying_key().clone());
    let findings = policy.weigh(&signed, None).expect("signed by its log");
    assert!(findings.cosigned.is_empty());
    assert_eq!(findings.meets_quorum(), !policy.asks_for_witnesses());
}

/// A receipt that reads is written back byte for byte, and proves nothing of an entry that is in no
/// log.
pub fn receipt(data: &[u8]) {
    let Ok(receipt) = Receipt::parse(data) else {
        return;
    };
    assert_eq!(receipt.to_string().as_bytes(), data);
    let policy = Policy::of_log(log().verifying_key().clone());
    let verdict = receipt.verify(&tlog::leaf_hash(b"in no log"), &policy, None);
    assert!(verdict.is_err());
}

/// A request that reads is written back byte for byte; a witness cosigns only what its log signed,
/// and only what continues what it saw. The same bytes as an answer never panic.
pub fn witness(data: &[u8]) {
    for status in [200, 409, 422] {
        if let Ok(Answer::Cosigned(signatures)) =
            Answer::parse(status, Some("text/x.tlog.size"), data)
        {
            assert_eq!(Answer::Cosigned(signatures).body().as_bytes(), data);
        }
    }
    let Ok(request) = AddCheckpoint::parse(data) else {
        return;
    };
    assert_eq!(request.to_string().as_bytes(), data);
    let cosigner = Cosigner::ed25519("witness.example/w1", &[0x41; 32]).expect("a seed");
    let logs = BTreeMap::from([(ORIGIN.to_owned(), vec![log().verifying_key().clone()])]);
    let witness = Witness::new(vec![cosigner], logs).expect("keys");
    let time = Timestamp::new(1).expect("a time");
    // A head that no log of the seeds has, and the one before any.
    let elsewhere = Head {
        size: request.old_size().max(1),
        root: tlog::leaf_hash(b"elsewhere"),
    };
    let decision = witness
        .decide(&request, &elsewhere, time)
        .expect("a decision");
    assert!(
        matches!(decision, Decision::Refuse(_)),
        "a fork was cosigned"
    );
    let decision = witness
        .decide(&request, &Head::empty(), time)
        .expect("a decision");
    if let Decision::Cosign(cosigned) = decision {
        assert!(witness.knows(request.origin()) && request.old_size() == 0);
        assert!(
            request
                .note()
                .verify(&[log().verifying_key().clone()])
                .is_ok()
        );
        let again = witness
            .decide(&request, &cosigned.head, time)
            .expect("a decision");
        if cosigned.head.size != 0 {
            let size = cosigned.head.size;
            assert_eq!(again, Decision::Refuse(Refusal::Conflict { size }));
        }
    }
}

/// A public key that nobody has the other half of.
fn made_up_key(name: &str, algorithm: Algorithm) -> Option<VerifyingKey> {
    VerifyingKey::new(name, algorithm, &vec![0x55; algorithm.public_key_bytes()]).ok()
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
