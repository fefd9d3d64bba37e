//! Sessions with servers over HTTP: their revision, the endpoints they announced, the calls whose answer
//! comes on another connection (HTTP+SSE, revision 2024-11-05).

use super::record::Asked;
use crate::exchange::Call;
use http::uri::PathAndQuery;
use protocol::jsonrpc::Id;
use std::collections::{HashMap, VecDeque};

/// Sessions that are remembered. The oldest is forgotten first.
const MAX_SESSIONS: usize = 4096;

/// Calls of all sessions that may wait for an answer on another connection.
const MAX_PARKED: usize = 4096;

/// A server's name and the session's id.
pub(crate) type Key = (String, String);

/// Where an announced endpoint leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Who may post there: the agent to which it was announced.
    pub(crate) agent: String,
    /// Its run, where the address named it.
    pub(crate) run: Option<String>,
    /// The session it belongs to.
    pub(crate) key: Key,
    /// What the server is asked for; `None` where the server announced another host, which is not followed.
    pub(crate) address: Option<PathAndQuery>,
}

/// A call whose answer comes on another connection.
pub(crate) struct Parked {
    pub(crate) call: Call,
    pub(crate) asked: Asked,
}

#[derive(Default)]
struct Session {
    version: Option<String>,
    /// The path on the gateway that was announced for it.
    endpoint: Option<String>,
    parked: HashMap<Id, Parked>,
}

/// The memory of sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    sessions: HashMap<Key, Session>,
    order: VecDeque<Key>,
    endpoints: HashMap<String, Endpoint>,
    parked: usize,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("sessions", &self.sessions.len())
            .finish_non_exhaustive()
    }
}

impl Sessions {
    fn session(&mut self, key: &Key) -> &mut Session {
        if !self.sessions.contains_key(key) {
            self.order.push_back(key.clone());
            while self.order.len() > MAX_SESSIONS {
                // A session that still waits for answers is not the one to forget.
                let Some(oldest) = self.order.pop_front() else {
                    break;
                };
                if self
                    .sessions
                    .get(&oldest)
                    .is_some_and(|session| !session.parked.is_empty())
                {
                    self.order.push_back(oldest);
                    break;
                }
                self.forget(&oldest);
            }
        }
        self.sessions.entry(key.clone()).or_default()
    }

    fn forget(&mut self, key: &Key) {
        if let Some(endpoint) = self
            .sessions
            .remove(key)
            .and_then(|session| session.endpoint)
        {
            self.endpoints.remove(&endpoint);
        }
    }

    /// The revision that was agreed on.
    pub(crate) fn version(&self, key: &Key) -> Option<String> {
        self.sessions.get(key)?.version.clone()
    }

    pub(crate) fn agreed(&mut self, key: &Key, version: String) {
        self.session(key).version = Some(version);
    }

    /// A server announced where to post; `path` is what the agent will ask the gateway for.
    pub(crate) fn announced(&mut self, path: String, endpoint: Endpoint) {
        let session = self.session(&endpoint.key);
        let before = session.endpoint.replace(path.clone());
        if let Some(before) = before {
            self.endpoints.remove(&before);
        }
        self.endpoints.insert(path, endpoint);
    }

    /// Where an announced path leads.
    pub(crate) fn endpoint(&self, path: &str) -> Option<Endpoint> {
        self.endpoints.get(path).cloned()
    }

    /// Whether one more call may wait.
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.parked + more <= MAX_PARKED
    }

    /// Lets a call wait for an answer on the session's stream. Gives back one that waited under the same id.
    pub(crate) fn park(&mut self, key: &Key, id: Id, parked: Parked) -> Option<Parked> {
        let before = self.session(key).parked.insert(id, parked);
        self.parked += usize::from(before.is_none());
        before
    }

    /// The call that an answer is for.
    pub(crate) fn answered(&mut self, key: &Key, id: &Id) -> Option<Parked> {
        let parked = self.sessions.get_mut(key)?.parked.remove(id)?;
        self.parked = self.parked.saturating_sub(1);
        Some(parked)
    }

    /// The session's stream has ended: nothing it waited for can come any more.
    pub(crate) fn ended(&mut self, key: &Key) -> Vec<Parked> {
        let Some(session) = self.sessions.get_mut(key) else {
            return Vec::new();
        };
        let left: Vec<Parked> = std::mem::take(&mut session.parked).into_values().collect();
        self.parked = self.parked.saturating_sub(left.len());
        self.order.retain(|held| held != key);
        self.forget(key);
        left
    }
}
