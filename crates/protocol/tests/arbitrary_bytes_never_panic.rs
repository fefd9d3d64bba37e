#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]
//! The fuzz targets' promises hold over the committed corpus, over mutations of it and over noise.

#[path = "../../../fuzz/entries/protocol.rs"]
mod entries;

use proptest::prelude::*;
use std::path::PathBuf;

/// The name of a fuzz target and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("sse", entries::sse),
    ("jsonrpc", entries::jsonrpc),
    ("websocket", entries::websocket),
    ("readers", entries::readers),
];

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

#[test]
fn the_corpus() {
    for (target, entry) in TARGETS {
        let corpus = corpus(target);
        assert!(corpus.len() >= 3, "corpus of {target}");
        corpus.iter().for_each(|data| entry(data));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn mutations_of_the_corpus(
        which in any::<prop::sample::Index>(),
        seed in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6),
    ) {
        let (target, entry) = TARGETS[which.index(TARGETS.len())];
        let corpus = corpus(target);
        let mut data = corpus[seed.index(corpus.len())].clone();
        for (at, byte, how) in changes {
            let at = at.index(data.len() + 1);
            match how {
                0 if at < data.len() => data[at] = byte,
                1 => data.insert(at, byte),
                _ => data.truncate(at.max(1)),
            }
        }
        entry(&data);
    }

    #[test]
    fn noise(which in any::<prop::sample::Index>(), data in prop::collection::vec(any::<u8>(), 0..400)) {
        TARGETS[which.index(TARGETS.len())].1(&data);
    }
}
