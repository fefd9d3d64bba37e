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

/// Before and since: who has the answer to every request of its post has what it asked for.
#[tokio::test]
async fn who_hangs_up_with_its_answer_has_it() {
    let answer = |id| json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}});
    let event = |value: &serde_json::Value| format!("data: {value}\n\n");
    for (revision, ids, answered, state_wanted) in [
        ("2025-06-18", 1..=1, 1..=1, State::Completed),
        ("2026-07-28", 1..=1, 1..=1, State::Completed),
        ("2025-03-26", 1..=2, 1..=2, State::Completed),
        ("2026-07-28", 1..=1, 7..=7, State::ClientAborted),
    ] {
        let said: String = answered.map(|id| event(&answer(id))).collect();
        let upstream = Upstream::scripted({
            let said = said.clone();
            move |_, mut stream| {
                let said = said.clone();
                async move {
                    let begun = [chunked_head("text/event-stream"), chunk(said.as_bytes())];
                    stream.write_all(&begun.concat()).await.unwrap();
                    // Before 2026-07-28 nobody tells it that the agent has left; a comment does no harm.
                    let mut byte = [0];
                    let silence = std::time::Duration::from_millis(200);
                    if tokio::time::timeout(silence, stream.read(&mut byte))
                        .await
                        .is_err()
                    {
                        stream.write_all(&chunk(b": end\n\n")).await.ok();
                        stream.write_all(b"0\r\n\r\n").await.ok();
                    }
                }
            }
        })
        .await;
        let rig = rig(&upstream, "/mcp").await;
        let calls: Vec<_> = ids.map(|id| call(json!(id), "t", json!({}))).collect();
        let message = match calls.as_slice() {
            [one] => one.clone(),
            more => json!(more),
        };
        let body = message.to_string();
        let mut stream = rig.connect().await;
        let headers = [("MCP-Protocol-Version", revision)];
        let post = request("POST", "/agent/a/mcp/crm", &headers, body.as_bytes());
        stream.write_all(&post).await.unwrap();
        until(&mut stream, &mut Vec::new(), said.as_bytes()).await;
        drop(stream);
        let closed = rig.closed(calls.len() + usize::from(calls.len() > 1)).await;
        for (_, end) in closed {
            assert_eq!(state(&end), state_wanted, "{revision} {body}");
        }
    }
}
