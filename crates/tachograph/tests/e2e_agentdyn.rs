//! Runs of real agents under attack, replayed as model and tool traffic through the gateway: what the
//! upstreams booked is what the record holds, call by call, none missing and none extra.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod client;
mod record;

use client::Client;
use event::Role;
use record::{TACHO, digest, open, read};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::model::{Call, Format, Tokens, Turn};
use testkit::{
    Book, Digest, Ledger, REPLAY_HEADER, Recorder, Reply, Request, Upstream, figure, shared,
};

/// Agents that work at the same time.
const AGENTS: usize = 8;

/// One exchange of a replayed run.
struct Exchange {
    key: String,
    tool: bool,
    request: String,
}

/// A run as exchanges in their order; the answers go into the books.
fn script(n: usize, run: &Value, model: &mut Book, tools: &mut Book) -> Vec<Exchange> {
    let name = run["pipeline_name"].as_str().unwrap();
    let mut exchanges = Vec::new();
    let mut history: Vec<Value> = Vec::new();
    for (at, message) in run["messages"].as_array().unwrap().iter().enumerate() {
        let key = format!("{n}-{at}");
        let text = text(message);
        match message["role"].as_str().unwrap() {
            "assistant" => {
                let stream = n.is_multiple_of(4);
                let turn = Turn {
                    model: name.to_owned(),
                    seed: (n * 1000 + at) as u64,
                    thinking: None,
                    text,
                    calls: calls(message),
                    tokens: Tokens {
                        input: 1000,
                        output: 50,
                        cached: 0,
                        reasoning: 0,
                    },
                };
                model.insert(&key, Format::OpenAiChat.reply(&turn, stream));
                let request =
                    json!({ "model": name, "stream": stream, "messages": history }).to_string();
                exchanges.push(Exchange {
                    key,
                    tool: false,
                    request,
                });
                history.push(Format::OpenAiChat.json(&turn)["choices"][0]["message"].clone());
            }
            "tool" => {
                let call = &message["tool_call"];
                let id = message["tool_call_id"].clone();
                let failed = !message["error"].is_null();
                let shown = if failed {
                    message["error"].to_string()
                } else {
                    text.clone()
                };
                let result = json!({ "jsonrpc": "2.0", "id": id, "result": {
                    "content": [{ "type": "text", "text": shown }], "isError": failed } });
                tools.insert(&key, Reply::json(200, &result));
                let request = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call",
                    "params": { "name": call["function"], "arguments": call["args"] } });
                exchanges.push(Exchange {
                    key,
                    tool: true,
                    request: request.to_string(),
                });
                history.push(json!({ "role": "tool", "tool_call_id": id, "content": shown }));
            }
            role => history.push(json!({ "role": role, "content": text })),
        }
    }
    exchanges
}

