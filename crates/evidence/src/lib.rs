//! The recorder: append, sequence, sign, vault, verify.
//!
//! Owns the order of events and their durability. What [`Recorder::append`] acknowledges survives
//! `kill -9` and power loss; an `fsync` that fails is fatal. Never parses an agent's protocol.

#![allow(unused_variables, dead_code, clippy::unused_async, reason = "API being filled in")]

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// x
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outcome of a write is unknown or the recorder broke: the process must stop.
    #[error("the recorder has failed and must stop: {0}")]
    Fatal(String),
    /// The disk is full: nothing was recorded, so nothing may be forwarded. Retry later.
    #[error("no room to record: {0}")]
    Full(String),
    /// The recorder is closing.
    #[error("the recorder is closed")]
    Closed,
    /// The event is malformed; a mistake of the caller.
    #[error("event refused")]
    Event(#[from] event::SealError),
    /// Another process records into this directory.
    #[error("{path} is in use by another recorder")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// Written by a newer version.
    #[error("{path} has format {found}, newer than this program reads ({supported})")]
    Newer {
        /// Which directory.
        path: PathBuf,
        /// Its format.
        found: String,
        /// Ours.
        supported: u32,
    },
    /// What lies on disk is not what was written.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// Which file or record.
        what: String,
        /// In which way.
        detail: String,
    },
    /// Something that should be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// How to open a recorder.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// Facts for `recorder.start`: build identity, configuration.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Digest of the governance configuration.
    pub governance: String,
    /// Idle time after which a heartbeat is recorded.
    pub heartbeat: Duration,
    /// Size of a WAL segment in bytes.
    pub segment_bytes: u64,
}
impl Options {
    /// Defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), facts: serde_json::Map::new(), governance: String::new(), heartbeat: Duration::from_secs(30), segment_bytes: 64 << 20 }
    }
}

/// Where an event stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Index in the log.
    pub seq: u64,
    /// Stream.
    pub stream: u64,
    /// Counter in the stream.
    pub n: u64,
}

/// A queued write; resolves when it is durable.
#[derive(Debug)]
pub struct Pending {
    rx: tokio::sync::oneshot::Receiver<Result<Appended, Error>>,
}
impl Future for Pending {
    type Output = Result<Appended, Error>;
    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        std::task::Poll::Ready(Err(Error::Closed))
    }
}

/// The handle to a running recorder.
#[derive(Debug, Clone)]
pub struct Recorder {}

/// Figures of a running recorder.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Durable events.
    pub durable: u64,
    /// Size of the newest signed checkpoint.
    pub checkpoint: u64,
    /// Bytes of WAL not yet settled.
    pub backlog_bytes: u64,
    /// Events refused for want of room.
    pub refused: u64,
}

impl Recorder {
    /// Takes the directory, recovers, records `recorder.start`.
    pub fn open(options: Options) -> Result<Self, Error> {
        Err(Error::Closed)
    }
    /// One incremental body.
    #[must_use]
    pub fn body(&self) -> BodyWriter {
        BodyWriter {}
    }
    /// A whole body at once.
    pub async fn put(&self, role: event::Role, media: Option<String>, encoding: Option<String>, bytes: &[u8]) -> Result<event::BodyRef, Error> {
        Err(Error::Closed)
    }
    /// Waits for room, queues, waits until durable.
    pub async fn append(&self, draft: &event::Draft) -> Result<Appended, Error> {
        Err(Error::Closed)
    }
    /// Waits for room and queues; the order is fixed when this returns.
    pub async fn submit(&self, draft: &event::Draft) -> Result<Pending, Error> {
        Err(Error::Closed)
    }
    /// Keyed digest of a secret, `hmac-sha256:` and 32 hexadecimal digits.
    #[must_use]
    pub fn digest_secret(&self, secret: &[u8]) -> String {
        String::new()
    }
    /// Resolves when the recorder hit a fatal error.
    pub async fn failed(&self) -> Error {
        std::future::pending().await
    }
    /// Figures.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::default()
    }
    /// `recorder.stop`, final checkpoint, everything settled.
    pub async fn close(self) -> Result<(), Error> {
        Ok(())
    }
}

