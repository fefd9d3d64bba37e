//! WebSocket frames (RFC 6455) and their compression (RFC 7692), one reader for each direction.
//!
//! The same bytes give the same messages however they are cut into chunks. A message over the bound keeps its first bytes; bytes that
//! are not frames stop the reading with a problem, and never the connection.

mod deflate;
mod frame;

use crate::limits::DOCUMENT_BYTES;
pub use deflate::Deflate;
use deflate::Inflater;
use frame::Head;

/// Who sends the bytes that a reader is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Frames must be masked.
    ClientToServer,
    /// Frames must not be masked.
    ServerToClient,
}

impl Direction {
    /// The spelling in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientToServer => "client-to-server",
            Self::ServerToClient => "server-to-client",
        }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// The closing handshake.
    Close,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
}

impl Opcode {
    /// The spelling in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }
}

/// One whole message: unmasked, fragments joined, inflated where compression was negotiated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub opcode: Opcode,
    /// The payload, up to the reader's limit.
    pub payload: Vec<u8>,
    /// Bytes of the payload beyond the limit, which were passed over. Counted as they stood on the wire.
    pub truncated: u64,
    /// The payload is still compressed: no compression was negotiated, or it could not be inflated.
    pub raw: bool,
    /// Frames it came in.
    pub frames: u64,
}

/// Why the bytes are not frames any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An opcode that RFC 6455 reserves.
    #[error("a WebSocket frame has a reserved opcode")]
    Opcode,
    /// A reserved bit that no negotiated extension uses.
    #[error("a WebSocket frame has a reserved bit set")]
    ReservedBits,
    /// A control frame that is fragmented or longer than 125 bytes.
    #[error("a WebSocket control frame is fragmented or too long")]
    Control,
    /// A fragment without a beginning, or a beginning inside a message.
    #[error("WebSocket fragments are out of order")]
    Fragments,
    /// A mask from the server, or none from the client.
    #[error("a WebSocket frame is masked on the wrong side")]
    Mask,
    /// A length with its highest bit set.
    #[error("a WebSocket frame has an impossible length")]
    Length,
}

/// A data message whose last fragment has not come.
#[derive(Debug)]
struct Open {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
    truncated: u64,
    frames: u64,
}

impl Open {
    fn keep(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.payload.len()).min(bytes.len());
        let (kept, over) = bytes.split_at(room);
        self.payload.extend_from_slice(kept);
        self.truncated += over.len() as u64;
    }
}

/// Reads the frames of one direction.
#[derive(Debug)]
pub struct Reader {
    direction: Direction,
    limit: usize,
    inflater: Option<Inflater>,
    compression: bool,
    /// The head of the frame in hand, while it is incomplete.
    head_bytes: Vec<u8>,
    /// The frame in hand and how much of its payload has come.
    frame: Option<(Head, u64)>,
    data: Option<Open>,
    control: Option<Open>,
    /// Bytes since the last place where no message was under way.
    unfinished: u64,
    problem: Option<Problem>,
}

impl Reader {
    /// A reader that keeps at most `limit` bytes of a message.
    #[must_use]
    pub fn new(direction: Direction, deflate: Option<Deflate>, limit: usize) -> Self {
        Self {
            direction,
            limit,
            inflater: deflate.map(|deflate| Inflater::new(deflate.context_takeover(direction))),
            compression: deflate.is_some(),
            head_bytes: Vec::new(),
            frame: None,
            data: None,
            control: None,
            unfinished: 0,
            problem: None,
        }
    }

    /// A reader with the usual limit of [`DOCUMENT_BYTES`].
    #[must_use]
    pub fn with_defaults(direction: Direction, deflate: Option<Deflate>) -> Self {
        Self::new(direction, deflate, DOCUMENT_BYTES)
    }

