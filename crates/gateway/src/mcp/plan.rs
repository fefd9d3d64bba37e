//! From a posted payload to its events: which request is the record of the exchange, and which messages have events of
//! their own.

use super::batches::Room;
use super::http::Way;
use super::reading::Reading;
use super::record;
use super::sessions::{Key, Parked, Unparked};
use super::watch::{Purpose, Watch, ended};
use super::{Direction, Party};
use crate::context::Context;
use crate::ending::unforwarded;
use crate::exchange::{Call, Clock, Facts, Opening};
use crate::owed::{self, Noted, Queued, submit};
use crate::refusal::Schema;
use crate::relay::{Disconnect, Pace, Plan};
use crate::request::Received;
use crate::runs::Assignment;
use event::{Draft, Kind, Outcome, Role, Source, State};
use evidence::{Error, Pending};
use http::Method;
use http::uri::PathAndQuery;
use protocol::jsonrpc::{self, Message, Payload};
use protocol::mcp::{self, Shape, View};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// What was posted.
pub(super) struct Posted<'a> {
    pub(super) payload: Option<&'a Payload<'a>>,
    pub(super) messages: &'a [Message<'a>],
    pub(super) views: &'a [View<'a>],
    /// There is something, and it is no payload.
    pub(super) unreadable: bool,
}

impl<'a> Posted<'a> {
    fn requests(&self) -> impl Iterator<Item = (&'a Message<'a>, &'a View<'a>)> {
        self.messages
            .iter()
            .zip(self.views)
            .filter(|(_, view)| view.shape == Shape::Request)
    }

    fn others(&self) -> impl Iterator<Item = (&'a Message<'a>, &'a View<'a>)> {
        self.messages
            .iter()
            .zip(self.views)
            .filter(|(_, view)| view.shape != Shape::Request)
    }

    fn batch(&self) -> Option<u64> {
        self.payload.and_then(|payload| payload.batch)
    }

    /// The one request, where nothing else was posted.
    fn single(&self) -> Option<&'a View<'a>> {
        match self.views {
            [view] if view.shape == Shape::Request && self.batch().is_none() => Some(view),
            _ => None,
        }
    }
}

/// One exchange on its way into the record.
pub(super) struct Exchange<'a> {
    pub(super) ctx: &'a Arc<Context>,
    pub(super) way: &'a Way<'a>,
    pub(super) facts: Facts,
    pub(super) party: Party,
    pub(super) key: Option<Key>,
    pub(super) assignment: Option<Assignment>,
    /// For the messages of a batch.
    pub(super) room: Room,
}

/// An exchange that is not forwarded, because not all of it could be recorded.
pub(super) struct Refused {
    /// Why.
    pub(super) error: Error,
    /// How the calls end that were opened before.
    pub(super) ends: Vec<Noted>,
}

impl Refused {
    fn new(error: Error, opened: &[(jsonrpc::Id, Parked)]) -> Self {
        let ends = opened
            .iter()
            .map(|(_, Parked { call, .. })| ended(call, unforwarded()))
            .collect();
        Self { error, ends }
    }
}

/// What is to hear the `seq` of an exchange's request event.
pub(super) struct Opened {
    seq: Arc<OnceLock<u64>>,
    /// The call that the exchange is the record of, where it may be cancelled.
    own: Option<(Key, jsonrpc::Id)>,
    /// For what of a batch is in the record by then.
    room: Room,
}

impl Opened {
    /// The event is durable at `seq`.
    pub(super) fn at(self, ctx: &Context, seq: u64) {
        self.seq.set(seq).ok();
        drop(self.room);
        if let Some((key, id)) = self.own {
            ctx.mcp.sessions().posted(&key, [(id, seq)]);
        }
    }
}

/// Calls by where their answers come: in the exchange, or on the session's stream (with the `seq`s of their events).
type Awaited = (HashMap<jsonrpc::Id, Parked>, Vec<(jsonrpc::Id, u64)>);

