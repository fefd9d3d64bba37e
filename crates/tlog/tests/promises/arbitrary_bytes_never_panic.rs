//! The fuzz targets' promises hold over the committed corpus, over changes to it and over noise.

use crate::{corpus, fuzz_entries as entries};
use proptest::prelude::*;

const TARGETS: &[corpus::Target] = &[
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

#[test]
fn the_corpus() {
    corpus::holds(TARGETS);
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
    fn changes_to_the_corpus((target, data) in corpus::changed(TARGETS)) {
        target.1(&data);
    }
}
