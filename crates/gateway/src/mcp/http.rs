//! MCP over HTTP: Streamable HTTP and the older HTTP+SSE, all revisions, both directions.
//!
//! An exchange that posts one request is that request's record: `tool.request` or `mcp.request` opens it, with the whole
//! HTTP body. Any other exchange is an `http.request`, and the messages in it have events of their own, durable before
//! they are passed on. Statuses, 404 and 405 among them, go through untouched.

use super::record;
use super::sessions::{Endpoint, Key, Parked};
use super::watch::{Purpose, Reading, Watch};
use super::{Direction, Party, READ_BYTES};
use crate::body::Reply;
use crate::config::Target;
use crate::context::Context;
use crate::exchange::{Call, Clock, Facts, Opening, text};
use crate::model::moment;
use crate::redact;
use crate::refusal::{Cause, Schema};
use crate::relay::{self, Disconnect, Pace, Plan};
use crate::request::{self, Received, Unread, Why};
use crate::route::Place;
use crate::runs::{Assignment, Continuity, Ids, Request as RunRequest};
use event::{Draft, Kind, Outcome, Role, Source, State};
use evidence::{Error, Pending};
use http::uri::PathAndQuery;
use http::{Method, Request};
use hyper::body::Incoming;
use protocol::jsonrpc::{self, Message, Payload};
use protocol::mcp::{self, Shape, View};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// Whether a server of the HTTP+SSE transport announced this path of the gateway as its endpoint.
pub(crate) fn is_announced(ctx: &Context, own: &str) -> bool {
    ctx.mcp.sessions().endpoint(own).is_some()
}

/// Takes a request to an MCP server to its end.
pub(crate) async fn handle(
    ctx: &Arc<Context>,
    place: Place<'_>,
    request: Request<Incoming>,
    started: Instant,
    reply: Reply,
) {
    let own = request
        .uri()
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string);
    let endpoint = ctx.mcp.sessions().endpoint(&own);
    if let Some(target) = ctx.servers.get(place.name).cloned() {
        let rest = place.rest;
        let endpoint = endpoint.filter(|e| e.key.0 == target.name && e.agent == place.agent);
        let address = PathAndQuery::try_from(joined(&target.path, rest)).ok();
        let way = Way {
            target,
            place,
            own,
            address,
            endpoint,
        };
        return way.take(ctx, request, started, reply).await;
    }
    let announced = endpoint.and_then(|endpoint| {
        let target = ctx.servers.get(&endpoint.key.0).cloned()?;
        Some((target, endpoint))
    });
    let Some((target, endpoint)) = announced else {
        return refuse(
            ctx,
            &place,
            None,
            by_head(request, started, Cause::UnknownUpstream),
            reply,
        )
        .await;
    };
    let name = target.name.clone();
    let place = Place {
        agent: endpoint.agent.clone(),
        run: endpoint.run.clone(),
        name: &name,
        rest: "",
    };
    let address = endpoint.address.clone();
    let way = Way {
        target,
        place,
        own,
        address,
        endpoint: Some(endpoint),
    };
    way.take(ctx, request, started, reply).await;
}

/// The server's path and what the agent asked for beneath it.
fn joined(base: &str, rest: &str) -> String {
    let whole = format!("{base}{rest}");
    if whole.starts_with('/') {
        whole
    } else {
        format!("/{whole}")
    }
}

/// The way of one request to its server.
struct Way<'a> {
    target: Arc<Target>,
    place: Place<'a>,
    /// What the agent asked the gateway for.
    own: String,
    /// What the server is asked for; `None` where that cannot be.
    address: Option<PathAndQuery>,
    /// The announced endpoint that the request is for.
    endpoint: Option<Endpoint>,
}

