//! Sessions with servers over HTTP: their revision, the endpoints they announced, the calls whose answer
//! comes on another connection (HTTP+SSE, revision 2024-11-05, and streams that are resumed).

use super::record::Asked;
use crate::exchange::Call;
use crate::route::UNNAMED;
use http::uri::PathAndQuery;
use protocol::jsonrpc::Id;
use std::collections::{HashMap, VecDeque};
use tokio::time::Instant;

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
    /// When the last stream ended on which an answer could have come.
    quiet_since: Option<Instant>,
}

/// A call whose answer comes in the exchange that posted it.
struct Posted {
    seq: u64,
    is_cancelled: bool,
}

/// What is known of a call that waits for a stream to be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// It does not: it was answered, or has ended otherwise.
    Over,
    /// A stream is open on which its answer may come.
    Listening,
    /// No stream is open since then; `None`: none ever was.
    Quiet(Option<Instant>),
}

/// The memory of sessions.
#[derive(Default)]
pub(crate) struct Sessions {
    sessions: HashMap<Key, Session>,
    order: VecDeque<Key>,
    /// By the path that was announced. Servers that announce the same to everybody share it; the latest stands last.
    endpoints: HashMap<String, Vec<Endpoint>>,
    parked: usize,
    /// Streams of messages that are open. No longer than the connections.
    streams: HashMap<Key, usize>,
    /// Calls that may be cancelled. No longer than the calls under way.
    posted: HashMap<Key, HashMap<Id, Posted>>,
    /// Streams without a session that go on under another id, by that. The oldest is forgotten first.
    resumed: HashMap<Key, Key>,
    resumed_order: VecDeque<Key>,
}

