//! How a body is framed, and the fields that follow it, pass as they are.

use crate::rig::*;
use event::{Role, State};
use tokio::io::AsyncWriteExt as _;

fn get(fields: &str) -> Vec<u8> {
    format!("GET /raw/f HTTP/1.1\r\nHost: g\r\n{fields}Connection: close\r\n\r\n").into_bytes()
}

/// What an agent gets for `raw`, written at once.
async fn relayed(raw: &str, request: &[u8]) -> (String, Rig) {
    let upstream = Upstream::answering(raw).await;
    let rig = Rig::new(upstream.addr).await;
    let got = text(&rig.exchange(request).await);
    (got, rig)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_answer_stays_chunked_however_small() {
    for (media, body) in [
        ("application/json", "2\r\n{}\r\n0\r\n\r\n"),
        ("application/json", "0\r\n\r\n"),
        ("text/event-stream", "3\r\nabc\r\n0\r\n\r\n"),
        ("text/event-stream", "0\r\n\r\n"),
    ] {
        let raw = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {media}\r\nConnection: close\r\n\r\n{body}"
        );
        let (got, rig) = relayed(&raw, &get("")).await;
        let expected = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {media}\r\nConnection: close\r\n\r\n{body}"
        );
        assert_eq!(got, expected);
        rig.one().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_pass_announced_or_not_asked_for_or_not() {
    for media in ["application/json", "text/event-stream"] {
        for announced in ["Trailer: X-Sum\r\n", ""] {
            for asked in ["TE: trailers\r\n", ""] {
                let raw = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {media}\r\n{announced}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\nX-Sum: 12\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n"
                );
                let (got, rig) = relayed(&raw, &get(asked)).await;
                let (head, rest) = got.split_once("\r\n\r\n").unwrap();
                assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
                assert_eq!(head.contains("Trailer: X-Sum"), !announced.is_empty());
                assert_eq!(
                    rest, "2\r\n{}\r\n0\r\nx-sum: 12\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
                    "{media} {announced:?} {asked:?}"
                );
                let (_, end) = rig.one().await;
                assert!(text(&rig.body(&end, Role::Trailers)).starts_with("x-sum: 12\r\n"));
                assert_eq!(end.outcome.unwrap().state, State::Completed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_goes_on_after_trailers() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 12\r\n\r\n",
    )
    .await;
    let rig = Rig::new(upstream.addr).await;
    let mut stream = rig.connect().await;
    // Two at once, then one more.
    let request = b"GET /raw/f HTTP/1.1\r\nHost: g\r\n\r\n";
    stream.write_all(&request.repeat(2)).await.unwrap();
    let mut got = Vec::new();
    let one =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-sum: 12\r\n\r\n";
    until(&mut stream, &mut got, one.repeat(2).as_bytes()).await;
    stream.write_all(request).await.unwrap();
    until(&mut stream, &mut got, one.repeat(3).as_bytes()).await;
    assert_eq!(text(&got), one.repeat(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_http_1_0_gets_the_body_alone() {
    let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 12\r\n\r\n";
    let (got, _rig) = relayed(raw, b"GET /raw/f HTTP/1.0\r\nHost: g\r\n\r\n").await;
    assert_eq!(got, "HTTP/1.0 200 OK\r\n\r\n{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_two_lengths_is_told_by_its_chunks() {
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
    ] {
        let raw = format!("HTTP/1.1 200 OK\r\n{fields}\r\n6\r\nabcdef\r\n0\r\n\r\n");
        let (got, rig) = relayed(&raw, &get("")).await;
        assert!(
            got.ends_with("\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n")
                && !got.to_ascii_lowercase().contains("content-length"),
            "{got}"
        );
        let (_, end) = rig.one().await;
        assert_eq!(rig.body(&end, Role::Response), b"abcdef");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coding_of_the_transfer_stays_named() {
    let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\n\u{1}\u{2}\u{3}\r\n0\r\n\r\n";
    let (got, _rig) = relayed(raw, &get("TE: gzip\r\n")).await;
    assert!(
        got.contains("Transfer-Encoding: gzip, chunked\r\n"),
        "{got}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_request_stays_chunked() {
    for body in ["2\r\n{}\r\n0\r\n\r\n", "0\r\n\r\n"] {
        let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
        let rig = Rig::new(upstream.addr).await;
        let request = format!(
            "POST /raw/f HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n{body}"
        );
        rig.exchange(request.as_bytes()).await;
        let seen = upstream.seen().remove(0);
        assert!(
            seen.head.contains("Transfer-Encoding: chunked\r\n"),
            "{}",
            seen.head
        );
        assert!(!seen.head.to_ascii_lowercase().contains("content-length"));
        assert_eq!(text(&seen.body), body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_requests_trailers_pass() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = Rig::new(upstream.addr).await;
    rig.exchange(
        b"POST /raw/f HTTP/1.1\r\nHost: g\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 12\r\n\r\n",
    )
    .await;
    let seen = upstream.seen().remove(0);
    assert!(
        seen.head.contains("Trailer: X-Sum\r\n")
            && text(&seen.body).starts_with("2\r\n{}\r\n0\r\nx-sum: 12\r\n\r\n"),
        "{seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_two_lengths_is_refused() {
    for fields in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 12\r\n",
    ] {
        let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
        let rig = Rig::new(upstream.addr).await;
        let mut stream = rig.connect().await;
        let mut got = Vec::new();
        // Also when it is not the first on its connection.
        stream
            .write_all(b"POST /raw/f HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}")
            .await
            .unwrap();
        until(&mut stream, &mut got, b"\r\n\r\nok").await;
        let request =
            format!("POST /raw/f HTTP/1.1\r\nHost: g\r\n{fields}\r\n2\r\n{{}}\r\n0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        until(&mut stream, &mut got, b"two_lengths").await;
        assert!(text(&got).contains("HTTP/1.1 400"), "{}", text(&got));
        let (_, end) = rig.closed(2).await.remove(1);
        assert_eq!(end.outcome.unwrap().state, State::Denied);
        assert_eq!(upstream.seen().len(), 1);
    }
}
