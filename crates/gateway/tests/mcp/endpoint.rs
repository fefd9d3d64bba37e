//! The HTTP+SSE transport of 2024-11-05: a GET stream that says where to post, and the answers on it.

use super::rig::{Rig, Seen, Upstream, chunk, chunked_head, parted, text, until, within};
use super::{call, end_of, error, mcp, request, rig, state};
use event::{Role, State};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// A server of the old transport. `announce` is given its address.
async fn old(announce: impl Fn(SocketAddr) -> String + Send + Sync + 'static) -> Upstream {
    let own = Arc::new(OnceLock::<SocketAddr>::new());
    let stream_of_session: Arc<Mutex<Option<mpsc::Sender<String>>>> = Arc::default();
    let announce = Arc::new(announce);
    let upstream = Upstream::scripted({
        let own = own.clone();
        move |seen: Seen, mut stream: TcpStream| {
            let (own, session, announce) =
                (own.clone(), stream_of_session.clone(), announce.clone());
            async move {
                if seen.head.starts_with("GET ") {
                    let (tx, mut rx) = mpsc::channel::<String>(16);
                    *session.lock().unwrap() = Some(tx);
                    let endpoint = announce(*own.get().unwrap());
                    let hello = format!("event: endpoint\r\ndata: {endpoint}\r\n\r\n");
                    stream
                        .write_all(&chunked_head("text/event-stream; charset=utf-8"))
                        .await
                        .unwrap();
                    // In two pieces, as a network may.
                    let (one, two) = hello.split_at(20);
                    stream.write_all(&chunk(one.as_bytes())).await.unwrap();
                    stream.flush().await.unwrap();
                    stream.write_all(&chunk(two.as_bytes())).await.unwrap();
                    while let Some(message) = rx.recv().await {
                        let event = format!("event: message\r\ndata: {message}\r\n\r\n");
                        stream.write_all(&chunk(event.as_bytes())).await.unwrap();
                    }
                    stream.write_all(b"0\r\n\r\n").await.ok();
                    return;
                }
                let message: Value = serde_json::from_slice(&seen.body).unwrap();
                let (accepted, close) = match message["params"]["name"].as_str() {
                    Some("reject") => ("400 Bad Request", false),
                    Some("close") => ("202 Accepted", true),
                    _ => ("202 Accepted", false),
                };
                let head = format!(
                    "HTTP/1.1 {accepted}\r\nContent-Length: 8\r\nConnection: close\r\n\r\nAccepted"
                );
                stream.write_all(head.as_bytes()).await.unwrap();
                if close {
                    *session.lock().unwrap() = None;
                } else if accepted.starts_with("202") && !message["id"].is_null() {
                    let answer =
                        json!({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}});
                    let to = session.lock().unwrap().clone().unwrap();
                    to.send(answer.to_string()).await.unwrap();
                }
            }
        }
    })
    .await;
    own.set(upstream.addr).unwrap();
    upstream
}

/// Opens the stream and returns it with what it announced.
async fn open(rig: &Rig, path: &str) -> (TcpStream, Vec<u8>, String) {
    let mut stream = rig.connect().await;
    stream
        .write_all(&request(
            "GET",
            path,
            &[("Accept", "text/event-stream")],
            b"",
        ))
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"\r\n\r\n").await;
    loop {
        let (_, body, _) = parted(&got);
        let seen = text(&body);
        if let Some((value, _)) = seen
            .split_once("data: ")
            .and_then(|(_, rest)| rest.split_once("\r\n\r\n"))
        {
            return (stream, got, value.to_owned());
        }
        let mut buffer = [0; 4096];
        let read = within(stream.read(&mut buffer)).await.unwrap();
        assert!(read > 0, "{seen}");
        got.extend_from_slice(&buffer[..read]);
    }
}

/// Where a client posts: its own address and the reference, as RFC 3986 wants it.
fn resolved(base: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    if reference.starts_with('?') {
        return format!("{base}{reference}");
    }
    let directory = base.get(..=base.rfind('/').unwrap()).unwrap();
    format!("{directory}{reference}")
}

