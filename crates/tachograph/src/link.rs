//! A wrapper's connection to the recorder, over the data directory's local socket.
//!
//! What is sent counts as recorded only when it is acknowledged. A recorder that goes away is waited for within a bound.

use bytes::Bytes;
use gateway::mcp::Direction;
use gateway::socket::frame::MAX_PAYLOAD;
use gateway::socket::{Ended, Frame, FrameError, Hello, PROTOCOL, Reach, Wire};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::Instant;

/// Pause between two attempts to reach the recorder.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the recorder may take to answer a greeting: it has to make the process's start durable.
const WELCOME_PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// Nobody answers on the socket.
    #[error("no recorder answers on {path}: {source}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// The recorder does not take the process in.
    #[error("the recorder refused: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the connection to the recorder broke: {0}")]
    Broken(#[from] FrameError),
    /// What it said makes no sense.
    #[error("the recorder speaks another protocol; use the same `tacho` for both")]
    Protocol,
    /// It did not answer in time.
    #[error("the recorder did not answer in time")]
    Late,
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        Self::Broken(FrameError::Io(error))
    }
}

/// A connection over which the process's start is recorded.
pub(crate) struct Link {
    wire: Wire<OwnedReadHalf>,
    to: OwnedWriteHalf,
    buffer: Vec<u8>,
    /// The run that is recorded into.
    pub(crate) run: String,
}

impl Link {
    /// Connects and has the start of the process recorded.
    pub(crate) async fn open(socket: &Path, hello: &Hello) -> Result<Self, LinkError> {
        let unreachable = |source| LinkError::Unreachable {
            path: socket.to_owned(),
            source,
        };
        let reach = Reach::to(socket).map_err(unreachable)?;
        let stream = UnixStream::connect(reach.path())
            .await
            .map_err(unreachable)?;
        let (from, mut to) = stream.into_split();
        let mut buffer = Vec::new();
        Frame::Hello(hello.clone()).encode(&mut buffer)?;
        to.write_all(&buffer).await?;
        let mut wire = Wire::new(from);
        let answer = tokio::time::timeout(WELCOME_PATIENCE, wire.next()).await;
        match answer.map_err(|_| LinkError::Late)?? {
            Some(Frame::Welcome(welcome)) if welcome.protocol == PROTOCOL => Ok(Self {
                wire,
                to,
                buffer,
                run: welcome.run,
            }),
            Some(Frame::Refused(why)) => Err(LinkError::Refused(why)),
            _ => Err(LinkError::Protocol),
        }
    }

    /// As [`Self::open`], again and again until `patience` is over.
    pub(crate) async fn open_within(
        socket: &Path,
        hello: &Hello,
        patience: Duration,
    ) -> Result<Self, LinkError> {
        let deadline = Instant::now() + patience;
        loop {
            match Self::open(socket, hello).await {
                Ok(link) => return Ok(link),
                // What it refuses now it may take when there is room again; a broken protocol stays broken.
                Err(error @ LinkError::Protocol) => return Err(error),
                Err(error) if Instant::now() + PAUSE >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Sends a line, in as many frames as it takes. To be acknowledged.
    pub(crate) async fn line(
        &mut self,
        direction: Direction,
        line: &Bytes,
    ) -> Result<(), LinkError> {
        let mut rest = line.clone();
        while rest.len() > MAX_PAYLOAD {
            let part = rest.split_to(MAX_PAYLOAD);
            self.send(&Frame::Part(direction, part)).await?;
        }
        self.send(&Frame::Line(direction, rest)).await
    }

    /// Sends what the process wrote to standard error.
    pub(crate) async fn stderr(&mut self, bytes: &Bytes) -> Result<(), LinkError> {
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(MAX_PAYLOAD));
            self.send(&Frame::Stderr(part)).await?;
        }
        Ok(())
    }

    /// Has the end of the process recorded; returns when it is durable.
    pub(crate) async fn ended(
        &mut self,
        ended: &Ended,
        patience: Duration,
    ) -> Result<(), LinkError> {
        self.send(&Frame::Ended(ended.clone())).await?;
        loop {
            match tokio::time::timeout(patience, self.next())
                .await
                .map_err(|_| LinkError::Late)??
            {
                Frame::Ack => return Ok(()),
                Frame::Refused(why) => return Err(LinkError::Refused(why)),
                _ => {}
            }
        }
    }

    async fn send(&mut self, frame: &Frame) -> Result<(), LinkError> {
        self.buffer.clear();
        frame.encode(&mut self.buffer)?;
        Ok(self.to.write_all(&self.buffer).await?)
    }

    /// The recorder's next word.
    pub(crate) async fn next(&mut self) -> Result<Frame, LinkError> {
        match self.wire.next().await? {
            Some(frame) => Ok(frame),
            None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }
}
