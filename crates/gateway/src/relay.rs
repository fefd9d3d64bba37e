//! Carrying one call through: recorded, forwarded, answered, closed.
//!
//! What a call means is told by its [`Observer`], which looks at copies and never changes what is relayed.

use crate::body::Reply;
use crate::config::Target;
use crate::context::Context;
use crate::exchange::{Call, Clock, Opening};
use crate::forward::{self, HeldBody};
use crate::owed::{Noted, Queued, settle, settle_queued};
use crate::pump::Pump;
use crate::refusal::{Cause, Schema};
use crate::request::Received;
use bytes::Bytes;
use event::{Draft, Outcome, State};
use http::uri::PathAndQuery;
use http::{Response, StatusCode};
use hyper::body::Incoming;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Instant;

/// Looks at an answer as it passes and fills in the terminal event.
pub(crate) trait Observer: Send {
    /// The answer's head, before any chunk.
    fn head(&mut self, parts: &http::response::Parts);

    /// The next bytes of the body. What goes into `out` is queued before the chunk is.
    fn chunk(&mut self, bytes: &Bytes, out: &mut Vec<Noted>);

    /// Goes on with the bytes of which [`Self::chunk`] looked at a part only, so that `out` stays short. Asked again and
    /// again, each time when what is in `out` is queued, until it returns false: there was nothing more.
    fn go_on(&mut self, _out: &mut Vec<Noted>) -> bool {
        false
    }

    /// Whether what was seen is all that the answer says, so that only the stream's end is still to come: an agent that goes
    /// away then has its answer. Never of an answer that has no such mark.
    fn is_answered(&self) -> bool {
        false
    }

    /// Whether the answer whose head was seen may be silent for as long as it likes: a stream of what a server has to say,
    /// not the answer to a question.
    fn is_standing(&self) -> bool {
        false
    }

    /// What the agent is given of a chunk that was recorded. Everything, but for an answer that would lead it around the
    /// recorder: see `mcp::endpoint`. Never more bytes, over all chunks, than were recorded.
    fn released(&mut self, bytes: Bytes) -> Bytes {
        bytes
    }

    /// The end, also of a call that got no answer. `whole`: the upstream delivered the whole answer. What goes into
    /// `out` is queued before the terminal event `draft`.
    fn finish(
        &mut self,
        call: &Call,
        whole: bool,
        draft: &mut Draft,
        out: &mut Vec<Noted>,
    ) -> Verdict;

    /// The exchange could not be recorded and is not forwarded: what was opened along with it ends. For [`Self::finish`] it
    /// is then too early.
    fn unforwarded(&mut self, _: &mut Vec<Noted>) {}
}

/// What an observer makes of an answer.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Error type of an error answer, whatever its status.
    pub(crate) error: Option<String>,
    /// Error type that came after a status of success.
    pub(crate) stream_error: Option<String>,
    /// A stream that ended without the event that ends it.
    pub(crate) cut_short: bool,
    /// The answer may come on another connection: the call stays open.
    pub(crate) suspend: Option<Suspend>,
}

/// How a call goes on whose stream ended before its answer.
pub(crate) struct Suspend {
    /// The event of what has come, to be given its bodies.
    pub(crate) event: Box<Draft>,
    /// Takes the call over, before the end is released.
    pub(crate) park: Box<dyn FnOnce(Call) + Send>,
}

impl std::fmt::Debug for Suspend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suspend").finish_non_exhaustive()
    }
}

/// When bytes are released to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As the answer's head says: a stream at once, anything else when durable. `streams`: the request asked for a stream.
    Auto {
        /// The request asked for a stream.
        streams: bool,
    },
    /// Nothing before it is durable: a stream chunk by chunk, anything else gathered.
    Strict,
}

/// What it means that the agent goes away before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disconnect {
    /// The call is given up; the upstream sees it.
    Propagate,
    /// The answer is read to its end for the record.
    Drain,
}

/// All that is needed to carry a call through.
pub(crate) struct Plan {
    /// Where it goes.
    pub(crate) target: Arc<Target>,
    /// Path and query to ask for.
    pub(crate) address: PathAndQuery,
    /// What is recorded of the request.
    pub(crate) opening: Opening,
    /// Who looks at the answer.
    pub(crate) observer: Box<dyn Observer>,
    /// When bytes are released.
    pub(crate) pace: Pace,
    /// What a disconnect means.
    pub(crate) on_disconnect: Disconnect,
    /// The client's error schema.
    pub(crate) schema: Schema,
}

/// How a call that was carried ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    /// `seq` of its request event.
    pub(crate) seq: u64,
    /// Its terminal state; `None` while its answer may come on another connection.
    pub(crate) state: Option<State>,
}

