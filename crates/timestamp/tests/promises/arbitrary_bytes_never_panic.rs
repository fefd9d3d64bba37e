//! The fuzz targets' promises hold over the committed corpus, over mutations of it and over noise.

use crate::fuzz_entries as entries;
use proptest::prelude::*;
use std::path::PathBuf;

/// The name of a fuzz target and its body.
type Target = (&'static str, fn(&[u8]));

const TARGETS: &[Target] = &[
    ("time_stamp_response", entries::time_stamp_response),
    ("time_stamp_token", entries::time_stamp_token),
    ("time_stamp_request", entries::time_stamp_request),
    ("certificate", entries::certificate),
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

/// Where the corpus is read by the parser it is for, it is read whole: a byte more or less is refused.
#[test]
fn nothing_may_follow_or_lack() {
    let reads: [fn(&[u8]) -> bool; 3] = [
        |data| timestamp::Response::from_der(data).is_ok(),
        |data| timestamp::Token::from_der(data).is_ok(),
        |data| timestamp::Request::from_der(data).is_ok(),
    ];
    for ((target, _), reads) in TARGETS.iter().zip(reads) {
        for data in corpus(target).iter().filter(|data| reads(data)) {
            assert!((0..data.len()).all(|cut| !reads(&data[..cut])), "{target}");
            assert!(!reads(&[data.as_slice(), &[0]].concat()), "{target}");
            assert!(!reads(&[data.as_slice(), data].concat()), "{target}");
        }
    }
}

#[test]
fn sizes_are_bounded() {
    let huge = vec![0x30; 1 << 20];
    assert!(matches!(
        timestamp::Response::from_der(&huge),
        Err(timestamp::Error::OverLimit { .. })
    ));
    assert!(matches!(
        timestamp::Token::from_der(&huge),
        Err(timestamp::Error::OverLimit { .. })
    ));
    assert!(matches!(
        timestamp::Request::from_der(&huge),
        Err(timestamp::Error::OverLimit { .. })
    ));
    assert!(matches!(
        timestamp::Certificate::from_der(&huge),
        Err(timestamp::Error::OverLimit { .. })
    ));
}

proptest! {
    #[test]
    fn noise(data in prop::collection::vec(any::<u8>(), 0..400)) {
        TARGETS.iter().for_each(|(_, entry)| entry(&data));
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
