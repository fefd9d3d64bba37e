//! The Model Context Protocol as it passes, over HTTP and over pipes, in all revisions.
//!
//! Owns what its messages mean to the record: which is a call, what answers it, which tool description it
//! rested on. Looks at copies; what is relayed is relayed by others.

mod batches;
mod catalogue;
mod endpoint;
pub(crate) mod http;
mod plan;
mod reading;
pub(crate) mod record;
mod retries;
mod sessions;
mod suspend;
mod watch;

use catalogue::Catalogue;
use event::Agent;
pub(crate) use plan::{cancelled, id_reused};
use retries::Retries;
pub(crate) use sessions::Parked;
use sessions::Sessions;
use std::sync::{Mutex, MutexGuard, PoisonError};
pub(crate) use suspend::finish;
pub(crate) use watch::{ended, timing};

/// Longest JSON-RPC payload that is read, in bytes. A longer one is recorded and relayed, not understood.
pub(crate) const READ_BYTES: usize = 16 * 1024 * 1024;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the agent.
    ToServer,
    /// To the agent.
    ToClient,
}

impl Direction {
    /// The spelling in an event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToServer => "client-to-server",
            Self::ToClient => "server-to-client",
        }
    }
}

/// An agent and the server it speaks to.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    /// Who.
    pub(crate) agent: Agent,
    /// The server's name, as configured or as given to the wrapper.
    pub(crate) server: String,
    /// `mcp.session.id`.
    pub(crate) session: Option<String>,
    /// `mcp.protocol.version`, where it is known.
    pub(crate) version: Option<String>,
}

/// What all MCP traffic of a recorder shares. Bounded throughout.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    catalogue: Mutex<Catalogue>,
    retries: Mutex<Retries>,
    sessions: Mutex<Sessions>,
    batches: batches::Batches,
}

impl Shared {
    pub(crate) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn retries(&self) -> MutexGuard<'_, Retries> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
