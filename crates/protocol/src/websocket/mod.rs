//! WebSocket frames (RFC 6455) and their compression (RFC 7692), one reader for each direction.

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
    /// The payload.
    pub payload: Vec<u8>,
    /// Bytes of the payload beyond the limit, which were passed over.
    pub truncated: u64,
    /// The payload is still compressed: no compression was negotiated, or it could not be inflated.
    pub raw: bool,
    /// Frames it came in.
    pub frames: u64,
}

/// `permessage-deflate` as the answer's `Sec-WebSocket-Extensions` settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The server compresses each message by itself.
    pub server_no_context_takeover: bool,
    /// The client compresses each message by itself.
    pub client_no_context_takeover: bool,
}

impl Deflate {
    /// Reads the header value of the answer; `None` where compression was not agreed.
    #[must_use]
    pub fn negotiated(_header: &str) -> Option<Self> {
        None
    }
}

/// Reads the frames of one direction.
#[derive(Debug)]
pub struct Reader {}

impl Reader {
    /// A reader that keeps at most `limit` bytes of a message.
    #[must_use]
    pub fn new(_direction: Direction, _deflate: Option<Deflate>, _limit: usize) -> Self {
        Self {}
    }

    /// Reads the next bytes and hands each message that they complete to `sink`.
    pub fn feed(&mut self, _bytes: &[u8], _sink: &mut dyn FnMut(Message)) {}

    /// Why the bytes are not frames any more; from there on nothing is read.
    #[must_use]
    pub fn problem(&self) -> Option<&'static str> {
        None
    }
}

/// The `type` that a JSON text message names (`response.create`, `session.update`).
#[must_use]
pub fn message_type(payload: &[u8]) -> Option<String> {
    let value = crate::json::Json::parse(payload).ok()?;
    value.get_str("type").map(|name| crate::text::name(&name))
}
