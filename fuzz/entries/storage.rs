//! What must hold for any bytes found in a segment. Body of a fuzz target and of a regular test.
#![allow(dead_code, unreachable_pub, reason = "each target calls one entry")]

use storage::{End, FRAME_HEADER_BYTES, Frames, SEGMENT_HEADER_BYTES, check_segment};

/// Walking ends, payloads lie inside the bytes and do not overlap, and what ends it is one of three.
pub fn wal(data: &[u8]) {
    let (number, data) = data
        .split_first()
        .map_or((0, data), |(first, rest)| (u64::from(*first), rest));
    check_segment(number, data).ok();
    let mut frames = Frames::new(number, data, SEGMENT_HEADER_BYTES, None);
    let mut end = 0;
    for frame in frames.by_ref() {
        assert!(frame.payload.start == end + FRAME_HEADER_BYTES && frame.payload.end <= data.len());
        end = frame.payload.end;
    }
    assert_eq!(frames.offset(), SEGMENT_HEADER_BYTES + end);
    match frames.end() {
        End::Clean => assert!(data.iter().skip(end).all(|byte| *byte == 0)),
        End::Torn { bytes } => assert!(bytes > 0 && end + bytes <= data.len()),
        End::Damaged { at } => assert_eq!(at, frames.offset()),
    }
}
