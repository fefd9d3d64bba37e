//! Answering for a server when nothing can be recorded: whoever asks gets an error, and is told why.

use super::lines::Lines;
use crate::failure::note;
use crate::link::LinkError;
use bytes::Bytes;
use protocol::jsonrpc::{self, Id, Kind};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How long requests are answered with an error once nothing can be recorded.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(2);

/// JSON-RPC's first code for errors of an implementation's own.
const NOT_RECORDED: i32 = -32000;

/// Nothing can be recorded from the start: whatever is asked is answered with an error, for a moment.
pub(crate) async fn refuse_all(error: &LinkError) {
    tell_unrecorded(error);
    let mut writers = Vec::new();
    let sink = sink(tokio::io::stdout(), &mut writers);
    let mut agent = Lines::new(tokio::io::stdin());
    refuse_requests(&mut agent, &sink, &error.to_string()).await;
    drop(sink);
    for writer in writers {
        tokio::time::timeout(LAST_WORDS, writer).await.ok();
    }
}

pub(super) fn tell_unrecorded(error: &LinkError) {
    note(&format!(
        "error: {error}\n  nothing passes that is not recorded, so the server is not available\n\nhint: start the recorder \
         with `tacho serve`, on the same data directory (--data, TACHO_DATA)"
    ));
}

pub(super) async fn refuse_requests<R: AsyncRead + Unpin>(
    agent: &mut Lines<R>,
    sink: &mpsc::Sender<Bytes>,
    why: &str,
) {
    let answering = async {
        while let Ok(Some(line)) = agent.next().await {
            for id in Ids::of(&line).requests {
                if sink.send(error_line(&id, why)).await.is_err() {
                    return;
                }
            }
        }
    };
    // Running out of time is as good an end as any.
    tokio::time::timeout(LAST_WORDS, answering).await.ok();
}

pub(super) fn error_line(id: &Id, why: &str) -> Bytes {
    let message = serde_json::Value::from(format!("not recorded, so not passed on: {why}"));
    let id = id.to_json();
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{NOT_RECORDED},\"message\":{message}}}}}\n"
    ))
}

/// The ids in a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    pub(super) requests: Vec<Id>,
    pub(super) answers: Vec<Id>,
}

impl Ids {
    pub(super) fn of(line: &[u8]) -> Self {
        let mut ids = Self::default();
        let Ok(payload) = jsonrpc::read(line.trim_ascii()) else {
            return ids;
        };
        for message in payload.messages {
            match message.kind {
                Kind::Request { id, .. } => ids.requests.push(id),
                Kind::Response { id, .. } | Kind::Error { id: Some(id), .. } => {
                    ids.answers.push(id)
                }
                _ => {}
            }
        }
        ids
    }
}

/// Writes lines as they come, each flushed at once.
pub(super) fn sink<W: AsyncWrite + Unpin + Send + 'static>(
    mut to: W,
    writers: &mut Vec<JoinHandle<()>>,
) -> mpsc::Sender<Bytes> {
    let (sender, mut lines) = mpsc::channel::<Bytes>(1);
    writers.push(tokio::spawn(async move {
        while let Some(line) = lines.recv().await {
            if to.write_all(&line).await.is_err() || to.flush().await.is_err() {
                return;
            }
        }
    }));
    sender
}
