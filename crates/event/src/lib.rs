//! The event: one line of JSON, at most [`MAX_EVENT_BYTES`], written once.
//!
//! Owns the vocabulary of the record: which [`Kind`]s exist, which fields they carry and how they
//! are spelt. An event holds identifiers, times, states and references to bodies; never content,
//! never a secret. The bytes produced by [`Draft::seal`] are the bytes that are hashed and stored:
//! nothing ever re-encodes them.
//!
//! Never touches I/O, a clock or randomness.

mod body;
mod draft;
mod fields;
mod kind;
mod line;

pub use body::{BodyRef, Role};
pub use draft::{Draft, Position, SealError};
pub use fields::{
    Agent, Credential, Exchange, Gap, GenAi, History, Http, Ids, Mcp, Outcome, Run, State, Timing,
    ToolRef, Usage, WebSocket,
};
pub use kind::{Basis, Kind, Source};
pub use line::{Line, LineError};

/// Version of the event line, the `v` field. Readers accept every version up to their own.
pub const FORMAT_VERSION: u32 = 1;

/// Longest event line in bytes, without the line feed.
pub const MAX_EVENT_BYTES: usize = 16 * 1024;
