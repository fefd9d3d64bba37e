//! What is no HTTP is refused, counted, and in the record; a flood of it is one event a second.

use crate::rig::*;
use event::Line;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;

fn gaps(rig: &Rig) -> Vec<Line> {
    rig.of(&["gap"])
        .into_iter()
        .filter(|line| line.gap.as_ref().unwrap().cause == "malformed-http")
        .collect()
}

fn counted(gaps: &[Line]) -> u64 {
    gaps.iter()
        .map(|line| line.gap.as_ref().unwrap().count)
        .sum()
}

async fn until_counted(rig: &Rig, count: u64) -> Vec<Line> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let gaps = gaps(rig);
        if counted(&gaps) >= count {
            assert_eq!(counted(&gaps), count);
            return gaps;
        }
        assert!(Instant::now() < deadline, "{gaps:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_leaves_an_event_and_none_of_its_bytes() {
    let upstream = Upstream::answering("").await;
    for (sent, answer, finding) in [
        (
            &b"\x16\x03\x01 sk-secret is not HTTP\r\n\r\n"[..],
            "HTTP/1.1 400",
            "invalid HTTP method parsed",
        ),
        (
            b"GET /raw/x HTTP/1.1\r\nsk secret: 1\r\n\r\n",
            "HTTP/1.1 400",
            "invalid HTTP header parsed",
        ),
        (
            b"POST /raw/x HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nsk-secret",
            "HTTP/1.1 400",
            "invalid content-length parsed",
        ),
        (
            b"GET /raw/x HTTP/9.1\r\n\r\n",
            "HTTP/1.1 400",
            "invalid HTTP version parsed",
        ),
        (
            b"GET /raw/sk-secret HTTP/1.1\r\nHost: g",
            "",
            "the connection ended within a request's head",
        ),
        (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nsk-secret sk-secret sk-secret",
            "",
            "HTTP/2: ",
        ),
    ] {
        let rig = Rig::new(upstream.addr).await;
        let mut stream = rig.connect().await;
        stream.write_all(sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let got = text(&to_end(&mut stream).await);
        assert!(got.starts_with(answer), "{got}");
        let gaps = until_counted(&rig, 1).await;
        let facts = gaps[0].facts.clone().unwrap();
        assert_eq!(facts["peers"], serde_json::json!(["127.0.0.1"]));
        let findings = facts["findings"].as_object().unwrap();
        assert!(
            findings.keys().all(|said| said.starts_with(finding)),
            "{findings:?} of {:?}",
            text(sent)
        );
        assert!(!serde_json::to_string(&facts).unwrap().contains("secret"));
        assert_eq!(rig.gateway.figures().sample().malformed, 1);
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_counted_in_few_events_to_the_last() {
    let upstream = Upstream::answering("").await;
    let mut rig = Rig::new(upstream.addr).await;
    for _ in 0..300 {
        rig.exchange(b"not HTTP at all\r\n\r\n").await;
    }
    // What was counted in the last second is written at the end.
    rig.stop().await;
    let gaps = until_counted(&rig, 300).await;
    assert!(gaps.len() < 30, "{} events", gaps.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_brings_nothing_leaves_nothing() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let mut rig = Rig::new(upstream.addr).await;
    drop(rig.connect().await);
    rig.exchange(b"GET /raw/x HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n")
        .await;
    rig.closed(1).await;
    rig.stop().await;
    assert!(gaps(&rig).is_empty());
}
