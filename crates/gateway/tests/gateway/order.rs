//! No effect before evidence, no word before evidence.

use crate::rig::*;
use event::Role;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_durable_before_the_upstream_sees_it() {
    let dir: Arc<OnceLock<PathBuf>> = Arc::default();
    let upstream = Upstream::scripted({
        let dir = dir.clone();
        move |request, mut stream| {
            let dir = dir.clone();
            async move {
                let lines = lines(dir.get().unwrap());
                let recorded = lines
                    .iter()
                    .filter(|line| line.kind == "model.request")
                    .any(|line| {
                        let body = line
                            .bodies
                            .iter()
                            .find(|body| body.role == Role::Request)
                            .unwrap();
                        evidence::Store::open(dir.get().unwrap())
                            .unwrap()
                            .body(body)
                            .unwrap()
                            == request.body
                    });
                let answer = if recorded { "recorded" } else { "missing" };
                stream
                    .write_all(&ok("application/json", answer.as_bytes()))
                    .await
                    .unwrap();
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    dir.set(rig.dir.path().to_owned()).unwrap();
    for n in 0..20 {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{n}"}}]}}"#);
        let answer = rig
            .exchange(&post("/anthropic/v1/messages", body.as_bytes()))
            .await;
        assert!(answer.ends_with(b"recorded"), "{}", text(&answer));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_durable_before_its_end_is_released() {
    let gather = |body: &'static [u8]| ok("application/json", body);
    let mut stream = chunked_head("text/event-stream");
    stream.extend(chunk(b"data: 1\n\n"));
    stream.extend_from_slice(b"0\r\n\r\n");
    for answer in [gather(b"{}"), stream] {
        let upstream = Upstream::answering(answer).await;
        let rig = Rig::new(upstream.addr).await;
        for n in 1..=30 {
            rig.exchange(&post("/raw/x", b"{}")).await;
            // Not waited for: when the client has the end, the event is there.
            let ends = rig.of(&["http.response"]);
            assert_eq!(ends.len(), n);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_chunk_of_a_stream_is_released_when_it_comes() {
    for strict in [false, true] {
        let go = Arc::new(Notify::new());
        let upstream = Upstream::scripted({
            let go = go.clone();
            move |_, mut stream| {
                let go = go.clone();
                async move {
                    stream
                        .write_all(&chunked_head("text/event-stream"))
                        .await
                        .unwrap();
                    for n in 0..5 {
                        go.notified().await;
                        stream
                            .write_all(&chunk(format!("data: {n}\n\n").as_bytes()))
                            .await
                            .unwrap();
                    }
                    go.notified().await;
                    stream.write_all(b"0\r\n\r\n").await.unwrap();
                    to_end(&mut stream).await;
                }
            }
        })
        .await;
        let rig = Rig::with(upstream.addr, |config| config.strict = strict).await;
        let mut stream = rig.connect().await;
        stream.write_all(&post("/raw/s", b"{}")).await.unwrap();
        let mut got = Vec::new();
        // The head alone, before any chunk.
        until(&mut stream, &mut got, b"\r\n\r\n").await;
        for n in 0..5 {
            go.notify_one();
            until(&mut stream, &mut got, format!("data: {n}\n\n").as_bytes()).await;
        }
        assert!(rig.of(&["http.response"]).is_empty());
        go.notify_one();
        until(&mut stream, &mut got, b"0\r\n\r\n").await;
        let (_, end) = rig.one().await;
        assert_eq!(
            rig.body(&end, Role::Response),
            b"data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n"
        );
        assert_eq!(end.timing.unwrap().chunks, Some(5));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_pauses_is_not_held_back() {
    let go = Arc::new(Notify::new());
    let upstream = Upstream::scripted({
        let go = go.clone();
        move |_, mut stream| {
            let go = go.clone();
            async move {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n").await.unwrap();
                for part in [&b"abc"[..], b"def"] {
                    go.notified().await;
                    stream.write_all(part).await.unwrap();
                }
                to_end(&mut stream).await;
            }
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut stream = rig.connect().await;
    stream.write_all(&post("/raw/s", b"{}")).await.unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"\r\n\r\n").await;
    go.notify_one();
    until(&mut stream, &mut got, b"abc").await;
    go.notify_one();
    until(&mut stream, &mut got, b"def").await;
    let (_, end) = rig.one().await;
    assert_eq!(rig.body(&end, Role::Response), b"abcdef");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forwarded_when_the_recorder_is_closed() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let rig = Rig::new(upstream.addr).await;
    rig.recorder.clone().close().await.unwrap();
    for (path, status, word) in [
        ("/anthropic/v1/messages", "529", "overloaded_error"),
        ("/openai/v1/chat/completions", "503", "service_unavailable"),
        (
            "/gemini/v1beta/models/m:generateContent",
            "503",
            "UNAVAILABLE",
        ),
    ] {
        let answer = text(&rig.exchange(&post(path, b"{}")).await);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(word),
            "{answer}"
        );
    }
    assert!(upstream.seen().is_empty());
}
