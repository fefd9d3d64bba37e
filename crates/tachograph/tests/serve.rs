//! `tacho serve` from outside: its contract with whoever starts it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
    command
        .arg("--data")
        .arg(data)
        .args(args)
        .env_remove("TACHO_LOG");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running recorder; killed when it is dropped.
struct Serving {
    child: Child,
    gateway: String,
    console: String,
    rest: BufReader<std::process::ChildStdout>,
}

impl Serving {
    fn start(data: &Path) -> Self {
        Self::start_as(data, |_| {})
    }

    fn start_as(data: &Path, change: impl FnOnce(&mut Command)) -> Self {
        let args = [
            "serve",
            "--gateway",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
        ];
        let mut command = command(data, &args);
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        rest.read_line(&mut line).unwrap();
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let ["ready", gateway, console] = parts[..] else {
            let mut err = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut err)
                .unwrap();
            panic!("{line}{err}");
        };
        let gateway = gateway.strip_prefix("gateway=http://").unwrap().to_owned();
        let console = console.strip_prefix("console=http://").unwrap().to_owned();
        Self {
            child,
            gateway,
            console,
            rest,
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for the end; returns the exit code, what else it printed, and what it said.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.rest.read_to_string(&mut out).unwrap();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut err).unwrap();
        }
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already, which is what most tests want.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn run(data: &Path, args: &[&str]) -> (i32, String, String) {
    let output = command(data, args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn get(address: &str, host: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn kinds(data: &Path) -> Vec<String> {
    let (code, out, err) = run(data, &["events", "--json"]);
    assert_eq!(code, 0, "{err}");
    out.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// Its disk is full, or who read it has gone.
#[test]
fn it_goes_on_when_nobody_takes_its_log() {
    for full in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("record");
        let stderr = if full {
            Stdio::from(std::fs::File::create("/dev/full").unwrap())
        } else {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let serving = Serving::start_as(&data, |command| {
            command.env("TACHO_LOG", "trace").stderr(stderr);
        });
        for _ in 0..3 {
            let answer = get(&serving.gateway, "localhost", "GET", "/nowhere/x");
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
        serving.signal(Signal::TERM);
        let (code, ..) = serving.end();
        assert_eq!(code, Some(0), "full: {full}");
        assert_eq!(kinds(&data).last().unwrap(), "recorder.stop");
    }
}

#[test]
fn it_says_that_it_is_ready_and_ends_with_0_when_told() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/record");
        let serving = Serving::start(&data);
        let address: Value =
            serde_json::from_slice(&std::fs::read(data.join("address")).unwrap()).unwrap();
        assert_eq!(address["gateway"], format!("http://{}", serving.gateway));
        assert_eq!(address["console"], format!("http://{}", serving.console));
        assert_eq!(address["pid"], serving.child.id());
        serving.signal(signal);
        let (code, out, err) = serving.end();
        assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
        assert!(!data.join("address").exists());
        let kinds = kinds(&data);
        assert_eq!(kinds.first().unwrap(), "recorder.start");
        assert_eq!(kinds.last().unwrap(), "recorder.stop");
        let (code, out, _) = run(&data, &["verify"]);
        assert_eq!(code, 0, "{out}");
    }
}

#[test]
fn the_start_carries_the_build_and_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().0, Some(0));
    let (_, out, _) = run(
        dir.path(),
        &["events", "--json", "--kind", "recorder.start"],
    );
    let start: Value = serde_json::from_str(&out).unwrap();
    assert!(
        start["governance"].as_str().unwrap().starts_with("sha256:"),
        "{start}"
    );
    let facts = &start["facts"];
    assert_eq!(facts["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(facts["executable_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(facts["configuration"]["limits"]["request_body"], 64 << 20);
    for name in ["commit", "rustc", "target", "profile"] {
        assert!(facts[name].is_string(), "{name}");
    }
}

#[test]
fn it_notes_the_clock_and_the_environment_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let kinds = kinds(dir.path());
        if ["clock", "environment"]
            .iter()
            .all(|kind| kinds.iter().any(|k| k == kind))
        {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{kinds:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn the_operator_is_answered_and_a_stranger_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let address = std::fs::read_to_string(dir.path().join("address")).unwrap();
    let address: Value = serde_json::from_str(&address).unwrap();
    let token = address["token"].as_str().unwrap().to_owned();
    assert_eq!(token.len(), 64);
    for (host, method, path, expected) in [
        ("127.0.0.1", "GET", "/healthz", "HTTP/1.1 200 "),
        ("evil.example", "GET", "/healthz", "HTTP/1.1 421 "),
        ("localhost", "POST", "/healthz", "HTTP/1.1 405 "),
        ("localhost", "GET", "/status", "HTTP/1.1 401 "),
        ("localhost", "GET", "/", "HTTP/1.1 401 "),
        ("localhost", "GET", "/events", "HTTP/1.1 401 "),
        ("localhost T", "GET", "/status", "HTTP/1.1 200 "),
        ("localhost T", "GET", "/", "HTTP/1.1 200 "),
        ("evil.example T", "GET", "/status", "HTTP/1.1 421 "),
        ("localhost T", "POST", "/status", "HTTP/1.1 405 "),
        ("localhost T", "GET", "/events", "HTTP/1.1 404 "),
        (
            "localhost T",
            "GET",
            "/agent/a/anthropic/v1/messages",
            "HTTP/1.1 404 ",
        ),
    ] {
        let bearer = format!("\r\nAuthorization: Bearer {token}");
        let answer = get(&serving.console, &host.replace(" T", &bearer), method, path);
        assert!(
            answer.starts_with(expected),
            "{method} {path} as {host}: {answer}"
        );
    }
    let (code, out, err) = run(dir.path(), &["status"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("tachograph "), "{out}");
    let (code, out, _) = run(dir.path(), &["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["running"]), (0, &Value::from(true)));
    // Whoever asked without the token is in the record, and all of them in few events.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let (_, out, _) = run(dir.path(), &["events", "--json", "--kind", "http."]);
        let events: Vec<Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let counted: u64 = events
            .iter()
            .filter_map(|event| event["facts"]["count"].as_u64())
            .sum();
        if counted == 5 {
            let ends = events
                .iter()
                .filter(|event| event["kind"] == "http.response");
            assert!(ends.clone().count() >= 1);
            for end in ends {
                assert_eq!(end["outcome"]["state"], "denied", "{end}");
            }
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{events:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().0, Some(0));
    let (code, out, _) = run(dir.path(), &["status", "--json"]);
    let status: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &status["running"]), (1, &Value::from(false)));
}

#[test]
fn a_directory_in_use_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let address = std::fs::read(dir.path().join("address")).unwrap();
    let second = [
        "serve",
        "--gateway",
        "127.0.0.1:0",
        "--console",
        "127.0.0.1:0",
    ];
    let (code, out, err) = run(dir.path(), &second);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("in use by another recorder"), "{err}");
    assert!(err.contains("\n\nhint: "), "{err}");
    assert_eq!(std::fs::read(dir.path().join("address")).unwrap(), address);
    let third = ["serve", "--gateway", &serving.gateway];
    let (code, _, err) = run(dir.path(), &third);
    assert_eq!(code, 1, "{err}");
    assert!(err.starts_with("error: cannot listen on "), "{err}");
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    let args = [
        "serve",
        "--gateway",
        "127.0.0.1:0",
        "--console",
        "127.0.0.1:0",
    ];
    let (code, out, err) = run(dir.path(), &args);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("holds `thesis.txt`"), "{err}");
    assert!(!err.contains("damaged") && !err.contains("verify"), "{err}");
    assert!(
        err.contains("hint: name a new or an empty directory"),
        "{err}"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_record_that_is_open_to_others_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let open = |mode| {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open(0o777);
    for warned in [false, true] {
        // A first start closes the directory; later ones leave it as its operator set it.
        let serving = Serving::start(dir.path());
        let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if warned { 0o755 } else { 0o700 });
        serving.signal(Signal::TERM);
        let (code, _, err) = serving.end();
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(err.contains("open to other users"), warned, "{err}");
        open(0o755);
    }
}

#[test]
fn who_follows_sees_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    let follow = ["events", "--follow", "--json", "--kind", "recorder."];
    let mut child = command(dir.path(), &follow).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut kind = || {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        line["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind(), "recorder.start");
    serving.signal(Signal::TERM);
    assert_eq!(kind(), "recorder.stop");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(serving.end().0, Some(0));
}

#[test]
fn after_a_kill_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let serving = Serving::start(dir.path());
    serving.signal(Signal::KILL);
    drop(serving);
    let (code, out, _) = run(dir.path(), &["status"]);
    assert_eq!(code, 1);
    assert!(out.contains("did not stop in good order"), "{out}");
    let serving = Serving::start(dir.path());
    serving.signal(Signal::TERM);
    assert_eq!(serving.end().0, Some(0));
    assert!(kinds(dir.path()).contains(&"recorder.recovered".to_owned()));
}

#[test]
fn a_mistake_in_the_configuration_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tacho.toml");
    std::fs::write(&file, "[limits]\nmemroy = 1\n").unwrap();
    let data = dir.path().join("record");
    let (code, out, err) = run(&data, &["serve", "--config", file.to_str().unwrap()]);
    assert_eq!((code, out.as_str()), (2, ""));
    let expected = format!(
        "error: {}:2: unknown key `memroy` in [limits]\n\nhint: did you mean `memory`?",
        file.display()
    );
    assert!(err.starts_with(&expected), "{err}");
    assert!(!data.exists());
    let (code, _, err) = run(&data, &["serve", "--config", "/no/such/file.toml"]);
    assert_eq!(code, 2);
    assert!(err.contains("/no/such/file.toml"), "{err}");
}

#[test]
fn listening_for_everyone_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let args = [
        "serve",
        "--gateway",
        "0.0.0.0:0",
        "--console",
        "127.0.0.1:0",
    ];
    let mut child = command(dir.path(), &args).spawn().unwrap();
    let mut warning = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut warning)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        warning.starts_with("warning: --gateway 0.0.0.0:0 is reachable"),
        "{warning}"
    );
}
