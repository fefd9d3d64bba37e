//! The log's keys succeed each other: whatever cuts a rotation short, one key is in force, it is the one that the log
//! names, and the one before it is gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod unpacked;

use event::{Draft, Kind, Line, Source};
use evidence::{Error, Options, Recorder, Rotated, Store, verify};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Disk, Fault, SimDisk};
use unpacked::ROOTS;

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

fn options(dir: &Path) -> Options {
    Options {
        segment_bytes: 1 << 18,
        ..Options::new(dir)
    }
}

fn open(disk: &SimDisk) -> Result<Recorder, Error> {
    Recorder::open_on(Arc::new(disk.clone()), None, &options("sim".as_ref()))
}

/// A recorder that signs no checkpoint of its own accord: only where the change of a key needs one.
fn open_unhurried(disk: &SimDisk) -> Recorder {
    let options = Options {
        checkpoint: Duration::from_secs(3_600),
        ..options("sim".as_ref())
    };
    Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap()
}

fn some_event() -> Draft {
    Draft::new(Kind::Environment, Source::Recorder)
}

fn kinds(store: &Store) -> Vec<String> {
    let lines = store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap());
    lines.map(|line| line.kind).collect()
}

fn verified(disk: &SimDisk) -> verify::Report {
    let dir = tempfile::tempdir().unwrap();
    unpacked::store(disk, dir.path());
    verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap()
}

fn log_key(disk: &SimDisk) -> Vec<u8> {
    disk.read("keys/log.key").unwrap()
}

/// Whether the seed in a key file lies anywhere on the disk.
fn is_kept(disk: &SimDisk, key_file: &[u8]) -> bool {
    let hex = &key_file[3..67];
    ROOTS
        .iter()
        .any(|root| holds(disk, &format!("{root}/"), hex))
}

fn holds(disk: &dyn Disk, at: &str, hex: &[u8]) -> bool {
    disk.list(at.trim_end_matches('/'))
        .unwrap()
        .into_iter()
        .any(|name| {
            let path = format!("{at}{name}");
            match disk.read(&path) {
                Ok(bytes) => bytes.windows(hex.len()).any(|window| window == hex),
                Err(_) => holds(disk, &format!("{path}/"), hex),
            }
        })
}

#[test]
fn a_key_hands_over_to_the_next_and_is_gone() {
    let disk = SimDisk::new();
    run(async {
        let recorder = open(&disk).unwrap();
        let mut last = recorder.append(&some_event()).await.unwrap().seq;
        for epoch in 2..5 {
            let old = log_key(&disk);
            let published = recorder.publish().await.unwrap();
            let rotated = recorder.rotate().await.unwrap();
            assert_eq!(rotated.epoch, epoch);
            assert!(
                published.size <= rotated.size
                    && rotated.size > last
                    && rotated.seq >= rotated.size
            );
            assert!(!is_kept(&disk, &old));
            assert_ne!(log_key(&disk), old);
            assert!(disk.read("keys/log.next.key").is_err());
            assert_eq!(recorder.status().epoch, epoch);
            last = recorder.append(&some_event()).await.unwrap().seq;
            let store = Store::open_on(Arc::new(disk.clone())).unwrap();
            let epochs = store.epochs().unwrap();
            let (begun, ended) = (epochs.in_force(), epochs.get(epoch - 1).unwrap());
            assert_eq!(
                (begun.number, begun.start, begun.event),
                (epoch, rotated.size, Some(rotated.seq))
            );
            // What the old key published stays its own.
            let note = published.note.to_string();
            assert_eq!(epochs.open(note.as_bytes()).unwrap().epoch, ended.number);
            assert!(epochs.open(note.as_bytes()).unwrap().cosigned);
        }
        recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
    });
    let report = verified(&disk);
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
    let epoch = report
        .claims
        .iter()
        .find(|claim| claim.claim == verify::Subject::Epoch)
        .unwrap();
    assert_eq!(epoch.verdict, verify::Verdict::Valid);
    assert!(epoch.detail.contains("4 keys"), "{}", epoch.detail);
    // The next start goes on with the fourth key.
    run(async {
        let recorder = open(&disk).unwrap();
        assert_eq!(recorder.status().epoch, 4);
        recorder.close().await.unwrap();
    });
    assert_eq!(verified(&disk).exit_code(), 0);
}

