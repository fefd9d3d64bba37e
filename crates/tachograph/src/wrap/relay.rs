//! Relaying the lines of a stdio MCP server: each is forwarded when, and only when, it is recorded.
//!
//! The order of each direction is kept and every byte of it. The two directions never wait for each other.

use super::child::{Process, Signals};
use super::lane::{Lane, SinkGone};
use super::lines::Lines;
use super::refuse::{Ids, LAST_WORDS, error_line, refuse_requests, sink, tell_unrecorded};
use super::stage::{GRACE_TERMINATED, Overdue, Stage};
use crate::failure::note;
use crate::link::{Link, LinkError};
use bytes::{Bytes, BytesMut};
use gateway::mcp::Direction;
use gateway::socket::{Frame, Hello};
use protocol::jsonrpc::Id;
use rustix::process::Signal;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, Stdin};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Requests whose answer is awaited that are remembered.
const MAX_ASKED: usize = 4096;

/// What is needed to reach the recorder again.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) socket: PathBuf,
    pub(crate) hello: Hello,
    pub(crate) patience: Duration,
}

/// What happened.
enum Step {
    Signal(Signal),
    FromAgent(io::Result<Option<Bytes>>),
    FromServer(io::Result<Option<Bytes>>),
    Stderr(io::Result<usize>),
    Recorder(Result<Frame, LinkError>),
    Passed(Direction, Result<(), SinkGone>),
    Exited(io::Result<ExitStatus>),
    Deadline,
}

/// A wrapped stdio server.
pub(crate) struct Relay {
    recorder: Recorder,
    link: Link,
    process: Process,
    signals: Signals,
    agent: Option<Lines<Stdin>>,
    server: Option<Lines<ChildStdout>>,
    stderr: Option<ChildStderr>,
    stderr_buffer: BytesMut,
    to_server: Lane,
    to_agent: Lane,
    unacknowledged: VecDeque<(Direction, Bytes)>,
    asked: HashSet<Id>,
    stage: Stage,
    last_output: Instant,
    status: Option<ExitStatus>,
    writers: Vec<JoinHandle<()>>,
}

/// How a relay ended.
pub(crate) struct Relayed {
    pub(crate) link: Link,
    pub(crate) process: Process,
    pub(crate) recorder: Recorder,
    /// `None`: its end could not be learnt.
    pub(crate) status: Option<ExitStatus>,
}

impl Relay {
    pub(crate) fn new(
        recorder: Recorder,
        link: Link,
        mut process: Process,
        signals: Signals,
    ) -> Self {
        let streams = process.streams();
        let (stdin, stdout, stderr) = (
            streams.stdin.take(),
            streams.stdout.take(),
            streams.stderr.take(),
        );
        let mut writers = Vec::new();
        let to_server = stdin.map(|stdin| sink(stdin, &mut writers));
        let to_agent = sink(tokio::io::stdout(), &mut writers);
        Self {
            recorder,
            link,
            process,
            signals,
            agent: Some(Lines::new(tokio::io::stdin())),
            server: stdout.map(Lines::new),
            stderr,
            stderr_buffer: BytesMut::new(),
            to_server: Lane::new(to_server),
            to_agent: Lane::new(Some(to_agent)),
            unacknowledged: VecDeque::new(),
            asked: HashSet::new(),
            stage: Stage::Running,
            last_output: Instant::now(),
            status: None,
            writers,
        }
    }

    /// Relays until the server has ended and everything it said is passed on.
    ///
    /// # Errors
    /// The recorder is gone for good. Everything that was asked is answered with an error, and the server is ended.
    pub(crate) async fn run(mut self) -> Result<Relayed, LinkError> {
        while !self.is_done() {
            let step = self.step().await;
            if let Err(error) = self.take(step).await {
                self.fail(&error).await;
                return Err(error);
            }
        }
        self.to_server.close();
        self.to_agent.close();
        for writer in self.writers {
            // An agent that does not read its last lines does not hold up the end for ever.
            tokio::time::timeout(GRACE_TERMINATED, writer).await.ok();
        }
        Ok(Relayed {
            link: self.link,
            process: self.process,
            recorder: self.recorder,
            status: self.status,
        })
    }

    fn is_done(&self) -> bool {
        self.stage.is_exited()
            && self.server.is_none()
            && self.stderr.is_none()
            && self.to_agent.is_empty()
            && self
                .unacknowledged
                .iter()
                .all(|(direction, _)| *direction == Direction::ToServer)
    }

