//! Relaying an answer: each byte recorded, then released, under one of three rules.
//!
//! - A stream's chunk is queued to the recorder and released at once; it is durable within [`releasing::LAG`] of that, or
//!   the next one waits.
//! - In strict mode a chunk is released when it is durable.
//! - Any other answer is gathered while it comes without a pause, and released when durable. One that comes at once costs
//!   one durable append: head, body and terminal event together.
//!
//! Under each of them the end of the body is released only after the terminal event is durable. An answer that broke off
//! is released as far as it came, then its terminal event is recorded, then the agent's connection breaks off as well.

mod broken_off;
mod recording;
mod releasing;
mod suspended;

use crate::body::{Outlet, Relayed, Reply};
use crate::ending::{End, broken};
use crate::exchange::{self, Call, Form};
use crate::forward::{self, strip_answer};
use crate::memory::{Reservation, recorded};
use crate::owed::{self, Noted, Queued};
use crate::relay::{Carried, Disconnect, Observer, Pace};
use crate::rule::Rule;
use bytes::Bytes;
use event::BodyRef;
use evidence::{BodyWriter, Error};
use http::{HeaderMap, Response, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};
use recording::{Flush, flushed};
use releasing::{deliver, release, room};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How many received bytes wait for their release before reading stops, where the budget has room for them.
const HELD_BYTES: usize = 256 * 1024;

/// How many wait at least: with no more, reading goes on a little at a time whatever the budget says.
const ALONE_BYTES: usize = 32 * 1024;

/// How long a pause in an answer that is not a stream must be to be worth a durable append of its own.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the head of a stream waits for its first chunk before it is made durable by itself.
const HEAD_PAUSE: Duration = Duration::from_millis(20);

enum Step {
    Flushed(Result<evidence::Appended, Error>),
    Released { upto: u64, len: usize },
    Frame(Option<Result<Frame<Bytes>, hyper::Error>>),
    Gone,
    Idle,
    Pause,
    Stopped,
}

/// One answer on its way.
pub(crate) struct Pump {
    call: Call,
    observer: Box<dyn Observer>,
    rule: Rule,
    on_disconnect: Disconnect,
    gone: bool,
    stopping: crate::context::Stopping,

    upstream: Option<Incoming>,
    status: u16,
    form: Form,
    /// Since when the upstream has said nothing while it was listened to.
    silent_since: tokio::time::Instant,
    /// How long it may; `None`: for ever.
    patience: Option<Duration>,
    noted: Vec<Noted>,
    /// Events beside the answer, queued in order.
    beside: VecDeque<Queued>,
    /// Those of them that were refused, and that the record is owed.
    owed: Vec<Queued>,

    /// The head for the agent, until it is released.
    head: Option<Response<()>>,
    declared: Option<u64>,
    reply: Option<Reply>,
    outlet: Option<Outlet>,
    relayed: Relayed,

    /// The head for the record, until it is recorded.
    head_text: Vec<u8>,
    head_ref: Option<BodyRef>,
    head_released: Option<Instant>,
    head_durable: bool,

    writer: Option<BodyWriter>,
    /// Body bytes by how far they have come.
    received: u64,
    flushed: u64,
    durable: u64,
    released: u64,
    /// Up to which byte lies all that the answer says, once that is known.
    answered: Option<u64>,
    /// What waits for its release, and up to which received byte it covers.
    held: VecDeque<(u64, Bytes)>,
    held_bytes: usize,
    /// The budget's room for what is held beyond [`ALONE_BYTES`].
    room: Reservation,
    trailers: Option<HeaderMap>,
    /// Released bytes that are not durable yet: up to which byte, since when.
    lag: VecDeque<(u64, Instant)>,
    flush: Option<Flush>,
    pause: Option<tokio::time::Instant>,
    hurry: bool,
}

