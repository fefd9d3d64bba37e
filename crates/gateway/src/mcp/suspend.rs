//! Calls whose stream ended before their answer: a server may hang up and be asked again, with `Last-Event-ID`
//! (revisions 2025-03-26 to 2025-11-25, Streamable HTTP, Resumability and Redelivery).
//!
//! Such a call stays open. Its answer, on whichever stream of the session it comes, closes it; so does the end of the session,
//! or that no stream is open for `limits.idle_timeout` on which its answer could come.

use super::record::{Asked, cut, transport};
use super::sessions::{Key, Parked, Waiting};
use super::{Direction, Party};
use crate::context::Context;
use crate::exchange::Call;
use crate::relay::Suspend;
use event::{Draft, Exchange, Kind, Outcome, Source, State};
use protocol::jsonrpc::Id;
use serde_json::Value;
use std::sync::Arc;
use tokio::time::Instant;

/// The memory of a stream without a session, by the id that the client will hand back.
pub(super) fn stream_key(party: &Party, last_event_id: &str) -> Key {
    let session = format!("stream of {} {}", party.agent.name, cut(last_event_id));
    (party.server.clone(), session)
}

/// Lets a call wait for its answer on another stream, once what has come is recorded. `None`: too many wait already.
pub(super) fn suspend(
    ctx: &Arc<Context>,
    party: &Party,
    key: Key,
    (id, asked): (Id, Asked),
    call: &Call,
) -> Option<Suspend> {
    if !ctx.mcp.sessions().has_room() {
        return None;
    }
    let ctx = ctx.clone();
    Some(Suspend {
        event: Box::new(told_so_far(party, call)),
        park: Box::new(move |call| park(&ctx, key, id, Parked { call, asked })),
    })
}

/// The event of what has come on the stream that ended.
fn told_so_far(party: &Party, call: &Call) -> Draft {
    let mut draft = Draft::new(Kind::McpMessage, Source::Gateway);
    draft.agent = Some(party.agent.clone());
    draft.run.clone_from(&call.request.run);
    draft.http.clone_from(&call.request.http);
    let mut mcp = transport(party, None);
    mcp.direction = Some(Direction::ToClient.as_str().to_owned());
    draft.mcp = Some(mcp);
    draft.exchange = Some(Exchange {
        call: Some(call.seq),
        ..Exchange::default()
    });
    super::record::fact(&mut draft, "stream", Value::from("ended before the answer"));
    draft
}

fn park(ctx: &Arc<Context>, key: Key, id: Id, parked: Parked) {
    let seq = parked.call.seq;
    let before = ctx.mcp.sessions().suspend(&key, id.clone(), parked);
    let ctx = ctx.clone();
    tokio::spawn(async move {
        if let Some(before) = before {
            let outcome = Outcome {
                state: State::StreamError,
                error: Some("id_reused".to_owned()),
                reason: Some("another request took its id before it was answered".to_owned()),
            };
            end(&before, outcome).await;
        }
        not_resumed(&ctx, &key, &id, seq).await;
        let late = ctx.mcp.sessions().unpark(&key, &id, seq);
        if let Some(late) = late {
            let outcome = Outcome {
                state: State::Expired,
                error: Some("not_resumed".to_owned()),
                reason: Some(
                    "the stream ended before the answer, which came on no other".to_owned(),
                ),
            };
            end(&late, outcome).await;
        }
    });
}

/// Resolves when the call is over, or nobody has listened for its answer for long enough.
async fn not_resumed(ctx: &Context, key: &Key, id: &Id, seq: u64) {
    let patience = ctx.limits.idle_timeout;
    let mut quiet_since = Instant::now();
    loop {
        tokio::time::sleep_until(quiet_since + patience).await;
        let now = Instant::now();
        let waiting = ctx.mcp.sessions().waiting(key, id, seq);
        match waiting {
            Waiting::Over => return,
            Waiting::Listening => quiet_since = now,
            Waiting::Quiet(since) => {
                let since = since.map_or(quiet_since, |since| since.max(quiet_since));
                if since + patience <= now {
                    return;
                }
                quiet_since = since;
            }
        }
    }
}

/// Closes, at the end of the data plane, what still waits.
pub(crate) async fn finish(ctx: &Context) {
    let left = ctx.mcp.sessions().all();
    for parked in left {
        let outcome = Outcome {
            state: State::Expired,
            error: Some("shutdown".to_owned()),
            reason: Some("the recorder stopped".to_owned()),
        };
        end(&parked, outcome).await;
    }
}

async fn end(parked: &Parked, outcome: Outcome) {
    let call = &parked.call;
    // A failure is counted and logged where it happens; recovery closes the call then.
    let closing = call.close(call.closing(), outcome).await;
    closing.settled(&call.ctx).await.ok();
}
