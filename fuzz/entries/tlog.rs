//! What must hold for any bytes given to `tlog`'s parsers. Each function is the body of a fuzz
//! target and of a regular test over the committed corpus.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "each target calls one entry; a broken promise must stop it"
)]

use tlog::{
    Checkpoint, Error, Hash,
    bundle::{self, MAX_ENTRY_BYTES},
    note::{Note, VerifyingKey},
    proof,
    tile::{BundleId, TILE_WIDTH, TileId},
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
        .filter_map(|signature| VerifyingKey::new(signature.name(), [0x55; 32]).ok())
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
    let key = VerifyingKey::new("example.com/log", [0x55; 32]).expect("a key name");
    assert!(Checkpoint::open(data, "example.com/log", &[key]).is_err());
}

/// A bundle that reads to its end is its entries and nothing else.
pub fn bundle(data: &[u8]) {
    let mut copy = Vec::new();
    let mut entries = 0_u16;
    for entry in bundle::entries(data) {
        let Ok(entry) = entry else {
            assert!((1..=TILE_WIDTH).all(|width| bundle::decode(data, width).is_err()));
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

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