#[tokio::test]
async fn the_endpoint_leads_through_the_gateway_whatever_it_says() {
    for (announce, base, path, upstream_path, unchanged) in [
        (
            "/messages/?session_id=abc",
            "/sse",
            "/agent/a/mcp/crm",
            "/messages/?session_id=abc",
            true,
        ),
        (
            "messages?s=1",
            "/sse",
            "/agent/a/mcp/crm",
            "/messages?s=1",
            true,
        ),
        (
            "messages?s=1",
            "",
            "/agent/a/mcp/crm/sse",
            "/messages?s=1",
            true,
        ),
        ("?s=1", "/sse", "/agent/a/mcp/crm", "/sse?s=1", true),
        (
            "http://OWN/messages?s=1",
            "/sse",
            "/agent/a/mcp/crm",
            "/messages?s=1",
            false,
        ),
        (
            "http://OWN/messages?s=1",
            "/sse",
            "/agent/a/run/r-1/mcp/crm",
            "/messages?s=1",
            false,
        ),
    ] {
        let upstream = old(move |own| announce.replace("OWN", &own.to_string())).await;
        let rig = rig(&upstream, base).await;
        let (mut stream, mut got, announced) = open(&rig, path).await;
        assert!(
            announced.starts_with(['/', '?', 'm']),
            "{announced} leads around the gateway"
        );
        let target = resolved(path, &announced);
        for id in [json!(1), json!("1")] {
            let message = call(id.clone(), "lookup", json!({"q": 1}));
            let answer = rig
                .exchange(&request(
                    "POST",
                    &target,
                    &[],
                    message.to_string().as_bytes(),
                ))
                .await;
            let (head, body, _) = parted(&answer);
            assert!(
                head.starts_with("HTTP/1.1 202"),
                "{announce} {target}: {}",
                text(&answer)
            );
            assert_eq!(body, b"Accepted");
            until(&mut stream, &mut got, format!("\"id\":{id}").as_bytes()).await;
            // The answer was recorded before it was released.
            let request = rig.of(&["tool.request"]).pop().unwrap();
            let end = end_of(&rig, &request);
            assert_eq!(
                (end.kind.as_str(), state(&end)),
                ("tool.response", State::Completed)
            );
            assert_eq!(mcp(&request).id, Some(id.to_string()));
            let seen = upstream.seen().pop().unwrap();
            assert!(
                seen.head.starts_with(&format!("POST {upstream_path} ")),
                "{}",
                seen.head
            );
            assert_eq!(seen.body, message.to_string().as_bytes());
        }
        let calls = rig.of(&["tool.request"]);
        assert!(
            calls
                .iter()
                .all(|line| line.agent.as_ref().unwrap().name == "a")
        );
        let stream_run = rig.of(&["http.request"])[0].run.clone().unwrap().id;
        assert!(
            calls
                .iter()
                .all(|line| line.run.as_ref().unwrap().id == stream_run),
            "{announce}: one session, one run"
        );
        drop(stream);
        let deadline = std::time::Instant::now() + super::rig::DEADLINE;
        let opened = rig.of(&["http.request"]).remove(0);
        let end = loop {
            let end = rig.lines().into_iter().find(|l| {
                l.exchange.as_ref().and_then(|exchange| exchange.call) == Some(opened.seq)
            });
            if let Some(end) = end {
                break end;
            }
            assert!(std::time::Instant::now() < deadline);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        // The record holds what the server sent.
        let recorded = text(&rig.body(&end, Role::Response));
        let own = announce.replace("OWN", &upstream.addr.to_string());
        assert!(
            recorded.starts_with(&format!("event: endpoint\r\ndata: {own}\r\n\r\n")),
            "{recorded}"
        );
        assert_eq!(text(&got).contains(&own), unchanged);
    }
}

#[tokio::test]
async fn an_endpoint_on_another_host_is_not_followed() {
    let upstream = old(|_| "http://elsewhere.example/messages?s=1".to_owned()).await;
    let rig = rig(&upstream, "/sse").await;
    let (_stream, _, announced) = open(&rig, "/agent/a/mcp/crm").await;
    assert_eq!(announced, "/messages?s=1");
    let message = call(json!(1), "lookup", json!({}));
    let answer = rig
        .exchange(&request(
            "POST",
            "/messages?s=1",
            &[],
            message.to_string().as_bytes(),
        ))
        .await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 404"),
        "{}",
        text(&answer)
    );
    assert!(text(&answer).contains("another host"));
}

