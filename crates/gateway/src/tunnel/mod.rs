//! The two directions of an upgraded connection, each message recorded.

mod pipe;

use crate::exchange::Call;
use evidence::Error;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use pipe::{Pipe, PipeEnd};
use protocol::websocket::{Deflate, Direction};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// How long the other side has to end once one side has.
const LINGER: Duration = Duration::from_secs(5);

/// How an upgraded connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// In good order.
    Closed,
    /// The agent closed the connection without a closing frame.
    AgentLeft,
    /// The upstream closed the connection without a closing frame.
    UpstreamBroke,
    /// Neither side sent anything for too long.
    Idle,
    /// The recorder stops.
    Stopped,
    /// A message could not be recorded, so nothing more goes through.
    Unrecorded,
}

/// What an upgraded connection carries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carries {
    /// WebSocket frames; otherwise bytes that nothing is known of.
    pub(crate) websocket: bool,
    /// How they are compressed.
    pub(crate) deflate: Option<Deflate>,
    /// Its messages are those of a model API's session.
    pub(crate) model: bool,
}

/// When something was last sent, either way.
struct Activity {
    since: Instant,
    last_ms: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self {
            since: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    fn note(&self) {
        let ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(ms, Relaxed);
    }

    /// Resolves when nothing was sent for `bound`.
    async fn none_for(&self, bound: Duration) {
        loop {
            let last = self.since + Duration::from_millis(self.last_ms.load(Relaxed));
            if last.elapsed() >= bound {
                return;
            }
            tokio::time::sleep_until(last + bound).await;
        }
    }
}

/// Carries both directions until the connection ends.
pub(crate) async fn run(
    call: &Call,
    agent: Upgraded,
    upstream: Upgraded,
    carries: Carries,
) -> Ended {
    let mut out = Pipe::new(call, Direction::ClientToServer, carries);
    let mut back = Pipe::new(call, Direction::ServerToClient, carries);
    let ended = carry(call, agent, upstream, &mut out, &mut back).await;
    // What a message had brought when the connection ended is recorded as well.
    for pipe in [out, back] {
        if pipe.finish().await.is_err() {
            return Ended::Unrecorded;
        }
    }
    ended
}

async fn carry(
    call: &Call,
    agent: Upgraded,
    upstream: Upgraded,
    out: &mut Pipe<'_>,
    back: &mut Pipe<'_>,
) -> Ended {
    let is_websocket = out.is_websocket();
    let (agent_read, agent_write) = tokio::io::split(TokioIo::new(agent));
    let (upstream_read, upstream_write) = tokio::io::split(TokioIo::new(upstream));
    let activity = Activity::new();
    let mut out = pin!(out.run(agent_read, upstream_write, &activity));
    let mut back = pin!(back.run(upstream_read, agent_write, &activity));
    let mut stopping = call.ctx.stopping();
    let (first, agent_ended) = tokio::select! {
        end = &mut out => (end, true),
        end = &mut back => (end, false),
        () = activity.none_for(call.ctx.limits.tunnel_idle_timeout) => return Ended::Idle,
        () = stopping.now() => return Ended::Stopped,
    };
    let Ok(first) = first else {
        return Ended::Unrecorded;
    };
    let other: Pin<&mut (dyn Future<Output = Result<PipeEnd, Error>> + Send)> =
        if agent_ended { back } else { out };
    let second = tokio::select! {
        end = tokio::time::timeout(LINGER, other) => end.ok(),
        () = stopping.now() => return Ended::Stopped,
    };
    let second = match second {
        Some(Err(_)) => return Ended::Unrecorded,
        Some(Ok(end)) => Some(end),
        None => None,
    };
    if !is_websocket || first.closed || second.is_some_and(|end| end.closed) {
        return Ended::Closed;
    }
    // Without a closing frame: who closed first?
    if agent_ended == first.by_sender {
        Ended::AgentLeft
    } else {
        Ended::UpstreamBroke
    }
}
