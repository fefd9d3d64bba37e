//! Receiving a request: its whole body, bounded, before anything is forwarded.

use crate::context::Context;
use crate::memory::{FIRST_BYTES, Reservation, recorded};
use crate::refusal::Cause;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A request that arrived whole.
pub(crate) struct Received {
    /// Its head as it came.
    pub(crate) parts: Parts,
    /// Its body as it came.
    pub(crate) body: Bytes,
    /// Its trailers.
    pub(crate) trailers: Option<HeaderMap>,
    /// The room that the body takes.
    pub(crate) room: Reservation,
    /// When its head was there.
    pub(crate) started: Instant,
    /// When its last byte was there.
    pub(crate) received: Instant,
}

/// A request that did not arrive whole, or is not taken.
pub(crate) struct Unread {
    /// Its head as it came.
    pub(crate) parts: Parts,
    /// What arrived of its body.
    pub(crate) body: Bytes,
    /// Why it ends here.
    pub(crate) why: Why,
    /// When its head was there.
    pub(crate) started: Instant,
    /// What is left unread.
    pub(crate) rest: Incoming,
}

impl Unread {
    /// A request that its head is reason enough not to take.
    pub(crate) fn by_head(request: Request<Incoming>, started: Instant, cause: Cause) -> Self {
        let (parts, rest) = request.into_parts();
        Self {
            parts,
            body: Bytes::new(),
            why: Why::Refused(cause),
            started,
            rest,
        }
    }
}

/// Why a request was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is longer than the bound. The length is what it declared.
    TooLarge { declared: Option<u64> },
    /// The agent went away, or what it sent is not HTTP.
    Broken,
    /// The agent was silent for too long.
    Silent,
    /// Its head is reason enough.
    Refused(Cause),
}

impl Why {
    /// What the agent is told.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::TooLarge { .. } => Cause::BodyTooLarge,
            Self::Broken => Cause::BadRequest,
            Self::Silent => Cause::RequestTimeout,
            Self::Refused(cause) => cause,
        }
    }
}

/// Receives a request's body under `limits.request_body`. Nothing is read while the budget has no room for it.
pub(crate) async fn receive(
    ctx: &Context,
    request: Request<Incoming>,
    started: Instant,
) -> Result<Received, Box<Unread>> {
    let (parts, mut incoming) = request.into_parts();
    let received = |parts, body: Bytes, trailers, room| {
        ctx.figures
            .request_bytes
            .fetch_add(body.len() as u64, Relaxed);
        Ok(Received {
            parts,
            body,
            trailers,
            room,
            started,
            received: Instant::now(),
        })
    };
    if incoming.is_end_stream() {
        return received(parts, Bytes::new(), None, Reservation::default());
    }
    let limit = ctx.limits.request_body;
    let declared = incoming.size_hint().exact();
    if declared.is_some_and(|declared| declared > limit) {
        let why = Why::TooLarge { declared };
        return Err(Box::new(Unread {
            parts,
            body: Bytes::new(),
            why,
            started,
            rest: incoming,
        }));
    }
    let expected = recorded(declared.unwrap_or(FIRST_BYTES));
    let mut room = ctx.memory.reserve(expected).await;
    let mut body = Gathered::default();
    let mut trailers = None;
    let why = loop {
        if incoming.is_end_stream() {
            return received(parts, body.into_bytes(), trailers, room);
        }
        let frame = match next(&mut incoming, ctx.limits.request_idle_timeout).await {
            Next::Frame(frame) => frame,
            Next::End => return received(parts, body.into_bytes(), trailers, room),
            Next::Broken => break Why::Broken,
            Next::Silent => break Why::Silent,
        };
        match frame.into_data() {
            Ok(data) => {
                let len = body.len() + data.len() as u64;
                if len > limit {
                    break Why::TooLarge { declared };
                }
                ctx.memory.grow(&mut room, recorded(len)).await;
                body.add(data, declared);
            }
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    };
    Err(Box::new(Unread {
        parts,
        body: body.into_bytes(),
        why,
        started,
        rest: incoming,
    }))
}

/// Reads on and throws away for a moment, so that a client that is still sending gets to read its refusal.
pub(crate) async fn drain(mut rest: Incoming) {
    const BYTES: u64 = 32 << 20;
    const TIME: Duration = Duration::from_secs(2);
    let read = async {
        let mut seen = 0u64;
        while let Some(Ok(frame)) = rest.frame().await {
            seen += frame.data_ref().map_or(0, |data| data.len() as u64);
            if seen > BYTES {
                return;
            }
        }
    };
    // Running out of time is as good an end as any.
    tokio::time::timeout(TIME, read).await.ok();
}

enum Next {
    Frame(hyper::body::Frame<Bytes>),
    End,
    Broken,
    Silent,
}

async fn next(incoming: &mut Incoming, patience: Duration) -> Next {
    match tokio::time::timeout(patience, incoming.frame()).await {
        Err(_) => Next::Silent,
        Ok(None) => Next::End,
        Ok(Some(Ok(frame))) => Next::Frame(frame),
        Ok(Some(Err(_))) => Next::Broken,
    }
}

/// A body put together without a copy where it comes in one piece.
#[derive(Default)]
struct Gathered {
    first: Bytes,
    more: BytesMut,
}

impl Gathered {
    fn len(&self) -> u64 {
        (self.first.len() + self.more.len()) as u64
    }

    fn add(&mut self, data: Bytes, declared: Option<u64>) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = data;
            return;
        }
        if self.more.is_empty() {
            let whole = declared
                .and_then(|len| usize::try_from(len).ok())
                .unwrap_or(0);
            self.more.reserve(whole.max(self.first.len() + data.len()));
            self.more
                .extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&data);
    }

    fn into_bytes(self) -> Bytes {
        if self.more.is_empty() {
            self.first
        } else {
            self.more.freeze()
        }
    }
}
