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
async fn a_request_that_trickles_is_given_up() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.request_idle_timeout = Duration::from_secs(1);
        config.limits.request_rate = 1 << 20;
    })
    .await;
    let mut stream = rig.connect().await;
    stream
        .write_all(b"POST /openai/v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Length: 100000\r\n\r\n")
        .await
        .unwrap();
    let (mut from, mut to) = stream.split();
    let mut answer = vec![0; 4096];
    let trickle = async {
        loop {
            // Each byte comes long before the silence is over. That the gateway has gone is seen where it is read.
            to.write_all(b"x").await.ok();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let n = within(async {
        tokio::select! {
            read = tokio::io::AsyncReadExt::read(&mut from, &mut answer) => read.unwrap(),
            () = trickle => 0,
        }
    })
    .await;
    refused(
        &rig,
        &text(&answer[..n]),
        "408",
        "request_timeout",
        State::Denied,
        "request_timeout",
    )
    .await;
    assert!(upstream.seen().is_empty());
}

/// A request of which a part comes, and then nothing for a while.
async fn part_of(rig: &Rig, len: usize, declared: usize) -> tokio::net::TcpStream {
    let mut stream = rig.connect().await;
    let head = format!(
        "POST /raw/slow HTTP/1.1\r\nHost: g\r\nContent-Length: {declared}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; len]).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_announced_holds_nobody_up() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let rig = Rig::with(upstream.addr, |config| config.limits.memory = 1 << 20).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        slow.push(part_of(&rig, 1, 8 << 20).await);
    }
    for _ in 0..4 {
        let answer = rig.exchange(&post("/raw/x", &vec![b'x'; 300_000])).await;
        assert!(answer.ends_with(b"{}"), "{}", text(&answer));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_finds_no_room_is_refused_and_the_others_go_on() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let rig = Rig::with(upstream.addr, |config| {
        config.limits.memory = 1024;
        config.limits.memory_timeout = Duration::from_millis(500);
    })
    .await;
    // One has all the room, the other its turn to go beyond it.
    let mut slow = [part_of(&rig, 1, 2).await, part_of(&rig, 1, 2).await];
    let mut calls = 0;
    let refusal = within(async {
        loop {
            let answer = text(
                &rig.exchange(&post("/anthropic/v1/messages", b"{\"a\":1}"))
                    .await,
            );
            calls += 1;
            if !answer.starts_with("HTTP/1.1 200") {
                break answer;
            }
        }
    })
    .await;
    assert!(
        refusal.starts_with("HTTP/1.1 529")
            && refusal.contains("limits.memory")
            && refusal.to_ascii_lowercase().contains("retry-after"),
        "{refusal}"
    );
    let (_, end) = rig.closed(calls).await.pop().unwrap();
    let outcome = end.outcome.unwrap();
    assert_eq!(
        (outcome.state, outcome.error.as_deref()),
        (State::Denied, Some("no_room"))
    );
    for stream in &mut slow {
        stream.write_all(b"x").await.unwrap();
        assert!(to_end(stream).await.ends_with(b"{}"));
    }
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_leave_to_send_too_much_is_not_given_it() {
    let upstream = Upstream::answering("").await;
    let rig = Rig::with(upstream.addr, |config| config.limits.request_body = 1000).await;
    for path in ["/anthropic/v1/messages", "/nowhere/v1/messages"] {
        for _ in 0..20 {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n"
            );
            let answer = text(&rig.exchange(request.as_bytes()).await);
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel() {
    for target in ["/raw/y", "api.example.com:443"] {
        let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
        let rig = Rig::new(upstream.addr).await;
        let request =
            format!("CONNECT {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = text(&rig.exchange(request.as_bytes()).await);
        refused(
            &rig,
            &answer,
            "405",
            "no CONNECT proxy",
            State::Denied,
            "tunnel",
        )
        .await;
        assert!(upstream.seen().is_empty());
    }
}
