//! One request to an HTTP upstream, from its head on.

use crate::admission::Admission;
use crate::attempts::{Attempt, End, Fingerprint};
use crate::body::Reply;
use crate::config::Target;
use crate::context::Context;
use crate::exchange::{Call, Clock, Facts, Opening, schema};
use crate::join::join;
use crate::model::{Asked, moment};
use crate::refusal::{Cause, Schema};
use crate::relay::{self, Disconnect, Pace, Plan};
use crate::request::{self, Unread, Why};
use crate::route::{Place, Route, UNNAMED};
use crate::runs::{Continuity, Ids, Request as InRun};
use crate::wire::TwoLengths;
use event::{Exchange, Kind, Outcome, State};
use http::uri::PathAndQuery;
use http::{Method, Request};
use hyper::body::Incoming;
use std::sync::Arc;
use std::time::Instant;

/// Takes a request to its end.
pub(crate) async fn handle(
    ctx: Arc<Context>,
    admission: &Admission,
    request: Request<Incoming>,
    started: Instant,
    reply: Reply,
) {
    let own = request
        .uri()
        .path_and_query()
        .map_or_else(|| "/".to_owned(), |own| own.as_str().to_owned());
    let route = Route::read(&own);
    let foreign = || admission.refuses(request.uri(), request.headers());
    if let Some(cause) = not_plain(&request).or_else(foreign) {
        return turn_away(&ctx, route, request, started, cause, reply).await;
    }
    match route {
        Route::Home => refuse(&ctx, &nowhere(), request, started, Cause::BadAddress, reply).await,
        Route::Mcp(place) => {
            Box::pin(crate::mcp::http::handle(
                &ctx, place, request, started, reply,
            ))
            .await
        }
        Route::Upstream(place) => match ctx.upstreams.get(place.name).cloned() {
            // A server of the HTTP+SSE transport may have told its client to post there.
            None if crate::mcp::http::is_announced(&ctx, &own) => {
                Box::pin(crate::mcp::http::handle(
                    &ctx, place, request, started, reply,
                ))
                .await
            }
            None => {
                refuse(
                    &ctx,
                    &place,
                    request,
                    started,
                    Cause::UnknownUpstream,
                    reply,
                )
                .await
            }
            Some(target) => upstream(&ctx, target, &place, request, started, reply).await,
        },
    }
}

/// Refuses a request that a web page sent, or may have sent.
async fn turn_away(
    ctx: &Arc<Context>,
    route: Route<'_>,
    request: Request<Incoming>,
    started: Instant,
    cause: Cause,
    reply: Reply,
) {
    let unread = Unread::by_head(request, started, cause);
    let (place, target, own_words) = match route {
        Route::Home => (nowhere(), None, None),
        Route::Upstream(place) => {
            let target = ctx.upstreams.get(place.name);
            (place, target, None)
        }
        Route::Mcp(place) => {
            let target = ctx.servers.get(place.name);
            (place, target, Some(Schema::JsonRpc))
        }
    };
    let target = target.map(Arc::as_ref);
    let schema = own_words.unwrap_or_else(|| schema(target, &unread.parts));
    let message = message(ctx, &place, unread.why);
    let words = (schema, message.as_str());
    Box::pin(not_taken(
        ctx, target, &place, place.rest, unread, words, reply,
    ))
    .await;
}

/// What the recorder cannot carry through as it is meant.
fn not_plain(request: &Request<Incoming>) -> Option<Cause> {
    if request.method() == Method::CONNECT {
        return Some(Cause::Tunnel);
    }
    request
        .extensions()
        .get::<TwoLengths>()
        .map(|_| Cause::TwoLengths)
}

fn nowhere() -> Place<'static> {
    Place {
        agent: UNNAMED.to_owned(),
        run: None,
        name: "",
        rest: "",
    }
}