/// Carries a call: its request event durable, then forwarded, then the answer relayed and the call closed. `opened` hears
/// the `seq` of the request event before anything is forwarded. `None`: it could not be recorded and was refused.
pub(crate) async fn carry(
    ctx: &Arc<Context>,
    plan: Plan,
    received: Received,
    mut reply: Reply,
    opened: impl FnOnce(u64) + Send,
) -> Option<Carried> {
    let Plan {
        target,
        address,
        opening,
        mut observer,
        pace,
        on_disconnect,
        schema,
    } = plan;
    let Received {
        parts,
        body,
        trailers,
        mut room,
        started,
        received,
    } = received;
    let clock = Clock::new(started, received);
    let mut call = match Call::open(ctx, opening, &body, trailers.as_ref(), clock).await {
        Ok(call) => call,
        Err(error) => {
            not_recorded(schema, reply, &error);
            let mut noted = Vec::new();
            observer.unforwarded(&mut noted);
            settle(ctx, noted).await;
            return None;
        }
    };
    // What the recorder held of it is on disk.
    ctx.memory.shrink(&mut room, body.len() as u64);
    opened(call.seq);
    if on_disconnect == Disconnect::Propagate && reply.is_gone() {
        let ended = unanswered(call, observer.as_mut(), Unanswered::Gone, schema, None);
        return Some(Box::pin(ended).await);
    }
    let held = HeldBody::new(body, trailers, room);
    let request = match forward::outgoing(&target, address, &parts, held, false) {
        Ok(request) => request,
        Err(_) => {
            let why = Unanswered::Address;
            let ended = unanswered(call, observer.as_mut(), why, schema, Some(reply));
            return Some(Box::pin(ended).await);
        }
    };
    call.clock.forwarded = Some(Instant::now());
    let answer = ctx.client(&target).send(parts.version, request);
    let answer = answered(&mut call, &target, answer, &mut reply, on_disconnect).await;
    match answer.and_then(solicited) {
        Ok(response) => {
            let pump = Pump::new(call, observer, pace, on_disconnect, reply, response);
            Some(Box::pin(pump.run()).await)
        }
        Err(why) => {
            let reply = Some(reply).filter(|_| why != Unanswered::Gone);
            let ended = unanswered(call, observer.as_mut(), why, schema, reply);
            Some(Box::pin(ended).await)
        }
    }
}

/// Refuses a call that could not be recorded.
pub(crate) fn not_recorded(schema: Schema, reply: Reply, error: &evidence::Error) {
    let message = match error {
        evidence::Error::Full(_) => {
            "the recorder has no room to record this call, so it was not forwarded; retry later"
        }
        _ => {
            "the recorder is stopping and could not record this call, so it was not forwarded; retry later"
        }
    };
    // An agent that has gone away needs no answer.
    reply.whole(schema.refuse(Cause::NotRecorded, message)).ok();
}

/// The head of the answer is over the HTTP reader's bound.
const HEAD_TOO_LARGE: &str = "answer_head_too_large";

