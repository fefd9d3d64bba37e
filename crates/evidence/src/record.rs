//! What the write-ahead log's frames carry. Version 1; integers little-endian.
//!
//! ```text
//! event := flags:u8 call:u64 line            flags: 1 opens a call, 2 closes the call `call`
//! chunk := number:u64 raw_len:u32 codec:u8 bytes
//! body  := id:u64 len:u64 recipe
//! part  := id:u64 call:u64 role_len:u8 role count:u32 chunk:u64*count tail
//! ```
//! A `part` says what of an unfinished body is durable: chunks that earlier parts did not name, and
//! the bytes not yet cut into a chunk. Only recovery reads it.

use storage::FrameKind;

pub(crate) const EVENT: FrameKind = FrameKind(1);
pub(crate) const CHUNK: FrameKind = FrameKind(2);
pub(crate) const BODY: FrameKind = FrameKind(3);
pub(crate) const PART: FrameKind = FrameKind(4);
/// Ends a batch; carries nothing.
pub(crate) const END: FrameKind = FrameKind(5);

pub(crate) const OPENS: u8 = 1;
pub(crate) const CLOSES: u8 = 2;

/// How a chunk's bytes are stored.
pub(crate) const CODEC_RAW: u8 = 0;
pub(crate) const CODEC_ZSTD: u8 = 1;

/// A record as it lies in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Event {
        flags: u8,
        call: u64,
        line: &'a [u8],
    },
    Chunk {
        number: u64,
        raw_len: u32,
        codec: u8,
        bytes: &'a [u8],
    },
    Body {
        id: u64,
        len: u64,
        recipe: &'a [u8],
    },
    Part {
        id: u64,
        call: u64,
        role: &'a str,
        chunks: &'a [u8],
        tail: &'a [u8],
    },
}

/// Takes fields off the front of a slice.
#[derive(Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

impl<'a> Record<'a> {
    /// Reads a frame's payload; `None` when the kind is unknown or the payload too short.
    pub(crate) fn parse(kind: FrameKind, payload: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(payload);
        let record = match kind {
            EVENT => Self::Event {
                flags: cursor.u8()?,
                call: cursor.u64()?,
                line: cursor.0,
            },
            CHUNK => Self::Chunk {
                number: cursor.u64()?,
                raw_len: cursor.u32()?,
                codec: cursor.u8()?,
                bytes: cursor.0,
            },
            BODY => Self::Body {
                id: cursor.u64()?,
                len: cursor.u64()?,
                recipe: cursor.0,
            },
            PART => {
                let (id, call) = (cursor.u64()?, cursor.u64()?);
                let role_len = usize::from(cursor.u8()?);
                let role = std::str::from_utf8(cursor.take(role_len)?).ok()?;
                let count = cursor.u32()? as usize;
                let chunks = cursor.take(count.checked_mul(8)?)?;
                Self::Part {
                    id,
                    call,
                    role,
                    chunks,
                    tail: cursor.0,
                }
            }
            _ => return None,
        };
        Some(record)
    }
}

/// The plaintext of a stored chunk.
pub(crate) fn decode_chunk(raw_len: u32, codec: u8, bytes: &[u8]) -> Option<Vec<u8>> {
    if raw_len as usize > storage::MAX_FRAME_BYTES {
        return None;
    }
    let raw = match codec {
        CODEC_RAW => bytes.to_vec(),
        CODEC_ZSTD => zstd::bulk::decompress(bytes, raw_len as usize).ok()?,
        _ => return None,
    };
    (raw.len() == raw_len as usize).then_some(raw)
}

/// Whether a frame can stand behind `newest`, the batch of the frame before it and whether that ended the batch:
/// batches are numbered without holes, through all segments.
pub(crate) fn follows(newest: Option<(u32, bool)>, frame: &storage::Frame) -> bool {
    match newest {
        None => true,
        Some((batch, true)) => frame.batch == batch.wrapping_add(1),
        Some((batch, false)) => frame.batch == batch,
    }
}
