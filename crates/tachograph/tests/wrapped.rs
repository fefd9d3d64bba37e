//! What `tacho mcp` and `tacho run` promise: bytes, signals and exit codes as without them, and nothing passes that is
//! not recorded. Real processes, real pipes, the real recorder.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use event::{Line, Role, State};
use evidence::Store;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use testkit::Recorder;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const TACHO: &str = env!("CARGO_BIN_EXE_tacho");
const DEADLINE: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("took too long")
}

/// A data directory and whoever records into it.
struct Rig {
    dir: tempfile::TempDir,
    recorder: Option<Recorder>,
}

impl Rig {
    async fn new() -> Self {
        let mut rig = Self {
            dir: tempfile::tempdir().unwrap(),
            recorder: None,
        };
        rig.start().await;
        rig
    }

    async fn start(&mut self) {
        self.recorder = Some(Recorder::start(TACHO, self.dir.path(), "").await.unwrap());
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("record")
    }

    /// `tacho VERB ...`, not yet started.
    fn command(&self, verb: &str, args: &[&str]) -> Command {
        let mut command = Command::new(TACHO);
        command
            .arg("--data")
            .arg(self.data())
            .arg(verb)
            .args(args)
            .env_remove("TACHO_SOCKET")
            .env_remove("TACHO_RUN")
            .env("TACHO", TACHO)
            .env("RECORD", self.data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn mcp(&self, args: &[&str]) -> Wrapped {
        let all = [&["--agent", "tester", "--server", "scripted"][..], args].concat();
        Wrapped::start(self.command("mcp", &all))
    }

    fn server(&self) -> Wrapped {
        self.mcp(&["--", "python3", fixture().to_str().unwrap()])
    }

    async fn stop(&mut self) {
        self.recorder.take().unwrap().stop().await.unwrap();
    }

    fn lines(&self) -> Vec<Line> {
        let store = Store::open(&self.data()).unwrap();
        store
            .events(0)
            .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
            .collect()
    }

    fn of(&self, kind: &str) -> Vec<Line> {
        self.lines()
            .into_iter()
            .filter(|line| line.kind == kind)
            .collect()
    }

    /// Polls until events of this kind are there.
    async fn wait_for(&self, kind: &str, count: usize) -> Vec<Line> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let lines = self.of(kind);
            if lines.len() >= count {
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} {kind}",
                lines.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn body(&self, line: &Line, role: Role) -> Vec<u8> {
        let body = line
            .bodies
            .iter()
            .find(|body| body.role == role)
            .expect("a body");
        Store::open(&self.data()).unwrap().body(body).unwrap()
    }

    /// Everything in the data directory, as bytes; the raw store included.
    fn mentions(&self, needle: &str) -> bool {
        fn walk(dir: &Path, needle: &[u8]) -> bool {
            std::fs::read_dir(dir).unwrap().any(|entry| {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    return walk(&path, needle);
                }
                let bytes = std::fs::read(&path).unwrap_or_default();
                bytes.windows(needle.len()).any(|window| window == needle)
            })
        }
        let in_bodies = self.lines().iter().any(|line| {
            line.bodies.iter().any(|body| {
                let bytes = Store::open(&self.data()).unwrap().body(body).unwrap();
                bytes
                    .windows(needle.len())
                    .any(|window| window == needle.as_bytes())
            })
        });
        in_bodies || walk(&self.data(), needle.as_bytes())
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mcp_server.py")
}

/// A started wrapper.
struct Wrapped {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Wrapped {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self { child, to, from }
    }

    async fn send(&mut self, bytes: &[u8]) {
        let to = self.to.as_mut().unwrap();
        within(to.write_all(bytes)).await.unwrap();
        within(to.flush()).await.unwrap();
    }

    async fn say(&mut self, message: Value) {
        self.send(format!("{message}\n").as_bytes()).await;
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = within(self.from.read_line(&mut line)).await.unwrap();
        assert!(read > 0, "the wrapper ended");
        serde_json::from_str(&line).unwrap()
    }

    async fn ask(&mut self, id: Value, method: &str, params: Value) -> Value {
        self.say(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
            .await;
        self.hear().await
    }

    async fn call(&mut self, id: Value, tool: &str, arguments: Value) -> Value {
        self.ask(
            id,
            "tools/call",
            json!({"name": tool, "arguments": arguments}),
        )
        .await
    }

    fn pid(&self) -> String {
        self.child.id().unwrap().to_string()
    }

    /// Closes the input and waits: what came out since, standard error, the status.
    async fn end(mut self) -> (Vec<u8>, String, ExitStatus) {
        self.to = None;
        let mut out = Vec::new();
        within(self.from.read_to_end(&mut out)).await.unwrap();
        let mut err = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        within(stderr.read_to_string(&mut err)).await.unwrap();
        let status = within(self.child.wait()).await.unwrap();
        (out, err, status)
    }
}

fn state(line: &Line) -> State {
    line.outcome.as_ref().expect("an outcome").state
}

fn error(line: &Line) -> Option<&str> {
    line.outcome
        .as_ref()
        .and_then(|outcome| outcome.error.as_deref())
}

fn tool(line: &Line) -> &str {
    line.tool
        .as_ref()
        .and_then(|tool| tool.name.as_deref())
        .unwrap_or_default()
}

#[tokio::test]
async fn every_byte_passes_both_ways_whatever_it_is() {
    let mut rig = Rig::new().await;
    let big = format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"big\",\"params\":\"{}\"}}\n",
        "x".repeat(5_000_000)
    );
    let mut sent = Vec::new();
    sent.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n");
    sent.extend_from_slice(b"\n");
    sent.extend_from_slice(b"not json \xff\xfe \x00 bytes\n");
    sent.extend_from_slice(big.as_bytes());
    sent.extend_from_slice(&[b'y'; 300_000]);
    sent.extend_from_slice(b"\n{\"jsonrpc\":\"2.0\",\"method\":\"last\"} without a line feed");
    let mut wrapped = rig.mcp(&["--", "cat"]);
    let mut to = wrapped.to.take().unwrap();
    let writing = tokio::spawn({
        let sent = sent.clone();
        async move { to.write_all(&sent).await.unwrap() }
    });
    let (out, err, status) = wrapped.end().await;
    writing.await.unwrap();
    assert_eq!(status.code(), Some(0), "{err}");
    assert!(
        out == sent,
        "{} of {} bytes came back",
        out.len(),
        sent.len()
    );
    rig.stop().await;
    // Each line is in the record, once for each direction, to the byte: one that is not understood with a gap.
    let bodies: Vec<Vec<u8>> = rig
        .lines()
        .iter()
        .filter(|line| line.mcp.is_some())
        .filter(|line| line.kind.starts_with("mcp.") || line.kind == "gap")
        .flat_map(|line| {
            line.bodies
                .iter()
                .map(|body| Store::open(&rig.data()).unwrap().body(body).unwrap())
        })
        .collect();
    let mut recorded: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
    let mut lines: Vec<&[u8]> = sent.split_inclusive(|byte| *byte == b'\n').collect();
    lines.extend(lines.clone());
    lines.sort_unstable();
    recorded.sort_unstable();
    assert!(
        recorded == lines,
        "{} of {} lines are recorded",
        recorded.len(),
        lines.len()
    );
}

#[tokio::test]
async fn a_session_is_recorded_call_by_call() {
    let mut rig = Rig::new().await;
    let mut server = rig.server();
    let hello = server
        .ask(
            json!(0),
            "initialize",
            json!({"protocolVersion": "2025-06-18", "clientInfo": {"name": "c", "version": "9"}}),
        )
        .await;
    assert_eq!(hello["result"]["serverInfo"]["name"], "scripted");
    server
        .say(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        .await;
    server.ask(json!("list"), "tools/list", json!({})).await;
    let number = server.call(json!(1), "echo", json!({"words": "one"})).await;
    assert_eq!(number["id"], json!(1));
    server.ask(json!("list"), "tools/list", json!({})).await;
    let string = server
        .call(json!("1"), "echo", json!({"words": "two"}))
        .await;
    assert_eq!(string["id"], json!("1"));
    server.call(json!(2), "fail", json!({})).await;
    server.call(json!(3), "nowhere", json!({})).await;

    let question = server.call(json!(1), "ask", json!({})).await;
    assert_eq!(question["method"], "roots/list");
    server
        .say(json!({"jsonrpc": "2.0", "id": 1, "result": {"roots": []}}))
        .await;
    assert_eq!(
        server.hear().await["result"]["content"][0]["text"],
        r#"{"roots": []}"#
    );
    server
        .say(json!({"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "exit", "arguments": {"code": 7}}}))
        .await;
    let (out, err, status) = server.end().await;
    assert_eq!((out.len(), status.code()), (0, Some(7)));
    assert!(err.ends_with("good\nbye\n"), "{err}");
    rig.stop().await;

    let requests = rig.of("tool.request");
    let responses = rig.of("tool.response");
    let told: Vec<_> = requests
        .iter()
        .map(|request| {
            let response = responses
                .iter()
                .find(|response| response.exchange.as_ref().unwrap().call == Some(request.seq))
                .expect("an answer");
            let mcp = request.mcp.as_ref().unwrap();
            let failed = response.tool.as_ref().unwrap().is_error;
            (
                mcp.id.clone().unwrap(),
                tool(request).to_owned(),
                state(response),
                failed,
                error(response).map(str::to_owned),
            )
        })
        .collect();
    let expect = |id: &str, tool: &str, state, failed, error: Option<&str>| {
        (
            id.to_owned(),
            tool.to_owned(),
            state,
            failed,
            error.map(str::to_owned),
        )
    };
    assert_eq!(
        told,
        [
            expect("1", "echo", State::Completed, None, None),
            expect("\"1\"", "echo", State::Completed, None, None),
            expect("2", "fail", State::Completed, Some(true), None),
            expect(
                "3",
                "nowhere",
                State::UpstreamError,
                Some(true),
                Some("jsonrpc_-32602")
            ),
            expect("1", "ask", State::Completed, None, None),
            expect(
                "9",
                "exit",
                State::UpstreamError,
                None,
                Some("server_exited")
            ),
        ]
    );
    let digests: Vec<_> = requests
        .iter()
        .map(|line| line.mcp.as_ref().unwrap().tool_digest.clone())
        .collect();
    assert!(digests[0].is_some() && digests[1].is_some());
    assert_ne!(
        digests[0], digests[1],
        "the description changed between the calls"
    );
    assert_eq!(digests[2], None, "a tool that was never listed");
    let listed = rig.of("mcp.response");
    let facts: Vec<_> = listed
        .iter()
        .filter_map(|line| line.facts.clone())
        .collect();
    assert_eq!(facts[1]["tools_changed"], json!(["echo"]));
    assert_eq!(
        requests[0]
            .mcp
            .as_ref()
            .unwrap()
            .protocol_version
            .as_deref(),
        Some("2025-06-18")
    );
    assert_eq!(
        requests[0].agent.as_ref().unwrap().client.as_deref(),
        Some("c 9")
    );
    assert_eq!(requests[0].source, "mcp-stdio");
    let arguments: Value = serde_json::from_slice(&rig.body(&requests[0], Role::Request)).unwrap();
    assert_eq!(arguments["params"]["arguments"], json!({"words": "one"}));

    // The server's question under an id of the client's, and the answer that it caused.
    let messages = rig.of("mcp.message");
    let question = messages
        .iter()
        .find(|m| m.mcp.as_ref().unwrap().method.as_deref() == Some("roots/list"))
        .unwrap();
    assert_eq!(
        question.mcp.as_ref().unwrap().direction.as_deref(),
        Some("server-to-client")
    );
    assert!(
        messages.iter().any(|m| m.causes == [question.seq]),
        "the client's answer names the question"
    );

    let exit = rig.of("process.exit").remove(0);
    assert_eq!(rig.body(&exit, Role::Stderr), b"good\nbye\n");
    assert_eq!(exit.facts.as_ref().unwrap()["code"], 7);
    assert_eq!(
        (state(&exit), error(&exit)),
        (State::Completed, Some("exit_7"))
    );
    let start = rig.of("process.start").remove(0);
    assert_eq!(exit.exchange.as_ref().unwrap().call, Some(start.seq));
    assert_eq!(start.run, exit.run.clone());
    let runs: Vec<_> = requests
        .iter()
        .map(|line| line.run.clone().unwrap().id)
        .collect();
    assert!(
        runs.iter()
            .all(|run| *run == start.run.as_ref().unwrap().id)
    );
}

#[tokio::test]
async fn a_call_is_durable_before_the_server_sees_it() {
    let mut rig = Rig::new().await;
    let mut server = rig.server();
    let answer = server
        .call(json!(1), "recorded", json!({"marker": 4711}))
        .await;
    let seen = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(
        seen.contains("\"tool.request\"") && seen.contains("\"recorded\""),
        "{seen}"
    );
    server.end().await;
    rig.stop().await;
}

#[tokio::test]
async fn the_server_ends_as_it_would_without_us() {
    let rig = Rig::new().await;
    for (script, code) in [
        ("exit 0", Some(0)),
        ("exit 3", Some(3)),
        ("kill -9 $$", Some(137)),
        ("kill -TERM $$", Some(143)),
        ("cat >/dev/null; exit 5", Some(5)),
    ] {
        let (out, err, status) = rig.mcp(&["--", "sh", "-c", script]).end().await;
        assert_eq!(status.code(), code, "{script}: {err}");
        assert!(out.is_empty(), "the wrapper says nothing of its own");
    }
    let (_, err, status) = rig.mcp(&["--", "/no/such/server"]).end().await;
    assert_eq!(status.code(), Some(127));
    assert!(err.contains("cannot be started"), "{err}");
    let last = rig.of("process.exit").pop().unwrap();
    assert_eq!(error(&last), Some("not_started"));
}

#[tokio::test]
async fn signals_reach_the_server() {
    let rig = Rig::new().await;
    for (signal, code) in [
        ("TERM", 42),
        ("INT", 43),
        ("HUP", 44),
        ("QUIT", 45),
        ("USR1", 46),
        ("USR2", 47),
    ] {
        let script = "trap 'exit 42' TERM; trap 'exit 43' INT; trap 'exit 44' HUP; trap 'exit 45' QUIT; trap 'exit 46' USR1; trap 'exit 47' USR2; echo '{}'; while :; do sleep 0.05; done";
        let mut wrapped = rig.mcp(&["--", "sh", "-c", script]);
        wrapped.hear().await;
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &wrapped.pid()])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        let status = within(wrapped.child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(code), "SIG{signal}");
    }
}

#[tokio::test]
async fn a_server_that_ignores_its_end_is_killed_with_its_whole_group() {
    let rig = Rig::new().await;
    let script = "trap '' TERM; (trap '' TERM; while :; do sleep 0.1; done) & echo \"{\\\"pid\\\":$!}\"; while :; do sleep 0.1; done";
    let mut wrapped = rig.mcp(&["--", "sh", "-c", script]);
    let pid = wrapped.hear().await["pid"].to_string();
    let (_, err, status) = wrapped.end().await;
    assert_eq!(status.code(), Some(137), "{err}");
    let deadline = Instant::now() + DEADLINE;
    while Command::new("kill")
        .args(["-0", &pid])
        .stderr(Stdio::null())
        .status()
        .await
        .unwrap()
        .success()
    {
        assert!(Instant::now() < deadline, "the server's own child lives on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_a_recorder_nothing_passes() {
    let mut rig = Rig::new().await;
    rig.stop().await;
    let marker = rig.dir.path().join("started");
    let script = format!("touch {}; cat", marker.display());
    let mut wrapped = rig.mcp(&["--patience", "0", "--", "sh", "-c", &script]);
    let answer = wrapped.ask(json!("a"), "initialize", json!({})).await;
    assert_eq!(
        (&answer["id"], &answer["error"]["code"]),
        (&json!("a"), &json!(-32000))
    );
    let (_, err, status) = wrapped.end().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        err.contains("no recorder answers") && err.contains("hint: start the recorder"),
        "{err}"
    );
    assert!(!marker.exists(), "the server was started unrecorded");
}

#[tokio::test]
async fn a_recorder_that_comes_back_is_waited_for() {
    let mut rig = Rig::new().await;
    let mut server = rig.server();
    server
        .call(json!(1), "echo", json!({"words": "before"}))
        .await;
    rig.recorder.take().unwrap().kill().await.unwrap();
    server
        .say(json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "echo", "arguments": {"words": "meanwhile"}}}))
        .await;
    rig.start().await;
    assert_eq!(
        server.hear().await["result"]["content"][0]["text"],
        "meanwhile"
    );
    let (_, err, status) = server.end().await;
    assert_eq!(status.code(), Some(0), "{err}");
    rig.stop().await;
    let starts = rig.of("process.start");
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[1].facts.as_ref().unwrap()["resumed"], true);
    assert_eq!(
        starts[0].run.as_ref().unwrap().id,
        starts[1].run.as_ref().unwrap().id
    );
    let exits = rig.of("process.exit");
    assert_eq!(
        exits.iter().map(state).collect::<Vec<_>>(),
        [State::Interrupted, State::Completed]
    );
    let calls = rig.of("tool.response");
    assert_eq!(
        calls.iter().map(state).collect::<Vec<_>>(),
        [State::Completed, State::Completed]
    );
}

#[tokio::test]
async fn a_recorder_that_stays_away_ends_the_server_with_an_error() {
    let mut rig = Rig::new().await;
    let mut server = rig.mcp(&[
        "--patience",
        "1",
        "--",
        "python3",
        fixture().to_str().unwrap(),
    ]);
    server
        .call(json!(1), "echo", json!({"words": "before"}))
        .await;
    // Recorded and passed on, not answered.
    server
        .say(json!({"jsonrpc": "2.0", "id": "open", "method": "tools/call", "params": {"name": "silent"}}))
        .await;
    rig.wait_for("tool.request", 2).await;
    rig.recorder.take().unwrap().kill().await.unwrap();
    // Not even recorded.
    server
        .say(json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "echo", "arguments": {"words": "x"}}}))
        .await;
    let mut refused = [server.hear().await, server.hear().await];
    refused.sort_by_key(|answer| answer["id"].to_string());
    let told = |answer: &Value| (answer["id"].clone(), answer["error"]["code"].clone());
    assert_eq!(
        refused.each_ref().map(told),
        [(json!("open"), json!(-32000)), (json!(3), json!(-32000))]
    );
    let (_, err, status) = server.end().await;
    assert_eq!(status.code(), Some(1), "{err}");
    assert!(err.contains("hint: start the recorder"), "{err}");
}

