//! One direction: bytes in, recorded, bytes out.
//!
//! Promises that no byte is forwarded to the upstream before it is durable, and that a byte released to the agent is
//! durable within [`LAG`] of it, or the next bytes wait; in strict mode it is durable before. That holds for a message that
//! has not come whole as well: its bytes are recorded as they stand on the wire, until the message itself is.

use super::{Activity, Carries};
use crate::exchange::Call;
use crate::model;
use crate::owed::{Queued, settle_queued, submit};
use event::{Draft, Exchange, Gap, Kind, Role, Source, WebSocket};
use evidence::{BodyWriter, Error, Pending};
use protocol::websocket::{Direction, Message, Opcode, Reader, message_type};
use protocol::{Said, SessionReader};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes read at a time.
const READ_BYTES: usize = 32 * 1024;

/// Longest message that is recorded whole.
const MESSAGE_BYTES: usize = 16 << 20;

/// How long a released byte may be in memory only.
const LAG: Duration = Duration::from_millis(50);

/// How many durable writes may be under way behind what is released.
const BEHIND: usize = 1024;

/// How one direction ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct PipeEnd {
    /// A closing frame passed.
    pub(super) closed: bool,
    /// The sender closed the connection; otherwise the receiver did.
    pub(super) by_sender: bool,
}

pub(super) struct Pipe<'a> {
    call: &'a Call,
    direction: Direction,
    reader: Option<Reader>,
    session: Option<SessionReader>,
    /// The bytes of the message that has not come whole.
    unfinished: Option<BodyWriter>,
    gap_noted: bool,
    /// Seen to when the connection has ended.
    gaps: Vec<Queued>,
    closed: bool,
}

impl<'a> Pipe<'a> {
    pub(super) fn new(call: &'a Call, direction: Direction, carries: Carries) -> Self {
        let Carries {
            websocket,
            deflate,
            model,
        } = carries;
        Self {
            call,
            direction,
            reader: websocket.then(|| Reader::new(direction, deflate, MESSAGE_BYTES)),
            session: (websocket && model).then(|| SessionReader::new(direction)),
            unfinished: None,
            gap_noted: false,
            gaps: Vec::new(),
            closed: false,
        }
    }

    pub(super) const fn is_websocket(&self) -> bool {
        self.reader.is_some()
    }

