//! What the scripted upstreams promise to the tests that stand on them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::{Duration, Instant};
use testkit::{Book, Digest, Entry, Framing, Gate, REPLAY_HEADER, Reply, Request, Step, Upstream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

async fn exchange(upstream: &Upstream, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(upstream.address()).await?;
    stream.write_all(request.as_bytes()).await?;
    stream.shutdown().await?;
    let mut out = String::new();
    stream.read_to_string(&mut out).await?;
    Ok(out)
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn answered(entries: &[Entry]) -> usize {
    entries
        .iter()
        .filter(|entry| entry.response.is_some())
        .count()
}

#[tokio::test]
async fn the_ledger_holds_what_came_and_what_went() {
    let upstream = Upstream::start(|_| Reply::body(201, "text/plain", "pong"))
        .await
        .unwrap();
    let answer = exchange(
        &upstream,
        "POST /p?q=1 HTTP/1.1\r\ncontent-length: 4\r\nX-A: b\r\n\r\nping",
    )
    .await
    .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 201 Created\r\n") && answer.ends_with("\r\n\r\npong"),
        "{answer}"
    );
    until("the entry is answered", || {
        answered(&upstream.ledger().entries()) == 1
    })
    .await;
    let entries = upstream.ledger().entries();
    let entry = &entries[0];
    assert_eq!(
        (
            entry.method.as_str(),
            entry.path.as_str(),
            entry.header("x-a")
        ),
        ("POST", "/p?q=1", Some("b"))
    );
    assert_eq!(entry.request, Digest::of(b"ping"));
    let sent = entry.response.as_ref().unwrap();
    assert_eq!(
        (sent.status, &sent.body, sent.complete),
        (201, &Digest::of(b"pong"), true)
    );
}

#[tokio::test]
async fn a_length_can_lie_and_a_stream_can_break() {
    let cases = [
        (Framing::Claims(9), Step::Cut, false),
        (Framing::Chunked, Step::Cut, false),
        (Framing::Chunked, Step::Reset, true),
    ];
    for (framing, step, reset) in cases {
        let upstream = Upstream::start(move |_| Reply {
            framing,
            ..Reply::body(200, "text/plain", "half").broken_after(1, step.clone())
        })
        .await
        .unwrap();
        let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut out = Vec::new();
        let read = stream.read_to_end(&mut out).await;
        assert_eq!(read.is_err(), reset, "{read:?}");
        until("the entry is answered", || {
            answered(&upstream.ledger().entries()) == 1
        })
        .await;
        let sent = upstream.ledger().entries()[0].response.clone().unwrap();
        assert_eq!((sent.body, sent.complete), (Digest::of(b"half"), false));
    }
}

#[tokio::test]
async fn a_gate_holds_the_answer_until_it_opens() {
    let gate = Gate::default();
    let held = gate.clone();
    let upstream = Upstream::start(move |_| Reply::body(200, "text/plain", "x").behind(&held))
        .await
        .unwrap();
    let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    until("the request has arrived", || upstream.ledger().len() == 1).await;
    assert_eq!(answered(&upstream.ledger().entries()), 0);
    gate.open();
    until("the answer has left", || {
        answered(&upstream.ledger().entries()) == 1
    })
    .await;
}

#[tokio::test]
async fn a_book_answers_by_header_then_by_path() {
    let mut book = Book::default();
    book.insert("one", Reply::body(200, "text/plain", "by header"));
    book.insert("two", Reply::body(200, "text/plain", "by path"));
    let upstream = Upstream::start(move |request: &Request| book.answer(request))
        .await
        .unwrap();
    let by_header = format!("GET /v1/x HTTP/1.1\r\n{REPLAY_HEADER}: one\r\n\r\n");
    assert!(
        exchange(&upstream, &by_header)
            .await
            .unwrap()
            .ends_with("by header")
    );
    assert!(
        exchange(&upstream, "GET /two/v1/x HTTP/1.1\r\n\r\n")
            .await
            .unwrap()
            .ends_with("by path")
    );
    assert!(
        exchange(&upstream, "GET /none HTTP/1.1\r\n\r\n")
            .await
            .unwrap()
            .starts_with("HTTP/1.1 404")
    );
}
