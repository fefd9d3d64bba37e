//! `rmcp`, the Rust SDK of MCP, unmodified: over HTTP through the gateway and over stdio through
//! `tacho mcp`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod record;

use event::{Role, State};
use record::{Call, TACHO, digest, open, read};
use rmcp::model::{CallToolRequestParams, ClientConfig, ProtocolVersion};
use rmcp::service::RunningService;
use rmcp::transport::{StreamableHttpClientTransport, TokioChildProcess};
use rmcp::{ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use testkit::mcp::{Answer, Server};
use testkit::{Digest, Recorder, Request, Upstream};

type Client = RunningService<RoleClient, ClientConfig>;

const TEXT: &str = "Z\u{fc}rich \u{2602}\u{1f327}";

fn eras() -> [(&'static str, ClientLifecycleMode); 2] {
    let modern = ClientLifecycleMode::Discover {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
    };
    [
        ("2025-11-25", ClientLifecycleMode::Initialize),
        ("2026-07-28", modern),
    ]
}

/// Lists the tools, calls one that works and one that fails.
async fn work(client: &Client) {
    let tools = client.list_all_tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool.name == "echo"), "{tools:?}");
    let arguments = json!({ "text": TEXT }).as_object().cloned().unwrap();
    let echo = CallToolRequestParams::new("echo").with_arguments(arguments);
    let result = client.call_tool(echo).await.unwrap();
    assert_eq!(result.content[0].as_text().unwrap().text, TEXT);
    let failed = client
        .call_tool(CallToolRequestParams::new("fail"))
        .await
        .unwrap();
    assert_eq!(failed.is_error, Some(true));
}

/// The tool calls of one agent, in their order.
fn tool_calls<'a>(calls: &'a [Call], agent: &str) -> Vec<&'a Call> {
    let of_agent = |call: &&Call| call.request.agent.as_ref().is_some_and(|a| a.name == agent);
    calls
        .iter()
        .filter(of_agent)
        .filter(|call| call.request.kind == "tool.request")
        .collect()
}

/// `may_hang_up`: a client that has its answer need not wait for the end of the stream that it came in. Whether all of it was
/// recorded is for the caller.
fn assert_tool_calls(calls: &[&Call], may_hang_up: bool) {
    let names: Vec<_> = calls
        .iter()
        .map(|call| call.request.tool.clone().unwrap().name.unwrap())
        .collect();
    assert_eq!(names, ["echo", "fail"]);
    for call in calls {
        let outcome = call.response.as_ref().unwrap().outcome.clone().unwrap();
        let hung_up = may_hang_up && outcome.state == State::ClientAborted;
        assert!(hung_up || outcome.state == State::Completed, "{outcome:?}");
    }
}

#[tokio::test]
async fn over_http_every_exchange_is_in_both_books() {
    let dir = tempfile::tempdir().unwrap();
    let servers = [("json", Answer::Json), ("events", Answer::Events)];
    let mut upstreams = Vec::new();
    let mut config = String::new();
    for (name, answer) in servers {
        let server = Server::new(answer);
        let upstream = Upstream::start(move |request: &Request| server.answer(request))
            .await
            .unwrap();
        config.push_str(&format!("[mcp.{name}]\nurl = \"{}/mcp\"\n", upstream.url()));
        upstreams.push(upstream);
    }
    let recorder = Recorder::start(TACHO, dir.path(), &config).await.unwrap();
    for (server, _) in servers {
        for (era, mode) in eras() {
            let url = format!("{}/agent/{server}-{era}/mcp/{server}", recorder.gateway());
            let transport = StreamableHttpClientTransport::from_uri(url);
            let client = ClientConfig::default()
                .serve_with_lifecycle(transport, mode)
                .await
                .unwrap();
            work(&client).await;
            client.cancel().await.unwrap();
        }
    }
    recorder.stop().await.unwrap();

    let store = open(dir.path());
    let (calls, _) = read(&store);
    let booked: BTreeSet<(Digest, Digest)> = upstreams
        .iter()
        .flat_map(|upstream| upstream.ledger().entries())
        .filter(|entry| entry.method == "POST")
        .filter_map(|entry| Some((entry.request, entry.response?.body)))
        .collect();
    for (server, _) in servers {
        for (era, _) in eras() {
            let calls = tool_calls(&calls, &format!("{server}-{era}"));
            assert_tool_calls(&calls, server == "events");
            for call in calls {
                let mcp = call.request.mcp.as_ref().unwrap();
                assert_eq!(mcp.protocol_version.as_deref(), Some(era));
                let response = call.response.as_ref().unwrap();
                let pair = (
                    digest(&store, &call.request, Role::Request),
                    digest(&store, response, Role::Response),
                );
                assert!(
                    booked.contains(&pair),
                    "{server} {era} {}",
                    call.request.seq
                );
            }
        }
    }
}

/// The example `rmcp_server`, which Cargo builds beside the tests.
fn server() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .join("examples/rmcp_server")
}

#[tokio::test]
async fn over_stdio_the_wrapper_is_not_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Recorder::start(TACHO, dir.path(), "").await.unwrap();
    for (era, mode) in eras() {
        let mut command = tokio::process::Command::new(TACHO);
        command
            .args(["mcp", "--agent", era, "--server", "weather", "--data"])
            .arg(dir.path().join("record"));
        command.arg("--").arg(server());
        let transport = TokioChildProcess::new(command).unwrap();
        let client = ClientConfig::default()
            .serve_with_lifecycle(transport, mode)
            .await
            .unwrap();
        work(&client).await;
        client.cancel().await.unwrap();
    }
    recorder.stop().await.unwrap();
    let store = open(dir.path());
    let (calls, _) = read(&store);
    for (era, _) in eras() {
        let calls = tool_calls(&calls, era);
        assert_tool_calls(&calls, false);
        let request = record::body(&store, &calls[0].request, Role::Request).unwrap();
        assert!(String::from_utf8(request).unwrap().contains(TEXT));
    }
    assert_eq!(
        evidence::verify::run(
            &dir.path().join("record"),
            &evidence::verify::Options::default(),
            &mut |_| {}
        )
        .unwrap()
        .exit_code(),
        0
    );
}
