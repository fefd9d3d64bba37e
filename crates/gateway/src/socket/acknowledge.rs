//! Acknowledging lines in the order in which they came, each when it is durable.
//!
//! A line that is not recorded, or not all of it, is refused and does not pass: what it had opened ends, and what it would
//! have ended, ends without it.

use super::frame::{Frame, FrameError};
use super::open::{MAX_OPEN, Open, Place};
use crate::context::Context;
use crate::ending::unforwarded;
use crate::mcp::ended;
use crate::owed::Queued;
use protocol::jsonrpc::Id;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A line that is queued and to be acknowledged.
#[derive(Default)]
pub(super) struct Due {
    /// Its events, but for those that open calls.
    pub(super) queued: Vec<Queued>,
    /// The calls that it opens.
    pub(super) opened: Vec<(Id, Place)>,
    /// The questions that it asks.
    pub(super) asked: Vec<Place>,
    /// Why it does not pass, where that is known already.
    pub(super) refused: Option<String>,
}

/// Waits for each queued line in turn and acknowledges it. Where nobody listens any more, what is owed is seen to all the same.
pub(super) async fn acknowledge(
    ctx: Arc<Context>,
    open: Arc<Mutex<Open>>,
    mut dues: mpsc::Receiver<Due>,
    to: OwnedWriteHalf,
) -> Option<OwnedWriteHalf> {
    let mut to = Some(to);
    let mut owed = JoinSet::new();
    while let Some(due) = dues.recv().await {
        let Due {
            queued,
            opened,
            asked,
            mut refused,
        } = due;
        let mut retry = Vec::new();
        for mut queued in queued {
            if let Err(error) = queued.durable().await {
                refused = Some(error.to_string());
                retry.extend(Some(queued).filter(Queued::is_owed));
            }
        }
        for place in opened.iter().map(|(_, place)| place).chain(&asked) {
            if let Err(error) = place.known().await {
                refused = Some(error.to_string());
            }
        }
        let is_refused = refused.is_some();
        let frame = refused.map_or(Frame::Ack, Frame::Refused);
        if let Some(listener) = &mut to
            && send(listener, &frame).await.is_err()
        {
            to = None;
        }
        if is_refused {
            retry.extend(take_back(&ctx, &open, opened).await);
        }
        while owed.len() >= MAX_OPEN {
            owed.join_next().await;
        }
        if !retry.is_empty() {
            let ctx = ctx.clone();
            owed.spawn(async move {
                // A failure is counted and logged where it happens; recovery closes the calls then.
                crate::owed::settle_queued(&ctx, retry).await.ok();
            });
        }
    }
    while owed.join_next().await.is_some() {}
    to
}

/// Ends the calls of a line that does not pass.
async fn take_back(
    ctx: &Arc<Context>,
    open: &Mutex<Open>,
    opened: Vec<(Id, Place)>,
) -> Vec<Queued> {
    let mut ends = Vec::new();
    for (id, place) in opened {
        let call = open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take_back(&id, &place);
        // Without a call the event was refused, or the call has ended otherwise.
        let Some(opened) = call else { continue };
        if let Some(parked) = opened.call(ctx).await {
            let end = ended(&parked.call, unforwarded());
            ends.push(Queued::noted(ctx, end).await);
        }
    }
    ends
}

pub(super) async fn send(to: &mut OwnedWriteHalf, frame: &Frame) -> Result<(), FrameError> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes)?;
    to.write_all(&bytes).await?;
    Ok(())
}
