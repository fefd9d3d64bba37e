//! The fuzz targets' promises hold over the committed corpus, over changes to it and over noise.

use crate::{corpus, fuzz_entries as entries};
use proptest::prelude::*;

const TARGETS: &[corpus::Target] = &[
    ("time_stamp_response", entries::time_stamp_response),
    ("time_stamp_token", entries::time_stamp_token),
    ("time_stamp_request", entries::time_stamp_request),
    ("certificate", entries::certificate),
];

#[test]
fn the_corpus() {
    corpus::holds(TARGETS);
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
        for data in corpus::of(target).iter().filter(|data| reads(data)) {
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
    fn changes_to_the_corpus((target, data) in corpus::changed(TARGETS)) {
        target.1(&data);
    }
}
