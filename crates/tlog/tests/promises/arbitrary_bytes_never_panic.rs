//! The fuzz targets' promises hold over the committed corpus, over mutations of it and over noise.

use crate::fuzz_entries as entries;
use proptest::prelude::*;
use std::path::PathBuf;

/// The name of a fuzz target and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("note", entries::note),
    ("checkpoint", entries::checkpoint),
    ("bundle", entries::bundle),
    ("tile_path", entries::tile_path),
    ("proof", entries::proof),
    ("cosigned", entries::cosigned),
    ("policy", entries::policy),
    ("receipt", entries::receipt),
    ("witness", entries::witness),
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
    #[test]
    fn noise(data in prop::collection::vec(any::<u8>(), 0..600)) {
        TARGETS.iter().for_each(|(_, entry)| entry(&data));
    }

    #[test]
    fn printable_noise(data in "([ -~\\n]|\u{2014} ){0,200}") {
        TARGETS.iter().for_each(|(_, entry)| entry(data.as_bytes()));
    }

    #[test]
    fn mutations_of_the_corpus(
        target in prop::sample::select(TARGETS), seed in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(), insert in any::<bool>(),
    ) {
        let corpus = corpus(target.0);
        let mut data = corpus[seed.index(corpus.len())].clone();
        let at = at.index(data.len() + 1);
        match (cut, insert) {
            (true, _) => data.truncate(at),
            (false, true) => data.insert(at, byte),
            (false, false) => data.iter_mut().skip(at).take(1).for_each(|b| *b ^= byte),
        }
        target.1(&data);
    }
}
