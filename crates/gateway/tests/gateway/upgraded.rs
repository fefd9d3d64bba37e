//! Connections that leave HTTP: the bytes pass, each message is recorded.

use crate::disk::Switch;
use crate::rig::*;
use event::{Line, Role, State};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n";

const ASK: &[u8] = b"GET /agent/ws/openai/v1/realtime?model=m HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer sk-ws\r\n\r\n";

/// One frame; masked as clients must.
fn frame(opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    let mask_bit = if masked { 0x80 } else { 0 };
    if payload.len() < 126 {
        out.push(mask_bit | u8::try_from(payload.len()).unwrap());
    } else if let Ok(len) = u16::try_from(payload.len()) {
        out.push(mask_bit | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(mask_bit | 127);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    if masked {
        let mask = [1u8, 2, 3, 4];
        out.extend_from_slice(&mask);
        out.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
    } else {
        out.extend_from_slice(payload);
    }
    out
}

fn messages(rig: &Rig) -> Vec<(String, String, Option<String>, Vec<u8>)> {
    let of = |line: &Line| {
        let ws = line.websocket.clone().unwrap();
        (
            ws.direction,
            ws.opcode,
            ws.message_type,
            rig.body(line, Role::Message),
        )
    };
    rig.of(&["websocket.message"]).iter().map(of).collect()
}

async fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut got = vec![0; len];
    within(stream.read_exact(&mut got)).await.unwrap();
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_pass_as_they_are_and_are_durable_before_they_are_forwarded() {
    let create = frame(1, br#"{"type":"response.create"}"#, true);
    let done = frame(1, br#"{"type":"response.done"}"#, false);
    let close = frame(8, &[0x03, 0xe8], true);
    let close_back = frame(8, &[0x03, 0xe8], false);
    let dir: Arc<OnceLock<PathBuf>> = Arc::default();
    let upstream = Upstream::scripted({
        let (create, done, close, close_back, dir) = (
            create.clone(),
            done.clone(),
            close.clone(),
            close_back.clone(),
            dir.clone(),
        );
        move |request: Seen, mut stream| {
            let (create, done, close, close_back, dir) = (
                create.clone(),
                done.clone(),
                close.clone(),
                close_back.clone(),
                dir.clone(),
            );
            async move {
                assert!(
                    request.head.contains("Upgrade: websocket")
                        && request.head.contains("Bearer sk-ws"),
                    "{}",
                    request.head
                );
                stream.write_all(SWITCH).await.unwrap();
                assert_eq!(read_exactly(&mut stream, create.len()).await, create);
                let recorded = lines(dir.get().unwrap())
                    .iter()
                    .any(|line| line.kind == "websocket.message");
                assert!(recorded, "a message was forwarded before it was durable");
                stream.write_all(&done).await.unwrap();
                assert_eq!(read_exactly(&mut stream, close.len()).await, close);
                stream.write_all(&close_back).await.unwrap();
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    dir.set(rig.dir.path().to_owned()).unwrap();
    let mut client = rig.connect().await;
    client.write_all(ASK).await.unwrap();
    let mut got = Vec::new();
    until(&mut client, &mut got, b"\r\n\r\n").await;
    assert!(text(&got).starts_with("HTTP/1.1 101"), "{}", text(&got));
    client.write_all(&create).await.unwrap();
    assert_eq!(read_exactly(&mut client, done.len()).await, done);
    client.write_all(&close).await.unwrap();
    assert_eq!(
        read_exactly(&mut client, close_back.len()).await,
        close_back
    );
    drop(client);
    let (request, end) = rig.one().await;
    assert_eq!(end.outcome.as_ref().unwrap().state, State::Completed);
    assert_eq!(end.http.as_ref().unwrap().status, Some(101));
    let (up, down) = ("client-to-server".to_owned(), "server-to-client".to_owned());
    let mut messages = messages(&rig);
    messages.sort();
    let mut expected = vec![
        (
            up.clone(),
            "text".to_owned(),
            Some("response.create".to_owned()),
            br#"{"type":"response.create"}"#.to_vec(),
        ),
        (
            down.clone(),
            "text".to_owned(),
            Some("response.done".to_owned()),
            br#"{"type":"response.done"}"#.to_vec(),
        ),
        (up, "close".to_owned(), None, vec![0x03, 0xe8]),
        (down, "close".to_owned(), None, vec![0x03, 0xe8]),
    ];
    expected.sort();
    assert_eq!(messages, expected);
    let run = request.run.unwrap();
    assert!(
        rig.of(&["websocket.message"])
            .iter()
            .all(|line| line.run.as_ref() == Some(&run))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_refused_is_an_ordinary_answer() {
    let upstream = Upstream::answering("HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}").await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = rig.connect().await;
    client.write_all(ASK).await.unwrap();
    let mut got = Vec::new();
    until(&mut client, &mut got, b"{}").await;
    assert!(text(&got).starts_with("HTTP/1.1 401"));
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().state, State::UpstreamError);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_without_a_closing_frame_is_named() {
    for (client_leaves, state) in [(true, State::ClientAborted), (false, State::StreamError)] {
        let upstream = Upstream::scripted(move |_, mut stream| async move {
            stream.write_all(SWITCH).await.unwrap();
            stream.write_all(&frame(1, b"hello", false)).await.unwrap();
            if client_leaves {
                to_end(&mut stream).await;
            } else {
                read_exactly(&mut stream, frame(1, b"bye", true).len()).await;
                reset(stream);
            }
        })
        .await;
        let rig = Rig::new(upstream.addr).await;
        let mut client = rig.connect().await;
        client.write_all(ASK).await.unwrap();
        let mut got = Vec::new();
        until(&mut client, &mut got, b"hello").await;
        if client_leaves {
            reset(client);
        } else {
            client.write_all(&frame(1, b"bye", true)).await.unwrap();
            to_end(&mut client).await;
        }
        let (_, end) = rig.one().await;
        assert_eq!(end.outcome.unwrap().state, state);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_websocket_is_recorded_as_it_passes() {
    let upstream = Upstream::scripted(|_, mut stream| async move {
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: chat\r\nConnection: Upgrade\r\n\r\n",
            )
            .await
            .unwrap();
        let said = read_exactly(&mut stream, 4).await;
        stream.write_all(&said).await.unwrap();
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = rig.connect().await;
    client
        .write_all(
            b"GET /raw/chat HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
        )
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut client, &mut got, b"\r\n\r\n").await;
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_exactly(&mut client, 4).await, b"ping");
    drop(client);
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().state, State::Completed);
    let kinds: Vec<_> = messages(&rig)
        .into_iter()
        .map(|(_, opcode, _, body)| (opcode, body))
        .collect();
    assert_eq!(
        kinds,
        [
            ("raw".to_owned(), b"ping".to_vec()),
            ("raw".to_owned(), b"ping".to_vec())
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_bound_passes_whole_and_leaves_a_gap() {
    let long = frame(2, &vec![7; (16 << 20) + 5], false);
    let close = frame(8, &[0x03, 0xe8], false);
    let upstream = Upstream::scripted({
        let sent = [long.as_slice(), &close].concat();
        move |_, mut stream| {
            let sent = sent.clone();
            async move {
                stream.write_all(SWITCH).await.unwrap();
                stream.write_all(&sent).await.unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut client = rig.connect().await;
    client.write_all(ASK).await.unwrap();
    assert_eq!(
        read_exactly(&mut client, SWITCH.len()).await.len(),
        SWITCH.len()
    );
    assert!(read_exactly(&mut client, long.len()).await == long);
    assert_eq!(read_exactly(&mut client, close.len()).await, close);
    drop(client);
    rig.one().await;
    let [message, _] = &rig.of(&["websocket.message"])[..] else {
        panic!("not two messages");
    };
    assert_eq!(rig.body_ref(message, Role::Message).unwrap().truncated, 5);
    let gaps: Vec<_> = rig
        .of(&["gap"])
        .into_iter()
        .map(|line| line.gap.unwrap())
        .collect();
    let told: Vec<_> = gaps
        .iter()
        .map(|gap| {
            (
                gap.of.as_str(),
                gap.cause.as_str(),
                gap.count,
                gap.unit.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [("websocket server-to-client", "truncated", 5, "bytes")]
    );
}

/// Two messages come at once, and the disk has room for the second only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_without_room_does_not_pass_beside_one_with_room() {
    let messages = noise(24 << 20);
    let passed = Arc::new(AtomicUsize::new(0));
    let [len, pong] = [24_000, 0].map(|len| frame(10, &vec![0; len], true).len());
    let upstream = Upstream::scripted({
        let passed = passed.clone();
        move |_, mut stream| {
            let passed = passed.clone();
            async move {
                stream.write_all(SWITCH).await.unwrap();
                let mut pair = vec![0; len + pong];
                while stream.read_exact(&mut pair).await.is_ok() {
                    passed.fetch_add(1, Relaxed);
                    // An agent that is gone is found out by the next read.
                    stream.write_all(&frame(10, b"", false)).await.ok();
                }
            }
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut client = rig.connect().await;
    client.write_all(ASK).await.unwrap();
    let mut got = Vec::new();
    until(&mut client, &mut got, b"\r\n\r\n").await;
    switch.fill(true);
    let mut answer = [0; 2];
    let went_on = async |message: &[u8], client: &mut TcpStream, answer: &mut [u8]| {
        let pair = [frame(2, message, true), frame(9, b"", true)].concat();
        client.write_all(&pair).await.is_ok() && within(client.read_exact(answer)).await.is_ok()
    };
    let mut sent = messages.chunks_exact(24_000);
    while went_on(sent.next().unwrap(), &mut client, &mut answer).await {}
    switch.fill(false);
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().error.as_deref(), Some("not_recorded"));
    let recorded = rig.of(&["websocket.message"]);
    let recorded = recorded.iter().filter(|line| !line.bodies.is_empty());
    let (recorded, passed) = (recorded.count(), passed.load(Relaxed));
    assert!(
        passed <= recorded,
        "{passed} passed, {recorded} are recorded"
    );
}

/// Some clients offer another protocol with every request, and an agent may: what is a call stays one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_a_call_whatever_is_offered_beside_it() {
    let answer = r#"{"id":"m","type":"message","role":"assistant","model":"x","content":[],"stop_reason":"end_turn"}"#;
    for offer in ["TLS/1.2", "websocket", "h2c"] {
        let upstream = Upstream::answering(ok("application/json", answer.as_bytes())).await;
        let rig = Rig::new(upstream.addr).await;
        let body = r#"{"model":"x","messages":[{"role":"user","content":"hi"}]}"#;
        let request = format!(
            "POST /agent/a/anthropic/v1/messages HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: {offer}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = rig.connect().await;
        client.write_all(request.as_bytes()).await.unwrap();
        until(&mut client, &mut Vec::new(), answer.as_bytes()).await;
        let (asked, end) = rig.one().await;
        assert_eq!(asked.kind.as_str(), "model.request", "{offer}");
        assert_eq!(asked.gen_ai.unwrap().request_model.as_deref(), Some("x"));
        assert_eq!(end.outcome.unwrap().state, State::Completed);
        let forwarded = upstream.seen()[0].head.to_ascii_lowercase();
        assert!(!forwarded.contains("upgrade"), "{forwarded}");
    }
}
