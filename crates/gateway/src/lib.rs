//! The agent-facing data plane: a model proxy, an MCP proxy, a local socket.
//!
//! Owns the order of effects: nothing is forwarded before its request event is durable, and no answer ends before its
//! terminal event is durable. The original bytes go through in both directions; only a copy is read.
//!
//! Never offers a read path: no address on this listener returns evidence or control state.

mod admission;
mod attempts;
mod body;
mod config;
mod context;
mod ending;
mod exchange;
mod figures;
mod forward;
mod join;
mod listener;
mod malformed;
pub mod mcp;
mod memory;
mod model;
mod owed;
mod proxy;
mod pump;
mod redact;
mod refusal;
mod relay;
mod request;
mod route;
mod rule;
pub mod runs;
mod secret_names;
mod shorten;
pub mod socket;
mod tunnel;
mod upgrade;
mod wire;

pub use admission::Access;
pub use config::{Config, ConfigError, Limits, McpServer, Upstream};
pub use figures::{Figures, Sample, UpstreamSample};
pub use listener::Gateway;