impl Pump {
    pub(crate) fn new(
        call: Call,
        mut observer: Box<dyn Observer>,
        pace: Pace,
        on_disconnect: Disconnect,
        reply: Reply,
        response: Response<Incoming>,
    ) -> Self {
        let (mut parts, upstream) = response.into_parts();
        observer.head(&parts);
        let rule = Rule::of(
            pace,
            call.ctx.strict,
            &parts.headers,
            upstream.size_hint().exact(),
        );
        let head_text = exchange::answer_head(&call.ctx, &parts);
        let form = Form::of(&parts.headers);
        let status = parts.status.as_u16();
        strip_answer(&mut parts.headers, false);
        parts.version = Version::HTTP_11;
        let now = tokio::time::Instant::now();
        let patience = (!observer.is_standing()).then_some(call.ctx.limits.idle_timeout);
        Self {
            stopping: call.ctx.stopping(),
            observer,
            rule,
            on_disconnect,
            gone: false,
            declared: upstream.size_hint().exact(),
            upstream: Some(upstream),
            status,
            form,
            silent_since: now,
            patience,
            noted: Vec::new(),
            beside: VecDeque::new(),
            owed: Vec::new(),
            head: Some(Response::from_parts(parts, ())),
            reply: Some(reply),
            outlet: None,
            relayed: Relayed::default(),
            head_text,
            head_ref: None,
            head_released: None,
            head_durable: false,
            writer: None,
            received: 0,
            flushed: 0,
            durable: 0,
            released: 0,
            answered: None,
            held: VecDeque::new(),
            held_bytes: 0,
            room: Reservation::default(),
            trailers: None,
            lag: VecDeque::new(),
            flush: None,
            pause: Some(
                now + if rule == Rule::Stream {
                    HEAD_PAUSE
                } else {
                    PAUSE
                },
            ),
            hurry: false,
            call,
        }
    }

    /// Relays to the end and closes the call.
    pub(crate) async fn run(mut self) -> Carried {
        let end = loop {
            match self.advance().await {
                Ok(None) => {}
                Ok(Some(end)) => break end,
                Err(error) => {
                    tracing::warn!(call = self.call.seq, %error, "an answer is broken off: it cannot be recorded");
                    break End::Unrecorded;
                }
            }
        };
        Box::pin(self.conclude(end)).await
    }

    /// One step: whatever comes first.
    async fn advance(&mut self) -> Result<Option<End>, Error> {
        if self
            .upstream
            .as_ref()
            .is_none_or(hyper::body::Body::is_end_stream)
        {
            return Ok(Some(End::Whole));
        }
        self.start_flush().await?;
        if self.release_head().is_err() && self.leave() {
            return Ok(Some(End::Gone));
        }
        let releasable = self.releasable();
        let readable = self.readable();
        let idle_at = self.patience.map(|patience| self.silent_since + patience);
        let step = tokio::select! {
            biased;
            done = flushed(&mut self.flush), if self.flush.is_some() => Step::Flushed(done),
            room = room(self.outlet.as_ref()), if releasable => release(room, &mut self.held),
            frame = frame(&mut self.upstream), if readable => Step::Frame(frame),
            () = gone(&mut self.reply, self.outlet.as_ref()), if !self.gone => Step::Gone,
            () = until(idle_at), if readable && idle_at.is_some() => Step::Idle,
            () = until(self.pause), if self.pause.is_some() => Step::Pause,
            () = self.stopping.now() => Step::Stopped,
        };
        if !readable {
            // Who is not listened to is not silent.
            self.silent_since = tokio::time::Instant::now();
        }
        self.take(step).await
    }

    async fn take(&mut self, step: Step) -> Result<Option<End>, Error> {
        match step {
            Step::Flushed(done) => {
                done?;
                if let Some(flush) = self.flush.take() {
                    self.beside_is_durable(flush.beside).await?;
                    self.durable = flush.upto;
                    self.head_durable = true;
                    while self
                        .lag
                        .front()
                        .is_some_and(|(upto, _)| *upto <= self.durable)
                    {
                        self.lag.pop_front();
                    }
                }
            }
            Step::Released { upto, len } => self.note_release(upto, len),
            Step::Frame(None) => return Ok(Some(End::Whole)),
            Step::Frame(Some(Err(error))) => return Ok(Some(End::Broken(broken(&error)))),
            Step::Frame(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => self.receive(data).await?,
                Err(frame) => self.trailers = frame.into_trailers().ok().or(self.trailers.take()),
            },
            Step::Gone => return Ok(self.leave().then_some(End::Gone)),
            Step::Idle => return Ok(Some(End::Idle)),
            Step::Pause => {
                self.pause = None;
                self.hurry = true;
            }
            Step::Stopped => return Ok(Some(End::Stopped)),
        }
        Ok(None)
    }

    /// The agent has gone away. Returns whether that ends the call.
    fn leave(&mut self) -> bool {
        self.gone = true;
        self.reply = None;
        self.outlet = None;
        self.held.clear();
        self.held_bytes = 0;
        self.room = Reservation::default();
        self.on_disconnect == Disconnect::Propagate
    }

    /// Whether one more chunk may be held.
    fn readable(&mut self) -> bool {
        if self.held_bytes < ALONE_BYTES {
            return true;
        }
        let with_next = (self.held_bytes + forward::READ_BYTES) as u64;
        let memory = &self.call.ctx.memory;
        self.held_bytes < HELD_BYTES && memory.try_grow(&mut self.room, recorded(with_next))
    }

