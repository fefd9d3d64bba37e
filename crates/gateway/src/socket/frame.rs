//! The framing of the local socket, version 1.
//!
//! A frame is its length (4 bytes, big-endian, counting what follows), one byte that says what it is, and its payload. The
//! wrapper begins with [`Frame::Hello`]; the recorder answers [`Frame::Welcome`] once the process's start is durable. Then
//! the wrapper sends lines and the recorder acknowledges each, in order.

use crate::mcp::Direction;
use bytes::{Buf as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Version of this protocol, in [`Hello`] and [`Welcome`]. Another version is refused.
pub const PROTOCOL: u32 = 1;

/// Longest payload of a frame in bytes. A longer line goes in several frames.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// What the wrapped process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A stdio MCP server; its lines are recorded.
    Mcp,
    /// An agent; only its start and end are recorded.
    Run,
}

/// Who connects, and what it is about to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// What the process is.
    pub role: Role,
    /// The agent's name.
    pub agent: String,
    /// The MCP server's name.
    #[serde(default)]
    pub server: Option<String>,
    /// Command and arguments as they will be started. What looks like a secret is not recorded.
    pub argv: Vec<String>,
    /// Working directory.
    #[serde(default)]
    pub cwd: Option<String>,
    /// Names of the environment's variables; never their values.
    #[serde(default)]
    pub env: Vec<String>,
    /// The run to record into, where the wrapper knows it.
    #[serde(default)]
    pub run: Option<String>,
    /// The process runs already: the recorder was away.
    #[serde(default)]
    pub resumed: bool,
}

/// The recorder's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// The run that is recorded into.
    pub run: String,
}

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its process id, where it was started.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Its exit code, where it had one.
    #[serde(default)]
    pub code: Option<i32>,
    /// The signal that ended it.
    #[serde(default)]
    pub signal: Option<i32>,
    /// How long it ran, in microseconds.
    pub duration_us: u64,
    /// Why it could not be started: the operating system's word for it.
    #[serde(default)]
    pub not_started: Option<String>,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Wrapper: who it is.
    Hello(Hello),
    /// Wrapper: a part of a line, more of it follows.
    Part(Direction, Bytes),
    /// Wrapper: the end of a line. To be acknowledged.
    Line(Direction, Bytes),
    /// Wrapper: what the process wrote to standard error. Not acknowledged.
    Stderr(Bytes),
    /// Wrapper: the process ended. To be acknowledged; the last frame.
    Ended(Ended),
    /// Recorder: the start is durable.
    Welcome(Welcome),
    /// Recorder: the oldest line not yet acknowledged, or the end, is durable.
    Ack,
    /// Recorder: the oldest line not yet acknowledged is not recorded and must not pass.
    Refused(String),
}

/// Why bytes are not a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] std::io::Error),
    /// Longer than any frame may be.
    #[error("a frame of {0} bytes is over the limit of {limit}", limit = MAX_PAYLOAD + 1)]
    TooLong(usize),
    /// Of no known kind, or with a payload that does not fit its kind.
    #[error("a frame of kind {0} is malformed or unknown")]
    Malformed(u8),
}

const HELLO: u8 = 1;
const PART_TO_SERVER: u8 = 2;
const PART_TO_CLIENT: u8 = 3;
const LINE_TO_SERVER: u8 = 4;
const LINE_TO_CLIENT: u8 = 5;
const STDERR: u8 = 6;
const ENDED: u8 = 7;
const WELCOME: u8 = 0x81;
const ACK: u8 = 0x82;
const REFUSED: u8 = 0x83;

impl Frame {
    /// Appends the frame's bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]: the payload is over [`MAX_PAYLOAD`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        match self {
            Self::Hello(hello) => json(HELLO, hello, out),
            Self::Part(Direction::ToServer, bytes) => write(PART_TO_SERVER, bytes, out),
            Self::Part(Direction::ToClient, bytes) => write(PART_TO_CLIENT, bytes, out),
            Self::Line(Direction::ToServer, bytes) => write(LINE_TO_SERVER, bytes, out),
            Self::Line(Direction::ToClient, bytes) => write(LINE_TO_CLIENT, bytes, out),
            Self::Stderr(bytes) => write(STDERR, bytes, out),
            Self::Ended(ended) => json(ENDED, ended, out),
            Self::Welcome(welcome) => json(WELCOME, welcome, out),
            Self::Ack => write(ACK, &[], out),
            Self::Refused(why) => write(REFUSED, why.as_bytes(), out),
        }
    }

    fn decode(kind: u8, payload: Bytes) -> Result<Self, FrameError> {
        let malformed = || FrameError::Malformed(kind);
        Ok(match kind {
            HELLO => Self::Hello(serde_json::from_slice(&payload).map_err(|_| malformed())?),
            PART_TO_SERVER => Self::Part(Direction::ToServer, payload),
            PART_TO_CLIENT => Self::Part(Direction::ToClient, payload),
            LINE_TO_SERVER => Self::Line(Direction::ToServer, payload),
            LINE_TO_CLIENT => Self::Line(Direction::ToClient, payload),
            STDERR => Self::Stderr(payload),
            ENDED => Self::Ended(serde_json::from_slice(&payload).map_err(|_| malformed())?),
            WELCOME => Self::Welcome(serde_json::from_slice(&payload).map_err(|_| malformed())?),
            ACK if payload.is_empty() => Self::Ack,
            REFUSED => Self::Refused(String::from_utf8_lossy(&payload).into_owned()),
            _ => return Err(malformed()),
        })
    }
}

