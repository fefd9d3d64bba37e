//! The write-ahead log's segment format, version 1.
//!
//! ```text
//! segment := header frame* zero*
//! header  := "TACHOWAL" version:u32 reserved:u32 number:u64 crc32c:u32 reserved:u32     (32 bytes)
//! frame   := len:u32 crc32c:u32 batch:u32 kind:u8 flags:u8 reserved:u16 payload[len]    (16 + len)
//! ```
//! Integers are little-endian. A frame's CRC covers segment number, offset in the segment, batch,
//! kind, flags and payload, so that bytes of another place or of a recycled file never pass for it.
//! A batch is what one `fdatasync` made durable; its last frame carries [`FLAG_LAST`]. That is what
//! tells a torn write, which is no loss, from damage to what had been acknowledged: a frame of a
//! later batch can only have been written after the earlier batch was durable.

use std::ops::Range;

/// Bytes before the first frame.
pub const SEGMENT_HEADER_BYTES: usize = 32;

/// Bytes before a frame's payload.
pub const FRAME_HEADER_BYTES: usize = 16;

/// Longest payload.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Largest segment. Whoever opens one may read it whole.
pub const MAX_SEGMENT_BYTES: u64 = crate::MAX_READ_BYTES;

/// How often each byte behind a broken place may be checksummed in the search for frames of a later batch. Frames do
/// not overlap, and what looks like the beginning of one is rare in anything that a recorder writes: whoever made it not
/// rare is not to be waited for.
const SEARCHES_PER_BYTE: usize = 64;

const MAGIC: &[u8; 8] = b"TACHOWAL";
const VERSION: u32 = 1;
const FLAG_LAST: u8 = 1;

/// What a payload is; the meaning belongs to the caller, the range to the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameKind(pub u8);

/// Highest kind that a frame may carry; anything above is not a frame.
const MAX_KIND: u8 = 15;

/// A frame found in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// The batch it became durable with.
    pub batch: u32,
    /// Whether it is the last of its batch.
    pub last: bool,
    /// Where its payload lies in the bytes that are walked.
    pub payload: Range<usize>,
}

/// Why the frames of a segment end where they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing but zeros follows, or the segment is full: the normal end.
    Clean,
    /// An incomplete write follows that never was acknowledged; `bytes` is its extent at most.
    Torn {
        /// Bytes between the last whole frame and the last non-zero byte.
        bytes: usize,
    },
    /// Frames of a later batch follow the broken place: what was acknowledged has been damaged. Or so much that looks like
    /// frames and is none that no torn write explains it.
    Damaged {
        /// Offset of the first broken frame.
        at: usize,
    },
}

/// The header of segment `number`.
#[must_use]
pub fn begin_segment(number: u64) -> [u8; SEGMENT_HEADER_BYTES] {
    let mut header = [0_u8; SEGMENT_HEADER_BYTES];
    let mut fields = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    fields.extend_from_slice(MAGIC);
    fields.extend_from_slice(&VERSION.to_le_bytes());
    fields.extend_from_slice(&0_u32.to_le_bytes());
    fields.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&fields);
    fields.extend_from_slice(&crc.to_le_bytes());
    for (to, from) in header.iter_mut().zip(fields) {
        *to = from;
    }
    header
}

/// Checks the header of segment `number`. `Ok(false)`: a segment never begun. Its header is all zeros, as far as it goes,
/// because whoever made it was cut short; or the first write into it was torn within the header and `bytes` hold nothing
/// behind.
///
/// `bytes` are the segment, or its header and as much of what follows as shows whether anything does.
///
/// # Errors
/// A sentence on what is wrong: damage, another segment's file, or a newer version.
pub fn check_segment(number: u64, bytes: &[u8]) -> Result<bool, String> {
    let is_zero = |byte: &u8| *byte == 0;
    let Some(header) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else {
        if bytes.iter().all(is_zero) {
            return Ok(false);
        }
        return Err(format!("{} bytes is too short for a segment", bytes.len()));
    };
    if header.iter().all(is_zero) {
        return Ok(false);
    }
    let whole = begin_segment(number);
    if *header == whole {
        return Ok(true);
    }
    let written = bytes.iter().rposition(|byte| *byte != 0);
    if written
        .and_then(|last| bytes.get(..=last))
        .is_some_and(|written| whole.starts_with(written))
    {
        return Ok(false);
    }
    if !header.starts_with(MAGIC) {
        return Err("the segment header is not one".into());
    }
    let version = read_u32(header, 8).unwrap_or(0);
    if version > VERSION {
        return Err(format!(
            "segment format {version} is newer than this program ({VERSION})"
        ));
    }
    Err("the segment header is damaged or belongs to another segment".into())
}

fn checksum(segment: u64, offset: usize, rest_of_header: &[u8], payload: &[u8]) -> u32 {
    let mut seed = [0_u8; 16];
    let (high, low) = seed.split_at_mut(8);
    high.copy_from_slice(&segment.to_le_bytes());
    low.copy_from_slice(&(offset as u64).to_le_bytes());
    crc32c::crc32c_append(
        crc32c::crc32c_append(crc32c::crc32c(&seed), rest_of_header),
        payload,
    )
}