#[tokio::test]
async fn an_agent_cannot_post_to_what_was_not_announced() {
    let upstream = old(|_| "/messages/?session_id=abc".to_owned()).await;
    let rig = rig(&upstream, "/sse").await;
    let (_stream, _, _) = open(&rig, "/agent/a/mcp/crm").await;
    let message = call(json!(1), "lookup", json!({}));
    let answer = rig
        .exchange(&request(
            "POST",
            "/messages/?session_id=other",
            &[],
            message.to_string().as_bytes(),
        ))
        .await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 404"),
        "{}",
        text(&answer)
    );
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn calls_that_will_not_be_answered_are_closed() {
    let upstream = old(|_| "/messages/?session_id=abc".to_owned()).await;
    let rig = rig(&upstream, "/sse").await;
    let (mut stream, mut got, target) = open(&rig, "/agent/a/mcp/crm").await;
    for tool in ["reject", "close"] {
        let message = call(json!(tool), tool, json!({}));
        rig.exchange(&request(
            "POST",
            &target,
            &[],
            message.to_string().as_bytes(),
        ))
        .await;
    }
    until(&mut stream, &mut got, b"\r\n0\r\n\r\n").await;
    let calls = rig.of(&["tool.request"]);
    let told: Vec<_> = calls
        .iter()
        .map(|line| end_of(&rig, line))
        .map(|end| (state(&end), error(&end).map(str::to_owned)))
        .collect();
    assert_eq!(
        told,
        [
            (State::UpstreamError, Some("http_400".to_owned())),
            (State::StreamError, Some("no_answer".to_owned())),
        ]
    );
}

/// An old server that keeps each session apart and answers a call on the stream of its client, which it knows by a header.
async fn of_many() -> Upstream {
    type Streams = std::collections::HashMap<String, mpsc::Sender<String>>;
    let streams: Arc<Mutex<Streams>> = Arc::default();
    Upstream::scripted(move |seen: Seen, mut stream: TcpStream| {
        let streams = streams.clone();
        async move {
            let head = seen.head.to_ascii_lowercase();
            let client = head
                .lines()
                .find_map(|line| line.strip_prefix("x-client: "))
                .unwrap()
                .to_owned();
            if head.starts_with("get ") {
                let (tx, mut rx) = mpsc::channel::<String>(16);
                streams.lock().unwrap().insert(client, tx);
                let hello = "event: endpoint\r\ndata: /messages\r\n\r\n";
                let begin = [chunked_head("text/event-stream"), chunk(hello.as_bytes())].concat();
                stream.write_all(&begin).await.unwrap();
                while let Some(message) = rx.recv().await {
                    let event = format!("event: message\r\ndata: {message}\r\n\r\n");
                    if stream.write_all(&chunk(event.as_bytes())).await.is_err() {
                        return;
                    }
                }
                stream.write_all(b"0\r\n\r\n").await.ok();
                return;
            }
            let message: Value = serde_json::from_slice(&seen.body).unwrap();
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}});
            match message["params"]["name"].as_str() {
                Some("leave") => drop(streams.lock().unwrap().remove(&client)),
                Some("lookup") => {
                    let to = streams.lock().unwrap()[&client].clone();
                    to.send(answer.to_string()).await.unwrap();
                }
                _ => {}
            }
            let accepted =
                b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(accepted).await.unwrap();
        }
    })
    .await
}

