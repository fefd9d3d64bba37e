//! Looking at what a server answers over HTTP: which message closes which call, and what else it says.

mod closing;

use super::batches::Room;
use super::endpoint::{Announced, Opening};
use super::reading::Reading;
use super::record::{self, Asked};
use super::sessions::{Endpoint, Key, Parked};
use super::{Direction, Party, suspend};
use crate::config::Target;
use crate::context::Context;
use crate::ending::unforwarded;
use crate::exchange::{Call, encoding, text};
use crate::owed::Noted;
use crate::relay::{Observer, Verdict};
use bytes::Bytes;
use event::{Draft, Outcome, Role, Run, Source, Timing};
use http::uri::PathAndQuery;
use protocol::jsonrpc::{self, Id, Message};
use protocol::mcp::{self, Shape};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// What the HTTP exchange is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Posts messages.
    Post,
    /// Opens a stream of messages from the server.
    Stream,
    /// Ends a session.
    End,
    /// Anything else.
    Other,
}

/// The observer of one MCP exchange over HTTP.
pub(crate) struct Watch {
    pub(crate) ctx: Arc<Context>,
    pub(crate) target: Arc<Target>,
    pub(crate) party: Party,
    pub(crate) run: Option<Run>,
    pub(crate) run_in_path: Option<String>,
    pub(crate) purpose: Purpose,
    /// The session, where there is one.
    pub(crate) key: Option<Key>,
    /// The one request that the exchange itself is the record of.
    pub(crate) own: Option<(Id, Asked)>,
    /// Requests of a batch, answered in this exchange.
    pub(crate) batch: HashMap<Id, Parked>,
    /// For these.
    pub(crate) room: Room,
    /// Requests whose answers come on the session's stream, and the `seq`s of their events.
    pub(crate) elsewhere: Vec<(Id, u64)>,
    /// The session in which the exchange's calls may be cancelled, and those of a batch with the `seq`s of their events.
    pub(crate) posted: Option<(Key, Vec<(Id, u64)>)>,
    /// The session or stream that is listened to here.
    pub(crate) listens: Option<Key>,
    /// `seq` of the exchange's request event.
    pub(crate) seq: Arc<OnceLock<u64>>,
    /// What the agent asked the gateway for, and the gateway the server.
    pub(crate) paths: (String, String),
    pub(crate) reading: Reading,
}

/// Subscribes to what a server has to say (2026-07-28): its answer is a stream, which may be silent.
const LISTEN: &str = "subscriptions/listen";

/// Events that one step of looking at an answer makes, about, and bytes of their bodies.
const LOT: usize = 64;
const LOT_BYTES: usize = 1 << 20;

impl Observer for Watch {
    fn head(&mut self, parts: &http::response::Parts) {
        let encoding = encoding(&parts.headers);
        let media = text(&parts.headers, "content-type").unwrap_or_default();
        self.reading = Reading::new(parts.status.as_u16(), encoding.as_deref(), &media);
        if self.purpose == Purpose::Stream && self.reading.is_events() && !self.reading.is_encoded()
        {
            self.reading.opening = Some(Opening::default());
        }
        if let Some(session) = text(&parts.headers, "mcp-session-id")
            && self.party.session.as_deref() != Some(&session)
        {
            self.joined(session);
        }
        if self.purpose == Purpose::Stream
            && self.reading.is_stream()
            && let Some(key) = &self.key
        {
            self.ctx.mcp.sessions().stream_opened(key);
            self.listens = Some(key.clone());
        }
    }

    fn is_standing(&self) -> bool {
        let listens = |(_, asked): &(Id, Asked)| asked.method == LISTEN;
        self.reading.is_stream()
            && (self.purpose == Purpose::Stream || self.own.as_ref().is_some_and(listens))
    }

    fn chunk(&mut self, bytes: &Bytes, out: &mut Vec<Noted>) {
        self.reading.feed(bytes);
        self.lot(out);
    }

    fn go_on(&mut self, out: &mut Vec<Noted>) -> bool {
        let is_behind = self.reading.is_behind();
        if is_behind {
            self.lot(out);
        }
        is_behind
    }

    fn is_answered(&self) -> bool {
        match &self.own {
            Some(_) => self.reading.answer.is_some(),
            None => self.reading.batch_answered,
        }
    }

    fn released(&mut self, bytes: Bytes) -> Bytes {
        let Some(opening) = &mut self.reading.opening else {
            return bytes;
        };
        let (bytes, announced) = opening.pass(bytes);
        if let Some(announced) = announced {
            self.announced(&announced);
        }
        bytes
    }

