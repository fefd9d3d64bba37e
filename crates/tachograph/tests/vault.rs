//! The encrypted vault from outside: a recorder that cannot read its past, and the investigator who can.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

use evidence::{Recipient, VaultKey};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use testkit::Recorder;

const TACHO: &str = env!("CARGO_BIN_EXE_tacho");

const CONFIG: &str = r#"
[vault]
recipient = "investigator.pub"

[upstream.gone]
base_url = "http://127.0.0.1:1"
api = "anthropic"
"#;

const SAID: &[u8] = br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"only the investigator may read"}]}"#;

/// Exit code, standard output, standard error.
fn tacho(data: &Path, args: &[&str]) -> (i32, Vec<u8>, String) {
    let mut command = Command::new(TACHO);
    command.arg("--data").arg(data).args(args);
    command.env_remove("TACHO_LOG").env_remove("TACHO_DATA");
    let output = command.output().unwrap();
    let code = output.status.code().unwrap();
    (
        code,
        output.stdout,
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn verified(data: &Path, args: &[&str]) -> (i32, Value) {
    let (code, out, err) = tacho(data, &[&["verify", "--json"], args].concat());
    let report = serde_json::from_slice(&out).unwrap_or_else(|_| panic!("{err}"));
    (code, report)
}

fn verdict(report: &Value) -> &str {
    let claims = report["claims"].as_array().unwrap();
    let bodies = claims.iter().find(|claim| claim["claim"] == "bodies");
    bodies.unwrap()["verdict"].as_str().unwrap()
}

/// A call to an upstream that is not there; its request is recorded all the same.
fn call(recorder: &Recorder, said: &[u8]) {
    let host = recorder.gateway().strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /agent/a/gone/v1/messages HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        said.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(said).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

/// The private key's file and the key's id; its public half lies beside it.
fn key_pair(dir: &Path, name: &str) -> (PathBuf, String) {
    let file = dir.join(format!("{name}.key"));
    let args = ["keys", "recipient", "--out", file.to_str().unwrap()];
    let (code, line, err) = tacho(dir, &args);
    assert_eq!((code, err.as_str()), (0, ""));
    std::fs::write(dir.join(format!("{name}.pub")), &line).unwrap();
    let line = String::from_utf8(line).unwrap();
    (file, line.split(' ').nth(1).unwrap().to_owned())
}

/// Two sessions of a write-only recorder with a call each, so that the first volume is complete.
async fn write_only(dir: &Path, config: &str) -> PathBuf {
    for session in 0..2 {
        let recorder = Recorder::start(TACHO, dir, config).await.unwrap();
        if session == 1 {
            call(&recorder, br#"{"model":"m","max_tokens":9,"messages":[]}"#);
        }
        call(&recorder, SAID);
        recorder.stop().await.unwrap();
    }
    dir.join("record")
}

fn events(data: &Path) -> Vec<Value> {
    let (code, out, err) = tacho(data, &["events", "--json"]);
    assert_eq!(code, 0, "{err}");
    let lines = out.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[tokio::test]
async fn what_a_write_only_recorder_wrote_is_read_with_the_investigators_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (key, id) = key_pair(dir.path(), "investigator");
    let (stranger, other) = key_pair(dir.path(), "stranger");
    let (key, stranger) = (key.to_str().unwrap(), stranger.to_str().unwrap());
    let data = write_only(dir.path(), CONFIG).await;
    let events = events(&data);
    let started = &events[0]["facts"]["configuration"]["vault"];
    assert_eq!(started["recipient"]["path"], "investigator.pub");
    assert_eq!(started["seal"], 3_600_000, "an hour, unless told otherwise");
    assert!(events.iter().any(|event| event["kind"] == "vault.sealed"));
    let asked = events
        .iter()
        .find(|event| {
            let bodies = event["bodies"].as_array();
            bodies.is_some_and(|bodies| bodies.iter().any(|body| body["role"] == "request"))
        })
        .unwrap();
    let seq = asked["seq"].to_string();
    let show = ["show", &seq, "--body", "request"];

    // Nobody's key: everything but the bodies.
    let (code, report) = verified(&data, &[]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(
        (verdict(&report), &report["bodies"]),
        ("unverifiable", &0.into())
    );
    let locked = report["bodies_locked"].as_u64().unwrap();
    assert!(locked >= 3, "{report}");
    // Nothing is wrong, and still it is no green.
    let headline = report["verdict"].as_str().unwrap();
    assert!(headline.starts_with("verified in part"), "{headline}");
    assert_eq!(report["volumes_sealed"], 1);
    let (_, text, _) = tacho(&data, &["verify"]);
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains(&format!("; {locked} not opened, for want of a key")),
        "{text}"
    );
    assert!(text.contains("1 complete volume, byte for byte"), "{text}");
    let hint = format!(
        "the bodies are encrypted to {id}: name the investigator's private key with --vault-key FILE"
    );
    let (code, out, err) = tacho(&data, &show);
    assert_eq!((code, out.len()), (1, 0), "{err}");
    assert!(
        err.contains("volume 1 is encrypted") || err.contains("salts 0 is encrypted"),
        "{err}"
    );
    assert!(err.ends_with(&format!("hint: {hint}\n")), "{err}");
    let (code, out, _) = tacho(&data, &["show", &seq]);
    let out = String::from_utf8(out).unwrap();
    assert_eq!(code, 0);
    assert!(
        out.contains("!! the body cannot be read") && out.contains(&hint),
        "{out}"
    );

    // Somebody else's.
    let (code, report) = verified(&data, &["--vault-key", stranger]);
    assert_eq!((code, verdict(&report)), (12, "unverifiable"), "{report}");
    let (code, out, err) = tacho(&data, &[&show[..], &["--vault-key", stranger]].concat());
    assert_eq!((code, out.len()), (1, 0));
    assert!(err.contains(&id) && err.contains(&other), "{err}");

    // The investigator's, with the recorder's keys and on a copy without them.
    for keyless in [false, true] {
        if keyless {
            std::fs::remove_file(data.join("keys/vault.key")).unwrap();
        }
        let (code, report) = verified(&data, &["--vault-key", key]);
        assert_eq!((code, verdict(&report)), (0, "valid"), "{report}");
        let headline = report["verdict"].as_str().unwrap();
        assert!(headline.starts_with("verified in itself"), "{headline}");
        assert_eq!(
            (&report["bodies"], &report["bodies_locked"]),
            (&locked.into(), &0.into())
        );
        let (code, out, err) = tacho(&data, &[&show[..], &["--vault-key", key]].concat());
        assert_eq!((code, out.as_slice(), err.as_str()), (0, SAID, ""));
    }
    for (args, opened) in [(&[][..], false), (&["--vault-key", key], true)] {
        let (code, out, err) = tacho(&data, &[&["timeline", "last"], args].concat());
        assert_eq!((code, err.contains(&hint)), (0, !opened), "{err}");
        let out = String::from_utf8(out).unwrap();
        assert_eq!(out.contains("only the investigator"), opened, "{out}");
    }
}

#[test]
fn a_private_key_is_its_owners_alone_is_never_replaced_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k");
    let out = file.to_str().unwrap();
    let (code, public, err) = tacho(dir.path(), &["keys", "recipient", "--out", out]);
    assert_eq!((code, err.as_str()), (0, ""));
    let private = std::fs::read(&file).unwrap();
    let key = VaultKey::parse("file", &private).unwrap();
    assert_eq!(&Recipient::parse("line", &public).unwrap(), key.recipient());
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777,
        0o600
    );

    let (code, printed, err) = tacho(dir.path(), &["keys", "recipient", "--out", out]);
    assert_eq!((code, printed.len()), (1, 0));
    assert!(
        err.contains("exists already") && err.contains("never replaced"),
        "{err}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), private);
    let (code, _, err) = tacho(
        dir.path(),
        &["keys", "recipient", "--out", "/no/such/dir/k"],
    );
    assert_eq!(code, 1, "{err}");
    let (code, _, err) = tacho(dir.path(), &["keys", "recipient"]);
    assert!(code == 2 && err.contains("--out"), "{err}");

    let json = dir.path().join("json");
    let args = [
        "keys",
        "recipient",
        "--json",
        "--out",
        json.to_str().unwrap(),
    ];
    let (_, printed, _) = tacho(dir.path(), &args);
    let private = std::fs::read_to_string(&json).unwrap();
    let key = VaultKey::parse("file", private.as_bytes()).unwrap();
    let said: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(said["recipient"], key.recipient().to_string());
    assert_eq!(said["id"], key.recipient().id());
    assert!(
        !said
            .to_string()
            .contains(private.trim_end().rsplit(' ').next().unwrap())
    );
}

#[test]
fn a_key_that_is_none_is_refused_before_the_record_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = key_pair(dir.path(), "investigator");
    let public = dir.path().join("investigator.pub");
    let gone = dir.path().join("gone");
    for (args, path, message) in [
        (&["verify"][..], &public, "is not a vault key"),
        (&["show", "1"], &public, "the other half of the key pair"),
        (&["timeline", "last"], &gone, "cannot read"),
        (
            &["verify", "--log", "."],
            &key,
            "--log and --vault-key do not go together",
        ),
    ] {
        let path = path.to_str().unwrap();
        let (code, _, err) = tacho(dir.path(), &[args, &["--vault-key", path]].concat());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(message), "{err}");
    }
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, _, err) = tacho(
        dir.path(),
        &["verify", "--vault-key", key.to_str().unwrap()],
    );
    assert!(err.contains("warning: others may read"), "{err}");
}