/// Why there is no answer to relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The agent went away.
    Gone,
    /// The address cannot be asked for.
    Address,
    /// No connection: what the operating system, or TLS, said.
    Connect(&'static str),
    /// The connection broke, or what came is not HTTP.
    Broken(&'static str),
    /// The upstream left HTTP, which nobody had asked it to.
    Unsolicited,
    /// No head within the bound.
    Late,
    /// The recorder stops.
    Stopping,
}

impl Unanswered {
    fn outcome(self) -> Outcome {
        let (state, error, reason) = match self {
            Self::Gone => (State::ClientAborted, None, None),
            Self::Address => (
                State::Denied,
                Some(Cause::BadRequest.as_str()),
                Some("the address cannot be forwarded"),
            ),
            Self::Connect(what) => (State::UpstreamError, Some("connect_failed"), Some(what)),
            Self::Broken(what) => (State::UpstreamError, Some(what), None),
            Self::Unsolicited => (
                State::UpstreamError,
                Some("unsolicited_upgrade"),
                Some("the upstream answered 101, which nobody asked for"),
            ),
            Self::Late => (State::Expired, Some("head_timeout"), None),
            Self::Stopping => (
                State::Expired,
                Some("shutdown"),
                Some("the recorder stopped"),
            ),
        };
        Outcome {
            state,
            error: error.map(str::to_owned),
            reason: reason.map(str::to_owned),
        }
    }

    fn refusal(self, schema: Schema) -> Response<crate::body::RelayBody> {
        match self {
            Self::Gone | Self::Address => {
                schema.refuse(Cause::BadRequest, "this address cannot be forwarded")
            }
            Self::Connect(what) => schema.refuse(
                Cause::UpstreamUnreachable,
                &format!("the recorder could not reach the upstream: {what}"),
            ),
            Self::Broken(HEAD_TOO_LARGE) => schema.refuse(
                Cause::UpstreamUnreachable,
                "the upstream's answer has a head that is larger than the recorder takes",
            ),
            Self::Broken(_) => schema.refuse(
                Cause::UpstreamUnreachable,
                "the upstream broke the connection before it answered",
            ),
            Self::Unsolicited => schema.refuse(
                Cause::UpstreamUnreachable,
                "the upstream answered 101 Switching Protocols, which nobody asked for",
            ),
            Self::Late => schema.refuse(
                Cause::UpstreamTimeout,
                "the upstream did not answer in time",
            ),
            Self::Stopping => schema.refuse(Cause::NotRecorded, "the recorder is stopping"),
        }
    }
}

/// Closes a call that got no answer, then tells the agent so.
pub(crate) async fn unanswered(
    call: Call,
    observer: &mut dyn Observer,
    why: Unanswered,
    schema: Schema,
    reply: Option<Reply>,
) -> Carried {
    let mut draft = call.closing();
    let mut noted = Vec::new();
    observer.finish(&call, false, &mut draft, &mut noted);
    let outcome = why.outcome();
    let carried = Carried {
        seq: call.seq,
        state: Some(outcome.state),
    };
    let mut beside = Vec::new();
    for noted in noted {
        beside.push(Queued::noted(&call.ctx, noted).await);
    }
    let closing = call.close(draft, outcome).await;
    let closed = closing.settled(&call.ctx).await;
    if let (Ok(()), Some(reply)) = (closed, reply) {
        // An agent that has gone away needs no answer.
        reply.whole(why.refusal(schema)).ok();
    }
    // A failure is counted and logged where it happens; recovery closes the calls then.
    settle_queued(&call.ctx, beside).await.ok();
    carried
}

/// Waits for the answer's head.
pub(crate) async fn answered(
    call: &mut Call,
    target: &Target,
    answer: hyper_util::client::legacy::ResponseFuture,
    reply: &mut Reply,
    on_disconnect: Disconnect,
) -> Result<Response<Incoming>, Unanswered> {
    let ctx = call.ctx.clone();
    let mut stopping = ctx.stopping();
    let result = tokio::select! {
        biased;
        answer = answer => answer.map_err(|error| broken(&error)),
        () = reply.gone(), if on_disconnect == Disconnect::Propagate => Err(Unanswered::Gone),
        () = tokio::time::sleep(ctx.limits.head_timeout) => Err(Unanswered::Late),
        () = stopping.now() => Err(Unanswered::Stopping),
    };
    let now = Instant::now();
    match &result {
        Ok(_) => {
            let forwarded = call.clock.forwarded.unwrap_or(now);
            let us = u64::try_from(now.duration_since(forwarded).as_micros()).unwrap_or(u64::MAX);
            ctx.figures.answered(&target.label, us);
            call.clock.answered = Some(now);
        }
        Err(_) => ctx.figures.unanswered(&target.label),
    }
    result
}

/// An answer within HTTP, as one without an upgrade has to be.
fn solicited(answer: Response<Incoming>) -> Result<Response<Incoming>, Unanswered> {
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Unanswered::Unsolicited);
    }
    Ok(answer)
}

/// The recorder's own words for what broke: nothing from the wire gets into an event this way.
fn broken(error: &hyper_util::client::legacy::Error) -> Unanswered {
    let mut source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    let (mut io, mut tls, mut http) = (None, None, None);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            io = Some(error.kind());
            tls = tls_failure(error).or(tls);
        }
        http = cause.downcast_ref::<hyper::Error>().or(http);
        source = cause.source();
    }
    if error.is_connect() {
        return Unanswered::Connect(match (tls, io) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => "its certificate is not trusted",
            (Some(_), _) => "TLS could not be agreed on",
            (_, Some(ErrorKind::ConnectionRefused)) => "connection refused",
            (_, Some(ErrorKind::TimedOut)) => "no connection in time",
            (_, Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)) => "no route",
            _ => "its name could not be resolved, or the connection broke",
        });
    }
    match http {
        Some(error) if error.is_parse_too_large() => Unanswered::Broken(HEAD_TOO_LARGE),
        Some(error) if error.is_parse() => Unanswered::Broken("malformed_answer"),
        Some(error) if error.is_incomplete_message() => Unanswered::Broken("closed_before_answer"),
        _ => Unanswered::Broken("broken_before_answer"),
    }
}

/// What TLS says within an error of the operating system's type, however often it is wrapped.
fn tls_failure(error: &std::io::Error) -> Option<&rustls::Error> {
    let mut inner = error.get_ref();
    while let Some(cause) = inner {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        inner = cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref);
    }
    None
}
