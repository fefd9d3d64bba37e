//! MCP over HTTP: Streamable HTTP and the older HTTP+SSE, all revisions, both directions.
//!
//! An exchange that posts one request is that request's record: `tool.request` or `mcp.request` opens it, with the whole
//! HTTP body. Any other exchange is an `http.request`, and the messages in it have events of their own, durable before
//! they are passed on. Statuses, 404 and 405 among them, go through untouched.

use super::batches::Room;
use super::plan::{Exchange, Opened, Posted, Refused};
use super::sessions::{Endpoint, Key};
use super::suspend::stream_key;
use super::{Party, READ_BYTES};
use crate::body::Reply;
use crate::config::Target;
use crate::context::Context;
use crate::exchange::{Facts, text};
use crate::model::moment;
use crate::owed;
use crate::redact;
use crate::refusal::{Cause, Schema};
use crate::relay::{self, Plan};
use crate::request::{self, Received, Unread, Why};
use crate::route::Place;
use crate::runs::{Assignment, Continuity, Ids, Request as RunRequest};
use evidence::Error;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request};
use hyper::body::Incoming;
use protocol::jsonrpc;
use protocol::mcp::{self, View};
use std::sync::Arc;
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
            Unread::by_head(request, started, Cause::UnknownUpstream),
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

/// The server's endpoint, with what the agent asked for beneath it. A lone slash there is the client's, not the server's.
fn joined(base: &str, rest: &str) -> String {
    let query = rest.trim_start_matches('/');
    let whole = if query.is_empty() || query.starts_with('?') {
        format!("{base}{query}")
    } else {
        format!("{}{rest}", base.trim_end_matches('/'))
    };
    if whole.starts_with('/') {
        whole
    } else {
        format!("/{whole}")
    }
}

/// The way of one request to its server.
pub(super) struct Way<'a> {
    pub(super) target: Arc<Target>,
    pub(super) place: Place<'a>,
    /// What the agent asked the gateway for.
    pub(super) own: String,
    /// What the server is asked for; `None` where that cannot be.
    address: Option<PathAndQuery>,
    /// The announced endpoint that the request is for.
    pub(super) endpoint: Option<Endpoint>,
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
            let unread = Unread::by_head(request, started, Cause::BadAddress);
            return refuse(ctx, &self.place, Some(&self.target), unread, reply).await;
        };
        if request.method() != Method::POST && crate::upgrade::is_upgrade(&request) {
            let Self { target, place, .. } = &self;
            let upgraded = crate::upgrade::handle(
                ctx,
                target.clone(),
                place,
                address,
                request,
                started,
                reply,
            );
            return Box::pin(upgraded).await;
        }
        match request::receive(ctx, request, started).await {
            Ok(received) => Box::pin(self.forward(ctx, address, received, reply)).await,
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
        let encoding = facts.form.encoding.as_deref();
        let patience = ctx.limits.memory_timeout;
        let batches = &ctx.mcp.batches;
        let Some(room) = batches.room(encoding, &received.body, patience).await else {
            let error = Error::Full("too many messages of batches are held".to_owned());
            return relay::not_recorded(Schema::JsonRpc, reply, &error);
        };
        let planned = self.plan(ctx, address, &received, facts, room).await;
        match planned {
            Ok((plan, opened)) => {
                let opened = |seq| opened.at(ctx, seq);
                Box::pin(relay::carry(ctx, plan, received, reply, opened)).await;
            }
            Err(refused) => {
                relay::not_recorded(Schema::JsonRpc, reply, &refused.error);
                owed::settle(ctx, refused.ends).await;
            }
        }
    }

    /// What was posted is decoded for no longer than this takes.
    async fn plan(
        &self,
        ctx: &Arc<Context>,
        address: PathAndQuery,
        received: &Received,
        facts: Facts,
        room: Room,
    ) -> Result<(Plan, Opened), Refused> {
        let posts = received.parts.method == Method::POST;
        let encoding = facts.form.encoding.as_deref();
        let (body, _) = protocol::encoding::decode(encoding, &received.body, READ_BYTES as u64);
        let payload = posts.then(|| jsonrpc::read(&body).ok()).flatten();
        let messages = payload
            .as_ref()
            .map_or(&[][..], |payload| &payload.messages);
        let views: Vec<View<'_>> = messages.iter().map(mcp::view).collect();
        let party = self.party(ctx, &facts, received, &views);
        let key = self.key(ctx, &party, &received.parts.headers);
        let assignment = self.assign(ctx, &party, received, &views);
        let asked = Posted {
            payload: payload.as_ref(),
            messages,
            views: &views,
            unreadable: posts && payload.is_none() && !body.is_empty(),
        };
        let exchange = Exchange {
            ctx,
            way: self,
            facts,
            party,
            key,
            assignment,
            room,
        };
        exchange.plan(&asked, address, received).await
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

    /// What the exchange belongs to: a session, or a stream that goes on.
    fn key(&self, ctx: &Context, party: &Party, headers: &HeaderMap) -> Option<Key> {
        match (&self.endpoint, &party.session) {
            (Some(endpoint), _) => Some(endpoint.key.clone()),
            (None, Some(session)) => Some((party.server.clone(), session.clone())),
            (None, None) => {
                let key = stream_key(party, &text(headers, "last-event-id")?);
                Some(ctx.mcp.sessions().first(key))
            }
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
            retry_of: None,
        };
        let (now_ms, entropy) = moment();
        ctx.tracker().assign(&request, now_ms, entropy)
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
        Why::Late => "the request did not arrive in time".to_owned(),
        Why::NoRoom => crate::proxy::NO_ROOM.to_owned(),
        Why::Stopped => "the recorder is stopping".to_owned(),
    };
    let address = target.map_or(place.rest, |target| &target.path);
    let words = (Schema::JsonRpc, message.as_str());
    Box::pin(crate::proxy::not_taken(
        ctx, target, place, address, unread, words, reply,
    ))
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

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn a_clients_trailing_slash_is_not_the_servers() {
        for (base, rest, expected) in [
            ("/mcp", "", "/mcp"),
            ("/mcp", "/", "/mcp"),
            ("/mcp", "//?a=b", "/mcp?a=b"),
            ("/mcp", "?a=b", "/mcp?a=b"),
            ("/mcp", "/messages/?s=1", "/mcp/messages/?s=1"),
            ("/mcp/", "", "/mcp/"),
            ("/mcp/", "/?a=b", "/mcp/?a=b"),
            ("/mcp/", "/messages", "/mcp/messages"),
            ("", "/", "/"),
            ("", "", "/"),
        ] {
            assert_eq!(joined(base, rest), expected, "{base} {rest}");
        }
    }
}