#[tokio::test]
async fn a_wrapper_that_is_killed_leaves_no_open_call() {
    let rig = Rig::new().await;
    let mut server = rig.server();
    server
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "silent"}}))
        .await;
    rig.wait_for("tool.request", 1).await;
    server.child.start_kill().unwrap();
    let exit = rig.wait_for("process.exit", 1).await.remove(0);
    assert_eq!(
        (state(&exit), error(&exit)),
        (State::ClientAborted, Some("wrapper_lost"))
    );
    let call = rig.wait_for("tool.response", 1).await.remove(0);
    assert_eq!(
        (state(&call), error(&call)),
        (State::ClientAborted, Some("wrapper_lost"))
    );
}

#[tokio::test]
async fn a_cancelled_call_and_a_batch_are_told_apart() {
    let mut rig = Rig::new().await;
    let mut wrapped = rig.mcp(&["--", "cat"]);
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a"}},
        {"jsonrpc": "2.0", "method": "notifications/x"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    ]);
    wrapped.say(batch).await;
    wrapped.hear().await;
    wrapped.say(json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    wrapped.hear().await;
    wrapped.end().await;
    rig.stop().await;
    let call = rig.of("tool.request").remove(0);
    assert_eq!(call.mcp.as_ref().unwrap().batch, Some(3));
    let end = rig.of("tool.response").remove(0);
    assert_eq!(
        (state(&end), error(&end)),
        (State::ClientAborted, Some("cancelled"))
    );
    let ping = rig.of("mcp.response").remove(0);
    assert_eq!(
        (state(&ping), error(&ping)),
        (State::UpstreamError, Some("server_exited"))
    );
}

