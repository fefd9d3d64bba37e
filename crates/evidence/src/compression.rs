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
pub(crate) fn decompress_into(stored: &[u8], max: usize, out: &mut Vec<u8>) -> io::Result<()> {
    out.clear();
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
