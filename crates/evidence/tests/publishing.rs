//! A published checkpoint covers what was durable, bears both signatures, and is the same for ever.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use event::{Draft, Kind, Source};
use evidence::{Error, Options, Recorder, Store, verify};
use std::io::ErrorKind;
use std::sync::Arc;
use storage::{Disk, Fault, SimDisk};
use tlog::note::{Algorithm, VerifyingKey};
use tlog::{Checkpoint, Hash};

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn options(dir: &std::path::Path) -> Options {
    Options {
        segment_bytes: 1 << 20,
        // Nothing but the order itself may have made it.
        checkpoint: std::time::Duration::from_secs(3600),
        ..Options::new(dir)
    }
}

fn some_event() -> Draft {
    Draft::new(Kind::Environment, Source::Recorder)
}

#[test]
fn a_published_checkpoint_covers_what_was_durable_and_bears_both_signatures() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let recorder = Recorder::open(options(dir.path())).unwrap();
        for _ in 0..300 {
            let seq = recorder.append(&some_event()).await.unwrap().seq;
            if seq % 100 != 7 {
                continue;
            }
            let published = recorder.publish().await.unwrap();
            assert!(published.size > seq);
            let store = Store::open(dir.path()).unwrap();
            assert_eq!(
                store.published(published.size).unwrap().unwrap(),
                published.note
            );
            let vkey: VerifyingKey = store.verifier_key().parse().unwrap();
            let bytes = published.note.to_string();
            let (checkpoint, note) =
                Checkpoint::open(bytes.as_bytes(), vkey.name(), std::slice::from_ref(&vkey))
                    .unwrap();
            assert_eq!(
                (checkpoint.size(), checkpoint.root()),
                (published.size, published.root)
            );
            assert_eq!(root_of(&store, published.size), published.root);
            let [first, second] = note.signatures() else {
                panic!("{} signatures", note.signatures().len());
            };
            assert_eq!(first.id(), vkey.id());
            assert_eq!(
                (second.name(), second.bytes().len()),
                (vkey.name(), 8 + 2_420)
            );
        }
        let twice = [
            recorder.publish().await.unwrap(),
            recorder.publish().await.unwrap(),
        ];
        assert_eq!(twice[0], twice[1]);
        recorder.close().await.unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.published_sizes().unwrap(), [8, 108, 208, 302]);
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
}

fn root_of(store: &Store, size: u64) -> Hash {
    let mut tree = tlog::Frontier::new();
    for entry in store.events(0).take(usize::try_from(size).unwrap()) {
        tree.push(tlog::leaf_hash(&entry.unwrap().line));
    }
    tree.root()
}

#[test]
fn a_store_with_published_checkpoints_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(async {
        let recorder = Recorder::open(options(dir.path())).unwrap();
        let published = recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
        published
    });
    run(async {
        let recorder = Recorder::open(options(dir.path())).unwrap();
        assert!(recorder.publish().await.unwrap().size > first.size);
        recorder.close().await.unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.published(first.size).unwrap(), Some(first.note));
}

#[test]
fn a_publication_that_broke_off_is_no_head_that_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let first = run(async {
        let recorder = Recorder::open(options(dir.path())).unwrap();
        let published = recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
        published.size
    });
    // Before the log's end, and behind it.
    for size in [first + 1, 1_000] {
        std::fs::create_dir(dir.path().join(format!("anchors/{size:020}"))).unwrap();
    }
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.published_sizes().unwrap(), [first]);
    let verified = || verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    let report = verified();
    assert_eq!(
        (report.exit_code(), report.faults, report.missing),
        (0, vec![], vec![])
    );
    // A directory that holds something is one of which something is missing.
    let other = dir
        .path()
        .join(format!("anchors/{:020}/cosigned", first + 1));
    std::fs::write(other, "").unwrap();
    assert_eq!(verified().exit_code(), 12);
}

#[test]
fn an_order_that_nobody_can_carry_out_ends_in_an_error() {
    let disk = SimDisk::new();
    run(async {
        let recorder =
            Recorder::open_on(Arc::new(disk.clone()), None, &options("sim".as_ref())).unwrap();
        let other = recorder.clone();
        recorder.close().await.unwrap();
        assert!(matches!(other.publish().await, Err(Error::Closed)));
    });
}

#[test]
fn a_disk_that_fails_while_publishing_fails_the_recorder_and_tells_the_caller() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        // The checkpoint of the log is renewed first, the published one written after it.
        for after in 0..2 {
            let disk = SimDisk::new();
            run(async {
                let recorder =
                    Recorder::open_on(Arc::new(disk.clone()), None, &options("sim".as_ref()))
                        .unwrap();
                recorder.append(&some_event()).await.unwrap();
                disk.arm(after, "publish", ErrorKind::Other, fault);
                let error = recorder.publish().await.unwrap_err();
                assert!(matches!(error, Error::Io { .. }), "{error}");
                assert!(!disk.is_armed());
                recorder.failed().await;
                recorder.publish().await.unwrap_err();
            });
            // What was acknowledged is there, and a published checkpoint is whole or not there.
            let after = disk.power_cut(|_, durable, _| durable.to_vec());
            run(async {
                let recorder =
                    Recorder::open_on(Arc::new(after.clone()), None, &options("sim".as_ref()))
                        .unwrap();
                recorder.publish().await.unwrap();
                recorder.close().await.unwrap();
            });
            let store = Store::open_on(Arc::new(after)).unwrap();
            for size in store.published_sizes().unwrap() {
                assert!(store.published(size).unwrap().is_some());
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_to_publish_and_the_recorder_goes_on() {
    let disk = SimDisk::new();
    run(async {
        let recorder =
            Recorder::open_on(Arc::new(disk.clone()), None, &options("sim".as_ref())).unwrap();
        recorder.append(&some_event()).await.unwrap();
        disk.set_room(Some(0));
        let error = recorder.publish().await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Io {
                    kind: ErrorKind::StorageFull,
                    ..
                }
            ),
            "{error}"
        );
        disk.set_room(None);
        let published = recorder.publish().await.unwrap();
        assert!(published.size >= 2);
        recorder.close().await.unwrap();
    });
}

#[test]
fn another_head_at_a_published_size_is_named_and_does_not_stop_the_recorder() {
    let disk = SimDisk::new();
    run(async {
        let recorder =
            Recorder::open_on(Arc::new(disk.clone()), None, &options("sim".as_ref())).unwrap();
        let size = Store::open_on(Arc::new(disk.clone())).unwrap().len();
        let other = Checkpoint::new("another", size, Hash::new([7; 32])).unwrap();
        let key = tlog::note::SigningKey::from_seed("another", &[9; 32]).unwrap();
        assert_eq!(key.verifying_key().algorithm(), Algorithm::Ed25519);
        let note = other.sign(&key).unwrap().to_string();
        disk.publish(&format!("anchors/{size:020}/checkpoint"), note.as_bytes())
            .unwrap();
        let error = recorder.publish().await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        recorder.append(&some_event()).await.unwrap();
        recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
    });
}