#[tokio::test]
async fn an_agent_is_run_in_surroundings_that_lead_through_the_recorder() {
    let mut rig = Rig::new().await;
    let script = "printenv ANTHROPIC_BASE_URL OPENAI_BASE_URL GOOGLE_GEMINI_BASE_URL TACHO_AGENT TACHO_RUN TACHO_SOCKET ENABLE_TOOL_SEARCH; exit 9";
    let mut command = rig.command(
        "run",
        &[
            "--agent",
            "coder",
            "--",
            "sh",
            "-c",
            script,
            "--api-key",
            "sk-ant-hunter2",
            "TOKEN=hunter3",
        ],
    );
    command
        .env("ANTHROPIC_BASE_URL", "https://elsewhere.example")
        .env("HIDDEN_VALUE", "hunter4");
    let (out, err, status) = Wrapped::start(command).end().await;
    assert_eq!(status.code(), Some(9), "{err}");
    let gateway = rig.recorder.as_ref().unwrap().gateway().to_owned();
    let start = rig.of("process.start").remove(0);
    let run = start.run.clone().unwrap().id;
    let socket = rig.data().join("recorder.sock");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "{gateway}/agent/coder/run/{run}/anthropic\n{gateway}/agent/coder/run/{run}/openai/v1\n\
             {gateway}/agent/coder/run/{run}/gemini\ncoder\n{run}\n{}\ntrue\n",
            socket.display()
        )
    );
    assert!(
        err.contains("warning: ANTHROPIC_BASE_URL is set and is replaced"),
        "{err}"
    );
    assert_eq!(
        err.lines()
            .filter(|line| line.contains("not captured"))
            .count(),
        1
    );
    rig.stop().await;
    let exit = rig.of("process.exit").remove(0);
    assert_eq!(
        (state(&exit), error(&exit)),
        (State::Completed, Some("exit_9"))
    );
    assert!(exit.timing.as_ref().unwrap().total_us.unwrap() > 0);
    assert_eq!(exit.source, "run-wrapper");
    let detail: Value = serde_json::from_slice(&rig.body(&start, Role::Detail)).unwrap();
    assert_eq!(detail["argv"][0], "sh");
    assert!(
        detail["env"]
            .as_array()
            .unwrap()
            .contains(&json!("HIDDEN_VALUE"))
    );
    for secret in ["hunter2", "hunter3", "hunter4"] {
        assert!(!rig.mentions(secret), "{secret} is in the record");
    }
}

