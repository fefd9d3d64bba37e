//! What every version wrote stays readable. `TACHO_BLESS=1` writes the files of the newest version anew, which only a new
//! version may need.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use event::{Draft, Exchange, Kind, Line, Outcome, Role, Source, State};
use evidence::{Options, Recorder, Store, verify};
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn body(index: usize) -> Vec<u8> {
    format!("body {index} of the golden store; ")
        .repeat(1 + index * 7)
        .into_bytes()
}

/// Writes a small store: three calls, one of them left open unless `close`.
fn write(dir: &Path, close: bool) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let checkpoint = std::time::Duration::from_secs(if close { 1 } else { 3600 });
        let options = Options {
            segment_bytes: 64 << 10,
            checkpoint,
            ..Options::new(dir)
        };
        let recorder = Recorder::open(options).unwrap();
        for index in 0..3 {
            let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
            draft.bodies.push(
                recorder
                    .put(Role::Request, None, None, &body(index))
                    .await
                    .unwrap(),
            );
            let call = recorder.append(&draft).await.unwrap().seq;
            if index == 2 && !close {
                let mut partial = recorder.body().unwrap();
                partial.attach(call, Role::Response);
                partial.write(&body(3)).await.unwrap();
                partial.flush().await.unwrap().await.unwrap();
                break;
            }
            let mut draft = Draft::new(Kind::ToolResponse, Source::Gateway);
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state: State::Completed,
                error: None,
                reason: None,
            });
            recorder.append(&draft).await.unwrap();
        }
        if close {
            recorder.close().await.unwrap();
        } else {
            std::mem::forget(recorder);
        }
    });
}

/// Copies a store but for what is called one of `without`.
fn copy(from: &Path, to: &Path, without: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if without.iter().any(|left| name == *left) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name), without);
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

fn bless(name: &str, close: bool) {
    if std::env::var_os("TACHO_BLESS").is_some() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), close);
        std::fs::remove_dir_all(golden(name)).ok();
        copy(dir.path(), &golden(name), &["lock"]);
    }
}

fn check_bodies(store: &Store, count: usize) -> Vec<String> {
    let lines: Vec<Line> = store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
        .collect();
    let requests = lines.iter().filter(|line| line.kind == "tool.request");
    for (index, request) in requests.enumerate().take(count) {
        assert_eq!(store.body(&request.bodies[0]).unwrap(), body(index));
    }
    lines.into_iter().map(|line| line.kind).collect()
}

#[test]
fn a_closed_store_of_version_1_reads_and_verifies() {
    let kinds = check_bodies(&Store::open(&golden("store.v1")).unwrap(), 3);
    let calls = ["tool.request", "tool.response"].repeat(3);
    assert_eq!(
        kinds,
        [vec!["recorder.start"], calls, vec!["recorder.stop"]].concat()
    );
    let report = verify::run(
        &golden("store.v1"),
        &verify::Options::default(),
        &mut |_| (),
    )
    .unwrap();
    assert_eq!(
        (report.exit_code(), report.events, report.signed_events),
        (0, 8, 8)
    );
}

#[test]
fn a_write_ahead_log_of_version_1_reads() {
    let kinds = check_bodies(&Store::open(&golden("unclean.v1")).unwrap(), 3);
    assert_eq!(kinds.len(), 6);
    assert_eq!(kinds.last().map(String::as_str), Some("tool.request"));
}

fn verified(dir: &Path) -> verify::Report {
    verify::run(dir, &verify::Options::default(), &mut |_| ()).unwrap()
}

/// With its keys; and what a copy without them still shows.
#[test]
fn a_closed_store_of_version_2_reads_and_verifies() {
    bless("store.v2", true);
    let kinds = check_bodies(&Store::open(&golden("store.v2")).unwrap(), 3);
    assert_eq!((kinds.len(), kinds[1].as_str()), (9, "key.epoch"));
    let report = verified(&golden("store.v2"));
    assert_eq!(
        (report.exit_code(), report.events, report.bodies),
        (0, 9, 3)
    );
    let dir = tempfile::tempdir().unwrap();
    copy(&golden("store.v2"), dir.path(), &["keys"]);
    let report = verified(dir.path());
    assert_eq!(
        (report.exit_code(), report.bodies, report.bodies_locked),
        (0, 0, 3)
    );
}

#[test]
fn a_write_ahead_log_of_version_2_reads() {
    bless("unclean.v2", false);
    let kinds = check_bodies(&Store::open(&golden("unclean.v2")).unwrap(), 3);
    assert_eq!(kinds.len(), 7);
    assert_eq!(kinds.last().map(String::as_str), Some("tool.request"));
}

/// From a copy that has its keys, in this version.
#[test]
fn a_store_of_any_version_is_gone_on_with() {
    for (name, before, gap) in [
        ("continued.v1", 3, false),
        ("store.v2", 3, false),
        ("unclean.v2", 3, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy(&golden(name), dir.path(), &[]);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let recorder = Recorder::open(Options::new(dir.path())).unwrap();
            let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
            let body = body(before);
            let put = recorder.put(Role::Request, None, None, &body);
            draft.bodies.push(put.await.unwrap());
            let call = recorder.append(&draft).await.unwrap().seq;
            let mut draft = Draft::new(Kind::ToolResponse, Source::Gateway);
            draft.exchange = Some(Exchange {
                call: Some(call),
                ..Exchange::default()
            });
            draft.outcome = Some(Outcome {
                state: State::Completed,
                error: None,
                reason: None,
            });
            recorder.append(&draft).await.unwrap();
            recorder.close().await.unwrap();
        });
        let format = std::fs::read_to_string(dir.path().join("format")).unwrap();
        assert_eq!(format, "tachograph 2\n", "{name}");
        check_bodies(&Store::open(dir.path()).unwrap(), before + 1);
        let report = verified(dir.path());
        assert_eq!(
            report.exit_code(),
            if gap { 11 } else { 0 },
            "{name}: {:?}",
            report.faults
        );
        // The call that was cut off kept the body that it had begun.
        assert_eq!(report.bodies, before as u64 + 1 + u64::from(gap), "{name}");
    }
}

/// What a recorder left that did not end is no whole; what one left that did is.
#[test]
fn a_store_that_may_be_cut_says_so() {
    for (name, cut) in [
        ("store.v1", false),
        ("store.v2", false),
        ("unclean.v1", true),
        ("unclean.v2", true),
    ] {
        let store = golden(name);
        let report = verify::run(&store, &verify::Options::default(), &mut |_| ()).unwrap();
        let mut told = report.not_proven.iter();
        let says = told.any(|sentence| sentence.contains("has not ended in order"));
        assert_eq!(says, cut, "{name}: {:?}", report.not_proven);
    }
}
