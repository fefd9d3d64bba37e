//! Retries are recorded as attempts of one call.

use crate::rig::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt as _;

fn attempts(calls: &[(event::Line, event::Line)]) -> Vec<(Option<u32>, Option<u64>)> {
    calls
        .iter()
        .map(|(request, end)| {
            let exchange = request.exchange.as_ref().unwrap();
            let closing = end.exchange.as_ref().unwrap();
            assert_eq!(
                (exchange.attempt, exchange.retry_of),
                (closing.attempt, closing.retry_of)
            );
            (exchange.attempt, exchange.retry_of)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_body_after_a_failure() {
    let count = Arc::new(AtomicU64::new(0));
    let upstream = Upstream::scripted(move |_, mut stream| {
        let count = count.clone();
        async move {
            let status = if count.fetch_add(1, Ordering::Relaxed) < 2 { "503 Busy" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    for _ in 0..4 {
        rig.exchange(&post(
            "/openai/v1/chat/completions",
            br#"{"model":"m","messages":[]}"#,
        ))
        .await;
    }
    let calls = rig.closed(4).await;
    let first = calls[0].0.seq;
    assert_eq!(
        attempts(&calls),
        [
            (Some(1), None),
            (Some(2), Some(first)),
            (Some(3), Some(first)),
            (Some(1), None)
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_that_comes_again() {
    let upstream = Upstream::answering(ok("application/json", b"{}")).await;
    let rig = Rig::new(upstream.addr).await;
    for retry in 0..2 {
        let request = format!(
            "POST /openai/v1/chat/completions HTTP/1.1\r\nHost: g\r\nIdempotency-Key: k-1\r\nx-stainless-retry-count: {retry}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        rig.exchange(request.as_bytes()).await;
    }
    let calls = rig.closed(2).await;
    assert_eq!(
        attempts(&calls),
        [(Some(1), None), (Some(2), Some(calls[0].0.seq))]
    );
    assert_eq!(
        calls[0].0.ids.as_ref().unwrap().idempotency_key.as_deref(),
        Some("k-1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_calls_beside_each_other_are_no_retries_and_no_one_run() {
    let gate = Arc::new(tokio::sync::Barrier::new(5));
    let upstream = Upstream::scripted(move |_, mut stream| {
        let gate = gate.clone();
        async move {
            // Nobody is answered before all have asked.
            gate.wait().await;
            stream
                .write_all(&ok("application/json", b"{}"))
                .await
                .unwrap();
        }
    })
    .await;
    let rig = Rig::new(upstream.addr).await;
    let request = post(
        "/openai/v1/chat/completions",
        br#"{"model":"m","messages":[{"role":"user","content":"q"}]}"#,
    );
    let ask = || rig.exchange(&request);
    tokio::join!(ask(), ask(), ask(), ask(), ask());
    let calls = rig.closed(5).await;
    assert_eq!(attempts(&calls), [(Some(1), None); 5]);
    let runs: std::collections::HashSet<_> = calls
        .iter()
        .map(|(request, _)| request.run.as_ref().unwrap().id.clone())
        .collect();
    assert_eq!(runs.len(), 5);
}