#[tokio::test]
async fn a_server_wrapped_within_a_run_records_into_that_run() {
    let mut rig = Rig::new().await;
    let inner = format!("{TACHO} mcp --server within -- cat");
    let mut wrapped = Wrapped::start(rig.command(
        "run",
        &[
            "--agent", "coder", "--run", "outer-1", "--", "sh", "-c", &inner,
        ],
    ));
    wrapped
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
        .await;
    wrapped.hear().await;
    let (_, err, status) = wrapped.end().await;
    assert_eq!(status.code(), Some(0), "{err}");
    rig.stop().await;
    let runs: Vec<_> = rig
        .of("process.start")
        .into_iter()
        .map(|line| line.run.unwrap().id)
        .collect();
    assert_eq!(runs, ["outer-1", "outer-1"]);
    assert_eq!(
        rig.of("mcp.request")[0].agent.as_ref().unwrap().name,
        "coder"
    );
}

#[tokio::test]
async fn an_agent_is_not_run_unrecorded() {
    let mut rig = Rig::new().await;
    rig.stop().await;
    let (out, err, status) = Wrapped::start(rig.command(
        "run",
        &["--agent", "a", "--patience", "0", "--", "echo", "ran"],
    ))
    .end()
    .await;
    assert_eq!((status.code(), out.len()), (Some(1), 0));
    assert!(
        err.contains("nothing would be recorded") && err.contains("hint:"),
        "{err}"
    );
}

