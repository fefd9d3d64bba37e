//! Receiving a request: its whole body, bounded, before anything is forwarded.

use crate::config::Limits;
use crate::context::{Context, Stopping};
use crate::memory::{Reservation, recorded};
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
    /// The room that it takes.
    pub(crate) room: Reservation,
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
            room: Reservation::default(),
            why: Why::Refused(cause),
            started,
            rest,
        }
    }
}

impl Unread {
    /// Whether the client still has something to say that would keep it from reading its refusal. One that waits for
    /// leave to send must not be given it.
    pub(crate) fn is_talking(&self) -> bool {
        let expect = self.parts.headers.get(http::header::EXPECT);
        let asks =
            expect.is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let waits = asks && self.body.is_empty();
        let is_over = matches!(self.why, Why::Broken | Why::Stopped);
        !is_over && !waits
    }
}

/// Why a request was not received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is longer than the bound. The length is what it declared.
    TooLarge { declared: Option<u64> },
    /// The agent went away, or what it sent is not HTTP.
    Broken,
    /// The agent was silent for too long, or slower than the least rate.
    Late,
    /// There was no room for it in time.
    NoRoom,
    /// The recorder stops.
    Stopped,
    /// Its head is reason enough.
    Refused(Cause),
}

impl Why {
    /// What the agent is told.
    pub(crate) const fn cause(self) -> Cause {
        match self {
            Self::TooLarge { .. } => Cause::BodyTooLarge,
            Self::Broken => Cause::BadRequest,
            Self::Late => Cause::RequestTimeout,
            Self::NoRoom => Cause::NoRoom,
            Self::Stopped => Cause::NotRecorded,
            Self::Refused(cause) => cause,
        }
    }
}

/// A chunk of a body at most, as the connection reads it.
const CHUNK_BYTES: u64 = crate::listener::READ_BYTES as u64;

/// How long room lies ready for a chunk that has been waited for with the budget used up.
const READY: Duration = Duration::from_millis(250);

/// Receives a request's body under `limits.request_body`, as long as it comes in time. While the budget has no room for
/// the next chunk, it is left with the client: a thousand connections of which each had read one would be a budget of
/// their own. Only for a client that is silent although there is room, none is kept.
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
            room: Reservation::default(),
            why,
            started,
            rest: incoming,
        }));
    }
    let longest = declared.unwrap_or(limit);
    let mut room = Reservation::default();
    let mut time = Allowance::new(&ctx.limits, Instant::now());
    let mut body = Gathered::default();
    let mut trailers = None;
    let mut stopping = ctx.stopping();
    // The client brought nothing although there was room.
    let mut silent = false;
    let why = loop {
        if incoming.is_end_stream() {
            return received(parts, body.into_bytes(), trailers, room);
        }
        let patience = time.left(body.len(), Instant::now());
        let before = recorded(body.len());
        let ahead = recorded((body.len() + CHUNK_BYTES).min(longest));
        let waits = !silent && !ctx.memory.has_room(&room, ahead);
        if waits {
            let all = recorded(longest);
            let grown = grown(ctx, &mut room, (ahead, all), &mut time, &mut stopping);
            if let Err(why) = grown.await {
                break why;
            }
        }
        let patience = if waits { patience.min(READY) } else { patience };
        let frame = match next(&mut incoming, patience, &mut stopping).await {
            Next::Frame(frame) => frame,
            Next::End => return received(parts, body.into_bytes(), trailers, room),
            Next::Broken => break Why::Broken,
            Next::Late if waits => {
                ctx.memory.give_back(&mut room, before);
                silent = true;
                continue;
            }
            Next::Late => break Why::Late,
            Next::Stopped => break Why::Stopped,
        };
        silent = false;
        match frame.into_data() {
            Ok(data) => {
                let len = body.len() + data.len() as u64;
                if len > limit {
                    break Why::TooLarge { declared };
                }
                let all = (recorded(len), recorded(longest));
                let grown = grown(ctx, &mut room, all, &mut time, &mut stopping);
                if let Err(why) = grown.await {
                    break why;
                }
                body.add(data, longest);
            }
            Err(frame) => trailers = frame.into_trailers().ok().or(trailers),
        }
    };
    Err(Box::new(Unread {
        parts,
        body: body.into_bytes(),
        room,
        why,
        started,
        rest: incoming,
    }))
}

