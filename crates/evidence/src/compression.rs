//! How the store compresses: zstd (RFC 8878), at rest only.

use crate::settle::LEVEL_AT_EASE;
use std::cell::RefCell;
use std::io;
use zstd::bulk::{Compressor, Decompressor};

thread_local! {
    // Making a context costs more than a small piece of work with it.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = RefCell::new(Decompressor::new().ok());
}

/// Window of a block: the whole of it, so that what returns is found however far back it lies.
const BLOCK_WINDOW_LOG: u32 = 22;

/// Decompresses one frame of at most `max` bytes into `out`, which is emptied first.
///
/// The frame must be all of `stored`: the library would skip what follows it, empty and skippable frames, and a
/// file of evidence has no bytes that do not count.
pub(crate) fn decompress_into(stored: &[u8], max: usize, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
    let one = zstd::zstd_safe::find_frame_compressed_size(stored).ok();
    if one != Some(stored.len()) {
        return Err(io::Error::other("it is not one zstd frame"));
    }
    out.reserve(max);
    DECOMPRESSOR.with_borrow_mut(|context| match context {
        Some(context) => context.decompress_to_buffer(stored, out).map(|_| ()),
        None => Err(io::Error::other("no memory to decompress with")),
    })
}

/// Compresses a block of several megabytes. Agents resend nearly what they sent before: long distance matching
/// sees the repetition, and costs several times the processor, which the data plane needs while it runs.
pub(crate) fn compress_block(raw: &[u8], level: i32) -> io::Result<Vec<u8>> {
    let mut context = Compressor::new(level)?;
    if level > LEVEL_AT_EASE {
        context.window_log(BLOCK_WINDOW_LOG)?;
        context.long_distance_matching(true)?;
    }
    context.compress(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_and_nothing_else() {
        let frame = compress_block(b"text text text", 3).unwrap();
        let mut out = Vec::new();
        decompress_into(&frame, 100, &mut out).unwrap();
        assert_eq!(out, b"text text text");
        let empty = compress_block(b"", 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 7];
        let others = [
            [frame.as_slice(), &empty].concat(),
            [frame.as_slice(), &skippable].concat(),
            [&skippable, frame.as_slice()].concat(),
            [frame.as_slice(), &[0]].concat(),
            frame[..frame.len() - 1].to_vec(),
            Vec::new(),
        ];
        for other in others {
            assert!(decompress_into(&other, 100, &mut out).is_err(), "{other:?}");
        }
    }
}