/// One body being written.
#[derive(Debug)]
pub struct BodyWriter {}
impl BodyWriter {
    /// Declares which open call the body belongs to, so that recovery can attach what was flushed.
    pub fn attach(&mut self, call: u64, role: event::Role) {}
    /// Adds bytes.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Err(Error::Closed)
    }
    /// Queues everything written so far; resolves when durable.
    pub async fn flush(&mut self) -> Result<Pending, Error> {
        Err(Error::Closed)
    }
    /// Ends the body.
    pub async fn finish(self, role: event::Role, media: Option<String>, encoding: Option<String>) -> Result<event::BodyRef, Error> {
        Err(Error::Closed)
    }
    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        0
    }
    /// Whether nothing was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }
}

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Index in the log.
    pub seq: u64,
    /// The exact bytes of the leaf.
    pub line: Vec<u8>,
}

/// A live or a stopped store, read-only.
#[derive(Debug)]
pub struct Store {}
impl Store {
    /// Opens a directory for reading.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Err(Error::Closed)
    }
    /// The log's name, first line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        ""
    }
    /// Looks again at a live store; returns the number of durable events readable now.
    pub fn refresh(&mut self) -> Result<u64, Error> {
        Err(Error::Closed)
    }
    /// Events readable now.
    #[must_use]
    pub fn len(&self) -> u64 {
        0
    }
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }
    /// Events from `from` on, in order, up to [`Self::len`].
    pub fn events(&self, from: u64) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        std::iter::empty()
    }
    /// One event's exact bytes.
    pub fn event(&self, seq: u64) -> Result<Vec<u8>, Error> {
        Err(Error::Closed)
    }
    /// The exact bytes of a body, checked against the commitment in the event.
    pub fn body(&self, body: &event::BodyRef) -> Result<Vec<u8>, Error> {
        Err(Error::Closed)
    }
}

/// Full verification of a store.
pub mod verify {
    use super::Error;
    use std::path::Path;

    /// What a finished verification found; serialises to the `--json` of `tacho verify`.
    #[derive(Debug, Clone, Default, serde::Serialize)]
    pub struct Report {
        /// The log's name.
        pub origin: String,
        /// Events re-hashed.
        pub events: u64,
        /// Events under the newest valid checkpoint.
        pub signed_events: u64,
        /// Events after it: durable, not yet signed.
        pub unsigned_tail: u64,
        /// Root hash of the newest checkpoint, base64.
        pub root: Option<String>,
        /// Bodies re-hashed.
        pub bodies: u64,
        /// Their plaintext bytes.
        pub body_bytes: u64,
        /// Gap events found (`seq`).
        pub gaps: Vec<u64>,
        /// What is wrong, first in the log first.
        pub faults: Vec<Fault>,
        /// What is missing, so that something could not be verified.
        pub missing: Vec<String>,
        /// What this verification does not prove, in sentences.
        pub not_proven: Vec<String>,
    }

    /// One thing that is wrong.
    #[derive(Debug, Clone, serde::Serialize)]
    pub struct Fault {
        /// `altered`, `corrupt`, `removed`, `inserted`, `reordered`, `signature`, ...
        pub what: String,
        /// First event concerned.
        pub seq: Option<u64>,
        /// File concerned, relative to the store.
        pub file: Option<String>,
        /// A sentence.
        pub detail: String,
    }

    impl Report {
        /// 0, 10, 11 or 12: see the exit codes.
        #[must_use]
        pub fn exit_code(&self) -> u8 {
            if !self.faults.is_empty() { 10 } else if !self.missing.is_empty() { 12 } else if !self.gaps.is_empty() { 11 } else { 0 }
        }
    }

    /// How far a verification is.
    #[derive(Debug, Clone, Copy)]
    pub struct Progress {
        /// Events done.
        pub events: u64,
        /// Events in all.
        pub of_events: u64,
        /// Bodies' bytes done.
        pub body_bytes: u64,
    }

    /// Re-hashes everything.
    pub fn run(dir: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Report, Error> {
        Err(Error::Closed)
    }
}
