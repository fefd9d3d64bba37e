//! A log that Tessera wrote reads and verifies: signatures, tiles, bundles, roots.

use crate::shared_data::vectors;
use std::{fs, path::Path};
use tlog::{
    Checkpoint, Frontier, Hash, bundle, leaf_hash,
    note::VerifyingKey,
    proof,
    tile::{self, BundleId, TileId},
    tree::TileTree,
};

const ORIGIN: &str = "example.com/log/testdata";

/// The public key that Tessera publishes for its test log.
const VKEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

fn checkpoint(log: &Path, name: &str) -> Checkpoint {
    let key: VerifyingKey = VKEY.parse().unwrap();
    let signed = fs::read(log.join(name)).unwrap();
    let (checkpoint, note) = Checkpoint::open(&signed, ORIGIN, &[key]).unwrap();
    assert_eq!(note.to_string().as_bytes(), signed);
    checkpoint
}

fn read_tile(log: &Path, id: TileId) -> Option<Vec<Hash>> {
    tile::decode(id, &fs::read(log.join(id.path())).ok()?).ok()
}

/// Tile and bundle of every size from 1 up, as the checkpoints were published one by one.
#[test]
fn every_checkpoint_is_signed_and_its_root_recomputes() {
    let Some(log) = vectors("tessera/testdata/log") else {
        return;
    };
    let mut sizes = 0;
    for size in 0..16_u64 {
        let checkpoint = checkpoint(&log, &format!("checkpoint.{size}"));
        assert_eq!(checkpoint.size(), size);
        let mut edge = Frontier::new();
        if let Some(id) = BundleId::holding(0, size) {
            let bytes = fs::read(log.join(id.path())).unwrap();
            let leaves: Vec<Hash> = bundle::decode(&bytes, id.width())
                .unwrap()
                .into_iter()
                .map(leaf_hash)
                .collect();
            assert_eq!(
                read_tile(&log, id.tile()),
                Some(leaves.clone()),
                "tile and bundle of size {size}"
            );
            leaves.into_iter().for_each(|leaf| edge.push(leaf));
        }
        assert_eq!(
            edge.root(),
            checkpoint.root(),
            "from the bundle of size {size}"
        );
        let mut tree = TileTree::new(size, |id| read_tile(&log, id));
        assert_eq!(
            tree.root().unwrap(),
            checkpoint.root(),
            "from the tiles of size {size}"
        );
        sizes += 1;
    }
    assert_eq!(sizes, 16);
    let latest = checkpoint(&log, "checkpoint");
    assert_eq!(
        latest,
        checkpoint(&log, &format!("checkpoint.{}", latest.size()))
    );
}

#[test]
fn its_checkpoints_are_consistent_and_include_their_entries() {
    let Some(log) = vectors("tessera/testdata/log") else {
        return;
    };
    let checkpoints: Vec<Checkpoint> = (0..16)
        .map(|size| checkpoint(&log, &format!("checkpoint.{size}")))
        .collect();
    for new in &checkpoints {
        let mut tree = TileTree::new(new.size(), |id| read_tile(&log, id));
        for old in checkpoints.iter().filter(|old| old.size() <= new.size()) {
            let path = tree.consistency(old.size()).unwrap();
            proof::verify_consistency(old.size(), new.size(), &path, &old.root(), &new.root())
                .unwrap();
        }
        for index in 0..new.size() {
            let path = tree.inclusion(index).unwrap();
            let leaf = tree.node(0, index).unwrap();
            proof::verify_inclusion(&leaf, index, new.size(), &path, &new.root()).unwrap();
        }
    }
}

#[test]
fn an_altered_checkpoint_is_refused() {
    let Some(log) = vectors("tessera/testdata/log") else {
        return;
    };
    let key: VerifyingKey = VKEY.parse().unwrap();
    let signed = fs::read(log.join("checkpoint.15")).unwrap();
    for at in 0..signed.len() {
        let mut altered = signed.clone();
        altered[at] ^= 1;
        let verdict = Checkpoint::open(&altered, ORIGIN, std::slice::from_ref(&key));
        assert!(verdict.is_err(), "byte {at} altered: {verdict:?}");
    }
}
