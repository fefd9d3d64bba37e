//! What identifies a log is made once: never anew beside anything that is left of one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use event::{Draft, Kind, Source};
use evidence::{Error, Options, Recorder, Store};
use std::sync::Arc;
use storage::{Disk as _, SimDisk};

fn open(disk: &SimDisk) -> Result<Recorder, Error> {
    let options = Options {
        segment_bytes: 1 << 18,
        ..Options::new("unused")
    };
    Recorder::open_on(Arc::new(disk.clone()), None, &options)
}

/// A log that has ended, with something in every place.
async fn recorded() -> SimDisk {
    let disk = SimDisk::new();
    let recorder = open(&disk).unwrap();
    let draft = Draft::new(Kind::Environment, Source::Recorder);
    recorder.append(&draft).await.unwrap();
    recorder.publish().await.unwrap();
    recorder.close().await.unwrap();
    disk
}

const KEYS: [&str; 3] = ["keys/log.key", "keys/secret.key", "keys/vault.key"];

#[tokio::test]
async fn a_missing_key_is_not_replaced() {
    for key in KEYS.into_iter().chain(["log/vkey"]) {
        let disk = recorded().await;
        disk.remove(key).unwrap();
        match open(&disk).map(drop) {
            Err(Error::Missing(path)) => assert_eq!(path, key),
            other => panic!("{key}: {other:?}"),
        }
    }
}

/// Whoever removes a key removes what tells of it too, but for one thing.
#[tokio::test]
async fn a_key_is_not_made_beside_anything_that_is_left_of_a_log() {
    let evidence = [
        "state",
        "log/checkpoint",
        "log/tile",
        "vault",
        "anchors",
        "wal",
    ];
    for left in evidence {
        let disk = recorded().await;
        if left == "wal" {
            disk.publish("wal/0000000000000001.wal", &[0; 64]).unwrap();
        }
        for gone in evidence.iter().filter(|path| **path != left) {
            disk.remove(gone).unwrap();
        }
        for gone in KEYS {
            disk.remove(gone).unwrap();
        }
        for vkey in [true, false] {
            if !vkey {
                disk.remove("log/vkey").unwrap();
            }
            let before = disk.files();
            let error = open(&disk).unwrap_err();
            assert!(matches!(error, Error::Missing(_)), "{left}: {error}");
            assert_eq!(disk.files(), before, "{left}");
        }
    }
}

#[tokio::test]
async fn a_key_that_the_log_is_known_by_is_not_replaced_although_nothing_else_is_left() {
    let disk = recorded().await;
    for gone in [
        "state",
        "log/checkpoint",
        "log/tile",
        "vault",
        "anchors",
        "keys",
    ] {
        disk.remove(gone).unwrap();
    }
    let vkey = disk.read("log/vkey").unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, Error::Missing(_)), "{error}");
    assert_eq!(disk.read("log/vkey").unwrap(), vkey);
}

/// A number is written in one way; what is written in another is nobody's.
#[tokio::test]
async fn files_that_are_not_named_as_the_recorder_names_them_count_for_nothing() {
    let disk = recorded().await;
    for stray in [
        "wal/+000000000000009.wal",
        "wal/9.wal",
        "anchors/+0000000000000000009/checkpoint",
        "log/tile/0/000.p/+9",
        "log/tile/entries/000.p/+9.zst",
    ] {
        disk.publish(stray, b"stray").unwrap();
    }
    let sizes = Store::open_on(Arc::new(disk.clone()))
        .unwrap()
        .published_sizes()
        .unwrap();
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    let recorder = open(&disk).unwrap();
    let draft = Draft::new(Kind::Environment, Source::Recorder);
    recorder.append(&draft).await.unwrap();
    recorder.close().await.unwrap();
}
