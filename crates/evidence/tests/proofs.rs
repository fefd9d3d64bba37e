//! What a store proves about its tree holds by the tree's definition, settled or not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use event::{Draft, Kind, Source};
use evidence::{Options, Proofs, Recorder, Store};
use tlog::{Frontier, Hash, leaf_hash, proof};

/// Roots of every size from 0 on, by appending leaf after leaf.
fn roots(store: &Store) -> (Vec<Hash>, Vec<Hash>) {
    let leaves: Vec<Hash> = store
        .events(0)
        .map(|entry| leaf_hash(&entry.unwrap().line))
        .collect();
    let mut tree = Frontier::new();
    let mut roots = vec![tree.root()];
    for leaf in &leaves {
        tree.push(*leaf);
        roots.push(tree.root());
    }
    (leaves, roots)
}

async fn fill(recorder: &Recorder, events: u64) {
    for _ in 0..events {
        recorder
            .append(&Draft::new(Kind::Heartbeat, Source::Recorder))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn proofs_hold_at_every_size_of_a_settled_log() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Options::new(dir.path())).unwrap();
    fill(&recorder, 300).await;
    recorder.close().await.unwrap();
    let store = Store::open(dir.path()).unwrap();
    let proofs = Proofs::of(dir.path());
    let (leaves, roots) = roots(&store);
    let size = store.len();
    for old in (0..=size).step_by(7).chain([1, 255, 256, 257, size]) {
        let at = usize::try_from(old).unwrap();
        assert_eq!(proofs.root(old).unwrap(), roots[at], "{old}");
        let path = proofs.consistency(old, size).unwrap();
        assert_eq!(path, store.consistency(old, size).unwrap());
        proof::verify_consistency(old, size, &path, &roots[at], roots.last().unwrap()).unwrap();
        if old < size {
            let path = proofs.inclusion(old, size).unwrap();
            proof::verify_inclusion(&leaves[at], old, size, &path, roots.last().unwrap()).unwrap();
        }
    }
    assert!(proofs.root(size + 1).is_err() && store.root(size + 1).is_err());
    assert!(proofs.consistency(5, 4).is_err() && store.inclusion(4, 4).is_err());
}

#[tokio::test]
async fn a_store_answers_for_the_tail_that_is_not_settled() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path());
    // Nothing is settled after the start.
    options.checkpoint = std::time::Duration::from_secs(3600);
    let recorder = Recorder::open(options).unwrap();
    fill(&recorder, 40).await;
    let store = Store::open(dir.path()).unwrap();
    assert!(store.settled() < store.len());
    let (_, roots) = roots(&store);
    let size = store.len();
    for old in 0..=size {
        let at = usize::try_from(old).unwrap();
        assert_eq!(store.root(old).unwrap(), roots[at], "{old}");
        let path = store.consistency(old, size).unwrap();
        proof::verify_consistency(old, size, &path, &roots[at], roots.last().unwrap()).unwrap();
    }
    recorder.close().await.unwrap();
}