impl Exchange<'_> {
    /// Everything that carries the exchange through, and what is to hear the `seq` of its request event. What it holds beside
    /// that is recorded when this returns.
    pub(super) async fn plan(
        mut self,
        posted: &Posted<'_>,
        address: PathAndQuery,
        received: &Received,
    ) -> Result<(Plan, Opened), Refused> {
        let run = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.run.clone());
        let mut ahead = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.events(&self.party.agent, Source::Gateway))
            .unwrap_or_default();
        let single = posted.single().filter(|_| self.way.endpoint.is_none());
        let mut draft = self.draft(single.map_or(Kind::HttpRequest, record::request_kind));
        let (mut own, mut batch, mut elsewhere) = (None, HashMap::new(), Vec::new());
        if let Some(view) = single {
            let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
            own = view.id.clone().map(|id| (id, asked));
        } else {
            draft.mcp = Some(record::transport(&self.party, posted.batch()));
            let first = match posted.requests().next() {
                Some(_) => std::mem::take(&mut ahead),
                None => Vec::new(),
            };
            let mut calls = Vec::new();
            match self.open_calls(first, posted, received, &mut calls).await {
                Ok(more) => ahead.extend(more),
                Err(error) => return Err(Refused::new(error, &calls)),
            }
            (batch, elsewhere) = self.await_answers(calls).await?;
        }
        let purpose = match received.parts.method {
            Method::POST => Purpose::Post,
            Method::GET => Purpose::Stream,
            Method::DELETE => Purpose::End,
            _ => Purpose::Other,
        };
        let cancels = self
            .party
            .version
            .as_deref()
            .is_some_and(mcp::disconnect_cancels);
        let on_disconnect = if purpose == Purpose::Post && !cancels {
            Disconnect::Drain
        } else {
            Disconnect::Propagate
        };
        let seq = Arc::new(OnceLock::new());
        let posted = self.session().cloned().map(|key| {
            let calls: Vec<_> = batch
                .iter()
                .map(|(id, parked): (&jsonrpc::Id, &Parked)| (id.clone(), parked.call.seq))
                .collect();
            self.ctx.mcp.sessions().posted(&key, calls.iter().cloned());
            (key, calls)
        });
        let single = own.as_ref().map(|(id, _)| id.clone());
        let waiting = self.room.split(batch.len());
        let opened = Opened {
            room: self.room,
            seq: seq.clone(),
            own: posted.as_ref().map(|(key, _)| key.clone()).zip(single),
        };
        let watch = Watch {
            ctx: self.ctx.clone(),
            target: self.way.target.clone(),
            party: self.party,
            run,
            run_in_path: self.way.place.run.clone(),
            purpose,
            key: self.key,
            own,
            batch,
            room: waiting,
            elsewhere,
            posted,
            listens: None,
            seq,
            paths: (self.way.own.clone(), address.as_str().to_owned()),
            reading: Reading::default(),
        };
        let plan = Plan {
            target: self.way.target.clone(),
            address,
            opening: Opening {
                draft,
                ahead,
                head: self.facts.head,
                form: self.facts.form,
            },
            observer: Box::new(watch),
            pace: Pace::Strict,
            on_disconnect,
            schema: Schema::JsonRpc,
        };
        Ok((plan, opened))
    }

    fn draft(&self, kind: Kind) -> Box<Draft> {
        let mut draft = self.facts.draft(self.ctx, kind);
        draft.run = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.run.clone());
        draft
    }

    /// A message that asks for no answer: its event, its bytes recorded.
    async fn message(&self, message: &Message<'_>, view: &View<'_>) -> Result<Box<Draft>, Error> {
        let mut draft = record::message(Source::Gateway, &self.party, Direction::ToServer, view);
        draft.run = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.run.clone());
        let raw = message.raw.raw().as_bytes();
        let media = Some("application/json".to_owned());
        draft.bodies.push(
            self.ctx
                .recorder
                .put(Role::Message, media, None, raw)
                .await?,
        );
        Ok(draft)
    }

    /// Opens a call for each request of the payload, behind `first`; all of it is durable when this returns. Returns the
    /// events of what else was posted. Where it fails, what was opened is in `calls` all the same.
    async fn open_calls(
        &self,
        first: Vec<Draft>,
        posted: &Posted<'_>,
        received: &Received,
        calls: &mut Vec<(jsonrpc::Id, Parked)>,
    ) -> Result<Vec<Draft>, Error> {
        let mut before = Vec::new();
        for draft in first {
            before.push(Queued::event(self.ctx, Box::new(draft)).await);
        }
        let mut opening = Vec::new();
        let queued = self.queue_calls(posted, &mut opening).await;
        let mut refused = queued.err();
        for (pending, request, asked, id) in opening {
            let seq = match pending.await {
                Ok(appended) => appended.seq,
                // A refusal is each event's own: the others may be durable.
                Err(error) => {
                    refused = Some(error);
                    continue;
                }
            };
            let mut clock = Clock::new(received.started, received.received);
            let now = Instant::now();
            (clock.durable, clock.forwarded) = (Some(now), Some(now));
            let call = Call {
                ctx: self.ctx.clone(),
                seq,
                request,
                clock,
            };
            calls.push((id, Parked { call, asked }));
        }
        for mut queued in before {
            refused = queued.durable().await.err().or(refused);
        }
        if let Some(error) = refused {
            return Err(error);
        }
        let mut others = Vec::new();
        for (message, view) in posted.others() {
            let mut draft = self.message(message, view).await?;
            if let Some(id) = &view.cancels {
                draft.causes.extend(self.cancel(id).await);
            }
            others.push(*draft);
        }
        others.extend(self.losses(posted).map(|draft| *draft));
        Ok(others)
    }

    /// The session in which calls are cancelled by their id: without one, ids are not unique.
    fn session(&self) -> Option<&Key> {
        self.key.as_ref().filter(|_| self.party.session.is_some())
    }

    /// The agent cancels a call. One that waits for its answer on another stream ends now; one that is answered in its own
    /// exchange, when that ends: the server may answer it all the same. Returns its `seq`.
    async fn cancel(&self, id: &jsonrpc::Id) -> Option<u64> {
        let key = self.session()?;
        let under_way = self.ctx.mcp.sessions().cancel(key, id);
        if under_way.is_some() {
            return under_way;
        }
        let waiting = self.ctx.mcp.sessions().take(key, id);
        let Parked { call, .. } = waiting?;
        owed::settle(self.ctx, [ended(&call, cancelled())]).await;
        Some(call.seq)
    }

    async fn queue_calls(
        &self,
        posted: &Posted<'_>,
        opening: &mut Vec<(Pending, Box<Draft>, record::Asked, jsonrpc::Id)>,
    ) -> Result<(), Error> {
        for (message, view) in posted.requests() {
            let Some(id) = view.id.clone() else { continue };
            let mut draft = self.draft(record::request_kind(view));
            let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
            let raw = message.raw.raw().as_bytes();
            let media = Some("application/json".to_owned());
            draft.bodies.push(
                self.ctx
                    .recorder
                    .put(Role::Request, media, None, raw)
                    .await?,
            );
            let pending = submit(self.ctx, &mut draft).await?;
            opening.push((pending, draft, asked, id));
        }
        Ok(())
    }

    /// The gap that what was posted leaves where it is not understood, or not all of it is read.
    fn losses(&self, posted: &Posted<'_>) -> Option<Box<Draft>> {
        let direction = Direction::ToServer;
        let mut draft = match posted.payload {
            None if posted.unreadable => {
                let why = "what was posted is not JSON, or too long to be read";
                record::not_understood(Source::Gateway, &self.party, direction, why)
            }
            None => return None,
            Some(payload) => {
                let read = payload.messages.len() as u64;
                let count = payload.batch.filter(|count| *count > read)?;
                record::left_out(Source::Gateway, &self.party, direction, count - read)
            }
        };
        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
        draft.run = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.run.clone());
        Some(draft)
    }

    /// Has the calls wait for their answers. One whose id is taken again, here or by the session, ends: what answers that id
    /// answers the later one.
    async fn await_answers(
        &self,
        mut calls: Vec<(jsonrpc::Id, Parked)>,
    ) -> Result<Awaited, Refused> {
        let (mut batch, mut elsewhere, mut displaced) = (HashMap::new(), Vec::new(), Vec::new());
        if let (Some(_), Some(key)) = (&self.way.endpoint, &self.key) {
            let seqs: Vec<_> = calls
                .iter()
                .map(|(id, parked)| (id.clone(), parked.call.seq))
                .collect();
            let parked = self.ctx.mcp.sessions().park(key, &mut calls);
            match parked {
                Ok(before) => (elsewhere, displaced) = (seqs, before),
                // They end with the exchange, unless it answers them.
                Err(Unparked::Ended) => {}
                Err(Unparked::NoRoom) => {
                    let error = Error::Full("too many calls wait for an answer".to_owned());
                    return Err(Refused::new(error, &calls));
                }
            }
        }
        for (id, parked) in calls {
            displaced.extend(batch.insert(id, parked));
        }
        let ends: Vec<Noted> = displaced
            .iter()
            .map(|Parked { call, .. }| ended(call, id_reused()))
            .collect();
        owed::settle(self.ctx, ends).await;
        Ok((batch, elsewhere))
    }
}

/// A call that the agent cancelled by a message (before 2026-07-28).
pub(crate) fn cancelled() -> Outcome {
    Outcome {
        state: State::ClientAborted,
        error: Some("cancelled".to_owned()),
        reason: None,
    }
}

/// A call whose id was taken by a later one before it was answered.
pub(crate) fn id_reused() -> Outcome {
    Outcome {
        state: State::StreamError,
        error: Some("id_reused".to_owned()),
        reason: Some("another request took its id before it was answered".to_owned()),
    }
}
