//! The way back to the agent: the body that the server side sends, and the ends that the exchange's task holds.
//!
//! Promises that a broken answer is seen as broken, and not before all that was released has left: only [`Outlet::end`]
//! ends a body cleanly; an exchange that goes away in any other manner breaks the connection.

use crate::wire::Outflow;
use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// The answer did not end as it should; the connection is closed without a clean end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct Broken;

enum Piece {
    /// Bytes, and up to which byte of the recorded body they reach.
    Data {
        upto: u64,
        data: Bytes,
    },
    Trailers(HeaderMap),
    /// Tells when all before it has left.
    Mark(oneshot::Sender<()>),
    End,
}

/// A response body on its way to the agent.
pub(crate) struct RelayBody {
    source: Source,
    /// How much is left of the length that the head declares. Without one, the body has an end of its own.
    left: Option<u64>,
    /// What it leaves on, where that is HTTP/1.
    outflow: Option<Outflow>,
    waiting: Option<(Left, Then)>,
    ended: bool,
}

enum Source {
    Whole {
        data: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
    },
    Pieces {
        rx: mpsc::Receiver<Piece>,
        relayed: Relayed,
    },
}

/// Tells that all before it has left.
enum Left {
    /// The connection has nothing left to write.
    Emptied(Outflow, u64),
    /// An empty frame at the end of the stream's queue has been let go of.
    Popped(oneshot::Receiver<()>),
}

/// What is done when all before it has left.
enum Then {
    Tell(oneshot::Sender<()>),
    Trail(HeaderMap),
    Break,
}

/// An empty frame that is missed when it is gone.
struct Missed(#[expect(dead_code, reason = "its end is what counts")] oneshot::Sender<()>);

impl AsRef<[u8]> for Missed {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}

impl Left {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Emptied(outflow, mark) => outflow.poll_left(*mark, cx),
            // It is never sent to: its end is the message.
            Self::Popped(popped) => Pin::new(popped).poll(cx).map(drop),
        }
    }
}

impl RelayBody {
    /// A body that is complete already. `declared` is the length its head declares; without one it is sent with an end of
    /// its own.
    pub(crate) fn whole(
        data: impl Into<VecDeque<Bytes>>,
        trailers: Option<HeaderMap>,
        declared: Option<u64>,
    ) -> Self {
        let data = data.into();
        Self::new(Source::Whole { data, trailers }, declared)
    }

    fn new(source: Source, left: Option<u64>) -> Self {
        Self {
            source,
            left,
            outflow: None,
            waiting: None,
            ended: false,
        }
    }

    /// The body as it leaves on a connection of HTTP/1.
    pub(crate) fn leaving_on(mut self, outflow: Outflow) -> Self {
        if let Source::Pieces { relayed, .. } = &self.source {
            // A body leaves on one connection.
            relayed.0.outflow.set(outflow.clone()).ok();
        }
        self.outflow = Some(outflow);
        self
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        match &mut self.source {
            Source::Whole { data, trailers } => {
                let data = data.pop_front().map(|data| Piece::Data { upto: 0, data });
                let piece = data.or_else(|| trailers.take().map(Piece::Trailers));
                Poll::Ready(Some(piece.unwrap_or(Piece::End)))
            }
            Source::Pieces { rx, .. } => rx.poll_recv(cx),
        }
    }