#[test]
fn the_first_start_tells_of_the_first_key_and_no_later_one_does() {
    let disk = SimDisk::new();
    for _ in 0..2 {
        run(async { open(&disk).unwrap().close().await.unwrap() });
    }
    let store = Store::open_on(Arc::new(disk)).unwrap();
    let expected = [
        "recorder.start",
        "key.epoch",
        "recorder.stop",
        "recorder.start",
        "recorder.stop",
    ];
    assert_eq!(kinds(&store), expected);
    assert!(store.epochs().unwrap().in_force().ml_dsa_44.is_some());
}

#[test]
fn a_key_that_has_served_its_time_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let epoch = Duration::from_millis(20);
        let checkpoint = Duration::from_millis(5);
        let recorder = Recorder::open(Options {
            epoch,
            checkpoint,
            ..options(dir.path())
        })
        .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while recorder.status().epoch < 4 {
            assert!(Instant::now() < deadline, "no rotation");
            recorder.append(&some_event()).await.unwrap();
            tokio::task::yield_now().await;
        }
        recorder.close().await.unwrap();
    });
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
}

#[test]
fn many_orders_at_once_are_carried_out_one_after_the_other() {
    let disk = SimDisk::new();
    run(async {
        let recorder = open(&disk).unwrap();
        let event = some_event();
        let (a, b, c, d, e) = tokio::join!(
            recorder.rotate(),
            recorder.publish(),
            recorder.rotate(),
            recorder.revoke(3, None, "it was shown around"),
            recorder.append(&event),
        );
        let (Rotated { epoch: first, .. }, Rotated { epoch: second, .. }) =
            (a.unwrap(), c.unwrap());
        assert_eq!((first, second), (2, 3));
        b.unwrap();
        e.unwrap();
        let revoked = d.unwrap();
        assert_eq!(revoked.epoch, 3);
        // The key in force was replaced before it was revoked.
        assert_eq!(recorder.status().epoch, 4);
        recorder.close().await.unwrap();
    });
    let store = Store::open_on(Arc::new(disk.clone())).unwrap();
    let epochs = store.epochs().unwrap();
    let third = epochs.get(3).unwrap();
    assert_eq!(third.revoked.as_ref().unwrap().size, third.start);
    let report = verified(&disk);
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
}

#[test]
fn a_revocation_that_makes_no_sense_is_refused() {
    let disk = SimDisk::new();
    run(async {
        let recorder = open(&disk).unwrap();
        recorder.rotate().await.unwrap();
        for (epoch, size, reason) in [
            (0, None, "no such epoch"),
            (9, None, "no such epoch"),
            (1, Some(1_000), "beyond its end"),
            (2, Some(1_000), "in force, and beyond what there is"),
            (2, Some(0), "in force, and before it began"),
            (1, None, ""),
            (1, None, "two\nlines"),
        ] {
            let error = recorder.revoke(epoch, size, reason).await.unwrap_err();
            assert!(matches!(error, Error::Event(_)), "{error}");
            assert_eq!(recorder.status().epoch, 2, "no key was destroyed for it");
        }
        let draft = Draft::new(Kind::KeyRevoked, Source::Recorder);
        assert!(matches!(
            recorder.append(&draft).await,
            Err(Error::Event(_))
        ));
        recorder.append(&some_event()).await.unwrap();
        recorder.close().await.unwrap();
    });
    assert_eq!(verified(&disk).exit_code(), 0);
}

/// What changes the keys that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Rotate,
    /// Of the key in force, which is replaced first.
    Revoke,
}

