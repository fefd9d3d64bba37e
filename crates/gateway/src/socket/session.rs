//! One wrapper's session: the process's start, its lines, its end.
//!
//! Lines are queued in the order they arrive and acknowledged in the same order, many in one durable write. A call is
//! known as open from the moment it is queued, so that whatever comes behind it finds it.

mod greeting;
mod messages;
mod process;

pub use greeting::acceptable_name;

use super::acknowledge::{Due, acknowledge, send};
use super::frame::{Ended, Frame, FrameError, PROTOCOL, Welcome, Wire};
use super::lines::Collector;
use super::open::Open;
use super::stderr::Stderr;
use crate::context::Context;
use crate::exchange::Call;
use crate::mcp::{Direction, Party};
use event::{Outcome, Run, Source, State};
use evidence::Error;
use greeting::greeted;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Lines of a session that may wait for their acknowledgement.
const MAX_DUE: usize = 64;

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
        let Some(hello) = greeted(&mut wire, &mut to).await? else {
            return Ok(());
        };
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

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a session ends.
enum End {
    Ended(Ended),
    Lost(Option<SessionError>),
    Stopped,
}

fn because(state: State, error: &str) -> Outcome {
    Outcome {
        state,
        error: Some(error.to_owned()),
        reason: None,
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
