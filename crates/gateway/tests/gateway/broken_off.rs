//! What an upstream sent before it broke off reaches the agent, to the last byte, and then the connection breaks off.

use crate::disk::Switch;
use crate::rig::*;
use event::{Role, State};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

const ROUNDS: usize = 25;

/// Answers with `raw` and closes at once: `(what the agent got, the rig)`.
async fn broken_off(raw: Vec<u8>, request: &[u8], strict: bool) -> (Vec<u8>, Rig) {
    let upstream = Upstream::scripted(move |_, mut stream| {
        let raw = raw.clone();
        async move { stream.write_all(&raw).await.unwrap() }
    })
    .await;
    let rig = Rig::with(upstream.addr, |config| config.strict = strict).await;
    let got = rig.exchange(request).await;
    (got, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_without_its_end_arrives_to_the_last_event() {
    let mut raw = chunked_head("text/event-stream");
    let mut body = Vec::new();
    for n in 0..40 {
        let part = format!("data: {{\"type\":\"ping\",\"n\":{n}}}\n\n").repeat(8);
        raw.extend(chunk(part.as_bytes()));
        body.extend_from_slice(part.as_bytes());
    }
    for round in 0..ROUNDS {
        let (got, rig) = broken_off(raw.clone(), &post("/raw/v1/x", b"{}"), round % 2 == 1).await;
        let (head, relayed, whole) = parted(&got);
        assert!(!whole && head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(text(&relayed), text(&body), "round {round}");
        let (_, end) = rig.one().await;
        assert_eq!(end.outcome.unwrap().state, State::StreamError);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_shorter_than_it_declares_arrives_as_far_as_it_goes() {
    for body in [&b"hello"[..], b""] {
        let mut raw =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
                .to_vec();
        raw.extend_from_slice(body);
        for round in 0..ROUNDS {
            let (got, rig) =
                broken_off(raw.clone(), &post("/raw/v1/x", b"{}"), round % 2 == 1).await;
            let (head, relayed, whole) = parted(&got);
            assert!(!whole && head.contains("Content-Length: 500"), "{head}");
            assert_eq!(relayed, body, "round {round}");
            let (_, end) = rig.one().await;
            assert_eq!(rig.body(&end, Role::Response), body);
            assert_eq!(end.http.unwrap().relayed, None, "all that arrived went on");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_that_breaks_off_arrives_as_far_as_it_goes() {
    for (len, chunked) in [(300_000, true), (3_000_000, false), (3_000_000, true)] {
        let body = noise(len);
        let raw = if chunked {
            let mut raw = chunked_head("text/event-stream");
            body.chunks(50_000).for_each(|part| raw.extend(chunk(part)));
            raw
        } else {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", len + 1);
            [head.as_bytes(), &body].concat()
        };
        let (got, rig) = broken_off(raw, &post("/raw/v1/x", b"{}"), false).await;
        let (_, relayed, whole) = parted(&got);
        assert!(!whole && relayed == body, "{} of {len}", relayed.len());
        let (_, end) = rig.one().await;
        assert_eq!(rig.body(&end, Role::Response).len(), len);
        assert_eq!(end.http.unwrap().relayed, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_tells_what_an_agent_that_left_was_given() {
    let (given, held) = (noise(1000), noise(100_000));
    let len = (given.len() + held.len()) as u64;
    let go = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let (go, given) = (go.clone(), given.clone());
        move |_, mut stream| {
            let (go, given, held) = (go.clone(), given.clone(), held.clone());
            async move {
                let begun = [chunked_head("text/event-stream"), chunk(&given)].concat();
                stream.write_all(&begun).await.unwrap();
                go.notified().await;
                stream.write_all(&chunk(&held)).await.unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |config| config.strict = true).await;
    let mut client = rig.connect().await;
    client.write_all(&post("/raw/x", b"{}")).await.unwrap();
    until(&mut client, &mut Vec::new(), &given).await;
    // What comes now is received and not released, until the disk has it.
    switch.stall(true);
    go.notify_one();
    rig.shows(|figures| figures.response_bytes == len).await;
    reset(client);
    rig.shows(|figures| figures.connections == 0).await;
    switch.stall(false);
    let (_, end) = rig.one().await;
    assert_eq!(end.outcome.as_ref().unwrap().state, State::ClientAborted);
    assert_eq!(rig.body_ref(&end, Role::Response).unwrap().len, len);
    assert_eq!(end.http.unwrap().relayed, Some(given.len() as u64));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http2_as_well() {
    use http_body_util::BodyExt as _;
    let body = noise(200_000);
    let mut streamed = chunked_head("text/event-stream");
    streamed.extend(chunk(&body));
    let declared = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n".to_vec();
    for (raw, body) in [(streamed, body), (declared, Vec::new())] {
        for _ in 0..ROUNDS {
            let raw = raw.clone();
            let upstream = Upstream::scripted(move |_, mut stream| {
                let raw = raw.clone();
                async move { stream.write_all(&raw).await.unwrap() }
            })
            .await;
            let rig = Rig::new(upstream.addr).await;
            let mut sender = rig.http2().await;
            let request = http::Request::get(format!("http://{}/raw/h2", rig.addr))
                .body(http_body_util::Empty::<bytes::Bytes>::new())
                .unwrap();
            let answer = within(sender.send_request(request)).await.unwrap();
            let (mut answer, mut got) = (answer.into_body(), Vec::new());
            let broken = loop {
                match within(answer.frame()).await {
                    Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            assert!(broken && got == body, "{} of {}", got.len(), body.len());
        }
    }
}