    fn finish(
        &mut self,
        call: &Call,
        whole: bool,
        draft: &mut Draft,
        out: &mut Vec<Noted>,
    ) -> Verdict {
        let cancelled = self.settled();
        let is_cancelled = cancelled.contains(&call.seq);
        let resumable = self.resumable().filter(|_| !is_cancelled);
        self.rest(out);
        let verdict = self.own_answer(call, draft);
        self.close_rest(whole, &cancelled, out);
        if verdict.cut_short && is_cancelled && self.reading.is_success() {
            draft.outcome = Some(super::cancelled());
        }
        let own = self.own.take().filter(|_| verdict.cut_short);
        let suspend = own
            .zip(resumable)
            .and_then(|(own, key)| suspend::suspend(&self.ctx, &self.party, key, own, call));
        Verdict {
            cut_short: verdict.cut_short && whole && self.reading.status < 400,
            suspend,
            ..verdict
        }
    }

    fn unforwarded(&mut self, out: &mut Vec<Noted>) {
        self.forget_posted();
        let mut opened: Vec<Parked> = self.batch.drain().map(|(_, parked)| parked).collect();
        if let Some(key) = &self.key {
            let mut sessions = self.ctx.mcp.sessions();
            let waiting = self.elsewhere.drain(..);
            opened.extend(waiting.filter_map(|(id, seq)| sessions.unpark(key, &id, seq)));
        }
        out.extend(
            opened
                .iter()
                .map(|Parked { call, .. }| ended(call, unforwarded())),
        );
    }
}

/// The terminal event of a call that the exchange is not itself the record of, and that is not answered.
pub(crate) fn ended(call: &Call, outcome: Outcome) -> Noted {
    let mut draft = call.closing();
    draft.outcome = Some(outcome);
    draft.timing = Some(timing(call));
    Noted::event(draft)
}

impl Watch {
    /// The exchange ends: what it stood for in its session. Returns the calls of it that the agent has cancelled.
    fn settled(&mut self) -> Vec<u64> {
        let cancelled = self.forget_posted();
        let Some(key) = self.listens.take() else {
            return cancelled;
        };
        let mut sessions = self.ctx.mcp.sessions();
        sessions.stream_ended(&key);
        if self.party.session.is_none()
            && let Some(last) = self.reading.last_event_id()
        {
            // Without a session only the ids of its events tell where a stream goes on.
            sessions.goes_on(&key, suspend::stream_key(&self.party, &last));
        }
        cancelled
    }

    /// The exchange's calls can no longer be cancelled. Returns those that were.
    fn forget_posted(&mut self) -> Vec<u64> {
        let Some((key, mut calls)) = self.posted.take() else {
            return Vec::new();
        };
        let own = self.own.as_ref().map(|(id, _)| id.clone());
        calls.extend(own.zip(self.seq.get().copied()));
        self.ctx.mcp.sessions().forget_posted(&key, &calls)
    }

    /// Looks at the next of what was read, and reads on where nothing is left of it.
    fn lot(&mut self, out: &mut Vec<Noted>) {
        let mut room = LOT_BYTES;
        while out.len() < LOT && room > 0 {
            let Some(payload) = self.reading.next() else {
                return self.reading.go_on();
            };
            room = room.saturating_sub(payload.len());
            self.payload(payload.as_bytes(), out);
        }
    }

    /// Looks at what the end of the answer leaves.
    fn rest(&mut self, out: &mut Vec<Noted>) {
        let rest = self.reading.finish();
        if let Some(document) = rest.document {
            self.payload(&document, out);
        }
        for problem in rest.problems {
            self.not_understood(problem, out);
        }
        if rest.left_out > 0 || rest.is_cut {
            let mut draft = self.left_out(rest.left_out.max(1));
            if rest.is_cut {
                let problem = "the decoded answer is too long to be read to its end";
                record::fact(&mut draft, "problem", problem.into());
            }
            out.push(self.lost(draft));
        }
    }

    fn left_out(&self, count: u64) -> Box<Draft> {
        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
        record::left_out(Source::Gateway, &self.party, Direction::ToClient, count)
    }

    /// Where an answer that has not come would come, if the agent can ask for the rest of the stream.
    fn resumable(&self) -> Option<Key> {
        let last = self.reading.last_event_id()?;
        let cancels = self
            .party
            .version
            .as_deref()
            .is_some_and(mcp::disconnect_cancels);
        if self.purpose != Purpose::Post || self.reading.status >= 300 || cancels {
            return None;
        }
        let key = self.key.clone();
        Some(key.unwrap_or_else(|| suspend::stream_key(&self.party, &last)))
    }

    /// The server named the session that begins.
    fn joined(&mut self, session: String) {
        let key = (self.party.server.clone(), session.clone());
        if let Some(run) = &self.run {
            let (agent, server) = (&self.party.agent.name, &self.party.server);
            self.ctx
                .tracker()
                .session_opened(&run.id, agent, server, &session);
        }
        self.party.session = Some(session);
        self.key = Some(key);
    }

