//! An event before it has a place in the log.

use crate::{
    Agent, Basis, BodyRef, Credential, Exchange, FORMAT_VERSION, Gap, GenAi, History, Http, Ids,
    Kind, MAX_EVENT_BYTES, Mcp, Outcome, Run, Source, Timing, ToolRef, WebSocket,
};
use serde::Serialize;
use std::io::Write as _;

/// An event as its source makes it: everything but its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Draft {
    /// What happened.
    pub kind: Kind,
    /// Which part of the recorder says so.
    pub source: Source,
    /// Seen or told.
    pub basis: Basis,
    /// Who acted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Agent>,
    /// The run it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The credential that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
    /// How the call is tied together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<Exchange>,
    /// The HTTP side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// The model side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gen_ai: Option<GenAi>,
    /// The MCP side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp: Option<Mcp>,
    /// The tool of a tool call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<ToolRef>,
    /// Tools that the model asked for in this response.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolRef>,
    /// Tool results that this request hands to the model for the first time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_results: Vec<ToolRef>,
    /// One WebSocket message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub websocket: Option<WebSocket>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
    /// Ids of other systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Ids>,
    /// How the history departs from what was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What was not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// `seq`s of the events that led here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<u64>,
    /// Digest of the governance configuration in effect, `sha256:` and hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governance: Option<String>,
    /// Measurements and facts of recorder events (start, environment, clock) and of runs' starts and links, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<serde_json::Map<String, serde_json::Value>>,
    /// References to bodies.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bodies: Vec<BodyRef>,
}

/// Where the sequencer puts an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position<'a> {
    /// Index of the leaf in the log.
    pub seq: u64,
    /// Wall clock, RFC 3339 in UTC with nanoseconds.
    pub time: &'a str,
    /// Nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub boot_ns: u64,
    /// The kernel's boot id.
    pub boot: &'a str,
    /// `seq` of the first event of this run's stream in this recorder session; for events without
    /// a run, the `seq` of `recorder.start`.
    pub stream: u64,
    /// Contiguous counter within the stream, from 0: a hole is visible.
    pub n: u64,
}

/// Why a draft cannot become an event.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The line would be longer than [`MAX_EVENT_BYTES`]: the source must move detail to a body.
    #[error("event line of {0} bytes is over the limit of {MAX_EVENT_BYTES}")]
    TooLong(usize),
    /// The draft holds something that JSON cannot.
    #[error("event cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
}

/// Room kept for the fields that the sequencer writes.
const POSITION_BYTES: usize = 320;

impl Draft {
    /// A draft with nothing but what every event has.
    #[must_use]
    pub const fn new(kind: Kind, source: Source) -> Self {
        Self {
            kind,
            source,
            basis: Basis::Observed,
            agent: None,
            run: None,
            credential: None,
            exchange: None,
            http: None,
            gen_ai: None,
            mcp: None,
            tool: None,
            tool_calls: Vec::new(),
            tool_results: Vec::new(),
            websocket: None,
            outcome: None,
            timing: None,
            ids: None,
            history: None,
            gap: None,
            causes: Vec::new(),
            governance: None,
            facts: None,
            bodies: Vec::new(),
        }
    }

    /// The part of the line that does not depend on the place in the log: everything after the
    /// opening brace. Made by the source's thread, so that the sequencer only concatenates.
    ///
    /// # Errors
    /// [`SealError::TooLong`] when the finished line could cross [`MAX_EVENT_BYTES`].
    pub fn seal(&self) -> Result<Vec<u8>, SealError> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.remove(0);
        if bytes.len() + POSITION_BYTES > MAX_EVENT_BYTES {
            return Err(SealError::TooLong(bytes.len() + POSITION_BYTES));
        }
        Ok(bytes)
    }
}

impl Position<'_> {
    /// Writes the finished line, without a line feed, behind what `out` holds.
    pub fn write_line(&self, sealed: &[u8], out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail; the result carries nothing to handle.
        write!(
            out,
            r#"{{"v":{FORMAT_VERSION},"seq":{},"time":"{}","boot_ns":{},"boot":"{}","stream":{},"n":{},"#,
            self.seq, self.time, self.boot_ns, self.boot, self.stream, self.n
        )
        .ok();
        out.extend_from_slice(sealed);
    }
}
