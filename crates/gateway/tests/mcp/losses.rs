//! A loss is a record: what is cut off, left out or not understood leaves a gap event that says how much.

use super::disk::Switch;
use super::rig::{ok, within};
use super::socket::{Wrapper, socket};
use super::{call, request, rig, server, state};
use bytes::Bytes;
use event::{Gap, Line, Role, State};
use gateway::mcp::Direction;
use gateway::socket::{Ended, Frame};
use serde_json::{Value, json};
use std::io::Write as _;

fn gaps(lines: &[Line]) -> Vec<(String, String, u64)> {
    let gap = |line: &Line| line.gap.clone().unwrap();
    lines
        .iter()
        .map(gap)
        .map(
            |Gap {
                 of, cause, count, ..
             }| (of, cause, count),
        )
        .collect()
}

fn said(of: &str, cause: &str, count: u64) -> Vec<(String, String, u64)> {
    vec![(of.to_owned(), cause.to_owned(), count)]
}

fn batch(count: u64) -> Vec<u8> {
    let calls: Vec<Value> = (0..count)
        .map(|id| call(json!(id), "x", json!({})))
        .collect();
    json!(calls).to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_standard_error_is_cut_by_is_in_the_record() {
    const KEPT: usize = 16 << 20;
    let socket = socket(&Switch::default()).await;
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    let piece = Bytes::from(vec![b'e'; 128 * 1024]);
    for _ in 0..KEPT / piece.len() {
        wrapper.send(&Frame::Stderr(piece.clone())).await;
    }
    wrapper
        .send(&Frame::Stderr(Bytes::from_static(b"more")))
        .await;
    let ended = Ended {
        pid: Some(1),
        code: Some(0),
        signal: None,
        duration_us: 1,
        not_started: None,
    };
    wrapper.send(&Frame::Ended(ended)).await;
    assert_eq!(wrapper.hear().await, Frame::Ack);
    assert_eq!(
        gaps(&socket.rig.of(&["gap"])),
        said("stderr", "truncated", 4)
    );
    let exit = socket.rig.of(&["process.exit"]).remove(0);
    let body = socket.rig.body_ref(&exit, Role::Stderr).unwrap();
    assert_eq!((body.len, body.truncated), (KEPT as u64, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrapped_servers_line_that_is_not_understood_is_a_gap() {
    for (direction, of) in [
        (Direction::ToServer, "mcp client-to-server"),
        (Direction::ToClient, "mcp server-to-client"),
    ] {
        let socket = socket(&Switch::default()).await;
        let mut wrapper = Wrapper::connect(&socket).await;
        assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
        wrapper.line(direction, "listening on port 7\n").await;
        assert_eq!(wrapper.hear().await, Frame::Ack);
        let lines = socket.rig.of(&["gap"]);
        assert_eq!(gaps(&lines), said(of, "not-understood", 1));
        assert_eq!(
            socket.rig.body(&lines[0], Role::Message),
            b"listening on port 7\n"
        );
        assert!(lines[0].run.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_batch_has_too_many_of_is_in_the_record() {
    let socket = socket(&Switch::default()).await;
    let mut wrapper = Wrapper::connect(&socket).await;
    assert!(matches!(wrapper.hear().await, Frame::Welcome(_)));
    let mut line = batch(4099);
    line.push(b'\n');
    let mut parts = line.chunks(200_000).peekable();
    while let Some(part) = parts.next() {
        let bytes = Bytes::copy_from_slice(part);
        let frame = match parts.peek() {
            Some(_) => Frame::Part(Direction::ToServer, bytes),
            None => Frame::Line(Direction::ToServer, bytes),
        };
        wrapper.send(&frame).await;
    }
    assert_eq!(wrapper.hear().await, Frame::Ack);
    let lines = socket.rig.of(&["gap"]);
    assert_eq!(gaps(&lines), said("mcp client-to-server", "left-out", 3));

    let upstream = server(|_| ok("application/json", b"[]")).await;
    let rig = rig(&upstream, "/mcp").await;
    let posted = request("POST", "/agent/a/mcp/crm", &[], &batch(4099));
    within(rig.exchange(&posted)).await;
    assert_eq!(
        gaps(&rig.of(&["gap"])),
        said("mcp client-to-server", "left-out", 3)
    );
}

#[tokio::test]
async fn what_is_posted_or_answered_and_not_understood_is_a_gap() {
    for (posted, answered, of) in [
        (
            "{\"jsonrpc\"",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}",
            "mcp client-to-server",
        ),
        (
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
            "{\"jsonrpc\"",
            "mcp server-to-client",
        ),
    ] {
        let upstream = server(move |_| ok("application/json", answered.as_bytes())).await;
        let rig = rig(&upstream, "/mcp").await;
        rig.exchange(&request("POST", "/agent/a/mcp/crm", &[], posted.as_bytes()))
            .await;
        assert_eq!(gaps(&rig.of(&["gap"])), said(of, "not-understood", 1));
        assert_eq!(upstream.seen()[0].body, posted.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_small_answer_expands_to_is_recorded_in_order_and_its_calls_end_is_found() {
    const EVENTS: usize = 5000;
    let upstream = server(|_| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        for n in 0..EVENTS {
            write!(encoder, "data:{n}\n\n").unwrap();
        }
        let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
        write!(encoder, "data: {answer}\n\n").unwrap();
        let body = encoder.finish().unwrap();
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n";
        [
            format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(),
            &body,
        ]
        .concat()
    })
    .await;
    let rig = rig(&upstream, "/mcp").await;
    let posted = request(
        "POST",
        "/agent/a/mcp/crm",
        &[],
        call(json!(1), "x", json!({})).to_string().as_bytes(),
    );
    within(rig.exchange(&posted)).await;
    let (_, end) = rig.one().await;
    assert_eq!(state(&end), State::Completed);
    let messages = rig.of(&["mcp.message"]);
    assert_eq!(messages.len(), EVENTS);
    for (n, message) in messages.iter().enumerate().step_by(97) {
        assert_eq!(rig.body(message, Role::Message), n.to_string().as_bytes());
    }
}
