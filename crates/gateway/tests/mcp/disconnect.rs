//! What it means that the client goes away: before 2026-07-28 nothing, since then a cancellation.

use super::rig::{DEADLINE, Upstream, chunk, chunked_head, find, until};
use super::{call, request, rig, state};
use event::{Role, State};
use serde_json::json;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

pub(super) struct Slow {
    pub(super) upstream: Upstream,
    go_on: Arc<Notify>,
    /// The server saw its connection closed.
    pub(super) closed: Arc<Notify>,
}

/// A server that begins an answer, and ends it when it is told to.
pub(super) async fn slow() -> Slow {
    let (go_on, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let upstream = Upstream::scripted({
        let (go_on, closed) = (go_on.clone(), closed.clone());
        move |_, mut stream| {
            let (go_on, closed) = (go_on.clone(), closed.clone());
            async move {
                let progress = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
                let begun = format!("data: {progress}\n\n");
                stream.write_all(&chunked_head("text/event-stream")).await.unwrap();
                stream.write_all(&chunk(begun.as_bytes())).await.unwrap();
                let mut byte = [0];
                tokio::select! {
                    () = go_on.notified() => {}
                    _ = stream.read(&mut byte) => return closed.notify_one(),
                }
                let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}});
                stream.write_all(&chunk(format!("data: {answer}\n\n").as_bytes())).await.ok();
                stream.write_all(b"0\r\n\r\n").await.ok();
            }
        }
    })
    .await;
    Slow {
        upstream,
        go_on,
        closed,
    }
}

#[tokio::test]
async fn in_the_older_revisions_the_answer_is_read_to_its_end_for_the_record() {
    for revision in ["2025-03-26", "2025-06-18", "2025-11-25", ""] {
        let Slow {
            upstream,
            go_on,
            closed: _,
        } = slow().await;
        let rig = rig(&upstream, "/mcp").await;
        let headers: &[_] = if revision.is_empty() {
            &[]
        } else {
            &[("MCP-Protocol-Version", revision)]
        };
        let message = call(json!(1), "slow", json!({}));
        let mut stream = rig.connect().await;
        stream
            .write_all(&request(
                "POST",
                "/agent/a/mcp/crm",
                headers,
                message.to_string().as_bytes(),
            ))
            .await
            .unwrap();
        let mut got = Vec::new();
        until(&mut stream, &mut got, b"notifications/progress").await;
        drop(stream);
        go_on.notify_one();
        let (_, end) = rig.one().await;
        assert_eq!(
            (end.kind.as_str(), state(&end)),
            ("tool.response", State::ClientAborted)
        );
        let recorded = rig.body(&end, Role::Response);
        assert!(
            find(&recorded, b"\"done\"").is_some(),
            "{revision}: the answer is not in the record"
        );
    }
}

#[tokio::test]
async fn since_2026_the_server_sees_it() {
    for in_header in [true, false] {
        let Slow {
            upstream,
            go_on: _,
            closed,
        } = slow().await;
        let rig = rig(&upstream, "/mcp").await;
        let mut message = call(json!(1), "slow", json!({}));
        let headers: &[_] = if in_header {
            &[("MCP-Protocol-Version", "2026-07-28")]
        } else {
            message["params"]["_meta"] =
                json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
            &[]
        };
        let mut stream = rig.connect().await;
        stream
            .write_all(&request(
                "POST",
                "/agent/a/mcp/crm",
                headers,
                message.to_string().as_bytes(),
            ))
            .await
            .unwrap();
        let mut got = Vec::new();
        until(&mut stream, &mut got, b"notifications/progress").await;
        drop(stream);
        tokio::time::timeout(DEADLINE, closed.notified())
            .await
            .expect("the server was not told");
        let (_, end) = rig.one().await;
        assert_eq!(
            (end.kind.as_str(), state(&end)),
            ("tool.response", State::ClientAborted)
        );
        let recorded = rig.body(&end, Role::Response);
        assert!(find(&recorded, b"notifications/progress").is_some());
    }
}