    /// Waits for whatever comes first.
    async fn step(&mut self) -> Step {
        let deadline = self
            .stage
            .deadline(self.last_output, !self.asked.is_empty());
        let running = !self.stage.is_exited();
        let Self {
            signals,
            agent,
            server,
            stderr,
            stderr_buffer,
            to_server,
            to_agent,
            ..
        } = self;
        tokio::select! {
            biased;
            signal = signals.next() => Step::Signal(signal),
            frame = self.link.next() => Step::Recorder(frame),
            passed = to_agent.pass(), if !to_agent.is_empty() => Step::Passed(Direction::ToClient, passed),
            passed = to_server.pass(), if !to_server.is_empty() => Step::Passed(Direction::ToServer, passed),
            line = next(server), if server.is_some() && to_agent.has_room() => Step::FromServer(line),
            line = next(agent), if running && agent.is_some() && to_server.has_room() => Step::FromAgent(line),
            read = read(stderr, stderr_buffer), if stderr.is_some() => Step::Stderr(read),
            status = self.process.wait(), if running => Step::Exited(status),
            () = until(deadline), if deadline.is_some() => Step::Deadline,
        }
    }

    async fn take(&mut self, step: Step) -> Result<(), LinkError> {
        match step {
            Step::Signal(signal) => {
                self.process.signal(signal);
                if signal == Signal::TERM && !self.stage.is_exited() {
                    self.stage = Stage::Terminated(Instant::now());
                }
            }
            Step::Recorder(Ok(Frame::Ack)) => self.acknowledged(None),
            Step::Recorder(Ok(Frame::Refused(why))) => self.acknowledged(Some(&why)),
            Step::Recorder(Ok(_)) => return Err(LinkError::Protocol),
            Step::Recorder(Err(error)) => self.reconnect(&error).await?,
            Step::FromAgent(Ok(Some(line))) => self.record(Direction::ToServer, line).await?,
            Step::FromAgent(Ok(None)) => self.agent = None,
            Step::FromAgent(Err(error)) => {
                note(&format!("tacho: the agent's input cannot be read: {error}"));
                self.agent = None;
            }
            Step::FromServer(Ok(Some(line))) => {
                self.last_output = Instant::now();
                self.record(Direction::ToClient, line).await?;
            }
            Step::FromServer(Ok(None)) => self.server = None,
            Step::FromServer(Err(error)) => {
                note(&format!(
                    "tacho: the server's output cannot be read: {error}"
                ));
                self.server = None;
            }
            Step::Stderr(read) => self.pass_stderr(read).await?,
            Step::Passed(_, Ok(())) => {}
            // The server has closed its input; what is left for it has nowhere to go.
            Step::Passed(Direction::ToServer, Err(SinkGone)) => self.to_server.close(),
            Step::Passed(Direction::ToClient, Err(SinkGone)) => {
                // Nobody reads the answers any more.
                self.to_agent.close();
                self.agent = None;
            }
            Step::Exited(status) => {
                self.status = status.ok();
                self.stage = Stage::Exited(Instant::now());
                self.to_server.close();
            }
            Step::Deadline => self.escalate(),
        }
        self.end_input();
        Ok(())
    }

    /// The agent said its last word and the server has it: its input ends.
    fn end_input(&mut self) {
        let underway = self
            .unacknowledged
            .iter()
            .any(|(to, _)| *to == Direction::ToServer);
        if self.agent.is_none() && !underway && self.to_server.is_empty() {
            self.to_server.close();
            if self.stage == Stage::Running {
                self.stage = Stage::InputEnded;
                self.last_output = Instant::now();
            }
        }
    }

    /// A deadline has passed.
    fn escalate(&mut self) {
        match self.stage.overdue(Instant::now()) {
            Some(Overdue::Server(signal, stage)) => {
                self.process.signal(signal);
                self.stage = stage;
            }
            Some(Overdue::Pipes) => {
                self.server = None;
                self.stderr = None;
            }
            None => {}
        }
    }

