#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! The fuzz targets' promises hold over the committed corpus, over changes to it and over noise.

#[path = "../../../fuzz/entries/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/entries/evidence.rs"]
mod entries;

use proptest::prelude::*;

const TARGETS: &[corpus::Target] = &[
    ("key_note", entries::key_note),
    ("vault_key", entries::vault_key),
    ("store", entries::store),
];

#[test]
fn the_corpus() {
    corpus::holds(TARGETS);
}

proptest! {
    #[test]
    fn changes_to_the_corpus((target, data) in corpus::changed(TARGETS)) {
        target.1(&data);
    }

    #[test]
    fn noise(which in any::<prop::sample::Index>(), data in prop::collection::vec(any::<u8>(), 0..400)) {
        TARGETS[which.index(TARGETS.len())].1(&data);
    }
}
