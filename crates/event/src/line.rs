//! Reading an event line back. A reader looks; it never re-encodes.

use crate::{
    Agent, Basis, BodyRef, Credential, Exchange, FORMAT_VERSION, Gap, GenAi, History, Http, Ids,
    MAX_EVENT_BYTES, Mcp, Outcome, Run, Timing, ToolRef, WebSocket,
};
use serde::Deserialize;

/// An event line as a reader sees it. Unknown fields are skipped here and kept in the bytes; an
/// unknown `kind` or `source` is kept as text.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(
    missing_docs,
    reason = "each field is documented on `Draft` and `Position`"
)]
pub struct Line {
    pub v: u32,
    pub seq: u64,
    pub time: String,
    pub boot_ns: u64,
    pub boot: String,
    pub stream: u64,
    pub n: u64,
    pub kind: String,
    pub source: String,
    pub basis: Basis,
    #[serde(default)]
    pub agent: Option<Agent>,
    #[serde(default)]
    pub run: Option<Run>,
    #[serde(default)]
    pub credential: Option<Credential>,
    #[serde(default)]
    pub exchange: Option<Exchange>,
    #[serde(default)]
    pub http: Option<Http>,
    #[serde(default)]
    pub gen_ai: Option<GenAi>,
    #[serde(default)]
    pub mcp: Option<Mcp>,
    #[serde(default)]
    pub tool: Option<ToolRef>,
    #[serde(default)]
    pub tool_calls: Vec<ToolRef>,
    #[serde(default)]
    pub tool_results: Vec<ToolRef>,
    #[serde(default)]
    pub websocket: Option<WebSocket>,
    #[serde(default)]
    pub outcome: Option<Outcome>,
    #[serde(default)]
    pub timing: Option<Timing>,
    #[serde(default)]
    pub ids: Option<Ids>,
    #[serde(default)]
    pub history: Option<History>,
    #[serde(default)]
    pub gap: Option<Gap>,
    #[serde(default)]
    pub causes: Vec<u64>,
    #[serde(default)]
    pub governance: Option<String>,
    #[serde(default)]
    pub facts: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    pub bodies: Vec<BodyRef>,
}

/// Why bytes are not an event line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Longer than any event may be.
    #[error("{0} bytes is over the limit of {MAX_EVENT_BYTES} for an event line")]
    TooLong(usize),
    /// Written by a newer version than this reader knows.
    #[error("event format {0} is newer than this reader ({FORMAT_VERSION})")]
    Newer(u32),
    /// Not the JSON of an event.
    #[error("not an event line")]
    Json(#[from] serde_json::Error),
}

impl Line {
    /// Parses one line without its line feed.
    ///
    /// # Errors
    /// See [`LineError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, LineError> {
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        if bytes.len() > MAX_EVENT_BYTES {
            return Err(LineError::TooLong(bytes.len()));
        }
        let line: Self = match serde_json::from_slice(bytes) {
            Ok(line) => line,
            Err(error) => {
                return match serde_json::from_slice::<Version>(bytes) {
                    Ok(Version { v }) if v > FORMAT_VERSION => Err(LineError::Newer(v)),
                    _ => Err(LineError::Json(error)),
                };
            }
        };
        if line.v > FORMAT_VERSION {
            return Err(LineError::Newer(line.v));
        }
        Ok(line)
    }
}
