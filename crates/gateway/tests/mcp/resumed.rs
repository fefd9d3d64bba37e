//! A stream that ends before its answer and is resumed: the answer closes the call it is for, wherever it comes.

use super::rig::{Rig, Seen, Upstream, find, text};
use super::{call, error, mcp, request, rig, server, state};
use event::{Role, State};
use serde_json::json;
use std::time::Duration;

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
    let url = format!("http://{}/mcp", upstream.addr);
    let rig = Rig::with(upstream.addr, |config| {
        config
            .mcp
            .insert("crm".to_owned(), gateway::McpServer { url, ca: None });
        config.limits.idle_timeout = Duration::from_millis(150);
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
