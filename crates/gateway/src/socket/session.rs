//! One wrapper's session: the process's start, its lines, its end.
//!
//! Lines are queued in the order they arrive and acknowledged in the same order, many in one durable write. A call is
//! known as open before its line is acknowledged, so that its answer always finds it.

use super::acknowledge::{Due, MAX_OPEN, Open, Then, acknowledge, send};
use super::arguments::redacted;
use super::frame::{Ended, Frame, FrameError, Hello, PROTOCOL, Role as Wrapped, Welcome, Wire};
use super::lines::{self, Collector, Line};
use super::stderr::Stderr;
use crate::context::Context;
use crate::exchange::{Call, Clock};
use crate::mcp::record;
use crate::mcp::{Direction, Parked, Party, timing};
use crate::model::moment;
use crate::runs::{Continuity, Ids, Request as RunRequest};
use event::{Agent, Draft, Kind, Mcp, Outcome, Role, Run, Source, State};
use evidence::{Error, Pending};
use protocol::jsonrpc::{self, Id};
use protocol::mcp::{self, Shape, View};
use serde_json::{Value, json};
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
        };
        let (now_ms, entropy) = moment();
        let assignment = ctx.tracker().assign(&request, now_ms, entropy);
        let run = assignment
            .as_ref()
            .map(|assignment| assignment.run.clone())
            .unwrap_or_default();
        for draft in assignment
            .iter()
            .flat_map(|assignment| assignment.events(&agent, source))
        {
            // Made durable by what follows.
            drop(ctx.recorder.submit(&draft).await?);
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
        let seq = ctx.recorder.append(&draft).await?.seq;
        let start = Call {
            ctx: ctx.clone(),
            seq,
            request: draft,
            clock: Clock::new(started, started),
        };
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
        let mut writes = Vec::new();
        let refused = self.queue(direction, line, &mut writes).await.err();
        Due {
            writes,
            refused: refused.map(|error| error.to_string()),
        }
    }

    async fn queue(
        &mut self,
        direction: Direction,
        mut line: Line,
        writes: &mut Vec<(Pending, Then)>,
    ) -> Result<(), Error> {
        let received = Instant::now();
        let text = line.text.take();
        let payload = match lines::read(text.as_deref()) {
            Ok(payload) => payload,
            Err(why) => {
                let mut draft = record::unreadable(self.source, &self.party, direction, why);
                draft.run = Some(self.run.clone());
                draft.bodies.push(line.finish(Role::Message).await?);
                writes.push((self.ctx.recorder.submit(&draft).await?, Then::Nothing));
                return Ok(());
            }
        };
        let kinds: Vec<jsonrpc::Kind<'_>> = payload
            .messages
            .iter()
            .map(|message| message.kind.clone())
            .collect();
        let body = line.finish(lines::role(&kinds)).await?;
        for message in &payload.messages {
            let view = mcp::view(message);
            for (mut draft, then) in self.events(direction, &view, payload.batch, received)? {
                draft.run.get_or_insert_with(|| self.run.clone());
                if !matches!(draft.kind, Kind::RunStart | Kind::RunLink) {
                    draft.bodies.push(body.clone());
                }
                let then = match then {
                    Then::Called(id, mut call, at) => {
                        call.0 = draft.clone();
                        Then::Called(id, call, at)
                    }
                    then => then,
                };
                writes.push((self.ctx.recorder.submit(&draft).await?, then));
            }
        }
        if payload.messages.is_empty() {
            let mut draft = record::unreadable(self.source, &self.party, direction, "empty batch");
            draft.run = Some(self.run.clone());
            draft.bodies.push(body);
            writes.push((self.ctx.recorder.submit(&draft).await?, Then::Nothing));
        }
        Ok(())
    }

    /// The events of one message, and what to remember of each.
    fn events(
        &mut self,
        direction: Direction,
        view: &View<'_>,
        batch: Option<u64>,
        received: Instant,
    ) -> Result<Vec<(Draft, Then)>, Error> {
        match (direction, view.shape, &view.id) {
            (Direction::ToServer, Shape::Request, Some(id)) => {
                let reused = self.open().calls.remove(id).map(|Parked { call, .. }| {
                    (
                        closed(&call, State::StreamError, "id_reused"),
                        Then::Nothing,
                    )
                });
                let request = self.request(view, id, batch, received)?;
                Ok(reused.into_iter().chain(request).collect())
            }
            (Direction::ToClient, Shape::Response | Shape::Error, Some(id)) => {
                let waiting = self.open().calls.remove(id);
                let Some(Parked { call, asked }) = waiting else {
                    return Ok(vec![(self.message(direction, view), Then::Nothing)]);
                };
                let mut draft = call.closing();
                let shared = &self.ctx.mcp;
                let answered =
                    record::answer(shared, &mut self.party, &asked, call.seq, view, &mut draft);
                draft.outcome = Some(Outcome {
                    state: answered.state(),
                    error: answered.error(),
                    reason: None,
                });
                draft.timing = Some(timing(&call));
                Ok(vec![(draft, Then::Nothing)])
            }
            (Direction::ToClient, Shape::Request, Some(id)) => Ok(vec![(
                self.message(direction, view),
                Then::Questioned(id.clone()),
            )]),
            (Direction::ToServer, Shape::Response | Shape::Error, Some(id)) => {
                let question = self.open().questions.remove(id);
                let mut draft = self.message(direction, view);
                draft.causes.extend(question);
                Ok(vec![(draft, Then::Nothing)])
            }
            (Direction::ToServer, Shape::Notification, _) if view.cancels.is_some() => {
                let cancelled = view
                    .cancels
                    .as_ref()
                    .and_then(|id| self.open().calls.remove(id));
                let mut draft = self.message(direction, view);
                draft
                    .causes
                    .extend(cancelled.as_ref().map(|parked| parked.call.seq));
                let end = cancelled.map(|Parked { call, .. }| {
                    (
                        closed(&call, State::ClientAborted, "cancelled"),
                        Then::Nothing,
                    )
                });
                Ok(std::iter::once((draft, Then::Nothing)).chain(end).collect())
            }
            _ => Ok(vec![(self.message(direction, view), Then::Nothing)]),
        }
    }

    fn request(
        &mut self,
        view: &View<'_>,
        id: &Id,
        batch: Option<u64>,
        received: Instant,
    ) -> Result<Vec<(Draft, Then)>, Error> {
        if self.open().calls.len() >= MAX_OPEN {
            return Err(Error::Full("too many calls wait for an answer".to_owned()));
        }
        if view.method.as_deref() == Some("initialize") {
            self.party.agent.client.clone_from(&view.implementation);
        } else if view.protocol_version.is_some() {
            self.party.version.clone_from(&view.protocol_version);
        }
        let mut events: Vec<_> = self
            .linked(view)
            .into_iter()
            .map(|draft| (draft, Then::Nothing))
            .collect();
        let mut draft = Draft::new(record::request_kind(view), self.source);
        draft.agent = Some(self.party.agent.clone());
        draft.run = Some(self.run.clone());
        draft.governance.clone_from(&self.ctx.governance);
        let asked = record::request(&self.ctx.mcp, &self.party, view, &mut draft);
        if let Some(mcp) = &mut draft.mcp {
            mcp.batch = batch;
        }
        draft.causes.push(self.start.seq);
        let call = Box::new((draft.clone(), asked));
        events.push((draft, Then::Called(id.clone(), call, received)));
        Ok(events)
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
        };
        let (now_ms, entropy) = moment();
        let Some(assignment) = self.ctx.tracker().assign(&request, now_ms, entropy) else {
            return Vec::new();
        };
        let events = assignment.events(&self.party.agent, self.source);
        self.run = assignment.run;
        events
    }

    fn message(&self, direction: Direction, view: &View<'_>) -> Draft {
        let mut draft = record::message(self.source, &self.party, direction, view);
        draft.run = Some(self.run.clone());
        draft
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
        let left: Vec<Parked> = self
            .open()
            .calls
            .drain()
            .map(|(_, parked)| parked)
            .collect();
        for Parked { call, .. } in left {
            // Made durable by what follows.
            drop(
                self.ctx
                    .recorder
                    .submit(&closed(&call, state, error))
                    .await?,
            );
        }
        let mut draft = self.start.closing();
        draft.bodies.extend(self.stderr.finish().await?);
        let mut outcome = Outcome {
            state,
            error: Some(error.to_owned()),
            reason: None,
        };
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
        self.ctx.recorder.append(&draft).await?;
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

fn closed(call: &Call, state: State, error: &str) -> Draft {
    let mut draft = call.closing();
    draft.outcome = Some(Outcome {
        state,
        error: Some(error.to_owned()),
        reason: None,
    });
    draft.timing = Some(timing(call));
    draft
}

fn acceptable(hello: &Hello) -> Result<(), &'static str> {
    let name = |name: &str| {
        !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(char::is_control)
    };
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