/// Appends a frame to `out`, where `out` will be written at `base` in segment `segment`.
///
/// `parts` are the payload's pieces in order. The sum must not exceed [`MAX_FRAME_BYTES`]; a longer
/// payload is a mistake of the caller and is refused with `false`.
#[must_use]
pub fn push_frame(
    out: &mut Vec<u8>,
    segment: u64,
    base: usize,
    batch: u32,
    kind: FrameKind,
    last: bool,
    parts: &[&[u8]],
) -> bool {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let Ok(len32) = u32::try_from(len) else {
        return false;
    };
    if len == 0 || len > MAX_FRAME_BYTES || kind.0 > MAX_KIND {
        return false;
    }
    let start = out.len();
    let offset = base + start;
    out.extend_from_slice(&len32.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&batch.to_le_bytes());
    out.extend_from_slice(&[kind.0, u8::from(last) * FLAG_LAST, 0, 0]);
    for part in parts {
        out.extend_from_slice(part);
    }
    let crc = match (
        out.get(start + 8..start + FRAME_HEADER_BYTES),
        out.get(start + FRAME_HEADER_BYTES..),
    ) {
        (Some(rest), Some(payload)) => checksum(segment, offset, rest, payload),
        _ => return false,
    };
    if let Some(slot) = out.get_mut(start + 4..start + 8) {
        slot.copy_from_slice(&crc.to_le_bytes());
    }
    true
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_le_bytes)
}

/// The frame at `offset` of `bytes`, where `bytes` begins at `base` in the segment.
fn frame_at(segment: u64, bytes: &[u8], base: usize, offset: usize) -> Option<Frame> {
    claimed_at(bytes, offset).filter(|frame| is_whole(segment, bytes, base, offset, frame))
}

/// Whether the checksum of a frame says that it was written there.
fn is_whole(segment: u64, bytes: &[u8], base: usize, offset: usize, frame: &Frame) -> bool {
    let rest = bytes.get(offset + 8..offset + FRAME_HEADER_BYTES);
    let sum = rest
        .zip(bytes.get(frame.payload.clone()))
        .map(|(rest, payload)| checksum(segment, base + offset, rest, payload));
    sum.is_some() && sum == read_u32(bytes, offset + 4)
}

/// What the bytes at `offset` are if they are a frame.
fn claimed_at(bytes: &[u8], offset: usize) -> Option<Frame> {
    let len = read_u32(bytes, offset)? as usize;
    if len == 0 || len > MAX_FRAME_BYTES {
        return None;
    }
    let rest = bytes.get(offset + 8..offset + FRAME_HEADER_BYTES)?;
    let [b0, b1, b2, b3, kind, flags, 0, 0] = *rest else {
        return None;
    };
    if kind > MAX_KIND || flags > FLAG_LAST {
        return None;
    }
    let range = offset + FRAME_HEADER_BYTES..offset + FRAME_HEADER_BYTES + len;
    bytes.get(range.clone())?;
    Some(Frame {
        kind: FrameKind(kind),
        batch: u32::from_le_bytes([b0, b1, b2, b3]),
        last: flags & FLAG_LAST != 0,
        payload: range,
    })
}

/// Walks the frames of a segment, or of a piece of one.
#[derive(Debug)]
pub struct Frames<'a> {
    segment: u64,
    bytes: &'a [u8],
    base: usize,
    offset: usize,
    newest: Option<(u32, bool)>,
}

impl<'a> Frames<'a> {
    /// `bytes` begins with a frame, at `base` in the segment. `newest` is the batch of the frame
    /// before it, and whether that frame ended the batch, where the caller knows.
    #[must_use]
    pub fn new(segment: u64, bytes: &'a [u8], base: usize, newest: Option<(u32, bool)>) -> Self {
        Self {
            segment,
            bytes,
            base,
            offset: 0,
            newest,
        }
    }

    /// Offset in the segment behind the last frame returned.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.base + self.offset
    }

    /// Batch of the last frame returned, and whether that frame ended it.
    #[must_use]
    pub fn newest(&self) -> Option<(u32, bool)> {
        self.newest
    }

    /// Why no further frame follows; call it when the iterator has ended.
    #[must_use]
    pub fn end(&self) -> End {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some(extent) = rest
            .iter()
            .rposition(|byte| *byte != 0)
            .map(|last| last + 1)
        else {
            return End::Clean;
        };
        // The batch that the broken place can belong to: the one still open, or the next.
        let broken = match self.newest {
            Some((batch, true)) => batch.wrapping_add(1),
            Some((batch, false)) => batch,
            None => return self.end_without_context(extent),
        };
        self.end_unless(extent, |frame| {
            frame.batch.wrapping_sub(broken).cast_signed() > 0
        })
    }

    /// The very first frame of a segment is broken and nothing tells its batch: two later frames of
    /// different batches mean that the earlier of them was durable.
    fn end_without_context(&self, extent: usize) -> End {
        let mut first = None;
        self.end_unless(extent, |frame| {
            *first.get_or_insert(frame.batch) != frame.batch
        })
    }

    /// Torn, unless one of the whole frames behind the broken place `shows` that it is not.
    fn end_unless(&self, extent: usize, mut shows: impl FnMut(&Frame) -> bool) -> End {
        let damaged = End::Damaged {
            at: self.base + self.offset,
        };
        let mut left = SEARCHES_PER_BYTE.saturating_mul(extent.saturating_add(MAX_FRAME_BYTES));
        for at in self.offset + 1..self.offset + extent {
            let Some(frame) = claimed_at(self.bytes, at) else {
                continue;
            };
            let Some(rest) = left.checked_sub(frame.payload.len()) else {
                return damaged;
            };
            left = rest;
            if is_whole(self.segment, self.bytes, self.base, at, &frame) && shows(&frame) {
                return damaged;
            }
        }
        End::Torn { bytes: extent }
    }
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let frame = frame_at(self.segment, self.bytes, self.base, self.offset)?;
        self.offset = frame.payload.end;
        self.newest = Some((frame.batch, frame.last));
        Some(frame)
    }
}
