//! Streams of messages from the server.

use super::disconnect::slow;
use super::rig::{Rig, Upstream, chunk, chunked_head, text, to_end, until, within};
use super::{call, end_of, mcp, request, rig, rig_with, server, state};
use event::{Role, State};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

/// A server whose GET stream says what it is told to.
async fn telling() -> (Upstream, mpsc::Sender<Vec<u8>>) {
    let (tell, told) = mpsc::channel::<Vec<u8>>(16);
    let told = std::sync::Arc::new(tokio::sync::Mutex::new(told));
    let upstream = Upstream::scripted(move |_, mut stream| {
        let told = told.clone();
        async move {
            stream
                .write_all(&chunked_head("text/event-stream"))
                .await
                .unwrap();
            while let Some(bytes) = told.lock().await.recv().await {
                if stream.write_all(&chunk(&bytes)).await.is_err() {
                    return;
                }
            }
            stream.write_all(b"0\r\n\r\n").await.ok();
        }
    })
    .await;
    (upstream, tell)
}

#[tokio::test]
async fn what_a_server_says_on_its_stream_is_durable_before_it_is_released() {
    let (upstream, tell) = telling().await;
    let rig: Rig = rig(&upstream, "/mcp").await;
    let mut stream = rig.connect().await;
    stream
        .write_all(&request(
            "GET",
            "/agent/a/mcp/crm",
            &[("Mcp-Session-Id", "s")],
            b"",
        ))
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"\r\n\r\n").await;
    for n in 0..10 {
        let message =
            json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"n": n}});
        tell.send(format!("event: message\ndata: {message}\n\n").into_bytes())
            .await
            .unwrap();
        until(&mut stream, &mut got, message.to_string().as_bytes()).await;
        let messages = rig.of(&["mcp.message"]);
        assert_eq!(messages.len(), n + 1, "released before it was recorded");
        assert_eq!(
            rig.body(&messages[n], Role::Message),
            message.to_string().as_bytes()
        );
        assert_eq!(
            mcp(&messages[n]).direction.as_deref(),
            Some("server-to-client")
        );
    }
    drop(tell);
    until(&mut stream, &mut got, b"\r\n0\r\n\r\n").await;
    let opened = rig.of(&["http.request"]).remove(0);
    let end = end_of(&rig, &opened);
    assert_eq!(state(&end), State::Completed);
    let recorded = rig.body(&end, Role::Response);
    assert_eq!(text(&recorded).matches("data: ").count(), 10);
}

#[tokio::test]
async fn a_client_that_leaves_its_stream_is_seen_by_the_server() {
    let server = slow().await;
    let rig = rig(&server.upstream, "/mcp").await;
    let mut stream = rig.connect().await;
    stream
        .write_all(&request("GET", "/agent/a/mcp/crm", &[], b""))
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"notifications/progress").await;
    drop(stream);
    within(server.closed.notified()).await;
    let (_, end) = rig.one().await;
    assert_eq!(state(&end), State::ClientAborted);
}

#[tokio::test]
async fn what_is_no_event_and_what_is_too_odd_passes_and_is_noted() {
    let (upstream, tell) = telling().await;
    let rig = rig(&upstream, "/mcp").await;
    let mut stream = rig.connect().await;
    stream
        .write_all(&request("GET", "/agent/a/mcp/crm", &[], b""))
        .await
        .unwrap();
    let mut got = Vec::new();
    let odd = b"data: not json\n\n\xff\xfe\ndata: {\"jsonrpc\":\"2.0\"}\n\nevent: other\ndata: {}\n\ndata: [1,2]\n\n";
    tell.send(odd.to_vec()).await.unwrap();
    drop(tell);
    got.extend(to_end(&mut stream).await);
    assert!(super::rig::find(&got, odd).is_some());
    let messages = rig.of(&["mcp.message", "gap"]);
    let problems: Vec<_> = messages
        .iter()
        .filter_map(|m| {
            m.facts
                .as_ref()?
                .get("problem")?
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(problems.len(), 4, "{problems:?}");
    let end = end_of(&rig, &rig.of(&["http.request"])[0]);
    assert_eq!(rig.body(&end, Role::Response), odd);
}

#[tokio::test]
async fn a_session_outlives_its_streams() {
    let upstream = server(|seen| {
        if seen.head.starts_with("GET ") {
            return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: bye\n\n".to_vec();
        }
        let message: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
        let result = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": "2025-03-26"}}).to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s\r\nContent-Length: {}\r\n\r\n{result}",
            result.len()
        )
        .into_bytes()
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let path = "/agent/a/mcp/crm";
    let session = [("Mcp-Session-Id", "s")];
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}});
    rig.exchange(&request("POST", path, &[], hello.to_string().as_bytes()))
        .await;
    rig.exchange(&request("GET", path, &session, b"")).await;
    let message = call(json!(1), "x", json!({}));
    rig.exchange(&request(
        "POST",
        path,
        &session,
        message.to_string().as_bytes(),
    ))
    .await;
    let request = rig.of(&["tool.request"]).remove(0);
    assert_eq!(
        mcp(&request).protocol_version.as_deref(),
        Some("2025-03-26")
    );
    assert_eq!(request.run, rig.of(&["http.request"])[0].run);
}

#[tokio::test]
async fn a_server_that_has_nothing_to_say_is_not_cut_off() {
    const PATIENCE: Duration = Duration::from_millis(150);
    let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen"}).to_string();
    let asked = call(json!(1), "x", json!({})).to_string();
    for (method, body, ends) in [
        ("GET", "", State::Completed),
        ("POST", listen.as_str(), State::Completed),
        // The answer to a question has to come.
        ("POST", asked.as_str(), State::Expired),
    ] {
        let (upstream, tell) = telling().await;
        let rig = rig_with(&upstream, "/mcp", |limits| limits.idle_timeout = PATIENCE).await;
        let mut stream = rig.connect().await;
        stream
            .write_all(&request(method, "/agent/a/mcp/crm", &[], body.as_bytes()))
            .await
            .unwrap();
        let mut got = Vec::new();
        until(&mut stream, &mut got, b"\r\n\r\n").await;
        tokio::time::sleep(PATIENCE * 3).await;
        tell.send(b": still here\n\n".to_vec()).await.ok();
        drop(tell);
        let (_, end) = rig.one().await;
        assert_eq!(state(&end), ends, "{method} {body}");
    }
}
