//! Everything that the recorder writes about real traffic fits the published schema, and every
//! command reads it: every trick of the scripted model in every format, streamed and whole, and MCP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    reason = "tests; not everything shared is used here"
)]

mod client;
mod record;
#[path = "../../event/tests/schema_check/mod.rs"]
mod schema_check;

use client::Client;
use record::{TACHO, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use testkit::mcp::{Answer, Server};
use testkit::model::{Model, Scenario};
use testkit::{Recorder, Request, Upstream};

/// Upstream, path and body of one call; `MODEL` and `STREAM` are replaced.
const FORMATS: [(&str, &str, &str); 4] = [
    (
        "anthropic",
        "v1/messages",
        r#"{"model":"MODEL","stream":STREAM,"max_tokens":10,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "openai",
        "chat/completions",
        r#"{"model":"MODEL","stream":STREAM,"messages":[{"role":"user","content":"hello"}]}"#,
    ),
    (
        "openai",
        "responses",
        r#"{"model":"MODEL","stream":STREAM,"input":"hello"}"#,
    ),
    (
        "gemini",
        "v1beta/models/MODEL:VERB",
        r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#,
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_real_traffic_fits_the_schema_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::new();
    let model = Upstream::start(move |request: &Request| model.answer(request))
        .await
        .unwrap();
    let server = Server::new(Answer::Events);
    let server = Upstream::start(move |request: &Request| server.answer(request))
        .await
        .unwrap();
    let mut config = format!("[mcp.tools]\nurl = \"{}/mcp\"\n", server.url());
    for (name, path) in [("anthropic", ""), ("openai", "/v1"), ("gemini", "")] {
        config += &format!("[upstream.{name}]\nbase_url = \"{}{path}\"\n", model.url());
    }
    let recorder = Recorder::start(TACHO, dir.path(), &config).await.unwrap();
    let client = Client::new();
    for scenario in Scenario::ALL
        .iter()
        .filter(|scenario| **scenario != Scenario::Hang)
    {
        for (upstream, path, body) in FORMATS {
            for (stream, verb) in [
                ("false", "generateContent"),
                ("true", "streamGenerateContent"),
            ] {
                let fill = |text: &str| {
                    text.replace("MODEL", scenario.model())
                        .replace("STREAM", stream)
                        .replace("VERB", verb)
                };
                let url = format!("{}/agent/all/{upstream}/{}", recorder.gateway(), fill(path));
                // Some of them break on purpose.
                client.post(&url, &[], fill(body)).await;
            }
        }
    }
    let url = format!("{}/agent/all/mcp/tools", recorder.gateway());
    for (id, method, params) in [
        (1, "tools/list", json!({})),
        (
            2,
            "tools/call",
            json!({ "name": "echo", "arguments": { "text": "hello" } }),
        ),
        (3, "tools/call", json!({ "name": "fail", "arguments": {} })),
        (
            4,
            "tools/call",
            json!({ "name": "progress", "arguments": {} }),
        ),
        (5, "resources/list", json!({})),
    ] {
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let headers = [
            ("mcp-protocol-version", testkit::mcp::MODERN),
            ("accept", "application/json, text/event-stream"),
        ];
        client.post(&url, &headers, request.to_string()).await;
    }
    recorder.stop().await.unwrap();
    let kinds = fits(dir.path());
    for kind in [
        "model.request",
        "model.response",
        "tool.response",
        "mcp.response",
        "run.start",
    ] {
        assert!(kinds.contains_key(kind), "{kind} is not in {kinds:?}");
    }
    told(&dir.path().join("record"));
}

/// Checks every line; returns the kinds with how many there are.
fn fits(dir: &Path) -> BTreeMap<String, u64> {
    let schema = include_str!("../../../docs/schema/event.v1.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let mut kinds = BTreeMap::new();
    for entry in open(dir).events(0) {
        let line: Value = serde_json::from_slice(&entry.unwrap().line).unwrap();
        assert_eq!(
            schema_check::faults(&schema, &line),
            Vec::<String>::new(),
            "{line}"
        );
        *kinds
            .entry(line["kind"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    kinds
}

/// Tells every run, as text and as JSON.
fn told(data: &Path) {
    let tacho = |args: &[&str]| {
        let output = Command::new(TACHO)
            .arg("--data")
            .arg(data)
            .args(args)
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{args:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    };
    let runs: Value = serde_json::from_str(&tacho(&["runs", "--json"])).unwrap();
    let runs = runs["runs"].as_array().unwrap();
    assert!(!runs.is_empty());
    let mut steps = 0;
    for run in runs {
        let id = run["run"].as_str().unwrap();
        assert!(tacho(&["timeline", id]).starts_with(&format!("run {id}\n")));
        let told: Value = serde_json::from_str(&tacho(&["timeline", id, "--json"])).unwrap();
        for step in told["steps"].as_array().unwrap() {
            let problems = step["problems"].as_array().cloned().unwrap_or_default();
            let whole = step["end"]["state"] == "completed";
            assert!(!whole || problems.is_empty(), "{step}");
            if whole && step["step"] == "model" {
                let said = step["said"].as_str().is_some_and(|said| !said.is_empty());
                let called = step["called"]
                    .as_array()
                    .is_some_and(|calls| !calls.is_empty());
                assert!(said || called, "{step}");
                assert_eq!(step["asked"][0]["text"], "hello", "{step}");
            }
            steps += 1;
        }
    }
    assert!(steps > 90, "{steps} steps");
}
