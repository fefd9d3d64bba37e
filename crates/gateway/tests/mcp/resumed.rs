//! A stream that ends before its answer and is resumed: the answer closes the call it is for, wherever it comes.

use super::rig::{Rig, Seen, Upstream, chunk, chunked_head, find, text};
use super::{call, error, mcp, request, rig, rig_with, server, state};
use event::{Role, State};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

const PATH: &str = "/agent/a/mcp/crm";

fn stream(events: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}"
    )
    .into_bytes()
}

fn answer() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "done"}]}})
        .to_string()
}

/// A server that hangs up after an event, and answers whoever comes back with its id.
async fn polled() -> Upstream {
    server(|seen: &Seen| {
        let head = seen.head.to_ascii_lowercase();
        if head.starts_with("post ") {
            return stream("id: s1/1\ndata:\n\nid: s1/2\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\nretry: 10\n\n");
        }
        if head.contains("last-event-id: s1/2") {
            return stream("id: s1/3\ndata:\n\n");
        }
        assert!(head.contains("last-event-id: s1/3"), "{head}");
        stream(&format!("id: s1/4\ndata: {}\n\n", answer()))
    })
    .await
}

async fn post(rig: &Rig, session: &[(&str, &str)]) -> Vec<u8> {
    let message = call(json!(1), "slow", json!({})).to_string();
    rig.exchange(&request("POST", PATH, session, message.as_bytes()))
        .await
}

async fn resume(rig: &Rig, session: &[(&str, &str)], id: &str) -> Vec<u8> {
    let headers = [session, &[("Last-Event-ID", id)]].concat();
    rig.exchange(&request("GET", PATH, &headers, b"")).await
}

#[tokio::test]
async fn the_answer_on_a_resumed_stream_closes_the_call() {
    for version in ["2025-06-18", "2025-11-25"] {
        let upstream = polled().await;
        let rig = rig(&upstream, "/mcp").await;
        let session = [("Mcp-Session-Id", "s"), ("MCP-Protocol-Version", version)];
        let first = post(&rig, &session).await;
        assert!(find(&first, b"notifications/progress").is_some());
        // The call is open, and what came of its answer is recorded.
        let asked = rig.of(&["tool.request"]).remove(0);
        assert!(rig.of(&["tool.response"]).is_empty());
        let so_far = rig
            .of(&["mcp.message"])
            .into_iter()
            .find(|line| {
                line.exchange.as_ref().and_then(|exchange| exchange.call) == Some(asked.seq)
            })
            .unwrap();
        assert!(text(&rig.body(&so_far, Role::Response)).starts_with("id: s1/1"));

        resume(&rig, &session, "s1/2").await;
        assert!(rig.of(&["tool.response"]).is_empty());
        let last = resume(&rig, &session, "s1/3").await;
        assert!(find(&last, answer().as_bytes()).is_some());
        let end = end_of_call(&rig, &asked);
        assert_eq!(state(&end), State::Completed);
        assert_eq!(rig.body(&end, Role::Response), answer().as_bytes());
        assert_eq!(mcp(&end).session.as_deref(), Some("s"));
        // It says on which stream it came.
        let gets = rig.of(&["http.request"]);
        assert_eq!(end.causes, [gets[1].seq]);
    }
}

fn end_of_call(rig: &Rig, asked: &event::Line) -> event::Line {
    let ends = rig.of(&["tool.response"]);
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].exchange.as_ref().unwrap().call, Some(asked.seq));
    ends[0].clone()
}

