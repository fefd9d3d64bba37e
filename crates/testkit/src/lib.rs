//! Scripted upstreams with their own ledgers.
//!
//! A test that asks the recorder what happened and then believes it has shown nothing. The servers of
//! this crate stand on the far side of the gateway, speak real HTTP over TCP on a free loopback port,
//! and write down for themselves what they received and what they sent ([`Ledger`]): the test compares
//! that with the record. They also misbehave on demand: errors, errors in mid-stream, silence, resets,
//! trickles, lengths that lie.
//!
//! Never ships; never reads the record.

pub mod authority;
mod ledger;
pub mod mcp;
pub mod model;
mod recorder;
mod replay;
mod reply;
mod server;
mod wire;

pub use ledger::{Digest, Entry, Ledger, Sent};
pub use recorder::{Recorder, figure, shared};
pub use replay::{Book, REPLAY_HEADER};
pub use reply::{Framing, Gate, Reply, Step};
pub use server::Upstream;
pub use wire::Request;