/// Why calls do not wait for an answer on another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unparked {
    /// Too many wait already.
    NoRoom,
    /// The stream has ended: nothing can come on it any more.
    Ended,
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
        if let Some(path) = self
            .sessions
            .remove(key)
            .and_then(|session| session.endpoint)
        {
            self.withdraw(&path, key);
        }
    }

    fn withdraw(&mut self, path: &str, key: &Key) {
        if let Some(endpoints) = self.endpoints.get_mut(path) {
            endpoints.retain(|endpoint| endpoint.key != *key);
            if endpoints.is_empty() {
                self.endpoints.remove(path);
            }
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
            self.withdraw(&before, &endpoint.key);
        }
        self.endpoints.entry(path).or_default().push(endpoint);
    }

    /// Where an announced path leads. Where it was announced to several agents, who asks cannot be told by it, and is not
    /// claimed.
    pub(crate) fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let endpoints = self.endpoints.get(path)?;
        let latest = endpoints.last()?;
        let mut endpoint = latest.clone();
        if endpoints.iter().any(|other| other.agent != latest.agent) {
            UNNAMED.clone_into(&mut endpoint.agent);
        }
        if endpoints.iter().any(|other| other.run != latest.run) {
            endpoint.run = None;
        }
        Some(endpoint)
    }

    /// Lets calls wait for their answers on the session's stream. Gives back those that waited under the same ids. Where
    /// the calls cannot wait, they are still in `calls`.
    pub(crate) fn park(
        &mut self,
        key: &Key,
        calls: &mut Vec<(Id, Parked)>,
    ) -> Result<Vec<Parked>, Unparked> {
        if self.parked + calls.len() > MAX_PARKED {
            return Err(Unparked::NoRoom);
        }
        let live = self.sessions.get_mut(key);
        let Some(session) = live.filter(|session| session.endpoint.is_some()) else {
            return Err(Unparked::Ended);
        };
        let waited = session.parked.len();
        let displaced = calls
            .drain(..)
            .filter_map(|(id, parked)| session.parked.insert(id, parked))
            .collect();
        self.parked += session.parked.len() - waited;
        Ok(displaced)
    }

    /// Takes a call back that was to wait; `None` where it was answered or displaced.
    pub(crate) fn unpark(&mut self, key: &Key, id: &Id, seq: u64) -> Option<Parked> {
        let session = self.sessions.get_mut(key)?;
        if session.parked.get(id)?.call.seq != seq {
            return None;
        }
        let parked = session.parked.remove(id)?;
        self.parked = self.parked.saturating_sub(1);
        Some(parked)
    }

    /// The call that an answer on the session's stream is for: one of its own, or one of a session that shares its path,
    /// because it could not be told which of them it belonged to.
    pub(crate) fn answered(&mut self, key: &Key, id: &Id) -> Option<Parked> {
        let session = self.sessions.get_mut(key)?;
        let parked = match session.parked.remove(id) {
            Some(parked) => parked,
            None => {
                let path = session.endpoint.as_ref()?;
                let sharing = self.endpoints.get(path)?;
                let sessions = &mut self.sessions;
                sharing.iter().find_map(|endpoint| {
                    let session = sessions.get_mut(&endpoint.key)?;
                    session.parked.remove(id)
                })?
            }
        };
        self.parked = self.parked.saturating_sub(1);
        Some(parked)
    }

    /// Whether one more call may wait.
    pub(crate) const fn has_room(&self) -> bool {
        self.parked < MAX_PARKED
    }

    /// Lets a call wait whose stream ended before its answer. Gives back one that waited under the same id.
    pub(crate) fn suspend(&mut self, key: &Key, id: Id, parked: Parked) -> Option<Parked> {
        // A stream that ended here is not the later part of another, whatever bore its id before.
        self.resumed.remove(key);
        let displaced = self.session(key).parked.insert(id, parked);
        self.parked += usize::from(displaced.is_none());
        displaced
    }

    /// How the call `seq` waits.
    pub(crate) fn waiting(&self, key: &Key, id: &Id, seq: u64) -> Waiting {
        let session = self.sessions.get(key);
        let waits = |session: &&Session| {
            let parked = session.parked.get(id);
            parked.is_some_and(|parked| parked.call.seq == seq)
        };
        match session.filter(waits) {
            None => Waiting::Over,
            Some(_) if self.streams.contains_key(key) => Waiting::Listening,
            Some(session) => Waiting::Quiet(session.quiet_since),
        }
    }

    /// A stream of messages is open.
    pub(crate) fn stream_opened(&mut self, key: &Key) {
        *self.streams.entry(key.clone()).or_default() += 1;
    }

    /// It has ended; the session may go on.
    pub(crate) fn stream_ended(&mut self, key: &Key) {
        let Some(open) = self.streams.get_mut(key) else {
            return;
        };
        *open = open.saturating_sub(1);
        if *open == 0 {
            self.streams.remove(key);
            if let Some(session) = self.sessions.get_mut(key) {
                session.quiet_since = Some(Instant::now());
            }
        }
    }

    /// A stream without a session may be resumed as `next`, where calls still wait for it.
    pub(crate) fn goes_on(&mut self, key: &Key, next: Key) {
        let session = self.sessions.get(key);
        let waits = session.is_some_and(|session| !session.parked.is_empty());
        if !waits || next == *key || self.resumed.insert(next.clone(), key.clone()).is_some() {
            return;
        }
        self.resumed_order.push_back(next);
        if self.resumed_order.len() > MAX_SESSIONS
            && let Some(oldest) = self.resumed_order.pop_front()
        {
            self.resumed.remove(&oldest);
        }
    }

    /// The stream that `key` is the later part of, or `key` itself.
    pub(crate) fn first(&self, key: Key) -> Key {
        self.resumed.get(&key).cloned().unwrap_or(key)
    }

    /// Calls were posted whose answers come in the same exchange.
    pub(crate) fn posted(&mut self, key: &Key, calls: impl IntoIterator<Item = (Id, u64)>) {
        let posted = self.posted.entry(key.clone()).or_default();
        posted.extend(calls.into_iter().map(|(id, seq)| {
            let call = Posted {
                seq,
                is_cancelled: false,
            };
            (id, call)
        }));
    }

    /// Forgets these again. Returns the `seq`s of those that were cancelled.
    pub(crate) fn forget_posted(&mut self, key: &Key, calls: &[(Id, u64)]) -> Vec<u64> {
        let Some(posted) = self.posted.get_mut(key) else {
            return Vec::new();
        };
        let mut cancelled = Vec::new();
        for (id, seq) in calls {
            // Another call may have taken the id.
            if posted.get(id).is_some_and(|call| call.seq == *seq)
                && let Some(call) = posted.remove(id)
                && call.is_cancelled
            {
                cancelled.push(*seq);
            }
        }
        if posted.is_empty() {
            self.posted.remove(key);
        }
        cancelled
    }

    /// The agent cancels a call that is answered in the exchange that posted it. Returns its `seq`.
    pub(crate) fn cancel(&mut self, key: &Key, id: &Id) -> Option<u64> {
        let call = self.posted.get_mut(key)?.get_mut(id)?;
        call.is_cancelled = true;
        Some(call.seq)
    }

    /// Takes the call that waits under this id.
    pub(crate) fn take(&mut self, key: &Key, id: &Id) -> Option<Parked> {
        let parked = self.sessions.get_mut(key)?.parked.remove(id)?;
        self.parked = self.parked.saturating_sub(1);
        Some(parked)
    }

    /// Takes everything that waits.
    pub(crate) fn all(&mut self) -> Vec<Parked> {
        self.parked = 0;
        let waiting = self.sessions.values_mut();
        waiting
            .flat_map(|session| std::mem::take(&mut session.parked).into_values())
            .collect()
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
