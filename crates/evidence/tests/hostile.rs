//! A store from somebody who means harm: whoever verifies it is not kept waiting and does not run out of memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use event::{Draft, Kind, Role, Source};
use evidence::{Options, Recorder, verify};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

async fn recorded(dir: &Path) {
    let recorder = Recorder::open(Options {
        segment_bytes: 1 << 18,
        ..Options::new(dir)
    })
    .unwrap();
    let mut draft = Draft::new(Kind::McpMessage, Source::Gateway);
    let body = recorder.put(Role::Request, None, None, b"body").await;
    draft.bodies.push(body.unwrap());
    recorder.append(&draft).await.unwrap();
    recorder.publish().await.unwrap();
    recorder.close().await.unwrap();
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Whether verification ends with nothing found. A test that would wait for ever fails instead.
fn is_in_order(dir: &Path) -> bool {
    let (done, outcome) = mpsc::sync_channel(1);
    let dir = dir.to_owned();
    let began = dir.clone();
    std::thread::spawn(move || {
        let report = verify::run(&dir, &verify::Options::default(), &mut |_| ());
        done.send(report.is_ok_and(|report| report.exit_code() == 0))
            .unwrap();
    });
    let outcome = outcome.recv_timeout(Duration::from_secs(60));
    outcome.unwrap_or_else(|_| panic!("verification of {} waits", began.display()))
}

#[tokio::test]
async fn a_pipe_or_an_endless_file_in_the_place_of_any_file_keeps_no_verifier() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path()).await;
    let mut all = Vec::new();
    files(dir.path(), &mut all);
    assert!(all.len() > 12, "{all:?}");
    for path in all {
        let whole = std::fs::read(&path).unwrap();
        // Of the private keys a verifier reads none but that of the vault.
        let is_evidence = ["log", "vault", "anchors", "state"]
            .iter()
            .any(|part| path.strip_prefix(dir.path()).unwrap().starts_with(part));
        for endless in [false, true] {
            std::fs::remove_file(&path).unwrap();
            if endless {
                let file = std::fs::File::create(&path).unwrap();
                file.set_len(1 << 40).unwrap();
            } else {
                mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
            }
            let in_order = is_in_order(dir.path());
            assert!(!(in_order && is_evidence), "{}", path.display());
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, whole).unwrap();
    }
    assert!(is_in_order(dir.path()));
}
