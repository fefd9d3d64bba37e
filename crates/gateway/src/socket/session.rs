//! One wrapper's session: the process's start, its lines, its end.
//!
//! Lines are queued in the order they arrive and acknowledged in the same order, many in one durable write. A call is
//! known as open from the moment it is queued, so that whatever comes behind it finds it.

use super::acknowledge::{Due, acknowledge, send};
use super::arguments::redacted;
use super::frame::{Ended, Frame, FrameError, Hello, PROTOCOL, Role as Wrapped, Welcome, Wire};
use super::lines::{self, Collector, Line, Unread};
use super::open::{Open, Opened, Place};
use super::stderr::Stderr;
use crate::context::Context;
use crate::exchange::{Call, Clock};
use crate::mcp::record;
use crate::mcp::{Direction, Parked, Party, ended, id_reused, timing};
use crate::model::moment;
use crate::owed::{self, Queued, give_up_bodies, submit};
use crate::runs::{Continuity, Ids, Request as RunRequest};
use event::{Agent, BodyRef, Draft, Kind, Mcp, Outcome, Role, Run, Source, State};
use evidence::Error;
use protocol::jsonrpc::{self, Id};
use protocol::mcp::{self, Shape, View};
use serde_json::{Value, json};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long a wrapper may take to say who it is.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Lines of a session that may wait for their acknowledgement.
const MAX_DUE: usize = 64;

/// Longest name of an agent or server in bytes.
const NAME_BYTES: usize = 128;

