//! MCP over HTTP through the gateway: every revision, both directions, against a real recorder and servers that do as
//! they are told, over real connections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "tests; the rig serves other tests too"
)]

mod cancelled;
mod disconnect;
#[path = "../gateway/disk.rs"]
mod disk;
mod endpoint;
mod ends;
mod exchange;
mod losses;
mod resumed;
#[path = "../gateway/rig.rs"]
mod rig;
mod socket;
mod streams;

use event::{Line, State};
use gateway::{Limits, McpServer};
use rig::{Rig, Seen, Upstream, to_end};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

/// A gateway with the MCP server `crm` at `path` of the upstream.
async fn rig(upstream: &Upstream, path: &str) -> Rig {
    rig_with(upstream, path, |_| {}).await
}

/// As [`rig`], with limits of its own.
async fn rig_with(upstream: &Upstream, path: &str, change: impl FnOnce(&mut Limits)) -> Rig {
    let url = format!("http://{}{path}", upstream.addr);
    Rig::with(upstream.addr, |config| {
        config
            .mcp
            .insert("crm".to_owned(), McpServer { url, ca: None });
        change(&mut config.limits);
    })
    .await
}

/// A server that answers each request with what `answer` makes of it.
async fn server(answer: impl Fn(&Seen) -> Vec<u8> + Clone + Send + Sync + 'static) -> Upstream {
    Upstream::scripted(move |seen, mut stream| {
        let answer = answer(&seen);
        async move {
            stream.write_all(&answer).await.ok();
            stream.shutdown().await.ok();
            to_end(&mut stream).await;
        }
    })
    .await
}

/// A request with headers of its own, on a connection that is closed after it.
fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

fn call(id: Value, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

fn state(line: &Line) -> State {
    line.outcome.as_ref().expect("an outcome").state
}

fn error(line: &Line) -> Option<&str> {
    line.outcome
        .as_ref()
        .and_then(|outcome| outcome.error.as_deref())
}

fn mcp(line: &Line) -> &event::Mcp {
    line.mcp.as_ref().expect("an MCP side")
}

/// The end of the call that `request` opened.
fn end_of(rig: &Rig, request: &Line) -> Line {
    rig.lines()
        .into_iter()
        .find(|line| line.exchange.as_ref().and_then(|exchange| exchange.call) == Some(request.seq))
        .expect("an end")
}
