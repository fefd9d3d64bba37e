//! What the write-ahead log's frames carry. Version 1; integers little-endian.
//!
//! ```text
//! event := flags:u8 number:u64 line    flags: 1 opens a call, 2 closes call `number`, 4 seals volume `number`,
//!                                       8 is about the log's keys
//! chunk := number:u64 raw_len:u32 codec:u8 bytes                 codec: 1 compressed, 2 encrypted, 3 both
//! body  := id:u64 len:u64 recipe                                                                of version 1
//! part  := id:u64 call:u64 role_len:u8 role count:u32 chunk:u64*count tail                      of version 1
//! part2 := id:u64 call:u64 role_len:u8 role flags:u8 total:u32 len:u64 commitment[32]
//!          count:u32 chunk:u64*count tail                        flags: 1 only names chunks
//! body2 := id:u64 len:u64 commitment[32] recipe
//! ```
//! A part says what of an unfinished body is durable: chunks that earlier parts did not name, and
//! the bytes not yet cut into a chunk, encrypted; and what it all commits to, so that recovery ends the body
//! without reading it. Only recovery reads it.

use crate::cipher::Keyring;
use crate::error::Error;
use serde::{Deserialize, Serialize};
use storage::FrameKind;

pub(crate) const EVENT: FrameKind = FrameKind(1);
pub(crate) const CHUNK: FrameKind = FrameKind(2);
pub(crate) const BODY: FrameKind = FrameKind(3);
pub(crate) const PART: FrameKind = FrameKind(4);
/// Ends a batch; carries nothing.
pub(crate) const END: FrameKind = FrameKind(5);
pub(crate) const PART2: FrameKind = FrameKind(6);
pub(crate) const BODY2: FrameKind = FrameKind(7);

/// A part that only names chunks.
pub(crate) const NAMES: u8 = 1;

pub(crate) const OPENS: u8 = 1;
pub(crate) const CLOSES: u8 = 2;
/// Says that a volume is complete.
pub(crate) const SEALS: u8 = 4;
/// Is about the log's keys.
pub(crate) const KEYS: u8 = 8;

/// How a chunk's bytes are stored.
pub(crate) const CODEC_RAW: u8 = 0;
pub(crate) const CODEC_ZSTD: u8 = 1;
/// Added to either.
pub(crate) const ENCRYPTED: u8 = 2;

/// What the source of a body says of it as far as it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Chunks in all.
    pub(crate) chunks: u32,
    /// Bytes: those of the chunks and of the tail.
    pub(crate) len: u64,
    /// Hexadecimal in `state`.
    #[serde(with = "hex::serde")]
    pub(crate) commitment: [u8; 32],
}

/// A record as it lies in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    Event {
        flags: u8,
        /// Of the call that it closes or the volume that it seals.
        number: u64,
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
        /// `None` in version 1.
        commitment: Option<&'a [u8; 32]>,
        recipe: &'a [u8],
    },
    Part {
        id: u64,
        call: u64,
        role: &'a str,
        says: Says,
        chunks: &'a [u8],
        tail: &'a [u8],
    },
}

/// What a part says besides the chunks that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    /// Nothing: another part follows.
    Names,
    Claim(Claim),
    /// The tail, in plaintext, of a part of version 1.
    Tail,
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

    fn commitment(&mut self) -> Option<&'a [u8; 32]> {
        self.take(32)?.first_chunk()
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
                number: cursor.u64()?,
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
                commitment: None,
                recipe: cursor.0,
            },
            BODY2 => Self::Body {
                id: cursor.u64()?,
                len: cursor.u64()?,
                commitment: Some(cursor.commitment()?),
                recipe: cursor.0,
            },
            PART | PART2 => {
                let (id, call) = (cursor.u64()?, cursor.u64()?);
                let role_len = usize::from(cursor.u8()?);
                let role = std::str::from_utf8(cursor.take(role_len)?).ok()?;
                let says = if kind == PART {
                    Says::Tail
                } else {
                    let flags = cursor.u8()?;
                    let claim = Claim {
                        chunks: cursor.u32()?,
                        len: cursor.u64()?,
                        commitment: *cursor.commitment()?,
                    };
                    match flags {
                        0 => Says::Claim(claim),
                        NAMES => Says::Names,
                        _ => return None,
                    }
                };
                let count = cursor.u32()? as usize;
                let chunks = cursor.take(count.checked_mul(8)?)?;
                Self::Part {
                    id,
                    call,
                    role,
                    says,
                    chunks,
                    tail: cursor.0,
                }
            }
            _ => return None,
        };
        Some(record)
    }
}

/// The plaintext of chunk `number` from the write-ahead log. `bytes` may be overwritten.
///
/// # Errors
/// [`Error::Damaged`], or [`Error::Locked`] without the keyring key.
pub(crate) fn decode_chunk(
    number: u64,
    raw_len: u32,
    codec: u8,
    bytes: &mut [u8],
    keys: &Keyring,
) -> Result<Vec<u8>, Error> {
    let wrong =
        |detail: &str| Error::damaged("the write-ahead log", format!("chunk {number} {detail}"));
    let stored: &[u8] = if codec & ENCRYPTED == 0 {
        bytes
    } else {
        keys.open_chunk(raw_len, codec, bytes)?.ok_or_else(|| {
            wrong(
                "does not open with keys/vault.key: it was altered, or the key is of another store",
            )
        })?
    };
    let fits = raw_len as usize <= storage::MAX_FRAME_BYTES;
    let raw = match codec & !ENCRYPTED {
        CODEC_RAW if fits => Some(stored.to_vec()),
        CODEC_ZSTD if fits => zstd::bulk::decompress(stored, raw_len as usize).ok(),
        _ => None,
    };
    raw.filter(|raw| raw.len() == raw_len as usize)
        .ok_or_else(|| wrong("does not decode"))
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
