//! Connections that leave HTTP: WebSocket, and whatever else an agent and an upstream agree on.
//!
//! The original bytes go through. What an agent sends is durable before it is forwarded; what an upstream sends is durable
//! within 50 ms of its release, or the next bytes wait. What is not WebSocket is recorded as it is read.

use crate::body::{RelayBody, Reply};
use crate::config::Target;
use crate::context::Context;
use crate::exchange::{Call, Clock, Facts, Opening, answer_head, schema};
use crate::forward::{self, HeldBody, strip_answer};
use crate::model::{Asked, moment};
use crate::owed::{Queued, give_up_bodies, settle_queued};
use crate::pump::Pump;
use crate::relay::{self, Disconnect, Observer as _, Pace, Unanswered};
use crate::request::{self, Received};
use crate::route::Place;
use crate::tunnel::{self, Carries, Ended};
use event::{Exchange, Kind, Outcome, Role, State};
use http::header::{CONNECTION, HeaderMap, SEC_WEBSOCKET_EXTENSIONS, UPGRADE};
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use protocol::UpstreamApi;
use protocol::websocket::Deflate;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long both sides may take to switch after 101.
const SWITCH: Duration = Duration::from_secs(10);

/// Whether the request asks to leave HTTP. HTTP/2 by upgrade (`h2c`) is not offered: such a client goes on with HTTP/1.1.
/// To be asked of requests that are no call by themselves: a call stays one whatever its client offers beside it (some offer
/// TLS with every request), since a server may leave any offer aside (RFC 9110, 7.8).
pub(crate) fn is_upgrade<B>(request: &Request<B>) -> bool {
    let asks = |headers: &HeaderMap| {
        let protocol = headers.get(UPGRADE).map(http::HeaderValue::as_bytes);
        protocol.is_some_and(|protocol| !protocol.to_ascii_lowercase().starts_with(b"h2"))
    };
    request.version() == Version::HTTP_11
        && names_upgrade(request.headers())
        && asks(request.headers())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let values = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// Carries a request that asks for an upgrade.
pub(crate) async fn handle(
    ctx: &Arc<Context>,
    target: Arc<Target>,
    place: &Place<'_>,
    address: PathAndQuery,
    mut request: Request<Incoming>,
    started: Instant,
    mut reply: Reply,
) {
    let agent_side = hyper::upgrade::on(&mut request);
    let received = match request::receive(ctx, request, started).await {
        Ok(received) => received,
        Err(unread) => {
            return crate::proxy::not_received(
                ctx,
                Some(&target),
                place,
                address.as_str(),
                *unread,
                reply,
            )
            .await;
        }
    };
    let facts = Facts::read(ctx, place, Some(&target), address.as_str(), &received.parts);
    let asked = Asked::read(target.api, address.as_str(), &received, &facts.form);
    let mut draft = facts.draft(ctx, Kind::HttpRequest);
    draft.exchange = Some(Exchange {
        attempt: Some(1),
        ..Exchange::default()
    });
    let (mut ahead, mut observer) =
        asked.assign(ctx, &received, place.run.as_deref(), None, &mut draft);
    if draft.run.is_none() {
        ahead.extend(own_run(ctx, &mut draft));
    }
    let schema = schema(Some(&target), &received.parts);
    let model = is_model_session(&target, address.path());
    let Received {
        parts,
        body,
        trailers,
        room,
        started,
        received,
    } = received;
    let opening = Opening {
        draft,
        ahead,
        head: facts.head,
        form: facts.form,
    };
    let clock = Clock::new(started, received);
    let mut call = match Call::open(ctx, opening, &body, trailers.as_ref(), clock).await {
        Ok(call) => call,
        Err(error) => return relay::not_recorded(schema, reply, &error),
    };
    let held = HeldBody::new(body, trailers, room);
    let Ok(outgoing) = forward::outgoing(&target, address, &parts, held, true) else {
        relay::unanswered(
            call,
            &mut observer,
            Unanswered::Address,
            schema,
            Some(reply),
        )
        .await;
        return;
    };
    call.clock.forwarded = Some(Instant::now());
    // Only HTTP/1.1 can be left this way.
    let answer = ctx.client(&target).send(Version::HTTP_11, outgoing);
    let response = match relay::answered(
        &mut call,
        &target,
        answer,
        &mut reply,
        Disconnect::Propagate,
    )
    .await
    {
        Ok(response) => response,
        Err(why) => {
            let reply = Some(reply).filter(|_| why != Unanswered::Gone);
            relay::unanswered(call, &mut observer, why, schema, reply).await;
            return;
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let switched = switched(call, agent_side, observer, reply, response, model);
        Box::pin(switched).await;
    } else {
        let pace = Pace::Auto { streams: false };
        let pump = Pump::new(
            call,
            Box::new(observer),
            pace,
            Disconnect::Propagate,
            reply,
            response,
        );
        Box::pin(pump.run()).await;
    }
}

/// Whether the messages of an upgraded connection are those of Realtime, or of Responses over WebSocket.
fn is_model_session(target: &Target, path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next();
    target.api == UpstreamApi::OpenAi || matches!(last, Some("realtime" | "responses"))
}

/// A connection of its own that nothing ties to a run is one.
fn own_run(ctx: &Context, draft: &mut event::Draft) -> Vec<event::Draft> {
    let agent = draft.agent.clone().unwrap_or_default();
    let request = crate::runs::Request {
        agent: &agent.name,
        ids: crate::runs::Ids::default(),
        continuity: crate::runs::Continuity::Process,
        tool_call: None,
        retry_of: None,
    };
    let (now_ms, entropy) = moment();
    let Some(assigned) = ctx.tracker().assign(&request, now_ms, entropy) else {
        return Vec::new();
    };
    let events = assigned.events(&agent, draft.source);
    draft.run = Some(assigned.run);
    events
}

async fn switched(
    call: Call,
    agent_side: OnUpgrade,
    mut observer: crate::model::ModelObserver,
    reply: Reply,
    mut response: Response<Incoming>,
    model: bool,
) {
    let ctx = call.ctx.clone();
    let upstream_side = hyper::upgrade::on(&mut response);
    let (mut parts, _) = response.into_parts();
    observer.head(&parts);
    let head = answer_head(&ctx, &parts);
    let deflate = parts
        .headers
        .get(SEC_WEBSOCKET_EXTENSIONS)
        .and_then(|value| value.to_str().ok());
    let deflate = deflate.and_then(Deflate::negotiated);
    let websocket = parts
        .headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let carries = Carries {
        websocket,
        deflate,
        model,
    };
    strip_answer(&mut parts.headers, true);
    parts.version = Version::HTTP_11;
    let response = Response::from_parts(parts, RelayBody::whole([], None, Some(0)));

    let mut draft = call.closing();
    if let Some(http) = &mut draft.http {
        http.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
    }
    let ended = match record_head(&call, &head).await {
        Ok(head) => {
            draft.bodies.push(head);
            match meet(agent_side, upstream_side, reply, response).await {
                Ok((agent, upstream)) => {
                    Box::pin(tunnel::run(&call, agent, upstream, carries)).await
                }
                Err(ended) => ended,
            }
        }
        Err(_) => {
            give_up_bodies(&mut draft, head.len() as u64);
            Ended::Unrecorded
        }
    };
    let mut noted = Vec::new();
    observer.finish(&call, true, &mut draft, &mut noted);
    let mut beside = Vec::new();
    for noted in noted {
        beside.push(Queued::noted(&ctx, noted).await);
    }
    beside.push(call.close(draft, outcome(ended)).await);
    // A failure is counted and logged where it happens; recovery closes the call then.
    settle_queued(&ctx, beside).await.ok();
}

async fn record_head(call: &Call, head: &[u8]) -> Result<event::BodyRef, evidence::Error> {
    let mut writer = call.ctx.recorder.body()?;
    writer.attach(call.seq, Role::ResponseHead);
    writer.write(head).await?;
    let durable = writer.flush().await?;
    let head = writer.finish(Role::ResponseHead, None, None).await?;
    durable.await?;
    Ok(head)
}

/// Releases the 101 and waits until both sides have left HTTP.
async fn meet(
    agent: OnUpgrade,
    upstream: OnUpgrade,
    reply: Reply,
    response: Response<RelayBody>,
) -> Result<(Upgraded, Upgraded), Ended> {
    reply.whole(response).map_err(|_| Ended::AgentLeft)?;
    let both = async {
        let upstream = upstream.await.map_err(|_| Ended::UpstreamBroke)?;
        let agent = agent.await.map_err(|_| Ended::AgentLeft)?;
        Ok((agent, upstream))
    };
    tokio::time::timeout(SWITCH, both)
        .await
        .unwrap_or(Err(Ended::AgentLeft))
}

fn outcome(ended: Ended) -> Outcome {
    let (state, error, reason) = match ended {
        Ended::Closed => (State::Completed, None, None),
        Ended::AgentLeft => (State::ClientAborted, None, None),
        Ended::UpstreamBroke => (
            State::StreamError,
            Some("closed_without_close"),
            Some("the upstream closed the connection without a closing frame"),
        ),
        Ended::Idle => (
            State::Expired,
            Some("idle_timeout"),
            Some("neither side sent anything for limits.tunnel_idle_timeout"),
        ),
        Ended::Stopped => (
            State::Expired,
            Some("shutdown"),
            Some("the recorder stopped"),
        ),
        Ended::Unrecorded => (
            State::StreamError,
            Some("not_recorded"),
            Some("the recorder had no room for a message"),
        ),
    };
    Outcome {
        state,
        error: error.map(str::to_owned),
        reason: reason.map(str::to_owned),
    }
}