#[tokio::test]
async fn without_a_session_the_event_id_joins_them() {
    let upstream = server(|seen: &Seen| {
        if seen.head.starts_with("POST ") {
            return stream("id: x\ndata:\n\n");
        }
        stream(&format!("data: {}\n\n", answer()))
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    post(&rig, &[]).await;
    resume(&rig, &[], "y").await;
    assert!(rig.of(&["tool.response"]).is_empty());
    resume(&rig, &[], "x").await;
    let end = end_of_call(&rig, &rig.of(&["tool.request"])[0]);
    assert_eq!(state(&end), State::Completed);
}

#[tokio::test]
async fn what_is_not_resumed_ends() {
    let upstream = polled().await;
    let session = [("Mcp-Session-Id", "s")];
    let rig = rig_with(&upstream, "/mcp", |limits| {
        limits.idle_timeout = Duration::from_millis(150)
    })
    .await;
    post(&rig, &session).await;
    let (_, end) = rig.one().await;
    assert_eq!(
        (state(&end), error(&end)),
        (State::Expired, Some("not_resumed"))
    );
}

#[tokio::test]
async fn what_is_not_resumed_before_the_recorder_stops_ends_with_it() {
    let upstream = polled().await;
    let mut rig = rig(&upstream, "/mcp").await;
    post(&rig, &[("Mcp-Session-Id", "s")]).await;
    rig.stop().await;
    let end = end_of_call(&rig, &rig.of(&["tool.request"])[0]);
    assert_eq!(
        (state(&end), error(&end)),
        (State::Expired, Some("shutdown"))
    );
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_ends_its_call() {
    for (events, headers) in [
        // No event had an id.
        (
            "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{}}\n\n",
            &[("Mcp-Session-Id", "s")][..],
        ),
        // That revision has no resumption.
        (
            "id: 1\ndata:\n\n",
            &[("MCP-Protocol-Version", "2026-07-28")],
        ),
    ] {
        let upstream = server(move |_| stream(events)).await;
        let rig = rig(&upstream, "/mcp").await;
        post(&rig, headers).await;
        let (_, end) = rig.one().await;
        assert_eq!(
            (state(&end), error(&end)),
            (State::StreamError, Some("no_terminal_event"))
        );
    }
}

#[tokio::test]
async fn without_a_session_it_may_be_resumed_more_than_once() {
    let upstream = server(|seen: &Seen| {
        let head = seen.head.to_ascii_lowercase();
        if head.starts_with("post ") {
            return stream("id: 1\ndata:\n\n");
        }
        if head.contains("last-event-id: 1") {
            return stream("id: 2\ndata:\n\n");
        }
        stream(&format!("id: 3\ndata: {}\n\n", answer()))
    })
    .await;
    // Also where the client asks again for what it has missed.
    for ids in [&["1", "2"][..], &["1", "1", "2"]] {
        let rig = rig(&upstream, "/mcp").await;
        post(&rig, &[]).await;
        for id in ids {
            assert!(rig.of(&["tool.response"]).is_empty());
            resume(&rig, &[], id).await;
        }
        let end = end_of_call(&rig, &rig.of(&["tool.request"])[0]);
        assert_eq!(state(&end), State::Completed);
    }
}

#[tokio::test]
async fn a_call_does_not_end_while_its_client_listens() {
    const PATIENCE: Duration = Duration::from_millis(400);
    let (go_on, gone_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let upstream = Upstream::scripted({
        let (go_on, gone_on) = (go_on.clone(), gone_on.clone());
        move |seen, mut to| {
            let (go_on, gone_on) = (go_on.clone(), gone_on.clone());
            async move {
                if seen.head.starts_with("POST ") {
                    to.write_all(&stream("id: 1\ndata:\n\n")).await.ok();
                    to.shutdown().await.ok();
                    return;
                }
                to.write_all(&chunked_head("text/event-stream"))
                    .await
                    .unwrap();
                gone_on.notify_one();
                go_on.notified().await;
                let last = format!("data: {}\n\n", answer());
                to.write_all(&chunk(last.as_bytes())).await.ok();
                to.write_all(b"0\r\n\r\n").await.ok();
            }
        }
    })
    .await;
    let rig = rig_with(&upstream, "/mcp", |limits| limits.idle_timeout = PATIENCE).await;
    let session = [("Mcp-Session-Id", "s")];
    post(&rig, &session).await;
    let listening = resume(&rig, &session, "1");
    let answering = async {
        gone_on.notified().await;
        // Silent for longer than an answer may be: neither the stream nor the call ends.
        tokio::time::sleep(PATIENCE * 3).await;
        assert!(rig.of(&["tool.response", "http.response"]).is_empty());
        go_on.notify_one();
    };
    let (got, ()) = tokio::join!(listening, answering);
    assert!(find(&got, answer().as_bytes()).is_some());
    let end = end_of_call(&rig, &rig.of(&["tool.request"])[0]);
    assert_eq!(state(&end), State::Completed);
}