    /// Records a chunk and holds it for its release.
    async fn receive(&mut self, data: Bytes) -> Result<(), Error> {
        let len = data.len() as u64;
        self.call.clock.chunks += 1;
        self.call.ctx.figures.response_bytes.fetch_add(len, Relaxed);
        self.observer.chunk(&data, &mut self.noted);
        self.queue_noted().await?;
        self.record(&data).await?;
        self.received += len;
        if self.answered.is_none() && self.observer.is_answered() {
            self.answered = Some(self.received);
        }
        let data = self.observer.released(data);
        if !self.gone && !data.is_empty() {
            self.held_bytes += data.len();
            self.held.push_back((self.received, data));
        }
        // Recording may have had to wait.
        self.silent_since = tokio::time::Instant::now();
        let full = self.held_bytes >= HELD_BYTES / 2 || !self.readable();
        match self.rule {
            Rule::Stream | Rule::Strict => self.hurry = true,
            Rule::Gather if full => self.hurry = true,
            Rule::Gather => self.pause = self.pause.or(Some(self.silent_since + PAUSE)),
        }
        Ok(())
    }

    /// How an agent parted that has gone away: SDKs hang up on the event that ends an answer, before the stream ends.
    fn parting(&self) -> End {
        match self.answered {
            Some(upto) if self.relayed.has_left(upto) => End::Left,
            _ => End::Gone,
        }
    }

    /// Closes the call and then releases what is left, with the end it had.
    async fn conclude(mut self, end: End) -> Carried {
        // A connection in mid-answer is of no use any more; its end tells the upstream.
        self.upstream = None;
        let whole = end == End::Whole;
        let mut end = if self.gone { self.parting() } else { end };
        if end.is_broken_off()
            && let Err(error) = self.release_rest(end).await
        {
            tracing::warn!(call = self.call.seq, %error, "the rest of an answer cannot be recorded");
            end = End::Unrecorded;
        }
        let mut draft = self.call.closing();
        if let Some(http) = &mut draft.http {
            http.status = Some(self.status);
            if end != End::Whole {
                http.relayed = Some(self.relayed.upto()).filter(|upto| *upto < self.received);
            }
        }
        let mut verdict = self
            .observer
            .finish(&self.call, whole, &mut draft, &mut self.noted);
        if let (Some(suspend), End::Whole | End::Broken(_)) = (verdict.suspend.take(), end) {
            return Box::pin(self.suspend(suspend, draft, end)).await;
        }
        if self.call.clock.released.is_none() && !self.gone && self.received > 0 {
            self.call.clock.released = Some(Instant::now());
        }
        let outcome = end.outcome(self.status, self.received, verdict);
        let noted = self.queue_noted().await;
        let recorded = self.record_rest(&mut draft).await;
        let beside = self.settle_beside().await;
        if end == End::Unrecorded || noted.and(recorded).and(beside).is_err() {
            owed::give_up_bodies(&mut draft, self.received);
            drop((self.reply.take(), self.outlet.take()));
        }
        let ctx = self.call.ctx.clone();
        let outcome = draft.outcome.take().unwrap_or(outcome);
        let carried = Carried {
            seq: self.call.seq,
            state: Some(outcome.state),
        };
        let mut closing = self.call.close(draft, outcome).await;
        if closing.durable().await.is_err() {
            // The agent learns at once that there is no more; the terminal event may have to wait for room.
            drop((self.reply.take(), self.outlet.take()));
        }
        if end == End::Whole {
            tokio::select! {
                () = deliver(self.reply, self.outlet, self.head, self.held, self.trailers, self.declared) => {}
                () = self.stopping.now() => {}
            }
        } else {
            drop((self.reply, self.outlet));
        }
        // A failure is counted and logged where it happens; recovery closes the call then.
        owed::settle_queued(&ctx, self.owed.into_iter().chain([closing]))
            .await
            .ok();
        carried
    }
}

async fn frame(upstream: &mut Option<Incoming>) -> Option<Result<Frame<Bytes>, hyper::Error>> {
    match upstream {
        Some(upstream) => upstream.frame().await,
        None => None,
    }
}

async fn gone(reply: &mut Option<Reply>, outlet: Option<&Outlet>) {
    match (reply, outlet) {
        (Some(reply), _) => reply.gone().await,
        (None, Some(outlet)) => outlet.gone().await,
        (None, None) => std::future::pending().await,
    }
}

async fn until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
