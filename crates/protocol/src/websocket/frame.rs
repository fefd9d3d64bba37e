//! The head of a frame: RFC 6455, section 5.2.

use super::{Opcode, Problem};

/// A frame without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The last frame of its message.
    pub(super) last: bool,
    /// RSV1: with `permessage-deflate`, the message is compressed.
    pub(super) compressed: bool,
    /// RSV2 or RSV3.
    pub(super) other_reserved: bool,
    /// `None` on a continuation.
    pub(super) opcode: Option<Opcode>,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) length: u64,
}

pub(super) const fn is_control(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong)
}

impl Head {
    /// Reads a head that is exactly `bytes`; `None` while more are needed.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<Self>, Problem> {
        let Some((&[first, second], rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let opcode = match first & 0x0F {
            0 => None,
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => return Err(Problem::Opcode),
        };
        let last = first & 0x80 != 0;
        let short = u64::from(second & 0x7F);
        if opcode.is_some_and(is_control) && (!last || short > 125) {
            return Err(Problem::Control);
        }
        let Some((length, rest)) = length(short, rest) else {
            return Ok(None);
        };
        if length > i64::MAX as u64 {
            return Err(Problem::Length);
        }
        let mask = if second & 0x80 == 0 {
            None
        } else {
            let Some(mask) = rest.first_chunk() else {
                return Ok(None);
            };
            Some(*mask)
        };
        Ok(Some(Self {
            last,
            compressed: first & 0x40 != 0,
            other_reserved: first & 0x30 != 0,
            opcode,
            mask,
            length,
        }))
    }

    pub(super) fn is_control(self) -> bool {
        self.opcode.is_some_and(is_control)
    }
}

fn length(short: u64, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        126 => rest
            .split_first_chunk()
            .map(|(two, rest)| (u64::from(u16::from_be_bytes(*two)), rest)),
        127 => rest
            .split_first_chunk()
            .map(|(eight, rest)| (u64::from_be_bytes(*eight), rest)),
        _ => Some((short, rest)),
    }
}

/// Takes the mask off payload bytes that begin `seen` bytes into their frame (section 5.3).
pub(super) fn unmask(bytes: &mut [u8], mask: [u8; 4], seen: u64) {
    let turn = usize::try_from(seen % 4).unwrap_or_default();
    for (byte, key) in bytes.iter_mut().zip(mask.iter().cycle().skip(turn)) {
        *byte ^= key;
    }
}
