//! The committed corpus, as the regular tests read it: whole, and changed in a few places.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "tests"
)]

use proptest::prelude::*;
use std::path::Path;

/// The name of a fuzz target and its body.
pub type Target = (&'static str, fn(&[u8]));

/// The files of a target, by name.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    let read = |file| std::fs::read(file).unwrap();
    files.iter().map(read).collect()
}

/// Gives each target its files.
pub fn holds(targets: &[Target]) {
    for (target, entry) in targets {
        let files = of(target);
        assert!(files.len() >= 3, "corpus of {target}");
        files.iter().for_each(|data| entry(data));
    }
}

/// A target, and a file of its corpus in which one byte to five are flipped, put in, or the last that is left.
pub fn changed(targets: &'static [Target]) -> impl Strategy<Value = (Target, Vec<u8>)> {
    let index = any::<prop::sample::Index>;
    let change = (index(), any::<u8>(), 0..3u8);
    let changes = prop::collection::vec(change, 1..6);
    let changed = |(target, file, changes): (Target, prop::sample::Index, Vec<_>)| {
        let mut data = file.get(&of(target.0)).clone();
        for (at, byte, how) in changes {
            let at = prop::sample::Index::index(&at, data.len() + 1);
            match how {
                0 => data
                    .iter_mut()
                    .skip(at)
                    .take(1)
                    .for_each(|old| *old ^= byte),
                1 => data.insert(at, byte),
                _ => data.truncate(at),
            }
        }
        (target, data)
    };
    (prop::sample::select(targets), index(), changes).prop_map(changed)
}