    /// The server of an HTTP+SSE stream said where to post.
    fn announced(&mut self, announced: &Announced) {
        let (own, asked) = &self.paths;
        let followed = announced.stays_with(&self.target.destination);
        let address = announced.resolve(asked);
        let stream = (self.party.agent.name.as_str(), self.seq.get());
        let session = session_of(&self.ctx.hasher, stream, &address);
        let path = announced.resolve(own);
        self.joined(session);
        self.reading.is_session = true;
        let Some(key) = self.key.clone() else { return };
        let endpoint = Endpoint {
            agent: self.party.agent.name.clone(),
            run: self.run_in_path.clone(),
            key,
            address: PathAndQuery::try_from(address).ok().filter(|_| followed),
        };
        self.ctx.mcp.sessions().announced(path, endpoint);
    }

    /// Takes in one JSON-RPC payload from the server.
    fn payload(&mut self, bytes: &[u8], out: &mut Vec<Noted>) {
        match jsonrpc::read(bytes) {
            Ok(payload) => {
                for message in &payload.messages {
                    self.message(message, out);
                }
                let read = payload.messages.len() as u64;
                if let Some(count) = payload.batch.filter(|count| *count > read) {
                    let left = count - read;
                    if self.reading.admits(left) {
                        out.push(self.lost(self.left_out(left)));
                    }
                }
            }
            // An error page is no message; the body is the record.
            Err(_) if self.reading.status >= 400 => {}
            Err(_) if !self.reading.admits(1) => {}
            Err(_) => self.not_understood("not JSON", out),
        }
    }

    fn message(&mut self, message: &Message<'_>, out: &mut Vec<Noted>) {
        let view = mcp::view(message);
        let raw = message.raw.raw();
        if let (Shape::Response | Shape::Error, Some(id)) = (view.shape, &view.id) {
            let own = self.own.as_ref().is_some_and(|(own, _)| own == id);
            if own && self.reading.answer.is_none() {
                self.reading.answer = Some(raw.as_bytes().to_vec());
                return;
            }
            let of_batch = self.batch.remove(id);
            self.reading.batch_answered |= of_batch.is_some() && self.batch.is_empty();
            let waiting = of_batch.or_else(|| {
                let key = self.key.as_ref()?;
                self.ctx.mcp.sessions().answered(key, id)
            });
            if let Some(waiting) = waiting {
                out.push(self.closed(&waiting, &view, raw));
                return;
            }
        }
        if view.shape == Shape::Error
            && view.id.is_none()
            && self.own.is_some()
            && (self.reading.status >= 400 || !self.reading.is_events())
        {
            // An error of the transport, or of a request whose id the server could not read: it answers the one request there
            // is, where that is all the answer.
            self.reading.answer = Some(raw.as_bytes().to_vec());
            return;
        }
        if !self.reading.admits(1) {
            return;
        }
        let draft = record::message(Source::Gateway, &self.party, Direction::ToClient, &view);
        out.push(self.noted(draft, Role::Message, raw));
    }

    fn noted(&self, mut draft: Box<Draft>, role: Role, raw: &str) -> Noted {
        draft.run.clone_from(&self.run);
        draft.causes.extend(self.seq.get());
        let body = Bytes::copy_from_slice(raw.as_bytes());
        Noted {
            draft,
            body: Some((role, Some("application/json".to_owned()), body)),
        }
    }

    fn not_understood(&self, why: &'static str, out: &mut Vec<Noted>) {
        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
        let direction = Direction::ToClient;
        out.push(self.lost(record::not_understood(
            Source::Gateway,
            &self.party,
            direction,
            why,
        )));
    }

    fn lost(&self, mut draft: Box<Draft>) -> Noted {
        draft.run.clone_from(&self.run);
        draft.causes.extend(self.seq.get());
        Noted::event(draft)
    }
}

/// How long a call took that ended just now.
pub(crate) fn timing(call: &Call) -> Timing {
    let us = |from: Instant| u64::try_from(from.elapsed().as_micros()).unwrap_or(u64::MAX);
    Timing {
        upstream_us: call.clock.forwarded.map(us),
        total_us: Some(us(call.clock.started)),
        ..Timing::default()
    }
}

/// A name for the session of an agent's stream, which announced an endpoint. The endpoint itself is what lets one post
/// there; a server may announce the same to all.
fn session_of(hasher: &RandomState, stream: (&str, Option<&u64>), address: &str) -> String {
    format!("endpoint-{:016x}", hasher.hash_one((stream, address)))
}
