//! From a posted payload to its events: which request is the record of the exchange, and which messages have events of
//! their own.

use super::http::Way;
use super::record;
use super::sessions::{Key, Parked};
use super::watch::{Purpose, Reading, Watch};
use super::{Direction, Party};
use crate::context::Context;
use crate::exchange::{Call, Clock, Facts, Opening};
use crate::refusal::{Cause, Schema};
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
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// What was posted.
pub(super) struct Posted<'a> {
    pub(super) payload: Option<&'a Payload<'a>>,
    pub(super) messages: &'a [Message<'a>],
    pub(super) views: &'a [View<'a>],
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
}

pub(super) type Planned = (Plan, Arc<OnceLock<u64>>, Vec<Draft>);

impl Exchange<'_> {
    /// Everything that carries the exchange through. What it holds beside its own request event is recorded when this
    /// returns. Also returns the terminal events of calls that end unforwarded if the exchange cannot be recorded.
    pub(super) async fn plan(
        self,
        posted: &Posted<'_>,
        address: PathAndQuery,
        received: &Received,
    ) -> Result<Planned, Error> {
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
        let mut unforwarded = Vec::new();
        if let Some(view) = single {
            let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
            own = view.id.clone().map(|id| (id, asked));
        } else {
            draft.mcp = Some(record::transport(&self.party, posted.batch()));
            if posted.requests().next().is_some() {
                for draft in std::mem::take(&mut ahead) {
                    drop(self.ctx.recorder.submit(&draft).await?);
                }
            }
            let calls = self.open_calls(posted, received).await?;
            unforwarded = calls
                .iter()
                .map(|(_, parked)| parked.call.closing())
                .collect();
            match (&self.way.endpoint, &self.key) {
                (Some(_), Some(key)) => elsewhere = self.park(key, calls).await?,
                _ => batch = calls.into_iter().collect(),
            }
            for (message, view) in posted.others() {
                ahead.push(self.message(message, view).await?);
            }
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
            elsewhere,
            seq: seq.clone(),
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
        Ok((plan, seq, unforwarded))
    }

    fn draft(&self, kind: Kind) -> Draft {
        let mut draft = self.facts.draft(self.ctx, kind);
        draft.run = self
            .assignment
            .as_ref()
            .map(|assignment| assignment.run.clone());
        draft
    }

    /// A message that asks for no answer: its event, its bytes recorded.
    async fn message(&self, message: &Message<'_>, view: &View<'_>) -> Result<Draft, Error> {
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

    /// Opens a call for each request of the payload; durable when this returns.
    async fn open_calls(
        &self,
        posted: &Posted<'_>,
        received: &Received,
    ) -> Result<Vec<(jsonrpc::Id, Parked)>, Error> {
        let mut opening: Vec<(Pending, Draft, record::Asked, jsonrpc::Id)> = Vec::new();
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
            opening.push((self.ctx.recorder.submit(&draft).await?, draft, asked, id));
        }
        let mut calls = Vec::with_capacity(opening.len());
        for (pending, request, asked, id) in opening {
            let seq = pending.await?.seq;
            let mut clock = Clock::new(received.started, received.received);
            let now = Instant::now();
            (clock.durable, clock.forwarded) = (Some(now), Some(now));
            calls.push((
                id,
                Parked {
                    call: Call {
                        ctx: self.ctx.clone(),
                        seq,
                        request,
                        clock,
                    },
                    asked,
                },
            ));
        }
        Ok(calls)
    }

    /// Lets the calls wait for their answers on the session's stream.
    async fn park(
        &self,
        key: &Key,
        calls: Vec<(jsonrpc::Id, Parked)>,
    ) -> Result<Vec<jsonrpc::Id>, Error> {
        if !self.ctx.mcp.sessions().has_room(calls.len()) {
            let drafts = calls
                .iter()
                .map(|(_, parked)| parked.call.closing())
                .collect();
            close_unforwarded(self.ctx, drafts).await;
            return Err(Error::Full("too many calls wait for an answer".to_owned()));
        }
        let ids = calls.iter().map(|(id, _)| id.clone()).collect();
        for (id, parked) in calls {
            let before = self.ctx.mcp.sessions().park(key, id, parked);
            if let Some(Parked { call, .. }) = before {
                let outcome = Outcome {
                    state: State::StreamError,
                    error: Some("id_reused".to_owned()),
                    reason: Some("another request took its id before it was answered".to_owned()),
                };
                call.close(&mut call.closing(), outcome).await?;
            }
        }
        Ok(ids)
    }
}

/// Closes calls whose exchange could not be recorded, so that it was not forwarded.
pub(super) async fn close_unforwarded(ctx: &Context, drafts: Vec<Draft>) {
    for mut draft in drafts {
        draft.outcome = Some(Outcome {
            state: State::Denied,
            error: Some(Cause::NotRecorded.as_str().to_owned()),
            reason: None,
        });
        if let Err(error) = ctx.recorder.append(&draft).await {
            ctx.figures
                .unrecorded
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tracing::warn!(%error, "a call's end could not be recorded");
        }
    }
}