    fn lane(&mut self, direction: Direction) -> &mut Lane {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_agent,
        }
    }

    /// Sends a line to the recorder.
    async fn record(&mut self, direction: Direction, line: Bytes) -> Result<(), LinkError> {
        let ids = Ids::of(&line);
        match direction {
            Direction::ToServer => {
                let room = MAX_ASKED.saturating_sub(self.asked.len());
                self.asked.extend(ids.requests.into_iter().take(room));
            }
            Direction::ToClient => ids.answers.iter().for_each(|id| {
                self.asked.remove(id);
            }),
        }
        self.lane(direction).enter(&line);
        self.unacknowledged.push_back((direction, line.clone()));
        match self.link.line(direction, &line).await {
            Ok(()) => Ok(()),
            Err(error) => self.reconnect(&error).await,
        }
    }

    /// The oldest line is recorded and may pass; or it is not, and must not.
    fn acknowledged(&mut self, refused: Option<&str>) {
        let Some((direction, line)) = self.unacknowledged.pop_front() else {
            return;
        };
        let lane = self.lane(direction);
        lane.leave(&line);
        let Some(why) = refused else {
            return lane.release(line);
        };
        note(&format!(
            "tacho: a message is held back, because it cannot be recorded: {why}"
        ));
        let ids = Ids::of(&line);
        for id in ids.requests.iter().chain(&ids.answers) {
            self.asked.remove(id);
            self.to_agent.release(error_line(id, why));
        }
    }

    async fn pass_stderr(&mut self, read: io::Result<usize>) -> Result<(), LinkError> {
        if !matches!(read, Ok(len) if len > 0) {
            self.stderr = None;
            return Ok(());
        }
        let bytes = self.stderr_buffer.split().freeze();
        let mut own = tokio::io::stderr();
        // Standard error that cannot be written to leaves nobody to tell.
        own.write_all(&bytes).await.ok();
        own.flush().await.ok();
        match self.link.stderr(&bytes).await {
            Ok(()) => Ok(()),
            Err(error) => self.reconnect(&error).await,
        }
    }

    /// The recorder is away: nothing passes until it is back. What was not acknowledged is sent again.
    async fn reconnect(&mut self, error: &LinkError) -> Result<(), LinkError> {
        note(&format!(
            "tacho: {error}; nothing passes until the recorder is back"
        ));
        self.recorder.hello.run = Some(self.link.run.clone());
        self.recorder.hello.resumed = true;
        let Self {
            recorder,
            signals,
            process,
            ..
        } = self;
        let opening = Link::open_within(&recorder.socket, &recorder.hello, recorder.patience);
        let mut opening = std::pin::pin!(opening);
        let mut link = loop {
            tokio::select! {
                link = &mut opening => break link?,
                signal = signals.next() => process.signal(signal),
            }
        };
        for (direction, line) in &self.unacknowledged {
            link.line(*direction, line).await?;
        }
        self.link = link;
        note("tacho: the recorder is back");
        Ok(())
    }

    /// Nothing can be recorded any more: whoever waits for an answer gets an error, and the server ends.
    async fn fail(mut self, error: &LinkError) {
        tell_unrecorded(error);
        let why = error.to_string();
        let mut open: Vec<Id> = self.asked.drain().collect();
        open.extend(
            self.unacknowledged
                .iter()
                .flat_map(|(_, line)| Ids::of(line).answers),
        );
        self.to_server.close();
        let (sink, released) = self.to_agent.dismantle();
        let answering = async {
            let Some(sink) = &sink else { return };
            // What was recorded may still pass.
            let errors = open.iter().map(|id| error_line(id, &why));
            for line in released.into_iter().chain(errors) {
                if sink.send(line).await.is_err() {
                    return;
                }
            }
            if let Some(agent) = &mut self.agent {
                refuse_requests(agent, sink, &why).await;
            }
        };
        let process = &mut self.process;
        let ending = async {
            if tokio::time::timeout(LAST_WORDS, process.wait())
                .await
                .is_err()
            {
                process.signal(Signal::TERM);
                if tokio::time::timeout(LAST_WORDS, process.wait())
                    .await
                    .is_err()
                {
                    process.signal(Signal::KILL);
                }
            }
        };
        tokio::join!(answering, ending);
        drop(sink);
        for writer in self.writers {
            tokio::time::timeout(LAST_WORDS, writer).await.ok();
        }
    }
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Option<Lines<R>>) -> io::Result<Option<Bytes>> {
    match lines {
        Some(lines) => lines.next().await,
        None => std::future::pending().await,
    }
}

async fn read<R: AsyncRead + Unpin>(
    from: &mut Option<R>,
    buffer: &mut BytesMut,
) -> io::Result<usize> {
    match from {
        Some(from) => {
            buffer.reserve(16 * 1024);
            from.read_buf(buffer).await
        }
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