    /// Does `then` when all before has left. What it returns goes ahead of that.
    fn wait(&mut self, then: Then) -> Option<Frame<Bytes>> {
        if let Some(outflow) = &self.outflow {
            let mark = outflow.mark();
            self.waiting = Some((Left::Emptied(outflow.clone(), mark), then));
            return None;
        }
        let (missed, popped) = oneshot::channel();
        self.waiting = Some((Left::Popped(popped), then));
        Some(Frame::data(Bytes::from_owner(Missed(missed))))
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        while !this.ended {
            if let Some((left, _)) = &mut this.waiting {
                ready!(left.poll(cx));
                match (this.waiting.take(), &this.outflow) {
                    // Whoever asked may have lost patience.
                    (Some((_, Then::Tell(tell))), _) => drop(tell.send(())),
                    (Some((_, Then::Trail(trailers))), Some(outflow)) => {
                        outflow.trail(&trailers);
                        this.ended = true;
                    }
                    (Some((_, Then::Break)), _) => return Poll::Ready(Some(Err(Broken))),
                    _ => {}
                }
                continue;
            }
            let then = match ready!(this.poll_piece(cx)) {
                Some(Piece::Data { upto, data }) => {
                    if let Some(left) = &mut this.left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    if let Source::Pieces { relayed, .. } = &this.source {
                        relayed.take(upto);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Piece::Trailers(trailers)) if this.outflow.is_none() => {
                    this.ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
                Some(Piece::Trailers(trailers)) => Then::Trail(trailers),
                Some(Piece::Mark(tell)) => Then::Tell(tell),
                Some(Piece::End) => {
                    this.ended = true;
                    continue;
                }
                None => Then::Break,
            };
            if let Some(ahead) = this.wait(then) {
                return Poll::Ready(Some(Ok(ahead)));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How far an answer has come on its way to the agent.
#[derive(Clone, Default)]
pub(crate) struct Relayed(Arc<Taken>);

#[derive(Default)]
struct Taken {
    /// Up to which byte of the recorded body the connection has taken it.
    upto: AtomicU64,
    /// When it took the last of that: see [`Outflow::mark`].
    mark: AtomicU64,
    outflow: OnceLock<Outflow>,
}

impl Relayed {
    fn take(&self, upto: u64) {
        let mark = self.0.outflow.get().map_or(0, Outflow::mark);
        self.0.mark.store(mark, Relaxed);
        self.0.upto.store(upto, Release);
    }

    /// Up to which byte of the recorded body an answer has been taken for the agent.
    pub(crate) fn upto(&self) -> u64 {
        self.0.upto.load(Acquire)
    }

    /// Whether the body has left up to this byte: over HTTP/1 by having been written to the connection, over HTTP/2, where
    /// that cannot be told, by having been taken.
    pub(crate) fn has_left(&self, upto: u64) -> bool {
        let mark = |outflow: &Outflow| outflow.mark() != self.0.mark.load(Relaxed);
        self.upto() >= upto && self.0.outflow.get().is_none_or(mark)
    }
}

/// The right to answer one request. Dropped without an answer, the connection is closed.
pub(crate) struct Reply(oneshot::Sender<Response<RelayBody>>);

/// What the server side waits for.
pub(crate) type Answer = oneshot::Receiver<Response<RelayBody>>;

/// The agent is no longer there to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

impl Reply {
    /// A reply and the place where its answer arrives.
    pub(crate) fn channel() -> (Self, Answer) {
        let (tx, rx) = oneshot::channel();
        (Self(tx), rx)
    }

    /// Resolves when the agent has gone away.
    pub(crate) async fn gone(&mut self) {
        self.0.closed().await;
    }

    /// Whether the agent has gone away.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_closed()
    }

    /// Answers at once with a complete response.
    pub(crate) fn whole(self, response: Response<RelayBody>) -> Result<(), Gone> {
        self.0.send(response).map_err(|_| Gone)
    }

    /// Releases the head; the body follows through the outlet. `declared` is the length the head declares; `relayed` is
    /// told how far the body has been taken.
    pub(crate) fn head(
        self,
        head: Response<()>,
        declared: Option<u64>,
        relayed: Relayed,
    ) -> Result<Outlet, Gone> {
        let (tx, rx) = mpsc::channel(1);
        let body = RelayBody::new(Source::Pieces { rx, relayed }, declared);
        self.0.send(head.map(|()| body)).map_err(|_| Gone)?;
        Ok(Outlet(tx))
    }
}

/// Where released bytes go. Holds one piece at most: an agent that does not read holds the upstream back.
#[derive(Clone)]
pub(crate) struct Outlet(mpsc::Sender<Piece>);

impl Outlet {
    /// Resolves when the agent has gone away.
    pub(crate) async fn gone(&self) {
        self.0.closed().await;
    }

    /// Releases a chunk, which reaches up to this byte of the recorded body; waits while the one before has not been
    /// taken.
    pub(crate) async fn data(&self, upto: u64, data: Bytes) -> Result<(), Gone> {
        let piece = Piece::Data { upto, data };
        self.0.send(piece).await.map_err(|_| Gone)
    }

    /// Waits until all that was released has left.
    pub(crate) async fn left(&self) -> Result<(), Gone> {
        let (tell, told) = oneshot::channel();
        self.0.send(Piece::Mark(tell)).await.map_err(|_| Gone)?;
        told.await.map_err(|_| Gone)
    }

    /// Releases trailers.
    pub(crate) async fn trailers(&self, trailers: HeaderMap) -> Result<(), Gone> {
        self.0
            .send(Piece::Trailers(trailers))
            .await
            .map_err(|_| Gone)
    }

    /// Ends the body cleanly.
    pub(crate) async fn end(self) -> Result<(), Gone> {
        self.0.send(Piece::End).await.map_err(|_| Gone)
    }

    /// Room for a chunk, without giving one yet: what is released is decided when there is room.
    pub(crate) async fn ready(&self) -> Result<Room<'_>, Gone> {
        self.0.reserve().await.map(Room).map_err(|_| Gone)
    }
}

/// Room for one chunk.
pub(crate) struct Room<'a>(mpsc::Permit<'a, Piece>);

impl Room<'_> {
    /// Releases a chunk, which reaches up to this byte of the recorded body, into the room.
    pub(crate) fn data(self, upto: u64, data: Bytes) {
        self.0.send(Piece::Data { upto, data });
    }
}