async fn upstream(
    ctx: &Arc<Context>,
    target: Arc<Target>,
    place: &Place<'_>,
    request: Request<Incoming>,
    started: Instant,
    reply: Reply,
) {
    let joined = join(target.api, &target.path, place.rest);
    let Ok(address) = PathAndQuery::try_from(joined) else {
        return refuse(ctx, place, request, started, Cause::BadAddress, reply).await;
    };
    let kind = Asked::kind_of(target.api, request.method().as_str(), address.as_str());
    if kind != Kind::ModelRequest && crate::upgrade::is_upgrade(&request) {
        let upgraded = crate::upgrade::handle(ctx, target, place, address, request, started, reply);
        return Box::pin(upgraded).await;
    }
    let received = match request::receive(ctx, request, started).await {
        Ok(received) => received,
        Err(unread) => {
            return not_received(ctx, Some(&target), place, address.as_str(), *unread, reply).await;
        }
    };
    let facts = Facts::read(ctx, place, Some(&target), address.as_str(), &received.parts);
    let asked = Asked::read(target.api, address.as_str(), &received, &facts.form);
    let mut draft = facts.draft(ctx, asked.kind);
    let attempt = attempt(ctx, &facts, &target, address.as_str(), &received);
    draft.exchange = Some(Exchange {
        call: None,
        attempt: Some(attempt.number),
        retry_of: attempt.retry_of,
    });
    let pace = Pace::Auto {
        streams: asked.streams(),
    };
    let (ahead, observer) = asked.assign(
        ctx,
        &received,
        place.run.as_deref(),
        attempt.run.as_deref(),
        &mut draft,
    );
    let run = draft.run.as_ref().map(|run| run.id.clone());
    let plan = Plan {
        schema: schema(Some(&target), &received.parts),
        target,
        address,
        opening: Opening {
            draft,
            ahead,
            head: facts.head,
            form: facts.form,
        },
        observer: Box::new(observer),
        pace,
        on_disconnect: Disconnect::Propagate,
    };
    let opened = |seq| ctx.attempts().opened(&attempt, seq, run, Instant::now());
    let end = match Box::pin(relay::carry(ctx, plan, received, reply, opened)).await {
        None => End::NotOpened,
        Some(carried) if carried.state == Some(State::Completed) => End::Answered,
        Some(_) => End::Failed,
    };
    ctx.attempts().ended(&attempt, end, Instant::now());
}

fn attempt(
    ctx: &Context,
    facts: &Facts,
    target: &Target,
    address: &str,
    received: &request::Received,
) -> Attempt {
    let headers = &received.parts.headers;
    let retries = headers
        .get("x-stainless-retry-count")
        .and_then(|value| value.to_str().ok());
    let keys = Attempt::keys(
        &ctx.hasher,
        &Fingerprint {
            agent: &facts.agent.name,
            upstream: &target.name,
            method: received.parts.method.as_str(),
            path: address,
            idempotency_key: facts.ids.idempotency_key.as_deref(),
            retries: retries.and_then(|value| value.parse().ok()).unwrap_or(0),
            body: &received.body,
        },
    );
    ctx.attempts().look_up(keys, Instant::now())
}

/// Refuses a request by its head alone: it is recorded as denied and not forwarded.
pub(crate) async fn refuse(
    ctx: &Arc<Context>,
    place: &Place<'_>,
    request: Request<Incoming>,
    started: Instant,
    cause: Cause,
    reply: Reply,
) {
    let unread = Unread::by_head(request, started, cause);
    not_received(ctx, None, place, place.rest, unread, reply).await;
}

/// Records a request that is not forwarded, and says why.
pub(crate) async fn not_received(
    ctx: &Arc<Context>,
    target: Option<&Target>,
    place: &Place<'_>,
    address: &str,
    unread: Unread,
    reply: Reply,
) {
    let schema = schema(target, &unread.parts);
    let message = message(ctx, place, unread.why);
    let words = (schema, message.as_str());
    Box::pin(not_taken(ctx, target, place, address, unread, words, reply)).await;
}

