//! A disk that does not keep up holds the wire back; a disk without room stops it. Nothing passes unrecorded.

use crate::disk::Switch;
use crate::rig::*;
use event::{Role, State};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// What is not to come is waited for this long.
const QUIET: Duration = Duration::from_millis(300);

async fn silent(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    let read = tokio::time::timeout(QUIET, stream.read(&mut byte)).await;
    assert!(read.is_err(), "something was released: {read:?}");
}

/// An upstream that sends one chunk of a stream each time it is told to.
async fn streaming(go: Arc<Notify>) -> Upstream {
    Upstream::scripted(move |_, mut stream| {
        let go = go.clone();
        async move {
            stream
                .write_all(&chunked_head("text/event-stream"))
                .await
                .unwrap();
            for n in 0.. {
                go.notified().await;
                let sent = stream
                    .write_all(&chunk(format!("data: {n}\n\n").as_bytes()))
                    .await;
                if sent.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_keeps_a_request_from_the_upstream() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    switch.stall(true);
    let mut client = rig.connect().await;
    client.write_all(&post("/raw/x", b"{}")).await.unwrap();
    silent(&mut client).await;
    assert!(upstream.seen().is_empty());
    switch.stall(false);
    assert!(to_end(&mut client).await.ends_with(b"{}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_keeps_an_answer_from_the_agent() {
    let go = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let go = go.clone();
        move |_, mut stream| {
            let go = go.clone();
            async move {
                go.notified().await;
                stream
                    .write_all(&ok("application/json", b"{}"))
                    .await
                    .unwrap();
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut client = rig.connect().await;
    client.write_all(&post("/raw/x", b"{}")).await.unwrap();
    until_seen(&upstream, 1).await;
    switch.stall(true);
    go.notify_one();
    silent(&mut client).await;
    switch.stall(false);
    assert!(to_end(&mut client).await.ends_with(b"{}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_disk_holds_a_stream_back() {
    let go = Arc::new(Notify::new());
    let upstream = streaming(go.clone()).await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut client = rig.connect().await;
    client.write_all(&post("/raw/x", b"{}")).await.unwrap();
    let mut got = Vec::new();
    go.notify_one();
    until(&mut client, &mut got, b"data: 0\n\n").await;
    switch.stall(true);
    // One is released while its write is under way. When that is late, the next waits.
    go.notify_one();
    until(&mut client, &mut got, b"data: 1\n\n").await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    go.notify_one();
    silent(&mut client).await;
    switch.stall(false);
    until(&mut client, &mut got, b"data: 2\n\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_strict_mode_no_chunk_is_released_before_it_is_durable() {
    let go = Arc::new(Notify::new());
    let upstream = streaming(go.clone()).await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |config| config.strict = true).await;
    let mut client = rig.connect().await;
    client.write_all(&post("/raw/x", b"{}")).await.unwrap();
    let mut got = Vec::new();
    go.notify_one();
    until(&mut client, &mut got, b"data: 0\n\n\r\n").await;
    switch.stall(true);
    go.notify_one();
    silent(&mut client).await;
    switch.stall(false);
    until(&mut client, &mut got, b"data: 1\n\n").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_forwards_nothing_and_closes_what_is_open() {
    let go = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let go = go.clone();
        move |request: Seen, mut stream| {
            let go = go.clone();
            async move {
                if request.head.contains("/slow") {
                    go.notified().await;
                    // More than what is left in the segments.
                    let body: Vec<u8> = noise(8 << 20);
                    stream
                        .write_all(&ok("application/octet-stream", &body))
                        .await
                        .ok();
                } else {
                    stream.write_all(&ok("application/json", b"{}")).await.ok();
                }
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let switch = Switch::default();
    let rig = Rig::on_disk(upstream.addr, &switch, |_| {}).await;
    let mut slow = rig.connect().await;
    slow.write_all(&post("/raw/slow", b"{}")).await.unwrap();
    until_seen(&upstream, 1).await;
    switch.fill(true);
    let mut accepted = 0;
    loop {
        let mut body = noise(1 << 20);
        body[0] = accepted;
        // A body that nothing can be shared with.
        body.iter_mut()
            .for_each(|byte| *byte ^= accepted.wrapping_mul(37));
        let answer = text(&rig.exchange(&post("/anthropic/v1/messages", &body)).await);
        if answer.starts_with("HTTP/1.1 529") {
            assert!(
                answer.contains("overloaded_error") && answer.contains("no room"),
                "{answer}"
            );
            break;
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        accepted += 1;
        assert!(accepted < 60, "the disk never became full");
    }
    assert_eq!(upstream.seen().len(), 1 + usize::from(accepted));
    // The open call's answer has no room: it is broken off, and closed all the same.
    go.notify_one();
    let got = to_end(&mut slow).await;
    assert!(
        got.is_empty() || !parted(&got).2,
        "an answer that was not recorded looks whole"
    );
    let calls = rig.closed(1 + usize::from(accepted)).await;
    let slow = calls
        .iter()
        .find(|(request, _)| request.http.as_ref().unwrap().path.as_deref() == Some("/base/slow"))
        .unwrap();
    let outcome = slow.1.outcome.as_ref().unwrap();
    assert_eq!(
        (outcome.state, outcome.error.as_deref()),
        (State::StreamError, Some("not_recorded"))
    );
    assert!(slow.1.gap.is_some() && rig.body_ref(&slow.1, Role::Response).is_none());
    // Room comes back, and with it the wire.
    switch.fill(false);
    let deadline = Instant::now() + DEADLINE;
    while !rig
        .exchange(&post("/raw/again", b"{}"))
        .await
        .ends_with(b"{}")
    {
        assert!(Instant::now() < deadline, "the recorder never went on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