fn text(message: &Value) -> String {
    let parts = message["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["content"].as_str()).collect()
}

fn calls(message: &Value) -> Vec<Call> {
    let calls = message["tool_calls"].as_array().into_iter().flatten();
    calls
        .map(|call| Call {
            id: call["id"].as_str().unwrap_or_default().to_owned(),
            name: call["function"].as_str().unwrap_or_default().to_owned(),
            arguments: call["args"].clone(),
        })
        .collect()
}

fn unpack(archive: &Path, into: &Path) -> Vec<PathBuf> {
    let status = std::process::Command::new("tar")
        .arg("-xJf")
        .arg(archive)
        .arg("-C")
        .arg(into)
        .status()
        .unwrap();
    assert!(status.success(), "tar unpacks the runs");
    let mut files = Vec::new();
    let mut folders = vec![into.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// What one side has booked: tool or model, key, request, status, response.
type Booked = BTreeSet<(bool, String, Digest, u16, Digest)>;

fn from_ledger(ledger: &Ledger, tool: bool) -> Booked {
    ledger
        .entries()
        .into_iter()
        .map(|entry| {
            let key = entry.header(REPLAY_HEADER).unwrap().to_owned();
            let sent = entry.response.unwrap();
            assert!(
                sent.complete && entry.request_complete,
                "{key} was answered whole"
            );
            (tool, key, entry.request, sent.status, sent.body)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_ledger_entry_of_the_agentdyn_runs_is_in_the_record() {
    let Some(archive) = shared("data/agentdyn/runs.tar.xz") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let runs_dir = dir.path().join("runs");
    std::fs::create_dir(&runs_dir).unwrap();
    let (mut model_book, mut tool_book) = (Book::default(), Book::default());
    let runs: Vec<Vec<Exchange>> = unpack(&archive, &runs_dir)
        .iter()
        .enumerate()
        .map(|(n, file)| {
            let run: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            script(n, &run, &mut model_book, &mut tool_book)
        })
        .collect();
    assert_eq!(runs.len(), 1191);
    let (model_calls, tool_calls) = (model_book.len(), tool_book.len());

    let model = Upstream::start(move |request: &Request| model_book.answer(request))
        .await
        .unwrap();
    let tools = Upstream::start(move |request: &Request| tool_book.answer(request))
        .await
        .unwrap();
    let config = format!(
        "[upstream.openai]\nbase_url = \"{}\"\napi = \"openai\"\n[mcp.tools]\nurl = \"{}/mcp\"\n",
        model.url(),
        tools.url()
    );
    let recorder = Recorder::start(TACHO, dir.path(), &config).await.unwrap();
    let began = std::time::Instant::now();
    replay(recorder.gateway(), runs).await;
    let took = began.elapsed();
    recorder.stop().await.unwrap();

    let mut expected = from_ledger(model.ledger(), false);
    expected.extend(from_ledger(tools.ledger(), true));
    assert_eq!(
        expected.len(),
        model_calls + tool_calls,
        "every scripted exchange reached its upstream once"
    );
    let (raw_bytes, runs_seen) = compare(dir.path(), &expected);
    let on_disk = disk_bytes(&dir.path().join("record"));
    figure(&format!(
        "AgentDyn: 1,191 runs as {model_calls} model calls and {tool_calls} tool calls in {:.1} s, every one matched by digest; \
         {raw_bytes} body bytes, {on_disk} bytes on disk; {runs_seen} model runs found by history",
        took.as_secs_f64()
    ));
}

async fn replay(gateway: &str, runs: Vec<Vec<Exchange>>) {
    let runs = Arc::new(runs);
    let next = Arc::new(AtomicUsize::new(0));
    let client = Client::new();
    let mut agents = tokio::task::JoinSet::new();
    for _ in 0..AGENTS {
        let (runs, next, client, gateway) = (
            runs.clone(),
            next.clone(),
            client.clone(),
            gateway.to_owned(),
        );
        agents.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some(run) = runs.get(n) else { return };
                for exchange in run {
                    let base = format!("{gateway}/agent/agentdyn-{n}");
                    let key = (REPLAY_HEADER, exchange.key.as_str());
                    let (url, headers) = if exchange.tool {
                        (
                            format!("{base}/mcp/tools"),
                            vec![key, ("mcp-protocol-version", "2025-11-25")],
                        )
                    } else {
                        (format!("{base}/openai/v1/chat/completions"), vec![key])
                    };
                    let (status, _) = client
                        .post(&url, &headers, exchange.request.clone())
                        .await
                        .unwrap();
                    assert_eq!(status, 200, "{}", exchange.key);
                }
            }
        });
    }
    while let Some(done) = agents.join_next().await {
        done.unwrap();
    }
}

/// Compares the record with the books; returns body bytes and the number of runs of model calls.
fn compare(dir: &Path, expected: &Booked) -> (u64, usize) {
    let store = open(dir);
    let (calls, others) = read(&store);
    let edited: Vec<_> = others
        .iter()
        .filter(|line| line.kind == "run.history")
        .map(|line| line.seq)
        .collect();
    let mut found = Booked::new();
    let mut bytes = 0;
    let mut runs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for call in &calls {
        let response = call.response.as_ref().expect("every call is closed");
        assert_eq!(
            response.outcome.as_ref().unwrap().state,
            event::State::Completed,
            "{response:?}"
        );
        let tool = call.request.kind == "tool.request";
        let agent = call.request.agent.clone().unwrap().name;
        if !tool {
            assert_eq!(call.request.kind, "model.request");
            runs.entry(agent)
                .or_default()
                .insert(call.request.run.clone().unwrap().id);
        }
        let key = replay_key(&store, &call.request);
        let (request, answer) = (
            digest(&store, &call.request, Role::Request),
            digest(&store, response, Role::Response),
        );
        bytes += request.len + answer.len;
        found.insert((
            tool,
            key,
            request,
            response.http.as_ref().unwrap().status.unwrap(),
            answer,
        ));
    }
    assert_eq!(calls.len(), found.len(), "no call is recorded twice");
    let missing: Vec<_> = expected.difference(&found).take(3).collect();
    let extra: Vec<_> = found.difference(expected).take(3).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}"
    );
    let torn: Vec<_> = runs
        .iter()
        .filter(|(_, ids)| ids.len() != 1)
        .take(3)
        .collect();
    assert!(torn.is_empty(), "one agent's history is one run: {torn:?}");
    assert!(
        edited.is_empty(),
        "no history was edited: {:?}",
        edited.first()
    );
    let report = evidence::verify::run(
        &dir.join("record"),
        &evidence::verify::Options::default(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(
        (report.exit_code(), report.fault_count),
        (0, 0),
        "{report:?}"
    );
    (bytes, runs.values().map(BTreeSet::len).sum())
}

fn replay_key(store: &evidence::Store, request: &event::Line) -> String {
    let head = record::body(store, request, Role::RequestHead).unwrap();
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_ascii_lowercase();
    let at = lower.find(REPLAY_HEADER).unwrap() + REPLAY_HEADER.len();
    let value = |c: char| c.is_ascii_digit() || c == '-';
    head.get(at..)
        .unwrap()
        .trim_start_matches(|c| !value(c))
        .split(|c| !value(c))
        .next()
        .unwrap()
        .to_owned()
}

fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                disk_bytes(&entry.path())
            } else {
                meta.blocks() * 512
            }
        })
        .sum()
}