/// Every storage operation of an order fails once, having taken effect or not, and in the end none; then the power
/// goes, with what was not synced lost or kept. Returns how many operations failed.
fn cut_short_anywhere(order: Order) -> u64 {
    let mut struck = 0;
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            for after in 0.. {
                let disk = SimDisk::new();
                let (first, untouched) = run(async {
                    let recorder = open_unhurried(&disk);
                    recorder.append(&some_event()).await.unwrap();
                    let first = log_key(&disk);
                    disk.arm(after, "any", kind, fault);
                    // It may fail or not: what counts is what the next start makes of it.
                    match order {
                        Order::Rotate => drop(recorder.rotate().await),
                        Order::Revoke => drop(recorder.revoke(1, None, "it was stolen").await),
                    }
                    let untouched = disk.is_armed();
                    std::mem::forget(recorder);
                    (first, untouched)
                });
                let reached = disk.power_cut(|_, durable, volatile| {
                    if after % 2 == 0 {
                        durable.to_vec()
                    } else {
                        volatile.to_vec()
                    }
                });
                check_after(&reached, &first);
                if untouched {
                    break;
                }
                struck += 1;
            }
        }
    }
    struck
}

#[test]
fn a_rotation_that_is_cut_short_anywhere_is_finished_or_undone() {
    let struck = cut_short_anywhere(Order::Rotate);
    assert!(struck >= 12, "{struck}");
}

#[test]
fn a_revocation_of_the_key_in_force_that_is_cut_short_anywhere_leaves_a_log_that_goes_on() {
    let struck = cut_short_anywhere(Order::Revoke);
    assert!(struck >= 24, "{struck}");
}

/// What the revoked key signed is not what the log rests on, from the moment it is revoked.
#[test]
fn a_log_whose_key_was_just_revoked_verifies_while_it_is_written() {
    let disk = SimDisk::new();
    run(async {
        let recorder = open_unhurried(&disk);
        recorder.append(&some_event()).await.unwrap();
        for epoch in 1..4 {
            recorder.publish().await.unwrap();
            let revoked = recorder.revoke(epoch, None, "it was stolen").await.unwrap();
            assert_eq!(revoked.epoch, epoch);
            let report = verified(&disk);
            assert_eq!((report.exit_code(), &report.faults), (0, &vec![]));
            let said = report
                .claims
                .iter()
                .find(|claim| claim.claim == verify::Subject::Epoch);
            let told = format!("the key of epoch {epoch} was revoked by event");
            assert!(said.unwrap().detail.contains(&told), "{said:?}");
            let store = Store::open_on(Arc::new(disk.clone())).unwrap();
            assert!(store.checkpoint().unwrap().unwrap().size() > revoked.size);
        }
        recorder.close().await.unwrap();
    });
}

/// The store goes on, with the key that its log names, and verifies.
fn check_after(disk: &SimDisk, first: &[u8]) {
    run(async {
        let recorder = open(disk).unwrap();
        recorder.append(&some_event()).await.unwrap();
        let epoch = recorder.status().epoch;
        assert!(disk.read("keys/log.next.key").is_err());
        assert_eq!(is_kept(disk, first), epoch == 1);
        recorder.rotate().await.unwrap();
        recorder.publish().await.unwrap();
        recorder.close().await.unwrap();
    });
    let report = verified(disk);
    // The unclean end is a gap of its own.
    assert_eq!(
        (report.exit_code(), &report.faults),
        (11, &vec![]),
        "{report:?}"
    );
}

#[test]
fn a_key_that_the_log_does_not_name_is_refused() {
    for name in ["keys/log.key", "log/vkey"] {
        let (disk, other) = (SimDisk::new(), SimDisk::new());
        for disk in [&disk, &other] {
            run(async {
                let recorder = open(disk).unwrap();
                recorder.rotate().await.unwrap();
                recorder.close().await.unwrap();
            });
        }
        disk.publish(name, &other.read(name).unwrap()).unwrap();
        let error = open(&disk).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}
