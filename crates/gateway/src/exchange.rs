//! One call in the record: its request event, which opens it, and its terminal event, which closes it.
//!
//! How the terminal event gets into the record whatever happens is `owed`'s.

use crate::config::Target;
use crate::context::Context;
use crate::ending::unforwarded;
use crate::owed::{Queued, submit};
use crate::redact::{self, cut};
use crate::refusal::Schema;
use crate::route::Place;
use event::{
    Agent, Credential, Draft, Exchange, Gap, Http, Ids, Kind, Outcome, Role, Source, Timing,
};
use evidence::Error;
use http::HeaderMap;
use http::request::Parts;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Longest ids and names from headers in an event, in bytes.
const ID_BYTES: usize = 200;

/// Longest address in an event, in bytes. The whole one is in the body `request.head`.
const PATH_BYTES: usize = 2048;

/// What the head of a request says.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Who asks.
    pub(crate) agent: Agent,
    /// With which credential.
    pub(crate) credential: Option<Credential>,
    /// Whom, and what for.
    pub(crate) http: Http,
    /// Ids of other systems.
    pub(crate) ids: Ids,
    /// The head as it is recorded; see [`redact::headers`].
    pub(crate) head: Vec<u8>,
    /// `Content-Type` and `Content-Encoding` of the body.
    pub(crate) form: Form,
}

/// How a body is to be understood, as its sender declares it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form {
    /// `Content-Type`.
    pub(crate) media: Option<String>,
    /// `Content-Encoding`.
    pub(crate) encoding: Option<String>,
}

impl Form {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            media: text(headers, "content-type"),
            encoding: encoding(headers),
        }
    }
}

/// The codings of a body in the order they were applied, however many lines tell them (RFC 9110, sections 5.3 and 8.4).
pub(crate) fn encoding(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all("content-encoding").into_iter();
    let all = lines.fold(String::new(), |mut all, line| {
        all.push_str(if all.is_empty() { "" } else { ", " });
        all.push_str(&String::from_utf8_lossy(line.as_bytes()));
        all
    });
    Some(cut(&all, ID_BYTES).to_owned()).filter(|all| !all.is_empty())
}

/// A header's value as text for an event, bounded.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    let value = String::from_utf8_lossy(value.as_bytes());
    Some(cut(&value, ID_BYTES).to_owned())
}

impl Facts {
    /// Reads the head. `address` is the path with its query that the upstream is asked for.
    pub(crate) fn read(
        ctx: &Context,
        place: &Place<'_>,
        target: Option<&Target>,
        address: &str,
        parts: &Parts,
    ) -> Self {
        let headers = &parts.headers;
        let own = parts
            .uri
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        let mut head = Vec::with_capacity(512);
        let (line, _) = redact::query(own, &ctx.secret_names, &ctx.recorder);
        for part in [
            parts.method.as_str(),
            " ",
            &line,
            " ",
            version(parts.version),
            "\r\n",
        ] {
            head.extend_from_slice(part.as_bytes());
        }
        let from_header = redact::headers(headers, &ctx.secret_names, &ctx.recorder, &mut head);
        let (path, from_query) = redact::query(address, &ctx.secret_names, &ctx.recorder);
        Self {
            agent: Agent {
                name: place.agent.clone(),
                client: text(headers, "user-agent"),
            },
            credential: from_header.or(from_query),
            http: Http {
                upstream: Some(target.map_or_else(
                    || cut(place.name, 64).to_owned(),
                    |target| target.name.clone(),
                )),
                destination: target.map(|target| target.destination.clone()),
                method: Some(cut(parts.method.as_str(), 32).to_owned()),
                path: Some(cut(&path, PATH_BYTES).to_owned()),
                version: Some(version(parts.version).to_owned()),
                status: None,
                relayed: None,
            },
            ids: Ids {
                traceparent: text(headers, "traceparent"),
                request_id: text(headers, "x-client-request-id"),
                session_id: [
                    "x-claude-code-session-id",
                    "session_id",
                    "session-id",
                    "x-session-id",
                ]
                .iter()
                .find_map(|name| text(headers, name)),
                previous_response_id: None,
                idempotency_key: text(headers, "idempotency-key"),
            },
            head,
            form: Form::of(headers),
        }
    }