/// Why a session ended before its process did.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("nothing can be recorded: {0}")]
    Record(#[from] Error),
    #[error("the wrapper broke the protocol: {0}")]
    Protocol(&'static str),
}

pub(super) struct Session {
    ctx: Arc<Context>,
    party: Party,
    run: Run,
    source: Source,
    start: Call,
    open: Arc<Mutex<Open>>,
    to_server: Collector,
    to_client: Collector,
    stderr: Stderr,
}

impl Session {
    /// Takes a wrapper's session to its end.
    pub(super) async fn serve(
        ctx: Arc<Context>,
        stream: UnixStream,
        stopping: impl Future<Output = ()> + Send,
    ) -> Result<(), SessionError> {
        let (from, mut to) = stream.into_split();
        let mut wire = Wire::new(from);
        let hello = match tokio::time::timeout(HELLO_PATIENCE, wire.next()).await {
            Ok(Ok(Some(Frame::Hello(hello)))) => hello,
            // A probe whether somebody answers.
            Ok(Ok(None)) => return Ok(()),
            Ok(Ok(Some(_))) => {
                return Err(SessionError::Protocol("its first frame is no greeting"));
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(SessionError::Protocol("it did not greet in time")),
        };
        if let Err(why) = acceptable(&hello) {
            send(&mut to, &Frame::Refused(why.to_owned())).await?;
            return Err(SessionError::Protocol(why));
        }
        let session = match Self::begin(ctx, &hello).await {
            Ok(session) => session,
            Err(error) => {
                send(&mut to, &Frame::Refused(error.to_string())).await?;
                return Err(error.into());
            }
        };
        let welcome = Welcome {
            protocol: PROTOCOL,
            run: session.run.id.clone(),
        };
        // A wrapper that is gone already is found out by the next read.
        send(&mut to, &Frame::Welcome(welcome)).await.ok();
        session.run(wire, to, stopping).await
    }

    /// Records that the process is about to start; durable when this returns.
    async fn begin(ctx: Arc<Context>, hello: &Hello) -> Result<Self, Error> {
        let source = match hello.role {
            Wrapped::Mcp => Source::McpStdio,
            Wrapped::Run => Source::RunWrapper,
        };
        let agent = Agent {
            name: hello.agent.clone(),
            client: None,
        };
        let request = RunRequest {
            agent: &agent.name,
            ids: Ids {
                process: hello.run.as_deref().map(str::as_bytes),
                ..Ids::default()
            },
            continuity: Continuity::Process,
            tool_call: None,
            retry_of: None,
        };
        let (now_ms, entropy) = moment();
        let assignment = ctx.tracker().assign(&request, now_ms, entropy);
        let run = assignment
            .as_ref()
            .map(|assignment| assignment.run.clone())
            .unwrap_or_default();
        let mut before = Vec::new();
        for draft in assignment
            .iter()
            .flat_map(|assignment| assignment.events(&agent, source))
        {
            before.push(Queued::event(&ctx, draft).await);
        }

        let argv = redacted(&hello.argv, &ctx.secret_names, &ctx.recorder);
        let detail = json!({ "argv": argv, "cwd": hello.cwd, "env": hello.env });
        let detail =
            serde_json::to_vec(&detail).map_err(|error| Error::Event(error.to_string()))?;
        let mut draft = Draft::new(Kind::ProcessStart, source);
        draft.agent = Some(agent.clone());
        draft.run = Some(run.clone());
        draft.governance.clone_from(&ctx.governance);
        let program = argv.first().map_or("", |program| record::cut(program));
        record::fact(&mut draft, "program", Value::from(program));
        record::fact(
            &mut draft,
            "arguments",
            Value::from(argv.len().saturating_sub(1)),
        );
        if hello.resumed {
            record::fact(&mut draft, "resumed", Value::from(true));
        }
        if let Some(server) = &hello.server {
            draft.mcp = Some(Mcp {
                server: server.clone(),
                ..Mcp::default()
            });
        }
        let media = Some("application/json".to_owned());
        draft
            .bodies
            .push(ctx.recorder.put(Role::Detail, media, None, &detail).await?);
        let started = Instant::now();
        let seq = submit(&ctx, &mut draft).await?.await?.seq;
        let start = Call {
            ctx: ctx.clone(),
            seq,
            request: draft,
            clock: Clock::new(started, started),
        };
        for mut queued in before {
            if let Err(error) = queued.durable().await {
                start.give_up();
                return Err(error);
            }
        }
        let server = hello.server.clone().unwrap_or_default();
        Ok(Self {
            party: Party {
                agent,
                server,
                session: None,
                version: None,
            },
            ctx,
            run,
            source,
            start,
            open: Arc::default(),
            to_server: Collector::default(),
            to_client: Collector::default(),
            stderr: Stderr::default(),
        })
    }

    async fn run(
        mut self,
        mut wire: Wire<OwnedReadHalf>,
        to: OwnedWriteHalf,
        stopping: impl Future<Output = ()> + Send,
    ) -> Result<(), SessionError> {
        let (due, dues) = mpsc::channel(MAX_DUE);
        let mut acks = tokio::spawn(acknowledge(self.ctx.clone(), self.open.clone(), dues, to));
        let mut stopping = std::pin::pin!(stopping);
        let end = loop {
            let frame = tokio::select! {
                biased;
                () = &mut stopping => break End::Stopped,
                frame = wire.next() => frame,
            };
            match frame {
                Ok(Some(Frame::Ended(ended))) => break End::Ended(ended),
                Ok(Some(frame)) => match self.take(frame, &due).await {
                    Ok(()) => {}
                    Err(error) => break End::Lost(Some(error)),
                },
                Ok(None) => break End::Lost(None),
                Err(error) => break End::Lost(Some(error.into())),
            }
        };
        drop(due);
        let to = joined(&mut acks).await;
        self.conclude(end, to).await
    }

    async fn take(&mut self, frame: Frame, due: &mpsc::Sender<Due>) -> Result<(), SessionError> {
        if self.source == Source::RunWrapper {
            return Err(SessionError::Protocol(
                "a process that is no server has no lines",
            ));
        }
        match frame {
            Frame::Part(direction, bytes) => {
                let ctx = self.ctx.clone();
                self.collector(direction).add(&ctx.recorder, &bytes).await?;
            }
            Frame::Line(direction, bytes) => {
                let ctx = self.ctx.clone();
                self.collector(direction).add(&ctx.recorder, &bytes).await?;
                let Some(line) = self.collector(direction).take() else {
                    return Ok(());
                };
                let queued = self.line(direction, line).await;
                if due.send(queued).await.is_err() {
                    return Err(SessionError::Protocol(
                        "it does not read its acknowledgements",
                    ));
                }
            }
            Frame::Stderr(bytes) => self.stderr.add(&self.ctx, self.start.seq, &bytes).await?,
            _ => {
                return Err(SessionError::Protocol(
                    "a frame that is the recorder's to send",
                ));
            }
        }
        Ok(())
    }

    fn collector(&mut self, direction: Direction) -> &mut Collector {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    /// Queues the events of a line.
    async fn line(&mut self, direction: Direction, line: Line) -> Due {
        let mut due = Due::default();
        if let Err(error) = self.queue(direction, line, &mut due).await {
            due.refused = Some(error.to_string());
        }
        due
    }

    async fn queue(
        &mut self,
        direction: Direction,
        mut line: Line,
        due: &mut Due,
    ) -> Result<(), Error> {
        let received = Instant::now();
        let (text, len) = (line.text.take(), line.len);
        let payload = match lines::read(text.as_deref()) {
            Ok(payload) => payload,
            Err(unread) => {
                let mut draft = match unread {
                    Unread::Empty(why) => record::empty(self.source, &self.party, direction, why),
                    Unread::NotUnderstood(why) => {
                        self.ctx.figures.not_understood.fetch_add(1, Relaxed);
                        record::not_understood(self.source, &self.party, direction, why)
                    }
                };
                draft.bodies.push(line.finish(Role::Message).await?);
                self.event(draft, due).await;
                return Ok(());
            }
        };
        let kinds: Vec<jsonrpc::Kind<'_>> = payload
            .messages
            .iter()
            .map(|message| message.kind.clone())
            .collect();
        let body = match line.finish(lines::role(&kinds)).await {
            Ok(body) => Recorded::Body(body),
            Err(error) => Recorded::Not(error, len),
        };
        for message in &payload.messages {
            let view = mcp::view(message);
            self.message(direction, &view, (payload.batch, received), &body, due)
                .await?;
        }
        let read = payload.messages.len() as u64;
        if let Some(count) = payload.batch.filter(|count| *count > read) {
            self.ctx.figures.not_understood.fetch_add(1, Relaxed);
            let draft = record::left_out(self.source, &self.party, direction, count - read);
            self.event(draft, due).await;
        }
        Ok(())
    }

    /// Queues an event of a line.
    async fn event(&self, mut draft: Draft, due: &mut Due) {
        draft.run.get_or_insert_with(|| self.run.clone());
        due.queued.push(Queued::event(&self.ctx, draft).await);
    }

    /// Queues the events of one message.
    async fn message(
        &mut self,
        direction: Direction,
        view: &View<'_>,
        (batch, received): (Option<u64>, Instant),
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let mut draft = record::message(self.source, &self.party, direction, view);
        match (direction, view.shape, &view.id) {
            (Direction::ToServer, Shape::Request, Some(id)) => {
                return self.request(view, id, (batch, received), body, due).await;
            }
            (Direction::ToClient, Shape::Response | Shape::Error, Some(id)) => {
                let waiting = self.open().take(id);
                if let Some(opened) = waiting
                    && let Some(parked) = opened.call(&self.ctx).await
                {
                    return self.answer(parked, view, body, due).await;
                }
            }
            (Direction::ToClient, Shape::Request, Some(id)) => {
                draft.bodies.push(body.reference()?);
                draft.run = Some(self.run.clone());
                let place = Place::of(submit(&self.ctx, &mut draft).await?);
                due.asked.push(place.clone());
                self.open().question(id.clone(), place);
                return Ok(());
            }
            (Direction::ToServer, Shape::Response | Shape::Error, Some(id)) => {
                let question = self.open().answered(id);
                if let Some(question) = question
                    && let Ok((appended, _)) = question.known().await
                {
                    draft.causes.push(appended.seq);
                }
            }
            (Direction::ToServer, Shape::Notification, _) => {
                if let Some(id) = &view.cancels {
                    let seq = self.end(id, cancelled(), due).await;
                    draft.causes.extend(seq);
                }
            }
            _ => {}
        }
        draft.bodies.push(body.reference()?);
        self.event(draft, due).await;
        Ok(())
    }

    /// Ends the call that waits under an id, unanswered. Returns the `seq` of its request.
    async fn end(&self, id: &Id, outcome: Outcome, due: &mut Due) -> Option<u64> {
        let opened = self.open().take(id)?;
        let Parked { call, .. } = opened.call(&self.ctx).await?;
        let end = Queued::noted(&self.ctx, ended(&call, outcome)).await;
        due.queued.push(end);
        Some(call.seq)
    }

    /// Queues the terminal event of a call that is answered.
    async fn answer(
        &mut self,
        Parked { call, asked }: Parked,
        view: &View<'_>,
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let mut draft = call.closing();
        let shared = &self.ctx.mcp;
        let answered = record::answer(shared, &mut self.party, &asked, call.seq, view, &mut draft);
        draft.outcome = Some(Outcome {
            state: answered.state(),
            error: answered.error(),
            reason: None,
        });
        draft.timing = Some(timing(&call));
        match body {
            Recorded::Body(body) => draft.bodies.push(body.clone()),
            Recorded::Not(_, len) => give_up_bodies(&mut draft, *len),
        }
        self.event(draft, due).await;
        // Without its bytes it does not pass.
        body.reference().map(drop)
    }

    /// Queues the request event of a call. One that waits under its id ends.
    async fn request(
        &mut self,
        view: &View<'_>,
        id: &Id,
        (batch, received): (Option<u64>, Instant),
        body: &Recorded,
        due: &mut Due,
    ) -> Result<(), Error> {
        let body = body.reference()?;
        if !self.open().has_room(id) {
            return Err(Error::Full("too many calls wait for an answer".to_owned()));
        }
        self.end(id, id_reused(), due).await;
        if view.method.as_deref() == Some("initialize") {
            self.party.agent.client.clone_from(&view.implementation);
        } else if view.protocol_version.is_some() {
            self.party.version.clone_from(&view.protocol_version);
        }
        for draft in self.linked(view) {
            self.event(draft, due).await;
        }
        let mut draft = Draft::new(record::request_kind(view), self.source);
        draft.agent = Some(self.party.agent.clone());
        draft.run = Some(self.run.clone());
        draft.governance.clone_from(&self.ctx.governance);
        let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
        if let Some(mcp) = &mut draft.mcp {
            mcp.batch = batch;
        }
        draft.causes.push(self.start.seq);
        draft.bodies.push(body);
        let place = Place::of(submit(&self.ctx, &mut draft).await?);
        due.opened.push((id.clone(), place.clone()));
        let opened = Opened {
            request: draft,
            asked,
            received,
            place,
        };
        self.open().call(id.clone(), opened);
        Ok(())
    }

    /// The model's run that asked for a tool call becomes the parent of the process's run, once it is known.
    fn linked(&mut self, view: &View<'_>) -> Vec<Draft> {
        if !view.is_tool_call() {
            return Vec::new();
        }
        let request = RunRequest {
            agent: &self.party.agent.name,
            ids: Ids {
                process: Some(self.run.id.as_bytes()),
                ..Ids::default()
            },
            continuity: Continuity::Process,
            tool_call: Some((
                view.target.as_deref().unwrap_or_default(),
                view.arguments.unwrap_or("{}"),
            )),
            retry_of: None,
        };
        let (now_ms, entropy) = moment();
        let Some(assignment) = self.ctx.tracker().assign(&request, now_ms, entropy) else {
            return Vec::new();
        };
        let events = assignment.events(&self.party.agent, self.source);
        self.run = assignment.run;
        events
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes what is open: the calls, then the process.
    async fn conclude(mut self, end: End, to: Option<OwnedWriteHalf>) -> Result<(), SessionError> {
        let (state, error) = match &end {
            End::Ended(_) => (State::UpstreamError, "server_exited"),
            End::Lost(_) => (State::ClientAborted, "wrapper_lost"),
            End::Stopped => (State::Interrupted, "recorder_stopped"),
        };
        let mut owed = Vec::new();
        let left = self.open().take_all();
        for opened in left {
            if let Some(Parked { call, .. }) = opened.call(&self.ctx).await {
                let end = ended(&call, because(state, error));
                owed.push(Queued::noted(&self.ctx, end).await);
            }
        }
        let mut draft = self.start.closing();
        let (stderr, gap) = std::mem::take(&mut self.stderr).finish().await;
        draft.bodies.extend(stderr);
        if let Some(gap) = gap {
            let mut gap = self.start.gap(gap);
            gap.source = self.source;
            owed.push(Queued::event(&self.ctx, gap).await);
        }
        let mut outcome = because(state, error);
        let mut timing = timing(&self.start);
        if let End::Ended(ended) = &end {
            outcome = how(ended);
            timing.total_us = Some(ended.duration_us);
            for (name, value) in [
                ("pid", ended.pid.map(Value::from)),
                ("code", ended.code.map(Value::from)),
                ("signal", ended.signal.map(Value::from)),
            ] {
                if let Some(value) = value {
                    record::fact(&mut draft, name, value);
                }
            }
        }
        draft.outcome = Some(outcome);
        draft.timing = Some(timing);
        let exit = Queued::event(&self.ctx, draft).await;
        owed.push(exit);
        owed::settle_queued(&self.ctx, owed).await?;
        match end {
            End::Ended(_) => {
                if let Some(mut to) = to {
                    // The end is recorded whether or not the wrapper hears of it.
                    send(&mut to, &Frame::Ack).await.ok();
                }
                Ok(())
            }
            End::Lost(Some(error)) => Err(error),
            End::Lost(None) | End::Stopped => Ok(()),
        }
    }
}

/// The bytes of a line.
enum Recorded {
    /// Where they are.
    Body(BodyRef),
    /// Why they are not, and how many they were.
    Not(Error, u64),
}

impl Recorded {
    fn reference(&self) -> Result<BodyRef, Error> {
        match self {
            Self::Body(body) => Ok(body.clone()),
            Self::Not(error, _) => Err(error.clone()),
        }
    }
}

/// How a session ends.
enum End {
    Ended(Ended),
    Lost(Option<SessionError>),
    Stopped,
}

fn how(ended: &Ended) -> Outcome {
    let (state, error) = match (&ended.not_started, ended.code, ended.signal) {
        (Some(_), ..) => (State::UpstreamError, Some("not_started".to_owned())),
        (None, Some(0), _) => (State::Completed, None),
        (None, Some(code), _) => (State::Completed, Some(format!("exit_{code}"))),
        (None, None, Some(signal)) => (State::Completed, Some(format!("signal_{signal}"))),
        (None, None, None) => (State::Completed, Some("unknown_status".to_owned())),
    };
    Outcome {
        state,
        error,
        reason: None,
    }
}

fn because(state: State, error: &str) -> Outcome {
    Outcome {
        state,
        error: Some(error.to_owned()),
        reason: None,
    }
}

fn cancelled() -> Outcome {
    because(State::ClientAborted, "cancelled")
}

/// Whether an agent or a server may be called this: 1 to 128 bytes, no control characters.
#[must_use]
pub fn acceptable_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
}

fn acceptable(hello: &Hello) -> Result<(), &'static str> {
    let name = acceptable_name;
    if hello.protocol != PROTOCOL {
        return Err(
            "the wrapper and the recorder are of different versions; use the same `tacho` for both",
        );
    }
    if !name(&hello.agent) {
        return Err("the agent's name is empty, longer than 128 bytes, or has control characters");
    }
    match (hello.role, &hello.server) {
        (Wrapped::Mcp, Some(server)) if name(server) => Ok(()),
        (Wrapped::Run, None) => Ok(()),
        (Wrapped::Mcp, _) => {
            Err("the server's name is empty, longer than 128 bytes, or has control characters")
        }
        (Wrapped::Run, Some(_)) => Err("an agent's process has no server name"),
    }
}

async fn joined(acks: &mut JoinHandle<Option<OwnedWriteHalf>>) -> Option<OwnedWriteHalf> {
    match acks.await {
        Ok(to) => to,
        Err(error) => {
            tracing::error!(%error, "acknowledging broke");
            None
        }
    }
}
