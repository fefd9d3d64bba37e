//! `tacho proof` and `tacho verify` as scripts and auditors use them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A store that version 1 wrote: eight events, signed.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../evidence/tests/golden/store.v1")
}

fn tacho(data: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tacho"))
        .arg("--data")
        .arg(data)
        .args(arguments)
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// The document's keys and what kind of value each has, lists by their first element.
fn shape(at: &str, value: &Value, out: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(list) => {
            if let Some(first) = list.first() {
                shape(&format!("{at}[]"), first, out);
            }
            "list"
        }
        Value::Object(object) => {
            for (key, value) in object {
                shape(&format!("{at}.{key}"), value, out);
            }
            "object"
        }
    };
    out.insert(format!("{at}: {kind}"));
}

#[test]
fn the_report_in_json_keeps_its_shape() {
    let done = tacho(&golden(), &["verify", "--json"]);
    assert_eq!(code(&done), 0);
    let report: Value = serde_json::from_slice(&done.stdout).unwrap();
    let mut found = BTreeSet::new();
    shape("", &report, &mut found);
    let text: String = found.iter().map(|line| format!("{line}\n")).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/verify.shape.txt");
    if std::env::var_os("TACHO_BLESS").is_some() {
        std::fs::write(&golden, &text).unwrap();
    }
    // What scripts read stays; more may come.
    for line in std::fs::read_to_string(&golden).unwrap().lines() {
        assert!(found.contains(line), "{line} is gone from:\n{text}");
    }
}

#[test]
fn the_verdict_on_each_claim_is_told_in_words() {
    let done = tacho(&golden(), &["verify"]);
    let told = String::from_utf8(done.stdout).unwrap();
    for (claim, verdict) in [
        ("content", "VALID"),
        ("order", "VALID"),
        ("sequence", "VALID"),
        ("signature", "VALID"),
        ("time", "UNVERIFIABLE"),
        ("witnesses", "UNVERIFIABLE"),
        ("bodies", "VALID"),
    ] {
        let line = told
            .lines()
            .find(|line| line.trim_start().starts_with(claim));
        assert!(
            line.is_some_and(|line| line.contains(verdict)),
            "{claim}: {told}"
        );
    }
    assert!(told.contains("anchored"), "{told}");
}

#[test]
fn what_the_auditor_brings_is_read_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let vkey = std::fs::read_to_string(golden().join("log/vkey")).unwrap();
    let policy = at("policy", format!("log {vkey}quorum none\n").as_bytes());
    let head = at(
        "head",
        &std::fs::read(golden().join("log/checkpoint")).unwrap(),
    );
    let none = at("none", b"nothing of use\n");
    for (arguments, expected) in [
        (vec!["--policy", &policy, "--head", &head], 0),
        (vec!["--at", "2000-01-01", "--policy", &policy], 0),
        (vec!["--head", &none], 12),
        (vec!["--policy", &none], 2),
        (vec!["--roots", &none], 2),
        (vec!["--roots", "/nowhere"], 2),
        (vec!["--at", "yesterday-ish"], 2),
    ] {
        let done = tacho(&golden(), &[&["verify"], arguments.as_slice()].concat());
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(code(&done), expected, "{arguments:?}: {said}");
    }
}

#[test]
fn a_receipt_goes_to_standard_output_and_an_exhibit_into_a_new_directory() {
    let done = tacho(&golden(), &["proof", "3"]);
    assert_eq!(code(&done), 0);
    let receipt = tlog::receipt::Receipt::parse(&done.stdout).unwrap();
    assert_eq!(receipt.index(), 3);
    let dir = tempfile::tempdir().unwrap();
    let exhibit = dir.path().join("event-3");
    let out = exhibit.to_str().unwrap();
    let done = tacho(&golden(), &["proof", "3", "--out", out]);
    assert_eq!(code(&done), 0, "{}", String::from_utf8_lossy(&done.stderr));
    let check = Command::new(exhibit.join("verify.sh")).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    assert_eq!(check.status.code(), Some(0), "{said}");
    assert!(said.starts_with("VALID"), "{said}");
    let again = tacho(&golden(), &["proof", "3", "--out", out]);
    assert_eq!(code(&again), 1);
    let beyond = tacho(&golden(), &["proof", "8"]);
    assert_eq!(code(&beyond), 12);
}