/// Gets room for `bytes` of a body that may come to `most`. What this takes is not the agent's doing.
async fn grown(
    ctx: &Context,
    room: &mut Reservation,
    (bytes, most): (u64, u64),
    time: &mut Allowance,
    stopping: &mut Stopping,
) -> Result<(), Why> {
    let wait = Instant::now();
    let grown = ctx.memory.grow(room, bytes, most);
    let grown = tokio::time::timeout(ctx.limits.memory_timeout, grown);
    tokio::select! {
        biased;
        grown = grown => grown.map_err(|_| Why::NoRoom)?,
        () = stopping.now() => return Err(Why::Stopped),
    }
    time.add(wait.elapsed());
    Ok(())
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
    Late,
    Stopped,
}

async fn next(incoming: &mut Incoming, patience: Duration, stopping: &mut Stopping) -> Next {
    let frame = tokio::select! {
        biased;
        frame = tokio::time::timeout(patience, incoming.frame()) => frame,
        () = stopping.now() => return Next::Stopped,
    };
    match frame {
        Err(_) => Next::Late,
        Ok(None) => Next::End,
        Ok(Some(Ok(frame))) => Next::Frame(frame),
        Ok(Some(Err(_))) => Next::Broken,
    }
}

/// How long a body may take: no silence is long, and all of it comes no slower than the least rate.
#[derive(Debug)]
struct Allowance {
    began: Instant,
    idle: Duration,
    /// Bytes per second.
    rate: u64,
    /// What is not the agent's doing.
    waited: Duration,
}

impl Allowance {
    const fn new(limits: &Limits, began: Instant) -> Self {
        Self {
            began,
            idle: limits.request_idle_timeout,
            rate: limits.request_rate,
            waited: Duration::ZERO,
        }
    }

    /// The agent was not listened to for so long.
    fn add(&mut self, waited: Duration) {
        self.waited += waited;
    }

    /// How long the next bytes may take after `len` bytes came. At the least rate a silence is still allowed beyond it.
    fn left(&self, len: u64, now: Instant) -> Duration {
        let at_rate = Duration::from_millis(len.saturating_mul(1000) / self.rate.max(1));
        let whole = self
            .idle
            .saturating_add(at_rate)
            .saturating_add(self.waited);
        whole
            .saturating_sub(now.duration_since(self.began))
            .min(self.idle)
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

    /// `longest`: what all of it may come to. Memory is taken as bytes come, not as they are announced.
    fn add(&mut self, data: Bytes, longest: u64) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = data;
            return;
        }
        let len = self.first.len() + self.more.len() + data.len();
        if len > self.more.capacity() {
            let longest = usize::try_from(longest).unwrap_or(usize::MAX);
            let ahead = len.saturating_mul(2).min(longest).max(len);
            self.more.reserve(ahead - self.more.len());
        }
        if self.more.is_empty() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_may_be_silent_for_a_while_and_slow_for_as_long_as_its_bytes_allow() {
        let began = Instant::now();
        let limits = Limits {
            request_idle_timeout: Duration::from_secs(60),
            request_rate: 1000,
            ..Limits::default()
        };
        let mut time = Allowance::new(&limits, began);
        for (len, at, left) in [
            (0, 0, 60),
            (0, 59, 1),
            (0, 60, 0),
            (1, 61, 0),
            (10_000, 30, 40),
            (10_000, 70, 0),
            (1_000_000, 70, 60),
            (1_000_000, 1050, 10),
            (u64::MAX, 1050, 60),
        ] {
            let now = began + Duration::from_secs(at);
            let got = time.left(len, now).as_secs();
            assert_eq!(got, left, "{len} after {at} s");
        }
        time.add(Duration::from_secs(5));
        assert_eq!(time.left(0, began + Duration::from_secs(60)).as_secs(), 5);
    }

    proptest! {
        #[test]
        fn a_body_is_put_together_as_it_came(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
            longest in any::<u64>(),
        ) {
            let mut body = Gathered::default();
            for part in &parts {
                body.add(Bytes::copy_from_slice(part), longest);
            }
            prop_assert_eq!(body.into_bytes(), parts.concat());
        }
    }
}