impl Way<'_> {
    async fn take(
        self,
        ctx: &Arc<Context>,
        request: Request<Incoming>,
        started: Instant,
        reply: Reply,
    ) {
        let Some(address) = self.address.clone() else {
            let unread = by_head(request, started, Cause::BadAddress);
            return refuse(ctx, &self.place, Some(&self.target), unread, reply).await;
        };
        if crate::upgrade::is_upgrade(&request) {
            let Self { target, place, .. } = &self;
            return crate::upgrade::handle(
                ctx,
                target.clone(),
                place,
                address,
                request,
                started,
                reply,
            )
            .await;
        }
        match request::receive(ctx, request, started).await {
            Ok(received) => self.forward(ctx, address, received, reply).await,
            Err(unread) => refuse(ctx, &self.place, Some(&self.target), *unread, reply).await,
        }
    }

    async fn forward(
        self,
        ctx: &Arc<Context>,
        address: PathAndQuery,
        received: Received,
        reply: Reply,
    ) {
        let facts = Facts::read(
            ctx,
            &self.place,
            Some(&self.target),
            address.as_str(),
            &received.parts,
        );
        let posts = received.parts.method == Method::POST;
        let encoding = facts.form.encoding.as_deref();
        let (body, _) = protocol::encoding::decode(encoding, &received.body, READ_BYTES as u64);
        let payload = posts.then(|| jsonrpc::read(&body).ok()).flatten();
        let messages = payload
            .as_ref()
            .map_or(&[][..], |payload| &payload.messages);
        let views: Vec<View<'_>> = messages.iter().map(mcp::view).collect();
        let party = self.party(ctx, &facts, &received, &views);
        let key = self.key(&party);
        let assignment = self.assign(ctx, &party, &received, &views);
        let asked = Posted {
            payload: payload.as_ref(),
            messages,
            views: &views,
        };
        let exchange = Exchange {
            ctx,
            way: &self,
            facts,
            party,
            key,
            assignment,
        };
        match exchange.plan(&asked, address, &received).await {
            Ok((plan, seq, unforwarded)) => {
                let carried = relay::carry(ctx, plan, received, reply, |opened| {
                    seq.set(opened).ok();
                })
                .await;
                if carried.is_none() {
                    close_unforwarded(ctx, unforwarded).await;
                }
            }
            Err(error) => relay::not_recorded(Schema::JsonRpc, reply, &error),
        }
    }

    fn party(
        &self,
        ctx: &Context,
        facts: &Facts,
        received: &Received,
        views: &[View<'_>],
    ) -> Party {
        let headers = &received.parts.headers;
        let session = match &self.endpoint {
            Some(endpoint) => Some(endpoint.key.1.clone()),
            None => text(headers, "mcp-session-id"),
        };
        // The body decides; a header only where the body says nothing.
        let stated = views
            .iter()
            .filter(|view| view.method.as_deref() != Some("initialize"))
            .find_map(|view| view.protocol_version.clone());
        let agreed = session.as_ref().and_then(|session| {
            ctx.mcp
                .sessions()
                .version(&(self.target.name.clone(), session.clone()))
        });
        Party {
            agent: facts.agent.clone(),
            server: self.target.name.clone(),
            session,
            version: stated
                .or_else(|| text(headers, "mcp-protocol-version"))
                .or(agreed),
        }
    }

    fn key(&self, party: &Party) -> Option<Key> {
        match &self.endpoint {
            Some(endpoint) => Some(endpoint.key.clone()),
            None => Some((party.server.clone(), party.session.clone()?)),
        }
    }

    fn assign(
        &self,
        ctx: &Context,
        party: &Party,
        received: &Received,
        views: &[View<'_>],
    ) -> Option<Assignment> {
        let mut ids = Ids::of(&received.parts.headers, self.place.run.as_deref());
        if let Some(endpoint) = &self.endpoint {
            ids.mcp_session = Some(endpoint.key.1.as_bytes());
        }
        let traceparent = views.iter().find_map(|view| view.traceparent.as_deref());
        ids.traceparent = ids.traceparent.or(traceparent.map(str::as_bytes));
        let begins = views
            .iter()
            .any(|view| view.method.as_deref() == Some("initialize"));
        let call = views.iter().find(|view| view.is_tool_call());
        let request = RunRequest {
            agent: &party.agent.name,
            ids,
            continuity: Continuity::Server {
                name: &party.server,
                begins,
            },
            tool_call: call.map(|view| {
                (
                    view.target.as_deref().unwrap_or_default(),
                    view.arguments.unwrap_or("{}"),
                )
            }),
        };
        let (now_ms, entropy) = moment();
        ctx.tracker().assign(&request, now_ms, entropy)
    }
}

/// What was posted.
struct Posted<'a> {
    payload: Option<&'a Payload<'a>>,
    messages: &'a [Message<'a>],
    views: &'a [View<'a>],
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
struct Exchange<'a> {
    ctx: &'a Arc<Context>,
    way: &'a Way<'a>,
    facts: Facts,
    party: Party,
    key: Option<Key>,
    assignment: Option<Assignment>,
}

type Planned = (Plan, Arc<OnceLock<u64>>, Vec<Draft>);

impl Exchange<'_> {
    /// Everything that carries the exchange through. What it holds beside its own request event is recorded when this
    /// returns. Also returns the terminal events of calls that end unforwarded if the exchange cannot be recorded.
    async fn plan(
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
async fn close_unforwarded(ctx: &Context, drafts: Vec<Draft>) {
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

fn by_head(request: Request<Incoming>, started: Instant, cause: Cause) -> Unread {
    let (parts, rest) = request.into_parts();
    Unread {
        parts,
        body: bytes::Bytes::new(),
        why: Why::Refused(cause),
        started,
        rest,
    }
}

/// Records a request that is not forwarded, and says why in JSON-RPC's words.
async fn refuse(
    ctx: &Arc<Context>,
    place: &Place<'_>,
    target: Option<&Target>,
    unread: Unread,
    reply: Reply,
) {
    let message = match unread.why {
        Why::Refused(Cause::UnknownUpstream) => unknown(ctx, place.name),
        Why::Refused(_) => {
            "the server announced an endpoint on another host, which the recorder does not follow; \
                            configure that host as a server of its own"
                .to_owned()
        }
        Why::TooLarge { .. } => format!(
            "the request body is over the recorder's limit of {} bytes; raise limits.request_body",
            ctx.limits.request_body
        ),
        Why::Broken => "the request did not arrive whole".to_owned(),
        Why::Silent => "the request did not arrive in time".to_owned(),
    };
    let address = target.map_or(place.rest, |target| &target.path);
    crate::proxy::not_taken(
        ctx,
        target,
        place,
        address,
        unread,
        (Schema::JsonRpc, &message),
        reply,
    )
    .await;
}

fn unknown(ctx: &Context, name: &str) -> String {
    let names: Vec<&str> = ctx.servers.keys().map(String::as_str).collect();
    let known = match names.is_empty() {
        true => "none is configured; add [mcp.NAME] with its url".to_owned(),
        false => format!("configured are {}", names.join(", ")),
    };
    format!(
        "no MCP server is called `{}`; {known}. Use /agent/NAME/mcp/SERVER",
        redact::cut(name, 64)
    )
}
