//! The operator's socket: what it does, who may ask, and that nothing else leads there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(data: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacho"));
    command
        .arg("--data")
        .arg(data)
        .args(args)
        .env_remove("TACHO_LOG");
    command
}

fn tacho(data: &Path, args: &[&str]) -> Output {
    command(data, args).output().unwrap()
}

/// A running recorder; killed when it is dropped.
struct Serving(Child, String);

impl Serving {
    fn start(data: &Path) -> Self {
        let args = [
            "serve",
            "--gateway",
            "127.0.0.1:0",
            "--console",
            "127.0.0.1:0",
        ];
        let mut child = command(data, &args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready "), "{line}");
        Self(child, line)
    }

    fn gateway(&self) -> &str {
        let (_, rest) = self.1.split_once("gateway=http://").unwrap();
        rest.split(' ').next().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn epochs(data: &Path) -> Vec<Value> {
    let output = tacho(data, &["--json", "keys", "list"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["epochs"].as_array().unwrap().clone()
}

fn ask(data: &Path, line: &[u8]) -> String {
    let mut socket = UnixStream::connect(data.join("control.sock")).unwrap();
    // Of what is too long not all is read.
    socket.write_all(line).ok();
    socket.shutdown(std::net::Shutdown::Write).ok();
    let mut answer = String::new();
    BufReader::new(socket).read_line(&mut answer).ok();
    answer
}

#[test]
fn keys_are_listed_changed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serving = Serving::start(&data);
    let mode = std::fs::metadata(data.join("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(epochs(&data).len(), 1);
    let output = tacho(&data, &["keys", "rotate"]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("epoch 2 has begun"));
    let output = tacho(
        &data,
        &[
            "--json",
            "keys",
            "revoke",
            "1",
            "--reason",
            "it was on a lost disk",
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let all = epochs(&data);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["revoked"]["reason"], "it was on a lost disk");
    assert_eq!(all[0]["revoked"]["size"], 0);
    assert_eq!(all[0]["end"], all[1]["start"]);
    let output = tacho(&data, &["keys", "revoke", "7", "--reason", "there is none"]);
    assert_eq!(output.status.code(), Some(1));
    let text = tacho(&data, &["status"]).stdout;
    assert!(String::from_utf8_lossy(&text).contains("key         epoch 2"));
    drop(serving);
    let output = tacho(&data, &["keys", "rotate"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("tacho serve"),
        "{output:?}"
    );
    // Without a recorder they can still be listed.
    assert_eq!(epochs(&data).len(), 2);
}

#[test]
fn what_is_no_request_is_answered_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let _serving = Serving::start(&data);
    let long = [
        b"{\"do\":\"rotate\"".as_slice(),
        &b" ".repeat(2 << 20),
        b"}\n",
    ]
    .concat();
    for line in [
        b"\n".as_slice(),
        b"{\"do\":\"show\",\"event\":1}\n",
        b"\xff\xfe\n",
        b"",
        &long,
    ] {
        let answer = ask(&data, line);
        // What is no text, or more than is read, is hung up on.
        assert!(
            answer.is_empty() || answer.starts_with("{\"error\":\"") && answer.ends_with("}\n"),
            "{answer}"
        );
    }
    assert_eq!(epochs(&data).len(), 1);
    assert!(ask(&data, b"{\"do\":\"rotate\"}\n").starts_with("{\"done\":"));
}

#[test]
fn agents_have_no_way_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let serving = Serving::start(&data);
    let request = b"{\"do\":\"rotate\"}\n";
    let mut socket = UnixStream::connect(data.join("recorder.sock")).unwrap();
    socket.write_all(request).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok();
    for path in [
        "/control",
        "/control.sock",
        "/keys/rotate",
        "/agent/a/control",
    ] {
        let mut stream = std::net::TcpStream::connect(serving.gateway()).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            request.len()
        );
        stream
            .write_all(&[head.as_bytes(), request].concat())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(epochs(&data).len(), 1);
}
