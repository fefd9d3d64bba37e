//! The two directions of an upgraded connection, each message recorded.

use crate::context::Context;
use crate::exchange::Call;
use event::{Draft, Exchange, Gap, Kind, Role, Source, WebSocket};
use evidence::{Error, Pending};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use protocol::websocket::{Deflate, Direction, Message, Opcode, Reader, message_type};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes read at a time.
const READ_BYTES: usize = 32 * 1024;

/// Longest message that is recorded whole.
const MESSAGE_BYTES: usize = 16 << 20;

/// How long a released message may be in memory only.
const LAG: Duration = Duration::from_millis(50);

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
    /// The recorder stops.
    Stopped,
    /// A message could not be recorded, so nothing more goes through.
    Unrecorded,
}

/// How one direction ended.
#[derive(Debug, Clone, Copy)]
struct PipeEnd {
    /// A closing frame passed.
    closed: bool,
    /// The sender closed the connection; otherwise the receiver did.
    by_sender: bool,
}

/// Carries both directions until the connection ends.
pub(crate) async fn run(
    call: &Call,
    agent: Upgraded,
    upstream: Upgraded,
    deflate: Option<Deflate>,
    is_websocket: bool,
) -> Ended {
    let (agent_read, agent_write) = tokio::io::split(TokioIo::new(agent));
    let (upstream_read, upstream_write) = tokio::io::split(TokioIo::new(upstream));
    let pipe = |direction| Pipe {
        call,
        direction,
        reader: is_websocket.then(|| Reader::new(direction, deflate, MESSAGE_BYTES)),
        gap_noted: false,
        closed: false,
    };
    let mut out = pin!(pipe(Direction::ClientToServer).run(agent_read, upstream_write));
    let mut back = pin!(pipe(Direction::ServerToClient).run(upstream_read, agent_write));
    let mut stopping = call.ctx.stopping();
    let (first, agent_ended) = tokio::select! {
        end = &mut out => (end, true),
        end = &mut back => (end, false),
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

struct Pipe<'a> {
    call: &'a Call,
    direction: Direction,
    reader: Option<Reader>,
    gap_noted: bool,
    closed: bool,
}

impl Pipe<'_> {
    async fn run(
        mut self,
        mut from: impl AsyncRead + Unpin + Send,
        mut to: impl AsyncWrite + Unpin + Send,
    ) -> Result<PipeEnd, Error> {
        let at_once = self.direction == Direction::ServerToClient && !self.call.ctx.strict;
        let mut buffer = vec![0; READ_BYTES];
        let mut behind: Option<(Pending, Instant)> = None;
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                // That the receiver is gone as well changes nothing.
                to.shutdown().await.ok();
                if let Some((pending, _)) = behind {
                    pending.await?;
                }
                return Ok(PipeEnd {
                    closed: self.closed,
                    by_sender: true,
                });
            };
            let queued = self.record(bytes).await?;
            if !at_once {
                if let Some(pending) = queued {
                    pending.await?;
                }
            } else {
                settle(&mut behind).await?;
                if let Some(pending) = queued {
                    // The later acknowledgement covers the earlier write.
                    let since = behind.map_or_else(Instant::now, |(_, since)| since);
                    behind = Some((pending, since));
                }
            }
            if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
                return Ok(PipeEnd {
                    closed: self.closed,
                    by_sender: false,
                });
            }
        }
    }

    /// Queues the messages that these bytes complete. Resolves to what is durable with the last of them.
    async fn record(&mut self, bytes: &[u8]) -> Result<Option<Pending>, Error> {
        let mut messages = Vec::new();
        let mut readable = false;
        if let Some(reader) = &mut self.reader {
            reader.feed(bytes, &mut |message| messages.push(message));
            readable = reader.problem().is_none();
        }
        let mut last = None;
        for message in messages {
            self.closed |= message.opcode == Opcode::Close;
            last = Some(self.submit(message).await?);
        }
        if !readable {
            last = Some(self.submit_raw(bytes).await?);
        }
        Ok(last)
    }

    async fn submit(&self, message: Message) -> Result<Pending, Error> {
        let kind = message_type(&message.payload)
            .filter(|_| message.opcode == Opcode::Text && !message.raw);
        let mut draft = self.draft(message.opcode.as_str(), kind);
        let ctx = &self.call.ctx;
        if !message.payload.is_empty() {
            let mut body = ctx
                .recorder
                .put(Role::Message, None, None, &message.payload)
                .await?;
            body.truncated = message.truncated;
            draft.bodies.push(body);
        }
        ctx.recorder.submit(&draft).await
    }

    /// What is no WebSocket frame, or no longer one, is recorded as it passes.
    async fn submit_raw(&mut self, bytes: &[u8]) -> Result<Pending, Error> {
        let ctx: &Context = &self.call.ctx;
        if self.reader.is_some() && !std::mem::replace(&mut self.gap_noted, true) {
            let mut gap = self.call.gap(Gap {
                of: format!("websocket {}", self.direction.as_str()),
                cause: "not-understood".to_owned(),
                count: 1,
                unit: "elements".to_owned(),
                ..Gap::default()
            });
            crate::exchange::submit(ctx, &mut gap).await?;
        }
        let mut draft = self.draft("raw", None);
        draft
            .bodies
            .push(ctx.recorder.put(Role::Message, None, None, bytes).await?);
        ctx.recorder.submit(&draft).await
    }

    fn draft(&self, opcode: &str, message_type: Option<String>) -> Draft {
        let request = &self.call.request;
        let mut draft = Draft::new(Kind::WebSocketMessage, Source::Gateway);
        draft.agent.clone_from(&request.agent);
        draft.run.clone_from(&request.run);
        draft.exchange = Some(Exchange {
            call: Some(self.call.seq),
            ..Exchange::default()
        });
        draft.websocket = Some(WebSocket {
            direction: self.direction.as_str().to_owned(),
            opcode: opcode.to_owned(),
            message_type,
        });
        draft
    }
}

/// Clears what has become durable; waits for it when it is late.
async fn settle(behind: &mut Option<(Pending, Instant)>) -> Result<(), Error> {
    let Some((pending, since)) = behind else {
        return Ok(());
    };
    if since.elapsed() >= LAG {
        pending.await?;
        *behind = None;
        return Ok(());
    }
    let done = poll_fn(|cx| Poll::Ready(Pin::new(&mut *pending).poll(cx))).await;
    if let Poll::Ready(done) = done {
        done?;
        *behind = None;
    }
    Ok(())
}
