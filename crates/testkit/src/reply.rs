//! What a scripted upstream answers, down to the moment each byte leaves.

use bytes::Bytes;
use std::time::Duration;
use tokio::sync::watch;

/// How the body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `Content-Length` with the true length.
    Length,
    /// `Content-Length` with this length, whatever the script sends.
    Claims(u64),
    /// `Transfer-Encoding: chunked`, one chunk a [`Step::Send`].
    Chunked,
    /// Neither: the body ends with the connection.
    UntilClose,
}

/// One step of an answer.
#[derive(Debug, Clone)]
pub enum Step {
    /// Send these body bytes at once.
    Send(Bytes),
    /// Wait.
    Pause(Duration),
    /// Wait until the test opens the gate or the client leaves.
    Wait(Gate),
    /// Say nothing more until the client leaves.
    Hang,
    /// End the connection with a TCP reset.
    Reset,
    /// End the connection in mid-body, in good manners (FIN).
    Cut,
}

/// Holds an answer back until the test lets it go. Clones share the gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Gate {
    /// Lets everything that waits, and everything that comes, pass.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn passed(&self) {
        // The sender lives in `self`: waiting cannot fail.
        self.0.subscribe().wait_for(|open| *open).await.ok();
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header fields besides those of the framing.
    pub headers: Vec<(String, String)>,
    /// How the body ends.
    pub framing: Framing,
    /// The body, step by step.
    pub steps: Vec<Step>,
    /// Send nothing at all, not even a head, until these steps are done.
    pub before: Vec<Step>,
}

impl Reply {
    /// A whole body of the given media type with its true length.
    #[must_use]
    pub fn body(status: u16, media: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type".to_owned(), media.to_owned())],
            framing: Framing::Length,
            steps: vec![Step::Send(body.into())],
            before: Vec::new(),
        }
    }

    /// A JSON body.
    #[must_use]
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::body(status, "application/json", value.to_string())
    }

    /// A status and nothing else.
    #[must_use]
    pub const fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            framing: Framing::Length,
            steps: Vec::new(),
            before: Vec::new(),
        }
    }

    /// Server-sent events, one chunk each.
    #[must_use]
    pub fn events(chunks: impl IntoIterator<Item = Bytes>) -> Self {
        Self {
            status: 200,
            headers: vec![(
                "content-type".to_owned(),
                "text/event-stream; charset=utf-8".to_owned(),
            )],
            framing: Framing::Chunked,
            steps: chunks.into_iter().map(Step::Send).collect(),
            before: Vec::new(),
        }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts `step` behind the first `sends` sends and drops what would follow.
    #[must_use]
    pub fn broken_after(mut self, sends: usize, step: Step) -> Self {
        self.steps.truncate(sends);
        self.steps.push(step);
        self
    }

    /// Waits `pause` before each send after the first.
    #[must_use]
    pub fn trickling(mut self, pause: Duration) -> Self {
        let steps = std::mem::take(&mut self.steps);
        for (n, step) in steps.into_iter().enumerate() {
            if n > 0 {
                self.steps.push(Step::Pause(pause));
            }
            self.steps.push(step);
        }
        self
    }

    /// Holds the whole answer, head included, behind `gate`.
    #[must_use]
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.before.push(Step::Wait(gate.clone()));
        self
    }

    /// The body bytes that the steps send when nothing breaks them off.
    #[must_use]
    pub fn body_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for step in &self.steps {
            if let Step::Send(bytes) = step {
                out.extend_from_slice(bytes);
            }
        }
        out
    }
}
