//! `DIR/control.sock`: what the recorder's own user may ask of a running recorder.
//!
//! One JSON line each way: `{"do":"anchor"}`, `{"do":"rotate"}` or `{"do":"revoke","epoch":N,"from_size":S,"reason":TEXT}`, and `{"done":...}` or
//! `{"error":"..."}` for it. The socket is for its owner
//! alone (mode 0600); agents reach another one. It reads nothing of the record out.

use crate::failure::Failure;
use crate::shell;
use anchor::Handle;
use evidence::Recorder;
use gateway::socket::Reach;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

const FILE_NAME: &str = "control.sock";

/// Longest line either way, in bytes.
const MAX_LINE: u64 = 1 << 20;

/// Orders at a time; the next one waits.
const MAX_ORDERS: usize = 8;

/// How long somebody who connected may take to say what he wants.
const ORDER_TIME: Duration = Duration::from_secs(10);

/// How long an order may take to be carried out: anchors are waited for a minute.
const ANSWER_TIME: Duration = Duration::from_secs(90);

/// Pause after the kernel refused to hand over a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Order {
    /// Publish a checkpoint and have it anchored now.
    Anchor,
    /// Give the log its next key.
    Rotate,
    /// Let signatures of an epoch's key count for nothing beyond a size.
    Revoke {
        epoch: u64,
        /// The largest size that still counts; without it none does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_size: Option<u64>,
        reason: String,
    },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Done(Value),
    Error(String),
}

/// The bound socket. Removed when dropped.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    does: Does,
}

/// Those who carry orders out.
#[derive(Debug, Clone)]
struct Does {
    anchors: Handle,
    recorder: Recorder,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyChange {
    /// The epoch that has begun, or whose key does not count any more.
    pub(crate) epoch: u64,
    /// The size that the key before closed with, or the largest for which the revoked one counts.
    pub(crate) size: u64,
    /// `seq` of the event that says so.
    pub(crate) event: u64,
}

impl Control {
    /// Binds the socket; the caller holds the directory, so what lies there is a remnant.
    pub(crate) fn bind(data: &Path, anchors: Handle, recorder: Recorder) -> io::Result<Self> {
        let path = data.join(FILE_NAME);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let reach = Reach::to(&path)?;
        let listener = UnixListener::bind(reach.path())?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path,
            does: Does { anchors, recorder },
        })
    }

    /// Carries orders out until it is dropped.
    pub(crate) async fn serve(self) {
        let room = Arc::new(Semaphore::new(MAX_ORDERS));
        loop {
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the control socket could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let does = self.does.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(stream, &does).await {
                    tracing::debug!(%error, "control");
                }
                drop(permit);
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The next recorder replaces what remains.
        std::fs::remove_file(&self.path).ok();
    }
}

async fn answer(stream: UnixStream, does: &Does) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let line = tokio::time::timeout(ORDER_TIME, line(from))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    let outcome = match serde_json::from_str::<Order>(&line) {
        Ok(order) => carry_out(order, does).await,
        Err(error) => Outcome::Error(format!("the order is not understood: {error}")),
    };
    let mut json = serde_json::to_vec(&outcome)?;
    json.push(b'\n');
    to.write_all(&json).await
}

async fn carry_out(order: Order, does: &Does) -> Outcome {
    match order {
        Order::Anchor => outcome(does.anchors.anchor_now().await),
        Order::Rotate => outcome(does.recorder.rotate().await.map(|rotated| KeyChange {
            epoch: rotated.epoch,
            size: rotated.size,
            event: rotated.seq,
        })),
        Order::Revoke {
            epoch,
            from_size,
            reason,
        } => {
            let revoked = does.recorder.revoke(epoch, from_size, &reason).await;
            outcome(revoked.map(|revoked| KeyChange {
                epoch: revoked.epoch,
                size: revoked.size,
                event: revoked.seq,
            }))
        }
    }
}

fn outcome<T: Serialize, E: std::error::Error>(result: Result<T, E>) -> Outcome {
    match result {
        // A struct of strings and numbers always has a JSON form.
        Ok(done) => Outcome::Done(serde_json::to_value(done).unwrap_or_default()),
        Err(error) => Outcome::Error(error.to_string()),
    }
}

async fn line(from: impl tokio::io::AsyncRead + Unpin) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(MAX_LINE))
        .read_line(&mut line)
        .await?;
    Ok(line)
}

/// Has the recorder that runs on `data` carry `order` out.
pub(crate) async fn ask(data: &Path, order: &Order) -> Result<Value, Failure> {
    let path = data.join(FILE_NAME);
    let unreachable = |error: &dyn std::error::Error| {
        Failure::new(format!("no recorder answers on {}", path.display()))
            .because(error)
            .hint(format!(
                "start it: `tacho serve --data {}`; or run this as the user that runs it",
                shell::word(data)
            ))
    };
    let exchange = async {
        let reach = Reach::to(&path)?;
        let (from, mut to) = UnixStream::connect(reach.path()).await?.into_split();
        let mut json = serde_json::to_vec(order)?;
        json.push(b'\n');
        to.write_all(&json).await?;
        line(from).await
    };
    let answer = tokio::time::timeout(ANSWER_TIME, exchange)
        .await
        .map_err(|error| unreachable(&error))?
        .map_err(|error| unreachable(&error))?;
    match serde_json::from_str(&answer) {
        Ok(Outcome::Done(done)) => Ok(done),
        Ok(Outcome::Error(why)) => Err(Failure::new("the recorder did not do it").cause(why)),
        Err(error) => Err(Failure::new("the recorder speaks another protocol")
            .because(&error)
            .hint("use the same `tacho` for both")),
    }
}
