//! What a newcomer asks first is answered with what is so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

#[allow(dead_code, reason = "other tests use more of it")]
mod stage;

use serde_json::Value;
use stage::{Stage, command, tacho};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_help_says_what_it_is() {
    for option in ["-h", "--help"] {
        let help = tacho(&[option]);
        assert!(
            help.out.starts_with("A flight recorder for AI agents"),
            "{}",
            help.out
        );
    }
}

fn pipe(path: &Path) -> String {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// What never ends, never begins, or is no file, is told and not waited for.
#[test]
fn a_file_that_is_named_is_a_regular_one_of_bounded_length() {
    let stage = Stage::new();
    let dir = tempfile::tempdir().unwrap();
    let pipe = pipe(&dir.path().join("pipe"));
    let long = dir.path().join("long");
    std::fs::File::create(&long)
        .unwrap()
        .set_len((1 << 20) + 1)
        .unwrap();
    let long = long.to_str().unwrap();
    for (file, words) in [
        ("/dev/zero", "/dev/zero is not a regular file"),
        (&*pipe, "pipe is not a regular file"),
        (dir.path().to_str().unwrap(), "is not a regular file"),
        (long, "has more than 1048576 bytes"),
        ("/no/such/file", "/no/such/file"),
    ] {
        for command in [
            &["serve", "--config"][..],
            &["verify", "--policy"],
            &["verify", "--roots"],
            &["verify", "--head"],
            &["verify", "--vault-key"],
            &["show", "1", "--vault-key"],
        ] {
            let done = stage.tacho(&[command, &[file]].concat());
            assert_eq!(done.code, 2, "{command:?} {file}: {}", done.err);
            assert!(done.err.contains(words), "{command:?} {file}: {}", done.err);
            assert!(done.err.contains("\n\nhint: "), "{}", done.err);
        }
    }
    // Nor is it where the configuration names it.
    let config = dir.path().join("tacho.toml");
    let url = "http://127.0.0.1:9/tsa";
    for (text, key) in [
        (
            format!("[upstream.anthropic]\nca_file = \"{pipe}\"\n"),
            "ca_file",
        ),
        (
            "[upstream.anthropic]\nca_file = \"/dev/zero\"\n".to_owned(),
            "ca_file",
        ),
        ("[witness]\npolicy = \"/dev/zero\"\n".to_owned(), "policy"),
        (
            format!("[timestamp.acme]\nurl = \"{url}\"\nroots = \"{pipe}\"\n"),
            "roots",
        ),
        (
            "[vault]\nrecipient = \"/dev/zero\"\n".to_owned(),
            "recipient",
        ),
    ] {
        std::fs::write(&config, &text).unwrap();
        let done = tacho(&["serve", "--config", config.to_str().unwrap()]);
        assert_eq!(done.code, 2, "{text}: {}", done.err);
        assert!(
            done.err.contains(key) && done.err.contains("is not a regular file"),
            "{text}: {}",
            done.err
        );
    }
}

#[test]
fn who_asks_for_json_is_told_in_json_that_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let listen = ["--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    let mut serving = command(&[&["--json", "--data", data, "serve"], &listen[..]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(serving.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    serving.kill().unwrap();
    serving.wait().unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    for name in ["gateway", "console"] {
        let address = ready["ready"][name].as_str().unwrap();
        assert!(address.starts_with("http://127.0.0.1:"), "{line}");
    }
}

#[test]
fn the_demo_is_one_document_for_a_script_and_keeps_to_the_directory_that_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let altered = dir.path().join("record-altered");
    let demo = |args: &[&str]| {
        let named = ["demo", "--data", record.to_str().unwrap()];
        let mut command = command(&[&named[..], args].concat());
        let done = command.env("TMPDIR", dir.path()).output().unwrap();
        stage::Done::from(done)
    };
    let refused = demo(&["--json", "--stay"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(!record.exists());
    let done = demo(&["--json", "--tamper"]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(done.out.lines().count(), 1, "{}", done.out);
    let told: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(told["record"], record.to_str().unwrap());
    let steps = told["steps"].as_array().unwrap();
    let kinds: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["asked", "called", "called", "called", "said"]);
    assert_eq!(steps[1]["tool"], "read_ticket");
    assert_eq!(told["timeline"]["run"], "ticket-4711");
    assert_eq!(told["verify"]["exit_code"], 0);
    assert_eq!(told["altered"]["verify"]["exit_code"], 10);
    assert_eq!(told["altered"]["record"], altered.to_str().unwrap());
    assert!(altered.join("log/checkpoint").exists());
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["record", "record-altered"], "and nothing else");

    // The copy was signed, and says so; what signs it is not for these events.
    let done = tacho(&["verify", "--data", altered.to_str().unwrap()]);
    assert_eq!(done.code, 10, "{}", done.err);
    assert!(
        done.out.contains("it does not sign these events"),
        "{}",
        done.out
    );
    for wrong in ["nothing is signed yet", "durable and not yet signed"] {
        assert!(!done.out.contains(wrong), "{}", done.out);
    }
    // What lies there is not overwritten.
    std::fs::remove_dir_all(&record).unwrap();
    let refused = demo(&["--tamper"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(
        refused.err.contains("record-altered is not empty"),
        "{}",
        refused.err
    );

    // The directory may be the one that the command runs in.
    let here = dir.path().join("here it is");
    std::fs::create_dir(&here).unwrap();
    let done = command(&["demo", "--data", ".", "--tamper"])
        .env("TMPDIR", dir.path())
        .current_dir(&here)
        .output()
        .unwrap();
    let done = stage::Done::from(done);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(here.join("log/checkpoint").exists());
    // A command that it shows can be typed.
    let shown = format!("verify --data '{}-altered'", here.display());
    assert!(done.out.contains(&shown), "{}", done.out);
}

#[test]
fn a_time_may_be_an_age_with_or_without_its_sign() {
    let stage = Stage::new();
    for age in ["-15m", "15m", "-0s"] {
        let done = stage.tacho(&["verify", "--at", age]);
        assert_eq!(done.code, 11, "{}", done.err);
    }
    let done = stage.tacho(&["verify", "--at", "-15 parsecs"]);
    assert_eq!(done.code, 2, "{}", done.err);
    assert!(done.err.contains("is no time"), "{}", done.err);
}

#[test]
fn a_volume_that_is_gone_takes_its_bodies_along_and_nothing_else() {
    let stage = Stage::new();
    let volume = "vault/0000000001.vol";
    std::fs::remove_file(stage.data.path().join(volume)).unwrap();
    let seq = stage.hostile_call.to_string();
    for command in [
        &["events"][..],
        &["runs"],
        &["timeline", "last"],
        &["show", "0"],
    ] {
        let done = stage.tacho(command);
        assert_eq!(done.code, 0, "{command:?}: {}", done.err);
        assert!(!done.out.is_empty(), "{command:?}");
        assert!(
            done.err.contains(&format!("warning: {volume} is missing")),
            "{}",
            done.err
        );
    }
    let affected = format!("#{seq}");
    let done = stage.tacho(&["show", &seq]);
    assert_eq!(done.code, 0, "{}", done.err);
    for words in [
        "!! the body cannot be read",
        volume,
        "bodies of ",
        " events are gone with it: #",
        &affected,
        "put vault/0000000001.vol back from a copy",
    ] {
        assert!(done.out.contains(words), "{words}: {}", done.out);
    }
    let done = stage.tacho(&["show", &seq, "--body", "request"]);
    assert_eq!((done.code, done.out.as_str()), (1, ""), "{}", done.err);
    for words in [
        &*format!("error: a body of event {seq} cannot be read"),
        "vault/0000000001.vol is missing",
        "events are gone with it: #",
        "hint: put vault/0000000001.vol back",
    ] {
        assert!(done.err.contains(words), "{words}: {}", done.err);
    }
    // To verification what is missing is missing.
    let done = stage.tacho(&["verify"]);
    assert_eq!(done.code, 12, "{}", done.err);
}
