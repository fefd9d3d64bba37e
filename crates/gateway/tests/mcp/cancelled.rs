//! A call that the agent cancels by a message (before 2026-07-28), a subscription that its server closes, and a call that
//! becomes a task.

use super::rig::{Rig, Seen, Upstream, chunk, chunked_head, ok, to_end, until};
use super::{call, end_of, error, request, rig, server, state};
use event::{Line, State};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

const PATH: &str = "/agent/a/mcp/crm";
const SESSION: [(&str, &str); 2] = [
    ("Mcp-Session-Id", "s"),
    ("MCP-Protocol-Version", "2025-06-18"),
];
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn fact<'a>(line: &'a Line, name: &str) -> Option<&'a Value> {
    line.facts.as_ref()?.get(name)
}

/// A server whose calls end with `last`, once a notification was posted.
async fn obeying(last: &'static str) -> Upstream {
    let go_on = Arc::new(Notify::new());
    Upstream::scripted(move |seen: Seen, mut stream| {
        let go_on = go_on.clone();
        async move {
            let message: Value = serde_json::from_slice(&seen.body).unwrap();
            if message["id"].is_null() {
                stream.write_all(ACCEPTED).await.ok();
                stream.shutdown().await.ok();
                go_on.notify_one();
                return;
            }
            stream
                .write_all(&chunked_head("text/event-stream"))
                .await
                .unwrap();
            stream.write_all(&chunk(b": begun\n\n")).await.unwrap();
            go_on.notified().await;
            if !last.is_empty() {
                stream.write_all(&chunk(last.as_bytes())).await.ok();
            }
            stream.write_all(b"0\r\n\r\n").await.ok();
        }
    })
    .await
}

/// The agent says that it no longer waits for the call with this id.
async fn cancel(rig: &Rig, id: u64) {
    let message =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});
    let post = request("POST", PATH, &SESSION, message.to_string().as_bytes());
    rig.exchange(&post).await;
}

#[tokio::test]
async fn a_call_that_is_cancelled_by_a_message_ends_as_that() {
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{}}\n\n";
    for (id, last, ends) in [
        (3, "", (State::ClientAborted, Some("cancelled"))),
        // A server may let it go on (and have its last event ask for polling: nobody will).
        (3, answer, (State::Completed, None)),
        (
            3,
            "id: 1\ndata:\n\n",
            (State::ClientAborted, Some("cancelled")),
        ),
        // Another call.
        (4, "", (State::StreamError, Some("no_terminal_event"))),
    ] {
        let upstream = obeying(last).await;
        let rig = rig(&upstream, "/mcp").await;
        let message = call(json!(3), "slow", json!({})).to_string();
        let mut stream = rig.connect().await;
        stream
            .write_all(&request("POST", PATH, &SESSION, message.as_bytes()))
            .await
            .unwrap();
        let mut got = Vec::new();
        until(&mut stream, &mut got, b": begun").await;
        cancel(&rig, id).await;
        to_end(&mut stream).await;
        let asked = rig.of(&["tool.request"]).remove(0);
        let end = end_of(&rig, &asked);
        assert_eq!((state(&end), error(&end)), ends);
        let message = rig.of(&["mcp.message"]).remove(0);
        assert_eq!(message.causes.contains(&asked.seq), id == 3);
    }
}

#[tokio::test]
async fn a_call_that_waits_for_another_stream_ends_when_it_is_cancelled() {
    let upstream = server(|seen: &Seen| {
        let message: Value = serde_json::from_slice(&seen.body).unwrap();
        if message["id"].is_null() {
            return ACCEPTED.to_vec();
        }
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nid: 1\ndata:\n\n".to_vec()
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let message = call(json!(1), "slow", json!({})).to_string();
    rig.exchange(&request("POST", PATH, &SESSION, message.as_bytes()))
        .await;
    assert!(rig.of(&["tool.response"]).is_empty());
    cancel(&rig, 1).await;
    let end = rig.of(&["tool.response"]).remove(0);
    assert_eq!(
        (state(&end), error(&end)),
        (State::ClientAborted, Some("cancelled"))
    );
}

#[tokio::test]
async fn a_subscription_that_its_server_closes_is_over_not_broken() {
    let acknowledged = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}});
    let upstream = server(move |_| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: {acknowledged}\n\n"
        )
        .into_bytes()
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let version = [("MCP-Protocol-Version", "2026-07-28")];
    for (method, ends) in [
        ("subscriptions/listen", State::Completed),
        ("resources/list", State::StreamError),
    ] {
        let message = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": {}});
        rig.exchange(&request(
            "POST",
            PATH,
            &version,
            message.to_string().as_bytes(),
        ))
        .await;
        let asked = rig.of(&["mcp.request"]).pop().unwrap();
        assert_eq!(state(&end_of(&rig, &asked)), ends, "{method}");
    }
}

#[tokio::test]
async fn a_call_that_becomes_a_task_and_its_result_name_the_task() {
    let upstream = server(|seen: &Seen| {
        let message: Value = serde_json::from_slice(&seen.body).unwrap();
        let result = match message["method"].as_str().unwrap() {
            "tools/call" => json!({"task": {"taskId": "T-1", "status": "working"}}),
            _ => json!({"content": [], "isError": true}),
        };
        let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
        ok("application/json", answer.to_string().as_bytes())
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let message = call(json!(1), "slow", json!({})).to_string();
    rig.exchange(&request("POST", PATH, &[], message.as_bytes()))
        .await;
    let message =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tasks/result", "params": {"taskId": "T-1"}});
    rig.exchange(&request("POST", PATH, &[], message.to_string().as_bytes()))
        .await;
    let lines = rig.of(&["tool.response", "mcp.request", "mcp.response"]);
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!(fact(line, "task_id"), Some(&json!("T-1")), "{}", line.kind);
    }
    assert_eq!(fact(&lines[2], "tool_is_error"), Some(&json!(true)));
}
