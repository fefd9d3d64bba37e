//! The write-ahead log's segment format reads back as written, however it was cut off or damaged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use proptest::prelude::*;
use storage::{
    End, FrameKind, Frames, MAX_FRAME_BYTES, SEGMENT_HEADER_BYTES, begin_segment, check_segment,
    push_frame,
};

#[path = "../../../fuzz/entries/storage.rs"]
mod entries;

const SEGMENT: u64 = 7;

/// Batches of payloads as a segment, zeros behind them, and where each batch ends.
fn segment(batches: &[Vec<Vec<u8>>], zeros: usize) -> (Vec<u8>, Vec<usize>) {
    let mut out = begin_segment(SEGMENT).to_vec();
    let mut ends = Vec::new();
    for (number, batch) in batches.iter().enumerate() {
        for (at, payload) in batch.iter().enumerate() {
            let last = at + 1 == batch.len();
            assert!(push_frame(
                &mut out,
                SEGMENT,
                0,
                number as u32,
                FrameKind(1),
                last,
                &[payload]
            ));
        }
        ends.push(out.len());
    }
    out.resize(out.len() + zeros, 0);
    (out, ends)
}

fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, End) {
    let body = &bytes[SEGMENT_HEADER_BYTES..];
    let mut frames = Frames::new(SEGMENT, body, SEGMENT_HEADER_BYTES, None);
    let got = frames
        .by_ref()
        .map(|frame| body[frame.payload].to_vec())
        .collect();
    (got, frames.end())
}

fn batches() -> impl Strategy<Value = Vec<Vec<Vec<u8>>>> {
    let payload = prop::collection::vec(any::<u8>(), 1..80);
    prop::collection::vec(prop::collection::vec(payload, 1..5), 1..8)
}

proptest! {
    #[test]
    fn what_was_written_is_read(batches in batches(), zeros in 0_usize..200) {
        let (bytes, _) = segment(&batches, zeros);
        prop_assert_eq!(read(&bytes), (batches.concat(), End::Clean));
    }

    /// A write cut off anywhere in the last batch leaves everything before it, and is called torn.
    #[test]
    fn a_cut_off_last_batch_is_torn(batches in batches(), cut in any::<prop::sample::Index>()) {
        let (mut bytes, ends) = segment(&batches, 0);
        let from = ends.len().checked_sub(2).map_or(SEGMENT_HEADER_BYTES, |before| ends[before]);
        let at = from + cut.index(bytes.len() - from);
        let len = bytes.len();
        bytes[at..].fill(0);
        bytes.resize(len + 100, 0);
        let (got, end) = read(&bytes);
        let whole: Vec<Vec<u8>> = batches.concat();
        prop_assert!(whole.starts_with(&got));
        prop_assert!(got.len() >= batches[..batches.len() - 1].concat().len());
        let damaged = matches!(end, End::Damaged { .. });
        prop_assert!(!damaged);
    }

    /// A flipped bit in a batch that a later batch follows is damage, and nothing behind it is read.
    #[test]
    fn a_change_before_a_later_batch_is_damage(batches in batches(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        prop_assume!(batches.len() >= 3);
        let (mut bytes, ends) = segment(&batches, 50);
        let until = ends[ends.len() - 3];
        let at = SEGMENT_HEADER_BYTES + at.index(until - SEGMENT_HEADER_BYTES);
        bytes[at] ^= 1 << bit;
        let (got, end) = read(&bytes);
        prop_assert!(got.len() < batches.concat().len());
        let damaged = matches!(end, End::Damaged { .. });
        prop_assert!(damaged, "{:?}", end);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        entries::wal(&bytes);
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/wal");
    let mut seen = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        entries::wal(&std::fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen >= 3);
}

/// Every eighth byte looks like the beginning of a long frame. Checksumming each would take minutes; no torn write
/// leaves such a thing, and it is not called one.
#[test]
fn what_was_made_to_be_searched_for_long_is_not_called_torn() {
    let pattern = [0, 0, 0x0f, 0, 1, 0, 0, 0];
    let (mut bytes, _) = segment(&[vec![b"one".to_vec()], vec![b"two".to_vec()]], 0);
    let whole = bytes.len();
    bytes.extend(pattern.iter().cycle().take(4 << 20));
    assert_eq!(read(&bytes).1, End::Damaged { at: whole });
    // With nothing before it that tells of a batch.
    bytes.drain(SEGMENT_HEADER_BYTES..whole);
    let at = SEGMENT_HEADER_BYTES;
    assert_eq!(read(&bytes).1, End::Damaged { at });
}

#[test]
fn a_frame_of_another_place_is_not_a_frame() {
    let (bytes, _) = segment(&[vec![b"one".to_vec()], vec![b"two".to_vec()]], 0);
    let body = &bytes[SEGMENT_HEADER_BYTES..];
    assert_eq!(
        Frames::new(SEGMENT, body, SEGMENT_HEADER_BYTES, None).count(),
        2
    );
    assert_eq!(
        Frames::new(SEGMENT + 1, body, SEGMENT_HEADER_BYTES, None).count(),
        0
    );
    assert_eq!(
        Frames::new(SEGMENT, body, SEGMENT_HEADER_BYTES + 1, None).count(),
        0
    );
}

#[test]
fn what_cannot_be_a_frame_is_refused() {
    let mut out = Vec::new();
    assert!(!push_frame(&mut out, 1, 0, 0, FrameKind(1), true, &[]));
    assert!(!push_frame(&mut out, 1, 0, 0, FrameKind(16), true, &[b"x"]));
    assert!(!push_frame(
        &mut out,
        1,
        0,
        0,
        FrameKind(1),
        true,
        &[&vec![0; MAX_FRAME_BYTES + 1]]
    ));
    assert!(out.is_empty());
}

#[test]
fn a_segment_header_says_what_is_wrong() {
    let good = begin_segment(3);
    assert_eq!(check_segment(3, &good), Ok(true));
    assert_eq!(check_segment(3, &[0; SEGMENT_HEADER_BYTES]), Ok(false));
    // Whoever made it was cut short.
    for made in 0..SEGMENT_HEADER_BYTES {
        assert_eq!(check_segment(3, &vec![0; made]), Ok(false), "{made}");
    }
    // Torn within its first write, and the same with something behind: that was whole once.
    for torn in 1..28 {
        let mut bytes = [0; 64];
        bytes[..torn].copy_from_slice(&good[..torn]);
        assert_eq!(check_segment(3, &bytes), Ok(false), "{torn}");
        bytes[60] = 1;
        assert!(check_segment(3, &bytes).is_err(), "{torn}");
    }
    let mut newer = good;
    newer[8] = 2;
    for (number, bytes, says) in [
        (4, &good[..], "another segment"),
        (3, &good[..10], "too short"),
        (3, &newer[..], "newer"),
        (3, &[9; SEGMENT_HEADER_BYTES][..], "not one"),
    ] {
        let said = check_segment(number, bytes).unwrap_err();
        assert!(said.contains(says), "{said}");
    }
}

/// Version 1 as it was first written: a change of these bytes is a new version.
#[test]
fn version_1_is_as_it_was_first_written() {
    let (bytes, _) = segment(
        &[
            vec![b"first".to_vec(), b"second".to_vec()],
            vec![b"third".to_vec()],
        ],
        8,
    );
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/segment.v1.hex");
    if std::env::var_os("TACHO_BLESS").is_some() {
        std::fs::write(path, format!("{hex}\n")).unwrap();
    }
    assert_eq!(hex, std::fs::read_to_string(path).unwrap().trim_end());
}