async fn stream_of(rig: &Rig, agent: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = rig.connect().await;
    let path = format!("/agent/{agent}/mcp/crm");
    stream
        .write_all(&request("GET", &path, &[("X-Client", agent)], b""))
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"data: /messages\r\n\r\n").await;
    (stream, got)
}

async fn posts(rig: &Rig, agent: &str, id: &str, tool: &str) {
    let message = call(json!(id), tool, json!({})).to_string();
    let headers = [("X-Client", agent)];
    let posted = request("POST", "/messages", &headers, message.as_bytes());
    let answer = rig.exchange(&posted).await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 202"),
        "{}",
        text(&answer)
    );
}

/// How the tool call with this id ended; `None` while it is open.
fn end_of_id(rig: &Rig, id: &str) -> Option<(State, Option<String>)> {
    let id = Some(json!(id).to_string());
    let request = rig
        .of(&["tool.request"])
        .into_iter()
        .find(|line| mcp(line).id == id)?;
    let end = rig
        .lines()
        .into_iter()
        .find(|line| line.exchange.as_ref().and_then(|e| e.call) == Some(request.seq))?;
    Some((state(&end), error(&end).map(str::to_owned)))
}

#[tokio::test]
async fn sessions_with_one_address_do_not_end_each_others_calls() {
    let upstream = of_many().await;
    let rig = rig(&upstream, "/sse").await;
    let (mut first, mut got_first) = stream_of(&rig, "a").await;
    let (mut second, mut got_second) = stream_of(&rig, "b").await;
    posts(&rig, "a", "open", "wait").await;
    posts(&rig, "a", "one", "lookup").await;
    until(&mut first, &mut got_first, b"\"id\":\"one\"").await;
    assert_eq!(end_of_id(&rig, "one"), Some((State::Completed, None)));
    // Which of the two it was cannot be told by the address, and is not claimed.
    let asked = rig.of(&["tool.request"]).remove(0);
    assert_eq!(asked.agent.unwrap().name, "unnamed");

    posts(&rig, "a", "leave", "leave").await;
    until(&mut first, &mut got_first, b"\r\n0\r\n\r\n").await;
    posts(&rig, "b", "two", "lookup").await;
    until(&mut second, &mut got_second, b"\"id\":\"two\"").await;
    assert_eq!(end_of_id(&rig, "two"), Some((State::Completed, None)));
    let asked = rig.of(&["tool.request"]).pop().unwrap();
    assert_eq!(asked.agent.unwrap().name, "b");
    posts(&rig, "b", "leave-too", "leave").await;
    until(&mut second, &mut got_second, b"\r\n0\r\n\r\n").await;
    let no_answer = Some((State::StreamError, Some("no_answer".to_owned())));
    assert_eq!(end_of_id(&rig, "open"), no_answer);
}

#[tokio::test]
async fn a_call_that_is_posted_as_its_stream_ends_is_closed() {
    let upstream = of_many().await;
    let rig = rig(&upstream, "/sse").await;
    let (mut stream, mut got) = stream_of(&rig, "a").await;
    let message = call(json!("late"), "wait", json!({})).to_string();
    let posted = request(
        "POST",
        "/messages",
        &[("X-Client", "a")],
        message.as_bytes(),
    );
    let (begun, rest) = posted.split_at(posted.len() - 10);
    let mut late = rig.connect().await;
    late.write_all(begun).await.unwrap();
    // The gateway has looked up the address by its head.
    posts(&rig, "a", "leave", "leave").await;
    until(&mut stream, &mut got, b"\r\n0\r\n\r\n").await;
    late.write_all(rest).await.unwrap();
    let answer = super::rig::to_end(&mut late).await;
    assert!(
        text(&answer).starts_with("HTTP/1.1 202"),
        "{}",
        text(&answer)
    );
    let no_answer = Some((State::StreamError, Some("no_answer".to_owned())));
    assert_eq!(end_of_id(&rig, "late"), no_answer);
}
