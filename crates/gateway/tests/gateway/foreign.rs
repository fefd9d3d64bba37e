//! A web page cannot use the gateway: what its browser sends is refused, in the client's schema, and recorded.

use crate::rig::*;
use event::State;
use gateway::McpServer;
use tokio::io::AsyncWriteExt as _;

async fn gateway(upstream: &Upstream) -> Rig {
    let url = format!("http://{}/mcp", upstream.addr);
    Rig::with(upstream.addr, |config| {
        config
            .mcp
            .insert("crm".to_owned(), McpServer { url, ca: None });
        config.access.hosts = vec!["recorder.test".to_owned()];
        config.access.origins = vec!["https://console.example".to_owned()];
    })
    .await
}

fn asking(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\n{headers}Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")
        .into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_and_a_rebound_name_are_refused() {
    let page = "Host: 127.0.0.1:8700\r\nOrigin: https://evil.example\r\n";
    let rebound = "Host: evil.example:8700\r\nOrigin: http://evil.example:8700\r\n";
    let image = "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n";
    let of_page = [
        ("/anthropic/v1/messages", r#""type":"permission_error""#),
        (
            "/agent/a/gemini/v1beta/models",
            r#""status":"PERMISSION_DENIED""#,
        ),
        ("/agent/a/mcp/crm", r#""jsonrpc":"2.0""#),
        ("/nowhere/x", r#""code":"foreign_origin""#),
    ];
    let of_rebound = [
        ("/openai/v1/responses", r#""code":"foreign_host""#),
        ("/agent/a/mcp/crm", r#""reason":"foreign_host""#),
    ];
    let of_image = [("/raw/x", r#""code":"foreign_origin""#)];
    for (headers, error, asked) in [
        (page, "foreign_origin", &of_page[..]),
        (rebound, "foreign_host", &of_rebound),
        (image, "foreign_origin", &of_image),
    ] {
        for (path, word) in asked {
            is_refused(path, headers, word, error).await;
        }
    }
}

/// A request is refused in a `word` of its client's schema, and the record says why.
async fn is_refused(path: &str, headers: &str, word: &str, error: &str) {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = gateway(&upstream).await;
    let answer = text(&rig.exchange(&asking(path, headers)).await);
    assert!(
        answer.starts_with("HTTP/1.1 403") && answer.contains(word),
        "{path}: {answer}"
    );
    let (_, end) = rig.one().await;
    let outcome = end.outcome.unwrap();
    assert_eq!(
        (outcome.state, outcome.error.as_deref()),
        (State::Denied, Some(error)),
        "{path}"
    );
    assert!(upstream.seen().is_empty(), "{path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_by_a_page_is_refused() {
    let upstream = Upstream::answering("").await;
    let rig = gateway(&upstream).await;
    let mut stream = rig.connect().await;
    stream
        .write_all(b"GET /openai/v1/realtime HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let mut got = Vec::new();
    until(&mut stream, &mut got, b"foreign_origin").await;
    assert!(text(&got).starts_with("HTTP/1.1 403"), "{}", text(&got));
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_known_pages_pass() {
    let upstream = Upstream::answering(ok("text/plain", b"ok")).await;
    let rig = gateway(&upstream).await;
    for headers in [
        "Host: 127.0.0.1:8700\r\n",
        "Host: localhost:8700\r\nOrigin: http://localhost:6274\r\nSec-Fetch-Site: same-site\r\n",
        "Host: recorder.test\r\n",
        "Host: [::1]:8700\r\nOrigin: https://console.example\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let answer = text(&rig.exchange(&asking("/raw/x", headers)).await);
        assert!(answer.ends_with("ok"), "{answer}");
    }
    assert_eq!(upstream.seen().len(), 4);
    // What a page's browser says of itself goes through unchanged.
    assert!(
        upstream.seen()[3]
            .head
            .contains("Origin: https://console.example")
    );
}
