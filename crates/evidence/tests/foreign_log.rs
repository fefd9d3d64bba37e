//! The log of another tool verifies: its checkpoint under the policy, its entries, its tiles, the heads of before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use evidence::verify::{self, Options, Report, Subject, Verdict};
use std::path::{Path, PathBuf};
use tlog::policy::Policy;

/// The public key that Tessera publishes for its test log.
const VKEY: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

/// Tessera's test log; `None` after saying why the test is skipped.
fn tessera() -> Option<PathBuf> {
    let shared = std::env::var_os("TACHO_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let log = shared.join("vectors/tessera/testdata/log");
    if log.exists() {
        return Some(log);
    }
    eprintln!("skipped: no log at {} (set TACHO_SHARED)", log.display());
    None
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::write(
                to.join(entry.file_name()),
                std::fs::read(entry.path()).unwrap(),
            )
            .unwrap();
        }
    }
}

fn options() -> Options {
    Options {
        policy: Some(Policy::of_log(VKEY.parse().unwrap())),
        ..Options::default()
    }
}

fn check(log: &Path, options: &Options) -> Report {
    verify::run_log(log, options, &mut |_| ()).unwrap()
}

#[test]
fn it_verifies_under_the_policy_and_extends_every_head_of_before() {
    let Some(log) = tessera() else { return };
    let heads = (0..16)
        .map(|size| std::fs::read(log.join(format!("checkpoint.{size}"))).unwrap())
        .collect();
    let report = check(&log, &Options { heads, ..options() });
    assert_eq!((report.exit_code(), &report.faults), (0, &vec![]));
    assert_eq!(report.events, report.signed_events);
    for subject in [
        Subject::Content,
        Subject::Order,
        Subject::Sequence,
        Subject::Signature,
    ] {
        assert_eq!(report.verdict(subject), Some(Verdict::Valid), "{subject:?}");
    }
    for subject in [Subject::Bodies, Subject::Epoch, Subject::Time] {
        assert_eq!(
            report.verdict(subject),
            Some(Verdict::Unverifiable),
            "{subject:?}"
        );
    }
}

#[test]
fn without_its_key_nobody_has_signed_it() {
    let Some(log) = tessera() else { return };
    let report = check(&log, &Options::default());
    assert_eq!(report.exit_code(), 12);
    assert_eq!(report.verdict(Subject::Content), Some(Verdict::Valid));
    assert_eq!(
        report.verdict(Subject::Signature),
        Some(Verdict::Unverifiable)
    );
}

#[test]
fn what_is_changed_or_gone_is_named() {
    let Some(log) = tessera() else { return };
    let size = check(&log, &options()).events;
    let bundle = format!("tile/entries/000.p/{size}");
    let tile = format!("tile/0/000.p/{size}");
    for (file, at, word, seq) in [
        (bundle.as_str(), 2, "altered", Some(0)),
        (tile.as_str(), 32 * 3, "tile", Some(3)),
        ("checkpoint", 100, "signature", None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy(&log, dir.path());
        let path = dir.path().join(file);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let report = check(dir.path(), &options());
        assert_eq!(report.exit_code(), 10, "{file}");
        let first = &report.faults[0];
        assert_eq!(
            (first.what.as_str(), first.seq),
            (word, seq),
            "{file}: {first:?}"
        );
        std::fs::remove_file(&path).unwrap();
        match verify::run_log(dir.path(), &options(), &mut |_| ()) {
            Ok(report) => assert_eq!(report.exit_code(), 10, "{file} removed"),
            Err(error) => assert!(matches!(error, evidence::Error::Missing(_)), "{error}"),
        }
    }
    // An older checkpoint in the place of the newest: the log was rolled back, and the auditor holds a head.
    let dir = tempfile::tempdir().unwrap();
    copy(&log, dir.path());
    let newest = std::fs::read(log.join("checkpoint")).unwrap();
    std::fs::copy(log.join("checkpoint.8"), dir.path().join("checkpoint")).unwrap();
    assert_eq!(check(dir.path(), &options()).exit_code(), 0);
    let held = Options {
        heads: vec![newest],
        ..options()
    };
    let report = check(dir.path(), &held);
    assert_eq!(
        (report.exit_code(), report.faults[0].what.as_str()),
        (10, "removed")
    );
}