    pub(super) async fn run(
        &mut self,
        mut from: impl AsyncRead + Unpin + Send,
        mut to: impl AsyncWrite + Unpin + Send,
        activity: &Activity,
    ) -> Result<PipeEnd, Error> {
        let at_once = self.direction == Direction::ServerToClient && !self.call.ctx.strict;
        let mut buffer = vec![0; READ_BYTES];
        let mut behind = Behind::default();
        loop {
            let read = from.read(&mut buffer).await.unwrap_or(0);
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else {
                // The end is not told before what came before it is durable.
                behind.all().await?;
                // That the receiver is gone as well changes nothing.
                to.shutdown().await.ok();
                return Ok(self.ended(true));
            };
            activity.note();
            self.record(bytes, &mut behind).await?;
            if at_once {
                behind.settle().await?;
            } else {
                behind.all().await?;
            }
            if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
                return Ok(self.ended(false));
            }
        }
    }

    const fn ended(&self, by_sender: bool) -> PipeEnd {
        PipeEnd {
            closed: self.closed,
            by_sender,
        }
    }

    /// Records a message and an answer that the connection's end cut short, and what is missing.
    pub(super) async fn finish(mut self) -> Result<(), Error> {
        let ctx = &self.call.ctx;
        let mut recorded = Ok(());
        // No message ends this answer, but the agent has what came of it.
        if let Some(Said::Answered(view)) = self.session.take().and_then(SessionReader::finish) {
            let mut gap = self.gap("incomplete", 1, "elements");
            model::tell_answer(&mut gap, None, *view);
            self.gaps.push(Queued::event(ctx, gap).await);
        }
        if let Some(unfinished) = self.unfinished.take() {
            let gap = self.gap("incomplete", 1, "elements");
            self.gaps.push(Queued::event(ctx, gap).await);
            let bytes = self.submit_bytes(unfinished).await;
            recorded = match bytes {
                Ok(pending) => pending.await.map(drop),
                Err(error) => Err(error),
            };
        }
        settle_queued(ctx, self.gaps).await.and(recorded)
    }

    /// Queues these bytes: as the messages that they complete, and as they are where they complete none.
    async fn record(&mut self, bytes: &[u8], behind: &mut Behind) -> Result<(), Error> {
        let mut messages = Vec::new();
        let (mut readable, mut unfinished) = (false, 0);
        if let Some(reader) = &mut self.reader {
            reader.feed(bytes, &mut |message| messages.push(message));
            readable = reader.problem().is_none();
            unfinished = usize::try_from(reader.unfinished()).unwrap_or(usize::MAX);
        }
        for message in messages {
            self.closed |= message.opcode == Opcode::Close;
            let cut_off = message.truncated;
            behind.push(self.submit(message).await?).await?;
            if cut_off > 0 {
                self.note(self.gap("truncated", cut_off, "bytes")).await;
            }
        }
        if !readable {
            return behind.push(self.submit_unreadable(bytes).await?).await;
        }
        let begun = bytes.len().saturating_sub(unfinished);
        if begun > 0 {
            // The message that they began is recorded itself by now.
            self.unfinished = None;
        }
        match bytes.get(begun..).filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => behind.push(self.hold(bytes).await?).await,
            None => Ok(()),
        }
    }

    /// Queues bytes of a message that has not come whole.
    async fn hold(&mut self, bytes: &[u8]) -> Result<Pending, Error> {
        let writer = match &mut self.unfinished {
            Some(writer) => writer,
            None => {
                let mut writer = self.call.ctx.recorder.body()?;
                writer.attach(self.call.seq, Role::Message);
                self.unfinished.insert(writer)
            }
        };
        writer.write(bytes).await?;
        writer.flush().await
    }

    async fn submit(&mut self, message: Message) -> Result<Pending, Error> {
        let is_text = message.opcode == Opcode::Text && !message.raw;
        let kind = is_text.then(|| message_type(&message.payload)).flatten();
        let mut draft = self.draft(message.opcode.as_str(), kind);
        if let Some(session) = self.session.as_mut().filter(|_| is_text) {
            match session.feed(&message.payload) {
                Some(Said::Asked(view)) => model::tell_request(&mut draft, *view),
                Some(Said::Answered(view)) => model::tell_answer(&mut draft, None, *view),
                None => {}
            }
        }
        let ctx = &self.call.ctx;
        if !message.payload.is_empty() {
            let mut body = ctx
                .recorder
                .put(Role::Message, None, None, &message.payload)
                .await?;
            body.truncated = message.truncated;
            draft.bodies.push(body);
        }
        submit(ctx, &mut draft).await
    }

    /// What is no WebSocket frame, or no longer one, is recorded as it passes.
    async fn submit_unreadable(&mut self, bytes: &[u8]) -> Result<Pending, Error> {
        if self.reader.is_some() && !std::mem::replace(&mut self.gap_noted, true) {
            self.note(self.gap("not-understood", 1, "elements")).await;
        }
        let mut body = match self.unfinished.take() {
            Some(begun) => begun,
            None => self.call.ctx.recorder.body()?,
        };
        body.write(bytes).await?;
        self.submit_bytes(body).await
    }

    async fn submit_bytes(&self, body: BodyWriter) -> Result<Pending, Error> {
        let mut draft = self.draft("raw", None);
        let body = body.finish(Role::Message, None, None).await?;
        draft.bodies.push(body);
        submit(&self.call.ctx, &mut draft).await
    }

    /// Queues a gap. Of those before it, the last is given up when it is durable; one that was refused is seen to at the end.
    async fn note(&mut self, gap: Box<Draft>) {
        if let Some(last) = self.gaps.last_mut()
            && last.durable().await.is_ok()
        {
            self.gaps.pop();
        }
        self.gaps.push(Queued::event(&self.call.ctx, gap).await);
    }

    fn gap(&self, cause: &str, count: u64, unit: &str) -> Box<Draft> {
        self.call.gap(Gap {
            of: format!("websocket {}", self.direction.as_str()),
            cause: cause.to_owned(),
            count,
            unit: unit.to_owned(),
            ..Gap::default()
        })
    }

    fn draft(&self, opcode: &str, message_type: Option<String>) -> Box<Draft> {
        let request = &self.call.request;
        let mut draft = Box::new(Draft::new(Kind::WebSocketMessage, Source::Gateway));
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

/// Durable writes under way, in order, each with a refusal of its own: that a later one is durable says nothing about it.
#[derive(Default)]
struct Behind(VecDeque<(Pending, Instant)>);

impl Behind {
    /// One more is under way. Where there are too many, waits for the first.
    async fn push(&mut self, pending: Pending) -> Result<(), Error> {
        if self.0.len() >= BEHIND {
            self.first().await?;
        }
        self.0.push_back((pending, Instant::now()));
        Ok(())
    }

    /// Lets go of what has become durable; waits for what is late.
    async fn settle(&mut self) -> Result<(), Error> {
        while let Some((pending, since)) = self.0.front_mut() {
            if since.elapsed() >= LAG {
                self.first().await?;
                continue;
            }
            match poll_fn(|cx| Poll::Ready(Pin::new(&mut *pending).poll(cx))).await {
                Poll::Ready(done) => done?,
                Poll::Pending => return Ok(()),
            };
            self.0.pop_front();
        }
        Ok(())
    }

    /// Waits for all.
    async fn all(&mut self) -> Result<(), Error> {
        while !self.0.is_empty() {
            self.first().await?;
        }
        Ok(())
    }

    async fn first(&mut self) -> Result<(), Error> {
        if let Some((pending, _)) = self.0.front_mut() {
            pending.await?;
            self.0.pop_front();
        }
        Ok(())
    }
}
