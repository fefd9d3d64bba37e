//! The demo: a recorded incident, played through a real gateway.
//!
//! Owns the stage (a scripted model and a scripted MCP server that speak real HTTP on loopback) and
//! the agent, which knows no address but the recorder's. Offline; needs no key. Never writes to a
//! record that was there before.

mod agent;
mod helpdesk;
mod model;
mod places;
mod stage;
mod tamper;

pub(crate) use agent::{Agent, Step};
pub(crate) use places::Places;
pub(crate) use stage::Stage;
pub(crate) use tamper::{Change, alter_one_letter};

/// The name of the scripted model in the recorder's configuration.
pub(crate) const MODEL_UPSTREAM: &str = "demo-model";

/// The name of the scripted MCP server in the recorder's configuration.
pub(crate) const MCP_SERVER: &str = "helpdesk";

/// The agent's name in the addresses it was given.
pub(crate) const AGENT: &str = "support-agent";

/// The run that the agent names in its requests.
pub(crate) const RUN: &str = "ticket-4711";