    /// A request event of `kind` with what the head says.
    pub(crate) fn draft(&self, ctx: &Context, kind: Kind) -> Box<Draft> {
        let mut draft = Box::new(Draft::new(kind, Source::Gateway));
        draft.agent = Some(self.agent.clone());
        draft.credential.clone_from(&self.credential);
        draft.http = Some(self.http.clone());
        draft.ids = Some(self.ids.clone()).filter(|ids| *ids != Ids::default());
        draft.governance.clone_from(&ctx.governance);
        draft
    }
}

/// The error schema for a client of this upstream.
pub(crate) fn schema(target: Option<&Target>, parts: &Parts) -> Schema {
    Schema::of(
        target.map(|target| target.api),
        parts.uri.path(),
        &parts.headers,
    )
}

const fn version(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// The head of an answer as it is recorded.
pub(crate) fn answer_head(ctx: &Context, parts: &http::response::Parts) -> Vec<u8> {
    let mut line = String::with_capacity(32);
    // Writing to a String cannot fail.
    write!(line, "{} {}", version(parts.version), parts.status.as_u16()).ok();
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(line.as_bytes());
    head.push(b' ');
    match parts.extensions.get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => head.extend_from_slice(reason.as_bytes()),
        None => head.extend_from_slice(
            parts
                .status
                .canonical_reason()
                .unwrap_or_default()
                .as_bytes(),
        ),
    }
    head.extend_from_slice(b"\r\n");
    redact::headers(&parts.headers, &ctx.secret_names, &ctx.recorder, &mut head);
    head
}

/// The moments of a call, of the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    /// The request's head was there.
    pub(crate) started: Instant,
    /// The request's last byte was there.
    pub(crate) received: Instant,
    /// The request event was durable.
    pub(crate) durable: Option<Instant>,
    /// The request was forwarded.
    pub(crate) forwarded: Option<Instant>,
    /// The answer's head was there.
    pub(crate) answered: Option<Instant>,
    /// The first byte of the answer's body was released.
    pub(crate) released: Option<Instant>,
    /// Chunks of the answer's body.
    pub(crate) chunks: u64,
}

impl Clock {
    pub(crate) const fn new(started: Instant, received: Instant) -> Self {
        Self {
            started,
            received,
            durable: None,
            forwarded: None,
            answered: None,
            released: None,
            chunks: 0,
        }
    }

    fn timing(&self, now: Instant) -> Timing {
        let us = |from: Instant, to: Instant| {
            u64::try_from(to.duration_since(from).as_micros()).unwrap_or(u64::MAX)
        };
        Timing {
            durable_us: self.durable.map(|durable| us(self.received, durable)),
            upstream_us: self
                .forwarded
                .zip(self.answered)
                .map(|(from, to)| us(from, to)),
            first_byte_us: self.released.map(|released| us(self.started, released)),
            total_us: Some(us(self.started, now)),
            chunks: (self.chunks > 0).then_some(self.chunks),
        }
    }
}

/// An open call.
pub(crate) struct Call {
    pub(crate) ctx: Arc<Context>,
    /// `seq` of the request event.
    pub(crate) seq: u64,
    /// The request event as it was recorded.
    pub(crate) request: Box<Draft>,
    /// Its moments so far.
    pub(crate) clock: Clock,
}

/// A request's bytes and events, ready to be recorded.
pub(crate) struct Opening {
    /// The request event.
    pub(crate) draft: Box<Draft>,
    /// Events that come before it: a run's start, its history.
    pub(crate) ahead: Vec<Draft>,
    /// The head as it is recorded.
    pub(crate) head: Vec<u8>,
    /// The body's declared form.
    pub(crate) form: Form,
}

