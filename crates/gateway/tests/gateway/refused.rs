//! What is not let through is told in the client's own schema, and recorded as denied.

use crate::rig::*;
use event::State;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

async fn refused(rig: &Rig, answer: &str, status: &str, word: &str, state: State, error: &str) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")) && answer.contains(word),
        "{answer}"
    );
    let (_, end) = rig.one().await;
    let outcome = end.outcome.unwrap();
    assert_eq!(
        (outcome.state, outcome.error.as_deref()),
        (state, Some(error))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_upstream() {
    for (path, word) in [
        ("/nowhere/v1/messages", r#""type":"not_found_error""#),
        (
            "/agent/a/nowhere/v1/chat/completions",
            r#""code":"unknown_upstream""#,
        ),
        (
            "/nowhere/v1beta/models/m:generateContent",
            r#""status":"NOT_FOUND""#,
        ),
        ("/agent", "configured are anthropic, gemini, openai, raw"),
    ] {
        let upstream = Upstream::answering("").await;
        let rig = Rig::new(upstream.addr).await;
        let answer = text(&rig.exchange(&post(path, b"{}")).await);
        refused(
            &rig,
            &answer,
            "404",
            word,
            State::Denied,
            "unknown_upstream",
        )
        .await;
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_bound_by_its_declared_length() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::with(upstream.addr, |config| config.limits.request_body = 1000).await;
    let mut stream = rig.connect().await;
    stream
        .write_all(b"POST /anthropic/v1/messages HTTP/1.1\r\nHost: g\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"request_too_large").await;
    refused(
        &rig,
        &text(&got),
        "413",
        "1000000000 bytes",
        State::Denied,
        "body_too_large",
    )
    .await;
    assert_eq!(rig.of(&["model.request"]).len(), 1);
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_grows_over_the_bound() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::with(upstream.addr, |config| config.limits.request_body = 1000).await;
    let mut request = b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
    for _ in 0..3 {
        request.extend(chunk(&[b'x'; 500]));
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = text(&rig.exchange(&request).await);
    refused(
        &rig,
        &answer,
        "413",
        "body_too_large",
        State::Denied,
        "body_too_large",
    )
    .await;
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_arrives_whole() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.request_idle_timeout = Duration::from_millis(50)
    })
    .await;
    let part =
        b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nabc";
    let mut stream = rig.connect().await;
    stream.write_all(part).await.unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"request_timeout").await;
    refused(
        &rig,
        &text(&got),
        "408",
        "request_timeout",
        State::Denied,
        "request_timeout",
    )
    .await;

    let rig = Rig::new(upstream.addr).await;
    let mut stream = rig.connect().await;
    stream.write_all(part).await.unwrap();
    stream.shutdown().await.unwrap();
    let (request, end) = rig.one().await;
    assert_eq!(end.outcome.unwrap().state, State::ClientAborted);
    assert_eq!(rig.body(&request, event::Role::Request), b"abc");
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_looks_is_told_where_they_are() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::new(upstream.addr).await;
    let answer = text(
        &rig.exchange(b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
            .await,
    );
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("You reached the recorder"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_bytes_than_the_budget_pass_in_turn() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let rig = Rig::with(upstream.addr, |config| config.limits.memory = 64 * 1024).await;
    let rig = std::sync::Arc::new(rig);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..24usize {
        let rig = rig.clone();
        calls.spawn(async move {
            let body = vec![b'x'; 100_000];
            let request = if n % 2 == 0 {
                post("/raw/x", &body)
            } else {
                let mut request =
                    b"POST /raw/x HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".to_vec();
                body.chunks(9000).for_each(|part| request.extend(chunk(part)));
                request.extend_from_slice(b"0\r\n\r\n");
                request
            };
            assert!(rig.exchange(&request).await.ends_with(b"{}"));
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(rig.closed(24).await.len(), 24);
}
