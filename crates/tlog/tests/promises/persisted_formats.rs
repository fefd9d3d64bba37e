//! What is written to disk and published never changes its spelling. `TACHO_BLESS=1` rewrites the
//! golden files; a change to one of them is a change of format and needs a reason.

use crate::actors;
use std::{fmt::Write as _, path::PathBuf};
use tlog::{
    Checkpoint, Frontier, bundle, leaf_hash,
    note::{Note, SigningKey},
    policy::Policy,
    proof,
    receipt::Receipt,
    tile::{self, BundleId, TileId},
    witness::AddCheckpoint,
};

/// Compares `bytes` with the golden file `name`.
#[track_caller]
fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("TACHO_BLESS").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(
        golden == bytes,
        "{name} differs; got {:?}",
        String::from_utf8_lossy(bytes)
    );
}

/// A key for tests, from a seed that anybody can see is no secret.
fn key(name: &str, seed: u8) -> SigningKey {
    SigningKey::from_seed(name, &[seed; 32]).unwrap()
}

const ENTRIES: [&[u8]; 4] = [br#"{"v":1,"seq":0}"#, b"", b"\x00\xff", "\u{e9}".as_bytes()];

#[test]
fn note() {
    let text = "A note.\n\nIts text holds a blank line.\n".to_owned();
    let (first, second) = (key("example.com/first", 1), key("example.com/second", 2));
    let note = Note::sign(text, &[&first, &second]).unwrap();
    check("note.txt", note.to_string().as_bytes());
    let golden = Note::parse(note.to_string().as_bytes()).unwrap();
    let known = [second.verifying_key().clone()];
    assert_eq!(golden.verify(&known).unwrap().signers[0].key, &known[0]);
    check(
        "vkey.txt",
        format!("{}\n{}\n", first.verifying_key(), second.verifying_key()).as_bytes(),
    );
}

#[test]
fn checkpoint() {
    let log = key("example.com/tachograph", 1);
    let mut tree = Frontier::new();
    check_checkpoint("checkpoint_empty.txt", &log, &tree);
    ENTRIES.iter().for_each(|entry| tree.push(leaf_hash(entry)));
    check_checkpoint("checkpoint.txt", &log, &tree);
}

#[track_caller]
fn check_checkpoint(name: &str, log: &SigningKey, tree: &Frontier) {
    let origin = log.verifying_key().name();
    let checkpoint = Checkpoint::new(origin, tree.size(), tree.root()).unwrap();
    let signed = checkpoint.sign(log).unwrap().to_string();
    check(name, signed.as_bytes());
    let (read, _) =
        Checkpoint::open(signed.as_bytes(), origin, &[log.verifying_key().clone()]).unwrap();
    assert_eq!(read, checkpoint);
}

/// A checkpoint with every kind of signature, the policy that accepts it, a receipt under it and the
/// request that brought it to a witness. ML-DSA-44 signs hedged here, so its signature is made by
/// another implementation that does not.
#[test]
fn witnessed() {
    let (log, first, second) = (actors::log(), actors::witness(1), actors::witness(2));
    let mut tree = Frontier::new();
    ENTRIES.iter().for_each(|entry| tree.push(leaf_hash(entry)));
    let origin = log.verifying_key().name();
    let checkpoint = Checkpoint::new(origin, tree.size(), tree.root()).unwrap();
    let time = actors::at(1_800_000_000);
    let signed = checkpoint.sign(&log).unwrap();

    let hashes: Vec<_> = ENTRIES.iter().map(|entry| leaf_hash(entry)).collect();
    let node = |level, index| crate::tree_by_definition::node(&hashes, level, index);
    let path = proof::consistency(3, 4, node).unwrap();
    let request = AddCheckpoint::new(3, path, signed.clone()).unwrap();
    check("add_checkpoint.txt", request.to_string().as_bytes());

    let ml_dsa = ml_dsa::ExpandedSigningKey::<ml_dsa::MlDsa44>::from_seed(&[0x42; 32].into());
    let message = second
        .verifying_key()
        .cosigned_message(&checkpoint, time)
        .unwrap();
    let raw = ml_dsa.sign_deterministic(&message, b"").unwrap().encode();
    let note = signed
        .with_signature(first.cosign(&checkpoint, time).unwrap())
        .and_then(|note| note.with_signature(second.verifying_key().cosignature(Some(time), &raw)?))
        .unwrap();
    check("checkpoint_cosigned.txt", note.to_string().as_bytes());

    let policy = format!(
        "# Whom to trust.\nlog {} https://log.example/\nwitness first {}\nwitness second {}\ngroup both all first second\nquorum both\n",
        log.verifying_key(),
        first.verifying_key(),
        second.verifying_key(),
    );
    check("policy.txt", policy.as_bytes());
    let policy = Policy::parse(policy.as_bytes()).unwrap();

    let path = proof::inclusion(2, 4, node).unwrap();
    let receipt = Receipt::new(2, path, note).unwrap();
    let receipt = receipt.with_extra(ENTRIES[2].to_vec()).unwrap();
    check("receipt.tlog-proof", receipt.to_string().as_bytes());
    let findings = receipt.verify(&hashes[2], &policy, Some(time)).unwrap();
    assert_eq!(findings.cosigned.len(), 2);
}

#[test]
fn tile() {
    let hashes: Vec<_> = ENTRIES.iter().map(|entry| leaf_hash(entry)).collect();
    check("tile.bin", &tile::encode(&hashes));
    let id = TileId::new(0, 0, 4).unwrap();
    assert_eq!(tile::decode(id, &tile::encode(&hashes)).unwrap(), hashes);
}

#[test]
fn bundle() {
    let mut bytes = Vec::new();
    ENTRIES
        .iter()
        .for_each(|entry| bundle::encode_entry(&mut bytes, entry).unwrap());
    check("bundle.bin", &bytes);
    assert_eq!(bundle::decode(&bytes, 4).unwrap(), ENTRIES);
}

#[test]
fn tile_paths() {
    let mut text = String::from("level index width path\n");
    let tiles = [
        (0, 0, 256),
        (0, 0, 1),
        (0, 999, 256),
        (0, 1_000, 255),
        (0, 1_234_067, 256),
        (0, 999_999, 17),
        (1, 1_000_000, 256),
        (7, 0, 255),
        (0, (u64::MAX >> 8), 255),
    ];
    for (level, index, width) in tiles {
        let id = TileId::new(level, index, width).unwrap();
        writeln!(text, "{level} {index} {width} {id}").unwrap();
    }
    for (index, width) in [(0, 256), (67, 3), (1_234_067, 256)] {
        let id = BundleId::new(index, width).unwrap();
        writeln!(text, "entries {index} {width} {id}").unwrap();
    }
    check("tile_paths.txt", text.as_bytes());
}