#[tokio::test]
async fn the_socket_is_for_its_owner_alone_and_offers_no_reading() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut rig = Rig::new().await;
    let path = rig.data().join("recorder.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x00\x00\x00\x02\x01{",
        b"\x00\x00\x00\x01\x82",
        b"\xff\xff\xff\xff",
    ] {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.ok();
        assert!(answer.is_empty(), "{bytes:?} was answered with {answer:?}");
    }
    // A remnant of a recorder that was killed is replaced.
    rig.recorder.take().unwrap().kill().await.unwrap();
    assert!(path.exists());
    rig.start().await;
    let (_, err, status) = rig.mcp(&["--", "true"]).end().await;
    assert_eq!(status.code(), Some(0), "{err}");
}

#[tokio::test]
async fn a_data_directory_may_have_a_path_longer_than_a_sockets() {
    let base = tempfile::tempdir().unwrap();
    let deep = base
        .path()
        .join("a-long-name-".repeat(8))
        .join("b-long-name-".repeat(4));
    std::fs::create_dir_all(&deep).unwrap();
    let dir = tempfile::tempdir_in(&deep).unwrap();
    let mut rig = Rig {
        dir,
        recorder: None,
    };
    rig.start().await;
    let inner = format!("{TACHO} mcp --server within -- cat");
    let mut wrapped =
        Wrapped::start(rig.command("run", &["--agent", "a", "--", "sh", "-c", &inner]));
    wrapped
        .say(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}))
        .await;
    wrapped.hear().await;
    let (_, err, status) = wrapped.end().await;
    assert_eq!(status.code(), Some(0), "{err}");
    rig.stop().await;
    assert_eq!(rig.of("mcp.request").len(), 1);
}