impl Call {
    /// Records a request. When this returns, its event and its bodies are durable and it may be forwarded.
    pub(crate) async fn open(
        ctx: &Arc<Context>,
        opening: Opening,
        body: &[u8],
        trailers: Option<&HeaderMap>,
        mut clock: Clock,
    ) -> Result<Self, Error> {
        let Opening {
            mut draft,
            ahead,
            head,
            form,
        } = opening;
        let mut before = Vec::with_capacity(ahead.len());
        for draft in ahead {
            before.push(Queued::event(ctx, Box::new(draft)).await);
        }
        draft.bodies.push(
            ctx.recorder
                .put(Role::RequestHead, None, None, &head)
                .await?,
        );
        if !body.is_empty() {
            draft.bodies.push(
                ctx.recorder
                    .put(Role::Request, form.media, form.encoding, body)
                    .await?,
            );
        }
        if let Some(trailers) = trailers {
            draft.bodies.push(put_trailers(ctx, trailers).await?);
        }
        let seq = submit(ctx, &mut draft).await?.await?.seq;
        clock.durable = Some(Instant::now());
        let call = Self {
            ctx: ctx.clone(),
            seq,
            request: draft,
            clock,
        };
        for mut queued in before {
            if let Err(error) = queued.durable().await {
                call.give_up();
                return Err(error);
            }
        }
        ctx.figures.calls.fetch_add(1, Relaxed);
        Ok(call)
    }

    /// Ends a call that is not forwarded after all, because something that belongs to it is not recorded. Whoever asked
    /// need not wait for it.
    pub(crate) fn give_up(self) {
        tokio::spawn(async move {
            let closing = self.close(self.closing(), unforwarded()).await;
            // A failure is counted and logged where it happens; recovery closes the call then.
            closing.settled(&self.ctx).await.ok();
        });
    }

    /// The terminal event so far: who and what are the request's.
    pub(crate) fn closing(&self) -> Box<Draft> {
        let request = &self.request;
        let kind = request.kind.closed_by().unwrap_or(Kind::HttpResponse);
        let mut draft = Box::new(Draft::new(kind, request.source));
        draft.agent.clone_from(&request.agent);
        draft.run.clone_from(&request.run);
        draft.http.clone_from(&request.http);
        draft.mcp.clone_from(&request.mcp);
        draft.tool.clone_from(&request.tool);
        draft.ids.clone_from(&request.ids);
        draft.exchange = Some(Exchange {
            call: Some(self.seq),
            attempt: request
                .exchange
                .as_ref()
                .and_then(|exchange| exchange.attempt),
            retry_of: request
                .exchange
                .as_ref()
                .and_then(|exchange| exchange.retry_of),
        });
        draft
    }

    /// Queues the call's terminal event.
    pub(crate) async fn close(&self, mut draft: Box<Draft>, outcome: Outcome) -> Queued {
        draft.outcome = Some(outcome);
        draft.timing = Some(self.clock.timing(Instant::now()));
        Queued::event(&self.ctx, draft).await
    }

    /// A gap event that belongs to this call.
    pub(crate) fn gap(&self, gap: Gap) -> Box<Draft> {
        let mut draft = Box::new(Draft::new(Kind::Gap, Source::Gateway));
        draft.agent.clone_from(&self.request.agent);
        draft.run.clone_from(&self.request.run);
        draft.causes.push(self.seq);
        draft.gap = Some(gap);
        draft
    }
}

/// Records trailers, secrets replaced.
pub(crate) async fn put_trailers(
    ctx: &Context,
    trailers: &HeaderMap,
) -> Result<event::BodyRef, Error> {
    let mut lines = Vec::new();
    redact::headers(trailers, &ctx.secret_names, &ctx.recorder, &mut lines);
    ctx.recorder.put(Role::Trailers, None, None, &lines).await
}