fn json(kind: u8, value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), FrameError> {
    let bytes = serde_json::to_vec(value).map_err(|_| FrameError::Malformed(kind))?;
    write(kind, &bytes, out)
}

fn write(kind: u8, payload: &[u8], out: &mut Vec<u8>) -> Result<(), FrameError> {
    let len = u32::try_from(payload.len() + 1).unwrap_or(u32::MAX);
    if payload.len() > MAX_PAYLOAD {
        return Err(FrameError::TooLong(payload.len()));
    }
    out.extend_from_slice(&len.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(payload);
    Ok(())
}

/// Frames as they arrive on a connection. May be waited for in a `select!`: nothing is lost when the wait is given up.
#[derive(Debug)]
pub struct Wire<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Wire<R> {
    /// Frames from this side of a connection.
    pub fn new(from: R) -> Self {
        Self {
            from,
            buffer: BytesMut::new(),
        }
    }

    /// The next frame; `None` where the connection ended between two frames.
    ///
    /// # Errors
    /// The connection broke, also in mid-frame, or what came is not a frame.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            self.buffer.reserve(16 * 1024);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if len == 0 || len > MAX_PAYLOAD + 1 {
            return Err(FrameError::TooLong(len));
        }
        if self.buffer.len() < 4 + len {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut frame = self.buffer.split_to(len).freeze();
        let kind = frame.get_u8();
        Frame::decode(kind, frame).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(bytes: &[u8], step: usize) -> Result<Vec<Frame>, FrameError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (mut tx, rx) = tokio::io::duplex(step.max(1));
            let bytes = bytes.to_vec();
            let writer = tokio::spawn(async move {
                tokio::io::AsyncWriteExt::write_all(&mut tx, &bytes)
                    .await
                    .ok();
            });
            let mut wire = Wire::new(rx);
            let mut frames = Vec::new();
            while let Some(frame) = wire.next().await? {
                frames.push(frame);
            }
            writer.await.unwrap();
            Ok(frames)
        })
    }

    #[test]
    fn frames_come_back_as_they_were_sent() {
        let frames = vec![
            Frame::Hello(Hello {
                protocol: PROTOCOL,
                role: Role::Mcp,
                agent: "a".into(),
                server: Some("s".into()),
                argv: vec!["cat".into()],
                cwd: None,
                env: vec!["PATH".into()],
                run: None,
                resumed: false,
            }),
            Frame::Welcome(Welcome {
                protocol: PROTOCOL,
                run: "r".into(),
            }),
            Frame::Part(Direction::ToServer, Bytes::from_static(b"{\"a\":")),
            Frame::Line(Direction::ToServer, Bytes::from_static(b"1}\n")),
            Frame::Line(Direction::ToClient, Bytes::new()),
            Frame::Ack,
            Frame::Refused("no room".into()),
            Frame::Stderr(Bytes::from_static(b"\xff")),
            Frame::Ended(Ended {
                pid: Some(1),
                code: Some(0),
                signal: None,
                duration_us: 5,
                not_started: None,
            }),
        ];
        let mut bytes = Vec::new();
        for frame in &frames {
            frame.encode(&mut bytes).unwrap();
        }
        for step in [1, 3, 7, 4096] {
            assert_eq!(read_all(&bytes, step).unwrap(), frames);
        }
        assert!(read_all(&bytes[..bytes.len() - 1], 64).is_err());
    }

    #[test]
    fn the_bytes_are_the_published_ones() {
        let mut bytes = Vec::new();
        Frame::Line(Direction::ToClient, Bytes::from_static(b"{}\n"))
            .encode(&mut bytes)
            .unwrap();
        Frame::Ack.encode(&mut bytes).unwrap();
        assert_eq!(bytes, b"\x00\x00\x00\x04\x05{}\n\x00\x00\x00\x01\x82");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let long = Bytes::from(vec![0; MAX_PAYLOAD + 1]);
        assert!(Frame::Stderr(long).encode(&mut Vec::new()).is_err());
        assert!(matches!(
            read_all(b"\xff\xff\xff\xff\x05", 64),
            Err(FrameError::TooLong(_))
        ));
        assert!(matches!(
            read_all(b"\x00\x00\x00\x00", 64),
            Err(FrameError::TooLong(0))
        ));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_all(&bytes, 64).ok();
        }
    }
}