/// As [`not_received`], in the schema and with the words given.
pub(crate) async fn not_taken(
    ctx: &Arc<Context>,
    target: Option<&Target>,
    place: &Place<'_>,
    address: &str,
    unread: Unread,
    (schema, message): (Schema, &str),
    reply: Reply,
) {
    let is_talking = unread.is_talking();
    let Unread {
        parts,
        body,
        room,
        why,
        started,
        rest,
    } = unread;
    let facts = Facts::read(ctx, place, target, address, &parts);
    let kind = target.map_or(Kind::HttpRequest, |target| {
        Asked::kind_of(target.api, parts.method.as_str(), address)
    });
    let mut draft = facts.draft(ctx, kind);
    let (now_ms, entropy) = moment();
    let in_run = InRun {
        agent: &facts.agent.name,
        ids: Ids::of(&parts.headers, place.run.as_deref()),
        continuity: Continuity::None,
        tool_call: None,
        retry_of: None,
    };
    let assigned = ctx.tracker().assign(&in_run, now_ms, entropy);
    let ahead = assigned
        .as_ref()
        .map(|run| run.events(&facts.agent, draft.source))
        .unwrap_or_default();
    if let Some(assigned) = assigned {
        assigned.place(&mut draft);
    }
    let opening = Opening {
        draft,
        ahead,
        head: facts.head,
        form: facts.form,
    };
    let clock = Clock::new(started, Instant::now());
    let call = match Call::open(ctx, opening, &body, None, clock).await {
        Ok(call) => call,
        Err(error) => return relay::not_recorded(schema, reply, &error),
    };
    drop((body, room));
    let cause = why.cause();
    let (state, error, reason) = match why {
        Why::Broken => (State::ClientAborted, "request_incomplete", None),
        Why::Stopped => (State::Expired, "shutdown", Some("the recorder stopped")),
        _ => (State::Denied, cause.as_str(), None),
    };
    let outcome = Outcome {
        state,
        error: Some(error.to_owned()),
        reason: reason.map(str::to_owned),
    };
    let closing = call.close(call.closing(), outcome).await;
    if let Err(error) = closing.settled(ctx).await {
        return relay::not_recorded(schema, reply, &error);
    }
    // An agent that has gone away needs no answer.
    reply.whole(schema.refuse(cause, message)).ok();
    if is_talking {
        request::drain(rest).await;
    }
}

/// What an agent is told whose request found no room.
pub(crate) const NO_ROOM: &str =
    "the recorder holds as many request bytes as limits.memory allows; retry later";

fn message(ctx: &Context, place: &Place<'_>, why: Why) -> String {
    match why {
        Why::TooLarge { declared } => {
            let declared = declared
                .map(|len| format!(" of {len} bytes"))
                .unwrap_or_default();
            format!(
                "the request body{declared} is over the recorder's limit of {} bytes; raise limits.request_body",
                ctx.limits.request_body
            )
        }
        Why::Refused(Cause::UnknownUpstream) => {
            let names: Vec<&str> = ctx.upstreams.keys().map(String::as_str).collect();
            let shown = crate::redact::cut(place.name, 64);
            format!(
                "no upstream is called `{shown}`; configured are {}. Use /agent/NAME/UPSTREAM/... or /UPSTREAM/...",
                names.join(", ")
            )
        }
        Why::Refused(Cause::ForeignHost) => {
            "the request's Host is a name that the recorder does not go by; use its address or `localhost`, or add the name \
             to gateway.allowed_hosts"
                .to_owned()
        }
        Why::Refused(Cause::ForeignOrigin) => {
            "the request comes from a web page that may not use the recorder; add its origin to gateway.allowed_origins if it may"
                .to_owned()
        }
        Why::Refused(Cause::TwoLengths) => {
            "the request declares its length twice, by Content-Length and by Transfer-Encoding; send one of them".to_owned()
        }
        Why::Refused(Cause::Tunnel) => {
            "the recorder is no CONNECT proxy; set it as the base URL: /agent/NAME/UPSTREAM/...".to_owned()
        }
        Why::Refused(_) => {
            "this address leads nowhere; use /agent/NAME/UPSTREAM/... or /UPSTREAM/...".to_owned()
        }
        Why::Broken => "the request did not arrive whole".to_owned(),
        Why::Late => "the request did not arrive in time".to_owned(),
        Why::NoRoom => NO_ROOM.to_owned(),
        Why::Stopped => "the recorder is stopping".to_owned(),
    }
}
