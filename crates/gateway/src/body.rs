//! The way back to the agent: the body that the server side sends, and the ends that the exchange's task holds.
//!
//! Promises that a broken answer is seen as broken: only [`Outlet::end`] ends a body cleanly; an exchange that goes
//! away in any other manner breaks the connection.

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::{mpsc, oneshot};

/// The answer did not end as it should; the connection is closed without a clean end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer broke off")]
pub(crate) struct Broken;

enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

/// A response body on its way to the agent.
pub(crate) struct RelayBody(Inner);

enum Inner {
    Whole {
        data: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
    },
    Pieces {
        rx: mpsc::Receiver<Piece>,
        left: Option<u64>,
        ended: bool,
    },
}

impl RelayBody {
    /// A body that is complete already.
    pub(crate) fn whole(data: impl Into<VecDeque<Bytes>>, trailers: Option<HeaderMap>) -> Self {
        Self(Inner::Whole {
            data: data.into(),
            trailers,
        })
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.0 {
            Inner::Whole { data, trailers } => {
                let frame = data
                    .pop_front()
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(frame.map(Ok))
            }
            Inner::Pieces { ended: true, .. } => Poll::Ready(None),
            Inner::Pieces { rx, left, ended } => match ready!(rx.poll_recv(cx)) {
                Some(Piece::Data(data)) => {
                    if let Some(left) = left {
                        *left = left.saturating_sub(data.len() as u64);
                    }
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                Some(Piece::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
                Some(Piece::End) => {
                    *ended = true;
                    Poll::Ready(None)
                }
                None => Poll::Ready(Some(Err(Broken))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole { data, trailers } => data.is_empty() && trailers.is_none(),
            Inner::Pieces { left, ended, .. } => *ended || *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole { data, .. } => {
                SizeHint::with_exact(data.iter().map(|data| data.len() as u64).sum())
            }
            Inner::Pieces {
                left: Some(left), ..
            } => SizeHint::with_exact(*left),
            Inner::Pieces { .. } => SizeHint::default(),
        }
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

    /// Releases the head; the body follows through the outlet. `len` is the length the head declares.
    pub(crate) fn head(self, head: Response<()>, len: Option<u64>) -> Result<Outlet, Gone> {
        let (tx, rx) = mpsc::channel(1);
        let body = RelayBody(Inner::Pieces {
            rx,
            left: len,
            ended: false,
        });
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

    /// Releases a chunk; waits while the one before has not been taken.
    pub(crate) async fn data(&self, data: Bytes) -> Result<(), Gone> {
        self.0.send(Piece::Data(data)).await.map_err(|_| Gone)
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
    /// Releases a chunk into the room.
    pub(crate) fn data(self, data: Bytes) {
        self.0.send(Piece::Data(data));
    }
}
