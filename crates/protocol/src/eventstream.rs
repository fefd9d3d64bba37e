//! `application/vnd.amazon.eventstream`: the binary frames of Bedrock's streams.
//!
//! A frame is a prelude (total length, length of headers, CRC-32 of both), headers, a payload and a CRC-32 of all before it;
//! numbers are big-endian. A frame that fails its checksum ends the reading: nothing after it has a known beginning.

use std::borrow::Cow;

const PRELUDE: usize = 12;
const TRAILER: usize = 4;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub message_type: Cow<'a, str>,
    /// `:event-type`, `:exception-type` or `:error-code`: what the frame is.
    pub name: Cow<'a, str>,
    /// The payload.
    pub payload: &'a [u8],
}

/// The parser of one stream.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    /// The frame so far.
    frame: Vec<u8>,
    /// Bytes of an oversize frame still to pass over.
    skip: usize,
    skipped: u64,
    problem: Option<&'static str>,
}

impl Reader {
    /// A reader at the beginning of a stream, for frames of at most `limit` bytes; larger ones are counted and passed over.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            frame: Vec::new(),
            skip: 0,
            skipped: 0,
            problem: None,
        }
    }

    /// Reads the next bytes and hands each frame that they complete to `sink`.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Frame<'_>)) {
        while !bytes.is_empty() && self.problem.is_none() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            let want = self.wanted();
            let taken = want.saturating_sub(self.frame.len()).min(bytes.len());
            let (head, tail) = bytes.split_at(taken);
            self.frame.extend_from_slice(head);
            bytes = tail;
            if self.frame.len() == PRELUDE {
                self.check_prelude();
            } else if self.frame.len() == want {
                match frame(&self.frame) {
                    Some(frame) => sink(frame),
                    None => self.problem = Some("an event stream frame fails its checksum"),
                }
                self.frame.clear();
            }
        }
    }

    /// Frames that were larger than the limit.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether the stream stands inside a frame.
    #[must_use]
    pub const fn in_frame(&self) -> bool {
        !self.frame.is_empty() || self.skip > 0
    }

    /// Why reading stopped.
    #[must_use]
    pub const fn problem(&self) -> Option<&'static str> {
        self.problem
    }

    /// Bytes of the frame in hand: its prelude until that is known.
    fn wanted(&self) -> usize {
        if self.frame.len() < PRELUDE {
            PRELUDE
        } else {
            number(&self.frame, 0).unwrap_or(PRELUDE)
        }
    }

    fn check_prelude(&mut self) {
        let total = number(&self.frame, 0).unwrap_or_default();
        let headers = number(&self.frame, 4).unwrap_or_default();
        let sum = number(&self.frame, 8);
        if self.frame.get(..8).map(crc32) != sum
            || total < PRELUDE + TRAILER
            || headers > total - PRELUDE - TRAILER
        {
            self.problem = Some("the bytes are not an event stream");
        } else if total > self.limit {
            self.skipped += 1;
            self.skip = total - PRELUDE;
            self.frame.clear();
        }
    }
}

fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    let body = bytes.len().checked_sub(TRAILER)?;
    if bytes.get(..body).map(crc32) != number(bytes, body) {
        return None;
    }
    let headers_end = PRELUDE.checked_add(number(bytes, 4)?)?;
    let mut frame = Frame {
        message_type: Cow::Borrowed("event"),
        name: Cow::Borrowed(""),
        payload: bytes.get(headers_end..body)?,
    };
    let mut headers = bytes.get(PRELUDE..headers_end)?;
    while let Some((name, value, rest)) = header(headers) {
        match name {
            b":message-type" => frame.message_type = String::from_utf8_lossy(value),
            b":event-type" | b":exception-type" | b":error-code" => {
                frame.name = String::from_utf8_lossy(value)
            }
            _ => {}
        }
        headers = rest;
    }
    Some(frame)
}

/// One header: its name, its value's bytes, and what follows.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(length))?;
    let (&kind, rest) = rest.split_first()?;
    let (length, rest) = match kind {
        0 | 1 => (0, rest),
        2 => (1, rest),
        3 => (2, rest),
        4 => (4, rest),
        5 | 8 => (8, rest),
        9 => (16, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((name, value, rest))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*four)).ok()
}

fn crc32(bytes: &[u8]) -> usize {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    usize::try_from(crc.sum()).unwrap_or(usize::MAX)
}

#[cfg(test)]
#[path = "eventstream_tests.rs"]
mod tests;
