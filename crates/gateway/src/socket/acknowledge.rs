//! Acknowledging lines in the order in which they came, each when it is durable.
//!
//! What a line opens is known before the line is acknowledged, so that its answer always finds it.

use super::frame::{Frame, FrameError};
use crate::context::Context;
use crate::exchange::{Call, Clock};
use crate::mcp::Parked;
use crate::mcp::record::Asked;
use event::Draft;
use evidence::Pending;
use protocol::jsonrpc::Id;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;

/// Calls of a session that may wait for their answer, and as many questions of the server.
pub(super) const MAX_OPEN: usize = 4096;

/// What is not answered yet.
#[derive(Default)]
pub(super) struct Open {
    pub(super) calls: HashMap<Id, Parked>,
    /// `seq` of what the server asked the agent.
    pub(super) questions: HashMap<Id, u64>,
}

/// A line that is queued and to be acknowledged.
pub(super) struct Due {
    pub(super) writes: Vec<(Pending, Then)>,
    pub(super) refused: Option<String>,
}

/// What to remember once the event has its place.
pub(super) enum Then {
    Nothing,
    Called(Id, Box<(Draft, Asked)>, Instant),
    Questioned(Id),
}

/// Waits for each queued line in turn, remembers what it opened, and acknowledges it.
pub(super) async fn acknowledge(
    ctx: Arc<Context>,
    open: Arc<Mutex<Open>>,
    mut dues: mpsc::Receiver<Due>,
    mut to: OwnedWriteHalf,
) -> Option<OwnedWriteHalf> {
    while let Some(Due {
        writes,
        mut refused,
    }) = dues.recv().await
    {
        for (pending, then) in writes {
            match pending.await {
                Ok(appended) => remember(&ctx, &open, appended.seq, then),
                Err(error) => refused = Some(error.to_string()),
            }
        }
        let frame = refused.map_or(Frame::Ack, Frame::Refused);
        if send(&mut to, &frame).await.is_err() {
            return None;
        }
    }
    Some(to)
}

pub(super) fn remember(ctx: &Arc<Context>, open: &Mutex<Open>, seq: u64, then: Then) {
    let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
    match then {
        Then::Nothing => {}
        Then::Questioned(id) => {
            if open.questions.len() < MAX_OPEN {
                open.questions.insert(id, seq);
            }
        }
        Then::Called(id, call, received) => {
            let (request, asked) = *call;
            let mut clock = Clock::new(received, received);
            let now = Instant::now();
            (clock.durable, clock.forwarded) = (Some(now), Some(now));
            let call = Call {
                ctx: ctx.clone(),
                seq,
                request,
                clock,
            };
            open.calls.insert(id, Parked { call, asked });
        }
    }
}

pub(super) async fn send(to: &mut OwnedWriteHalf, frame: &Frame) -> Result<(), FrameError> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes)?;
    to.write_all(&bytes).await?;
    Ok(())
}
