//! What an upstream saw and said, written down by the upstream itself.

use crate::wire::Request;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Length and SHA-256 of body bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Digest {
    /// Number of bytes.
    pub len: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut running = Running::new();
        running.update(bytes);
        running.digest()
    }
}

/// A digest that grows with each chunk.
#[derive(Clone)]
pub(crate) struct Running {
    context: Context,
    len: u64,
}

impl Running {
    pub(crate) fn new() -> Self {
        Self {
            context: Context::new(&SHA256),
            len: 0,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.len += bytes.len() as u64;
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest {
            len: self.len,
            sha256: hex::encode(self.context.clone().finish().as_ref()),
        }
    }
}

/// What the upstream sent back.
#[derive(Debug, Clone, Serialize)]
pub struct Sent {
    /// Status code of the response.
    pub status: u16,
    /// Body bytes written to the socket, without transfer coding.
    pub body: Digest,
    /// The script was played to its end and every write succeeded.
    pub complete: bool,
}

/// One request as it arrived, and what was answered.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Order of arrival at this upstream, from 0.
    pub n: u64,
    /// Which TCP connection carried it, counted from 0.
    pub connection: u64,
    /// Arrival, nanoseconds since the Unix epoch.
    pub at_unix_ns: u64,
    /// Request method.
    pub method: String,
    /// Request target as it stood on the request line.
    pub path: String,
    /// Header fields in their order and spelling.
    pub headers: Vec<(String, String)>,
    /// Body bytes as received, without transfer coding.
    pub request: Digest,
    /// The body arrived whole.
    pub request_complete: bool,
    /// What was answered; absent while the script has sent nothing.
    pub response: Option<Sent>,
    /// The request's bytes, where the ledger was told to keep them.
    #[serde(skip)]
    pub body: Option<Bytes>,
}

impl Entry {
    /// The first header field of that name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// The list of everything that reached one upstream, shared with the test.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    entries: Arc<Mutex<Vec<Entry>>>,
    keep_bodies: bool,
}

impl Ledger {
    /// A ledger that also keeps the bytes of each request.
    #[must_use]
    pub fn keeping_bodies() -> Self {
        Self {
            keep_bodies: true,
            ..Self::default()
        }
    }

    /// Everything so far, in order of arrival.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().clone()
    }

    /// How many requests have arrived.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether nothing has arrived.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The entries as JSON lines.
    #[must_use]
    pub fn json_lines(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for entry in self.lock().iter() {
            if let Ok(line) = serde_json::to_vec(entry) {
                out.extend_from_slice(&line);
                out.push(b'\n');
            }
        }
        out
    }

    pub(crate) fn open(&self, connection: u64, request: &Request) -> usize {
        let mut entries = self.lock();
        let index = entries.len();
        entries.push(Entry {
            n: index as u64,
            connection,
            at_unix_ns: unix_ns(),
            method: request.method.clone(),
            path: request.path.clone(),
            headers: request.headers.clone(),
            request: Digest::of(&request.body),
            request_complete: request.complete,
            response: None,
            body: self.keep_bodies.then(|| request.body.clone()),
        });
        index
    }

    pub(crate) fn answer(&self, index: usize, sent: Sent) {
        if let Some(entry) = self.lock().get_mut(index) {
            entry.response = Some(sent);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