    /// Reads the next bytes and hands each message that they complete to `sink`. Control messages inside a fragmented message
    /// come before it, as they do on the wire.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(Message)) {
        while self.problem.is_none() {
            let before = bytes.len();
            let (head, seen) = match self.frame {
                Some(frame) => frame,
                None => {
                    let head = self.take_head(&mut bytes);
                    self.unfinished += (before - bytes.len()) as u64;
                    match head {
                        Ok(Some(head)) => (head, 0),
                        Ok(None) => return,
                        Err(problem) => {
                            self.problem = Some(problem);
                            return;
                        }
                    }
                }
            };
            let left = usize::try_from(head.length - seen).unwrap_or(usize::MAX);
            let (payload, rest) = bytes.split_at(left.min(bytes.len()));
            bytes = rest;
            self.unfinished += payload.len() as u64;
            self.take_payload(head, seen, payload);
            let seen = seen + payload.len() as u64;
            if seen < head.length {
                self.frame = Some((head, seen));
                return;
            }
            self.frame = None;
            if head.last {
                self.dispatch(head, sink);
            }
            if self.data.is_none() {
                self.unfinished = 0;
            }
        }
    }

    /// How many of the bytes so far, counted from the last one back, belong to no message that was handed on: 0 where they
    /// stop between two messages.
    #[must_use]
    pub const fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Why the bytes are not frames any more; from there on nothing is read.
    #[must_use]
    pub const fn problem(&self) -> Option<Problem> {
        self.problem
    }

    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Problem> {
        loop {
            if let Some(head) = Head::read(&self.head_bytes)? {
                self.check(head)?;
                self.open(head);
                self.head_bytes.clear();
                return Ok(Some(head));
            }
            let Some((&first, rest)) = bytes.split_first() else {
                return Ok(None);
            };
            self.head_bytes.push(first);
            *bytes = rest;
        }
    }

    fn check(&self, head: Head) -> Result<(), Problem> {
        if head.mask.is_some() != (self.direction == Direction::ClientToServer) {
            return Err(Problem::Mask);
        }
        // RSV1 marks compression, on the first frame of a data message alone. Without negotiation it still
        // tells that the payload is not plain: it is kept as it is.
        let starts_data = head.opcode.is_some_and(|opcode| !frame::is_control(opcode));
        if head.other_reserved || (head.compressed && !starts_data) {
            return Err(Problem::ReservedBits);
        }
        match head.opcode {
            Some(opcode) if frame::is_control(opcode) => Ok(()),
            Some(_) if self.data.is_some() => Err(Problem::Fragments),
            None if self.data.is_none() => Err(Problem::Fragments),
            _ => Ok(()),
        }
    }

    fn open(&mut self, head: Head) {
        let new = |opcode| Open {
            opcode,
            compressed: head.compressed,
            payload: Vec::new(),
            truncated: 0,
            frames: 0,
        };
        match head.opcode {
            Some(opcode) if frame::is_control(opcode) => self.control = Some(new(opcode)),
            Some(opcode) => self.data = Some(new(opcode)),
            None => {}
        }
        let slot = if head.is_control() {
            &mut self.control
        } else {
            &mut self.data
        };
        if let Some(open) = slot {
            open.frames += 1;
        }
    }

    fn take_payload(&mut self, head: Head, seen: u64, payload: &[u8]) {
        let slot = if head.is_control() {
            &mut self.control
        } else {
            &mut self.data
        };
        let Some(open) = slot else { return };
        match head.mask {
            None => open.keep(payload, self.limit),
            Some(mask) => {
                let from = open.payload.len();
                open.keep(payload, self.limit);
                let kept = open.payload.get_mut(from..).unwrap_or_default();
                frame::unmask(kept, mask, seen);
            }
        }
    }

    fn dispatch(&mut self, head: Head, sink: &mut dyn FnMut(Message)) {
        let slot = if head.is_control() {
            &mut self.control
        } else {
            &mut self.data
        };
        let Some(open) = slot.take() else { return };
        let mut message = Message {
            opcode: open.opcode,
            payload: open.payload,
            truncated: open.truncated,
            raw: open.compressed,
            frames: open.frames,
        };
        if open.compressed && self.compression {
            self.inflate(&mut message);
        }
        sink(message);
    }

    /// Inflates a message. Once one message fails or is not whole, the shared window is lost and all later ones stay raw.
    fn inflate(&mut self, message: &mut Message) {
        let Some(inflater) = self.inflater.as_mut().filter(|_| message.truncated == 0) else {
            self.inflater = None;
            return;
        };
        match inflater.message(&message.payload, self.limit) {
            Some((plain, over)) => {
                message.payload = plain;
                message.truncated = over;
                message.raw = false;
            }
            None => self.inflater = None,
        }
    }
}

/// The `type` that a JSON text message names (`response.create`, `session.update`).
#[must_use]
pub fn message_type(payload: &[u8]) -> Option<String> {
    let value = crate::json::Json::parse(payload).ok()?;
    value.get_str("type").map(|name| crate::text::name(&name))
}

#[cfg(test)]
#[path = "../websocket_tests.rs"]
mod tests;
