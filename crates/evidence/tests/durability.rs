//! What is acknowledged is kept: across a clean end, an unclean end, and a power cut at every write.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use event::{Draft, Exchange, Kind, Line, Outcome, Role, Run, Source, State};
use evidence::{Error, Options, Recorder, Store, verify};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, Fault, SimDisk};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn small(dir: &Path) -> Options {
    Options {
        segment_bytes: 1 << 20,
        ..Options::new(dir)
    }
}

fn request(run: &str) -> Draft {
    let mut draft = Draft::new(Kind::ModelRequest, Source::Gateway);
    draft.run = Some(Run {
        id: run.into(),
        ..Run::default()
    });
    draft
}

fn response(run: &str, call: u64) -> Draft {
    let mut draft = Draft::new(Kind::ModelResponse, Source::Gateway);
    draft.run = Some(Run {
        id: run.into(),
        ..Run::default()
    });
    draft.exchange = Some(Exchange {
        call: Some(call),
        ..Exchange::default()
    });
    draft.outcome = Some(Outcome {
        state: State::Completed,
        error: None,
        reason: None,
    });
    draft
}

fn lines(store: &Store) -> Vec<Line> {
    store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
        .collect()
}

/// Bytes like text: compressible, never repeating.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"abcdefghijklmnop"[(state % 16) as usize]
        })
        .collect()
}

#[test]
fn a_closed_store_holds_every_event_and_body_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 511, 512, 513, 4_000, 70_000, 3_000_000];
    let bodies = runtime().block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        let mut bodies = Vec::new();
        for (index, size) in sizes.into_iter().enumerate() {
            let bytes = text(index as u64, size);
            let mut draft = request("a");
            draft.bodies.push(
                recorder
                    .put(Role::Request, None, None, &bytes)
                    .await
                    .unwrap(),
            );
            let call = recorder.append(&draft).await.unwrap().seq;
            recorder.append(&response("a", call)).await.unwrap();
            bodies.push((draft.bodies.remove(0), bytes));
        }
        recorder.close().await.unwrap();
        bodies
    });
    let store = Store::open(dir.path()).unwrap();
    for (reference, bytes) in &bodies {
        assert_eq!(&store.body(reference).unwrap(), bytes, "{}", reference.len);
    }
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
    assert_eq!(report.events, 3 + 2 * sizes.len() as u64);
    assert_eq!(
        (report.signed_events, report.unsigned_tail),
        (report.events, 0)
    );
    assert_eq!(report.body_bytes, sizes.iter().sum::<usize>() as u64);
    assert_eq!(
        std::fs::read_dir(dir.path().join("wal")).unwrap().count(),
        0
    );
}

#[test]
fn a_live_store_reads_what_was_just_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        for index in 0..600_u64 {
            let mut draft = request("live");
            let bytes = text(index, 9_000);
            draft.bodies.push(
                recorder
                    .put(Role::Request, None, None, &bytes)
                    .await
                    .unwrap(),
            );
            let seq = recorder.append(&draft).await.unwrap().seq;
            assert!(store.refresh().unwrap() > seq);
            let line = Line::parse(&store.event(seq).unwrap()).unwrap();
            assert_eq!(line.seq, seq);
            assert_eq!(store.body(&line.bodies[0]).unwrap(), bytes);
        }
        recorder.close().await.unwrap();
    });
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(lines(&store).len(), 603);
}

#[test]
fn an_idle_recorder_shows_that_it_is_alive() {
    let dir = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let heartbeat = std::time::Duration::from_millis(20);
        let recorder = Recorder::open(Options {
            heartbeat,
            ..small(dir.path())
        })
        .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mut store = Store::open(dir.path()).unwrap();
        while store.refresh().unwrap() < 5 {
            assert!(
                std::time::Instant::now() < deadline,
                "no heartbeat is durable"
            );
            tokio::task::yield_now().await;
        }
        recorder.close().await.unwrap();
    });
    let lines = lines(&Store::open(dir.path()).unwrap());
    assert!(lines.iter().filter(|line| line.kind == "heartbeat").count() >= 3);
}

#[test]
fn a_resent_context_is_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let unique = text(1, 200_000);
    runtime().block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        for turn in 1..=100 {
            let mut draft = request("growing");
            let sent = &unique[..turn * 2_000];
            draft
                .bodies
                .push(recorder.put(Role::Request, None, None, sent).await.unwrap());
            recorder.append(&draft).await.unwrap();
        }
        recorder.close().await.unwrap();
    });
    let vault: u64 = std::fs::read_dir(dir.path().join("vault"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(
        vault < 200_000,
        "{vault} bytes for 200,000 unique and 10,100,000 sent"
    );
}

#[test]
fn an_unclean_end_loses_nothing_and_closes_what_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let partial = text(9, 50_000);
    let acknowledged = runtime().block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        let mut last = 0;
        for index in 0..300 {
            let mut draft = request("a");
            draft.bodies.push(
                recorder
                    .put(Role::Request, None, None, &text(index, 2_000))
                    .await
                    .unwrap(),
            );
            let call = recorder.append(&draft).await.unwrap().seq;
            last = recorder.append(&response("a", call)).await.unwrap().seq;
        }
        let call = recorder.append(&request("b")).await.unwrap().seq;
        let mut body = recorder.body().unwrap();
        body.attach(call, Role::Response);
        for piece in partial.chunks(1_234) {
            body.write(piece).await.unwrap();
            body.flush().await.unwrap().await.unwrap();
        }
        // The process would die here: nothing is closed, the lock goes with it. Its settler has nothing left to do, so
        // that it does not write where the next recorder does.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while recorder.status().checkpoint < recorder.status().durable {
            assert!(std::time::Instant::now() < deadline, "nothing was signed");
            tokio::task::yield_now().await;
        }
        std::mem::forget(recorder);
        last
    });
    std::fs::remove_file(dir.path().join("lock")).unwrap();
    let store = runtime().block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        recorder.close().await.unwrap();
        Store::open(dir.path()).unwrap()
    });
    let lines = lines(&store);
    assert!(lines.len() as u64 > acknowledged);
    let kinds: Vec<&str> = lines
        .iter()
        .rev()
        .take(5)
        .rev()
        .map(|line| line.kind.as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "recorder.start",
            "recorder.recovered",
            "gap",
            "model.response",
            "recorder.stop"
        ]
    );
    let closed = &lines[lines.len() - 2];
    assert_eq!(closed.outcome.as_ref().unwrap().state, State::Interrupted);
    assert_eq!(closed.run.as_ref().unwrap().id, "b");
    assert_eq!(store.body(&closed.bodies[0]).unwrap(), partial);
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!(
        (report.exit_code(), report.faults, report.open_calls),
        (11, vec![], vec![])
    );
}

#[test]
fn a_second_recorder_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Recorder::open(small(dir.path())).unwrap();
    assert!(matches!(
        Recorder::open(small(dir.path())),
        Err(Error::InUse { .. })
    ));
}

#[test]
fn a_newer_or_foreign_directory_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("format"), "tachograph 99\n").unwrap();
    assert!(matches!(
        Recorder::open(small(dir.path())),
        Err(Error::Newer { .. })
    ));
    assert!(matches!(Store::open(dir.path()), Err(Error::Newer { .. })));

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "mine").unwrap();
    assert!(matches!(
        Recorder::open(small(dir.path())),
        Err(Error::NotARecord { holds }) if holds == "thesis.txt"
    ));
    assert!(matches!(Store::open(dir.path()), Err(Error::Missing(_))));
    let held = std::fs::read_dir(dir.path()).unwrap();
    let held: Vec<_> = held.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(held, ["thesis.txt"], "nothing is left in it");
}

#[test]
fn nobody_else_can_look_into_a_record() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777)).unwrap();
    runtime().block_on(async {
        let recorder = Recorder::open(small(&data)).unwrap();
        append_until_failure(&recorder, 20).await;
        recorder.close().await.unwrap();
    });
    let mut waiting = vec![data];
    while let Some(path) = waiting.pop() {
        let meta = std::fs::metadata(&path).unwrap();
        assert_eq!(meta.permissions().mode() & 0o077, 0, "{}", path.display());
        if meta.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        }
    }
}

/// Appends calls until the disk fails; returns the `seq`s that were acknowledged.
async fn append_until_failure(recorder: &Recorder, calls: u64) -> (Vec<u64>, Option<Error>) {
    let mut acknowledged = Vec::new();
    for index in 0..calls {
        let step = async {
            let mut draft = request("a");
            draft.bodies.push(
                recorder
                    .put(Role::Request, None, None, &text(index, 3_000))
                    .await?,
            );
            let call = recorder.append(&draft).await?.seq;
            let closed = recorder.append(&response("a", call)).await?.seq;
            Ok::<_, Error>([call, closed])
        };
        match step.await {
            Ok(seqs) => acknowledged.extend(seqs),
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

fn check_recovered(disk: SimDisk, acknowledged: &[u64]) {
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let options = small(Path::new("unused"));
    runtime().block_on(async {
        let recorder = Recorder::open_on(disk.clone(), None, &options).unwrap();
        recorder.close().await.unwrap();
    });
    let store = Store::open_on(disk).unwrap();
    let lines = lines(&store);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(line.seq, index as u64);
        for body in &line.bodies {
            store.body(body).unwrap();
        }
    }
    for seq in acknowledged {
        assert!(matches!(
            lines[*seq as usize].kind.as_str(),
            "model.request" | "model.response"
        ));
    }
    let mut open: std::collections::BTreeSet<u64> = lines
        .iter()
        .filter(|line| line.kind == "model.request")
        .map(|line| line.seq)
        .collect();
    for line in lines.iter().filter(|line| line.kind == "model.response") {
        assert!(
            open.remove(&line.exchange.as_ref().unwrap().call.unwrap()),
            "closed twice"
        );
    }
    assert!(open.is_empty(), "calls without an end: {open:?}");
}

#[test]
fn a_failed_write_or_sync_is_fatal_and_loses_nothing_acknowledged() {
    for operation in ["write_at", "sync"] {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            for after in [0, 1, 2, 7, 30] {
                let disk = SimDisk::new();
                let shared: Arc<dyn Disk> = Arc::new(disk.clone());
                let options = small(Path::new("unused"));
                let acknowledged = runtime().block_on(async {
                    let recorder = Recorder::open_on(shared, None, &options).unwrap();
                    disk.arm(after, operation, ErrorKind::Other, fault);
                    let (acknowledged, error) = append_until_failure(&recorder, 100).await;
                    assert!(
                        matches!(error, Some(Error::Fatal(_))),
                        "{operation} {fault:?} {after}: {error:?}"
                    );
                    assert!(matches!(recorder.failed().await, Error::Fatal(_)));
                    assert!(recorder.append(&request("later")).await.is_err());
                    acknowledged
                });
                check_recovered(
                    disk.power_cut(|_, durable, _| durable.to_vec()),
                    &acknowledged,
                );
                check_recovered(
                    disk.power_cut(|_, _, volatile| volatile.to_vec()),
                    &acknowledged,
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A power cut keeps an arbitrary part of the unsynced bytes of the last write.
    #[test]
    fn a_torn_write_is_no_loss(calls in 1_u64..40, keep in 0_usize..6_000) {
        let disk = SimDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = small(Path::new("unused"));
        let acknowledged = runtime().block_on(async {
            let recorder = Recorder::open_on(shared, None, &options).unwrap();
            let (acknowledged, _) = append_until_failure(&recorder, calls).await;
            disk.arm(0, "sync", ErrorKind::Other, Fault::NotPersisted);
            let _ = append_until_failure(&recorder, 1).await;
            acknowledged
        });
        let after = disk.power_cut(|path, durable, volatile| {
            if !path.starts_with("wal/") {
                return durable.to_vec();
            }
            let mut found = durable.to_vec();
            let first = durable.iter().zip(volatile).position(|(a, b)| a != b).unwrap_or(0);
            let end = (first + keep).min(volatile.len());
            found[first..end].copy_from_slice(&volatile[first..end]);
            found
        });
        check_recovered(after, &acknowledged);
    }
}

#[test]
fn a_changed_acknowledged_record_in_the_log_stops_the_recorder() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options {
        checkpoint: std::time::Duration::from_secs(3600),
        ..small(Path::new("unused"))
    };
    runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        append_until_failure(&recorder, 20).await;
        std::mem::forget(recorder);
    });
    let cut = disk.power_cut(|_, durable, _| durable.to_vec());
    assert!(cut.edit("wal/0000000000000001.wal", |bytes| bytes[5_000] ^= 1));
    let opened = Recorder::open_on(Arc::new(cut), None, &options);
    assert!(matches!(opened, Err(Error::Damaged { .. })), "{opened:?}");
}

#[test]
fn a_full_disk_refuses_and_says_so_and_nothing_is_lost() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = small(Path::new("unused"));
    let acknowledged = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        disk.set_room(Some(0));
        let (mut acknowledged, error) = append_until_failure(&recorder, 10_000).await;
        assert!(matches!(error, Some(Error::Full(_))), "{error:?}");
        assert!(recorder.status().refused > 0);
        disk.set_room(None);
        // The next attempt may still meet the old answer of the allocator; the one after must not.
        let mut again = append_until_failure(&recorder, 5).await;
        for _ in 0..100 {
            if again.1.is_none() {
                break;
            }
            again = append_until_failure(&recorder, 5).await;
        }
        assert!(again.1.is_none(), "{:?}", again.1);
        assert_eq!(recorder.status().refused, 0, "what is over is not reported");
        acknowledged.extend(again.0);
        recorder.close().await.unwrap();
        acknowledged
    });
    let store = Store::open_on(Arc::new(disk)).unwrap();
    let lines = lines(&store);
    assert!(lines.iter().any(|line| {
        line.gap
            .as_ref()
            .is_some_and(|gap| gap.cause == "disk-full")
    }));
    for seq in acknowledged {
        assert!(lines[seq as usize].kind.starts_with("model."));
    }
}

/// One event that is tried until there is room for it is one refusal, however often that is.
#[test]
fn an_event_that_is_tried_again_is_refused_once() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = small(Path::new("unused"));
    let refused = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        disk.set_room(Some(0));
        let (_, error) = append_until_failure(&recorder, 10_000).await;
        assert!(matches!(error, Some(Error::Full(_))), "{error:?}");
        let again = request("again");
        while recorder.append(&again).await.is_ok() {}
        let refused = recorder.status().refused;
        for _ in 0..20 {
            let tried = recorder.submit_again(&again).await.unwrap().await;
            assert!(matches!(tried, Err(Error::Full(_))), "{tried:?}");
        }
        assert_eq!(recorder.status().refused, refused);
        disk.set_room(None);
        let mut tries = 0;
        while recorder.submit_again(&again).await.unwrap().await.is_err() {
            tries += 1;
            assert!(tries < 500, "the recorder never went on");
        }
        recorder.close().await.unwrap();
        refused
    });
    let store = Store::open_on(Arc::new(disk)).unwrap();
    let gaps = lines(&store).into_iter().filter_map(|line| line.gap);
    let full = gaps.filter(|gap| gap.cause == "disk-full");
    assert_eq!(full.map(|gap| gap.count).sum::<u64>(), refused);
}

/// A call that has not ended when the recorder does in good order ends at the next start.
#[test]
fn a_call_left_open_by_a_clean_end_is_closed_at_the_next_start() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let options = small(Path::new("unused"));
    let call = runtime().block_on(async {
        let recorder = Recorder::open_on(disk.clone(), None, &options).unwrap();
        let call = recorder.append(&request("a")).await.unwrap().seq;
        let mut body = recorder.body().unwrap();
        body.attach(call, Role::Response);
        body.write(b"half an answer").await.unwrap();
        body.flush().await.unwrap().await.unwrap();
        recorder.close().await.unwrap();
        call
    });
    for starts in 1..=2 {
        runtime().block_on(async {
            let recorder = Recorder::open_on(disk.clone(), None, &options).unwrap();
            recorder.close().await.unwrap();
        });
        let store = Store::open_on(disk.clone()).unwrap();
        let lines = lines(&store);
        let ends: Vec<&Line> = lines
            .iter()
            .filter(|line| line.exchange.as_ref().and_then(|exchange| exchange.call) == Some(call))
            .collect();
        assert_eq!(ends.len(), 1, "after {starts} starts");
        assert_eq!(ends[0].outcome.as_ref().unwrap().state, State::Interrupted);
        assert_eq!(store.body(&ends[0].bodies[0]).unwrap(), b"half an answer");
        assert!(!lines.iter().any(|line| line.kind == "recorder.recovered"));
    }
}

/// A power cut, and then a fault or a second power cut at every step of the recovery.
#[test]
fn a_recovery_that_is_cut_short_at_any_step_is_made_up_for() {
    let options = small(Path::new("unused"));
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (acknowledged, call) = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        let (acknowledged, _) = append_until_failure(&recorder, 30).await;
        let call = recorder.append(&request("open")).await.unwrap().seq;
        std::mem::forget(recorder);
        (acknowledged, call)
    });
    let mut struck = 0;
    for step in 0..200 {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            let cut = disk.power_cut(|_, durable, _| durable.to_vec());
            cut.arm(step, "any", ErrorKind::Other, fault);
            let opened = runtime()
                .block_on(async { Recorder::open_on(Arc::new(cut.clone()), None, &options) });
            if cut.is_armed() {
                continue;
            }
            struck += 1;
            drop(opened);
            let again = cut.power_cut(|_, durable, _| durable.to_vec());
            check_recovered(again.clone(), &acknowledged);
            let lines = lines(&Store::open_on(Arc::new(again)).unwrap());
            let recovered = lines.iter().any(|line| line.kind == "recorder.recovered");
            assert!(
                recovered,
                "step {step}, {fault:?}: the unclean end is not told"
            );
            assert!(lines.iter().any(|line| {
                line.outcome
                    .as_ref()
                    .is_some_and(|outcome| outcome.state == State::Interrupted)
                    && line.causes.contains(&call)
            }));
        }
    }
    assert!(struck > 20, "only {struck} steps");
}

/// A file that cannot be read for a while is not a file that is missing: nothing is put in its place.
#[test]
fn a_file_that_cannot_be_read_stops_the_start_and_is_not_replaced() {
    let options = small(Path::new("unused"));
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let acknowledged = runtime().block_on(async {
        let recorder = Recorder::open_on(shared.clone(), None, &options).unwrap();
        append_until_failure(&recorder, 30).await;
        recorder.close().await.unwrap();
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        let (acknowledged, _) = append_until_failure(&recorder, 10).await;
        std::mem::forget(recorder);
        acknowledged
    });
    let disk = disk.power_cut(|_, durable, _| durable.to_vec());
    let mut refused = 0;
    for path in disk.paths() {
        let before = disk.power_cut(|_, durable, _| durable.to_vec());
        let tried = disk.power_cut(|_, durable, _| durable.to_vec());
        tried.set_unreadable(Some(&path));
        let opened = runtime()
            .block_on(async { Recorder::open_on(Arc::new(tried.clone()), None, &options) });
        tried.set_unreadable(None);
        refused += usize::from(opened.is_err());
        std::mem::forget(opened);
        for kept in ["keys/log.key", "keys/secret.key", "log/vkey", "format"] {
            assert_eq!(
                tried.read(kept).unwrap(),
                before.read(kept).unwrap(),
                "{kept}, while {path} could not be read"
            );
        }
        check_recovered(
            tried.power_cut(|_, durable, _| durable.to_vec()),
            &acknowledged,
        );
    }
    assert!(refused > 8, "only {refused} files are read at a start");
}

/// A segment that the disk fails to make, rather than having no room for it, ends the recorder.
#[test]
fn a_disk_that_fails_to_make_a_segment_is_fatal_and_loses_nothing_acknowledged() {
    let options = small(Path::new("unused"));
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        let disk = SimDisk::new();
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let acknowledged = runtime().block_on(async {
            let recorder = Recorder::open_on(shared, None, &options).unwrap();
            disk.arm(0, "allocate", ErrorKind::Other, fault);
            // The next segment may have been made already; the one behind it then fails.
            let (acknowledged, error) = append_until_failure(&recorder, 20_000).await;
            assert!(!disk.is_armed(), "no segment was needed");
            assert!(matches!(error, Some(Error::Fatal(_))), "{error:?}");
            acknowledged
        });
        check_recovered(
            disk.power_cut(|_, durable, _| durable.to_vec()),
            &acknowledged,
        );
    }
}

/// A thread that unwinds takes the recorder with it: one that goes on unsigned would look well.
#[test]
fn a_settler_that_unwinds_ends_the_recorder_and_loses_nothing_acknowledged() {
    let options = Options {
        checkpoint: std::time::Duration::from_millis(5),
        ..small(Path::new("unused"))
    };
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let acknowledged = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        disk.arm(0, "publish", ErrorKind::Other, Fault::Unwinds);
        let (acknowledged, _) = append_until_failure(&recorder, 3).await;
        let patience = std::time::Duration::from_secs(30);
        let failed = tokio::time::timeout(patience, recorder.failed()).await;
        assert!(matches!(failed, Ok(Error::Fatal(_))), "{failed:?}");
        acknowledged
    });
    check_recovered(
        disk.power_cut(|_, durable, _| durable.to_vec()),
        &acknowledged,
    );
}

/// Lays a disk's files down where `verify` looks.
fn lay_down(disk: &SimDisk, path: &str, to: &Path) {
    for name in disk.list(path).unwrap() {
        let inner = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}/{name}")
        };
        match disk.read(&inner) {
            Ok(bytes) => std::fs::write(to.join(&name), bytes).unwrap(),
            Err(_) => {
                std::fs::create_dir(to.join(&name)).unwrap();
                lay_down(disk, &inner, &to.join(&name));
            }
        }
    }
}

/// A first start that fails, or is killed, at any step leaves nothing that looks like somebody's doing.
#[test]
fn a_first_start_that_is_cut_short_at_any_step_is_not_called_altered() {
    let options = small(Path::new("unused"));
    let mut begun = 0;
    for step in 0..60 {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            let disk = SimDisk::new();
            disk.arm(step, "any", ErrorKind::Other, fault);
            let opened = runtime()
                .block_on(async { Recorder::open_on(Arc::new(disk.clone()), None, &options) });
            if disk.is_armed() {
                continue;
            }
            drop(opened);
            let dir = tempfile::tempdir().unwrap();
            lay_down(&disk, "", dir.path());
            match verify::run(dir.path(), &verify::Options::default(), &mut |_| ()) {
                Ok(report) => {
                    begun += 1;
                    assert_eq!(report.faults, [], "step {step}, {fault:?}");
                }
                Err(Error::Missing(_)) => {}
                Err(error) => panic!("step {step}, {fault:?}: {error}"),
            }
            check_recovered(disk, &[]);
        }
    }
    assert!(begun > 5, "only {begun} steps left a store");
}

/// Signing shows tiles that are never synced, and a segment is begun by the write of its first batch. Power fails,
/// and fails again at each step of the recovery.
#[test]
fn what_was_torn_and_nothing_relies_on_keeps_no_recorder_from_starting() {
    let options = Options {
        checkpoint: std::time::Duration::from_secs(3600),
        ..small(Path::new("unused"))
    };
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let acknowledged = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        let (mut acknowledged, _) = append_until_failure(&recorder, 5).await;
        recorder.publish().await.unwrap();
        acknowledged.extend(append_until_failure(&recorder, 5).await.0);
        std::mem::forget(recorder);
        acknowledged
    });
    // Each write is torn behind so many bytes; the header of a segment has 32.
    for bytes in [1, 20, 40] {
        let torn = |n: u64| if n == 4 { 1 } else { bytes.min(n - 1) };
        for step in 0..100 {
            let cut = disk.lose_power(&mut { torn });
            cut.arm(step, "any", ErrorKind::Other, Fault::Dies);
            drop(Recorder::open_on(Arc::new(cut.clone()), None, &options));
            if cut.is_armed() {
                break;
            }
            check_recovered(cut.lose_power(&mut { torn }), &acknowledged);
        }
    }
}

/// The next segment is made ahead of need, by a thread that may be cut short with the process.
#[test]
fn a_segment_that_was_only_half_made_keeps_no_recorder_from_starting() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (acknowledged, next) = runtime().block_on(async {
        let options = small(Path::new("unused"));
        let recorder = Recorder::open_on(shared.clone(), None, &options).unwrap();
        let (acknowledged, _) = append_until_failure(&recorder, 5).await;
        recorder.publish().await.unwrap();
        std::mem::forget(recorder);
        let newest = shared.list("wal").unwrap().pop().unwrap();
        let number: u64 = newest.strip_suffix(".wal").unwrap().parse().unwrap();
        (acknowledged, format!("wal/{:016}.wal", number + 1))
    });
    for bytes in [0, 1, 31, 32, 4096] {
        let left = disk.lose_power(&mut |n| n - 1);
        left.write(&next, &vec![0; bytes]).unwrap();
        check_recovered(left, &acknowledged);
    }
}

#[test]
fn nothing_is_acknowledged_once_settling_has_failed() {
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &small(Path::new("unused"))).unwrap();
        recorder.append(&request("a")).await.unwrap();
        disk.arm(0, "publish", ErrorKind::Other, Fault::NotPersisted);
        assert!(recorder.publish().await.is_err());
        assert!(matches!(recorder.failed().await, Error::Fatal(_)));
        let later = recorder.append(&request("b")).await;
        assert!(matches!(later, Err(Error::Fatal(_))), "{later:?}");
    });
}

/// What must be there and is not is missed, by the recorder and by a verifier; nothing is changed meanwhile.
#[test]
fn a_recorder_does_not_go_on_without_what_was_there() {
    let options = small(Path::new("unused"));
    let disk = SimDisk::new();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    runtime().block_on(async {
        let recorder = Recorder::open_on(shared.clone(), None, &options).unwrap();
        append_until_failure(&recorder, 400).await;
        recorder.close().await.unwrap();
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        append_until_failure(&recorder, 10).await;
        std::mem::forget(recorder);
    });
    let wal = disk.list("wal").unwrap();
    for gone in [
        "state",
        "log/checkpoint",
        "log/vkey",
        "log/tile/0/000",
        "log/tile/entries/000.zst",
        "vault/0000000001.vol",
        "vault/salts/00000000.seed",
        "keys/log.key",
        "keys/secret.key",
        &format!("wal/{}", wal[0]),
    ] {
        let cut = disk.power_cut(|_, durable, _| durable.to_vec());
        assert!(cut.read(gone).is_ok(), "{gone} is not there to be removed");
        cut.remove(gone).unwrap();
        let before = cut.operations();
        let opened =
            runtime().block_on(async { Recorder::open_on(Arc::new(cut.clone()), None, &options) });
        assert!(
            matches!(&opened, Err(Error::Missing(what)) if what.contains(gone)),
            "{gone}: {opened:?}"
        );
        assert_eq!(cut.operations(), before, "{gone}: something was written");
    }
}

/// A hole between segments, and batches that are gone from the end of a segment that others follow.
#[test]
fn a_hole_in_the_write_ahead_log_is_found_before_anything_is_changed() {
    let options = Options {
        checkpoint: std::time::Duration::from_secs(3600),
        ..small(Path::new("unused"))
    };
    let disk = SimDisk::new();
    // The settler cannot keep up with a disk that refuses to sync all of it: segments stay.
    disk.arm(1_000_000, "sync_all", ErrorKind::Other, Fault::NotPersisted);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let kept = runtime().block_on(async {
        let recorder = Recorder::open_on(shared, None, &options).unwrap();
        append_until_failure(&recorder, 100).await;
        let kept = disk.power_cut(|_, durable, _| durable.to_vec());
        append_until_failure(&recorder, 100).await;
        recorder.close().await.unwrap();
        kept
    });
    let first = kept.list("wal").unwrap().remove(0);
    // The last batches of the only segment are gone, and a later segment is there.
    let later = "wal/0000000000000002.wal";
    let source = kept.read(&format!("wal/{first}")).unwrap();
    let cut = kept.power_cut(|_, durable, _| durable.to_vec());
    let mut next = storage::begin_segment(2).to_vec();
    assert!(storage::push_frame(
        &mut next,
        2,
        0,
        5_000,
        storage::FrameKind(7),
        true,
        &[b"x"]
    ));
    next.resize(source.len(), 0);
    cut.write(later, &next).unwrap();
    let before = cut.operations();
    let opened = Recorder::open_on(Arc::new(cut.clone()), None, &options);
    assert!(matches!(opened, Err(Error::Damaged { .. })), "{opened:?}");
    assert_eq!(cut.operations(), before);
    // The segment between the settled part and a later one is gone.
    cut.remove(&format!("wal/{first}")).unwrap();
    let opened = Recorder::open_on(Arc::new(cut), None, &options);
    assert!(matches!(opened, Err(Error::Missing(_))), "{opened:?}");
}

/// Many sources on several workers, waiting in one way and the other.
#[test]
fn many_sources_at_once_keep_one_order() {
    const SOURCES: u64 = 24;
    const CALLS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let mut acknowledged = runtime.block_on(async {
        let recorder = Recorder::open(small(dir.path())).unwrap();
        let sources: Vec<_> = (0..SOURCES)
            .map(|source| {
                let recorder = recorder.clone();
                tokio::spawn(async move {
                    let mut seqs = Vec::new();
                    for index in 0..CALLS {
                        let mut draft = request(&format!("run-{source}"));
                        let bytes = text(source * CALLS + index, 700);
                        draft.bodies.push(
                            recorder
                                .put(Role::Request, None, None, &bytes)
                                .await
                                .unwrap(),
                        );
                        let call = recorder.append(&draft).await.unwrap();
                        assert_eq!(call.n, 2 * index);
                        let end = response(&format!("run-{source}"), call.seq);
                        let end = if index % 2 == 0 {
                            recorder.append(&end).await.unwrap()
                        } else {
                            recorder.submit(&end).await.unwrap().await.unwrap()
                        };
                        assert_eq!(end.n, 2 * index + 1);
                        seqs.extend([call.seq, end.seq]);
                    }
                    seqs
                })
            })
            .collect();
        let mut seqs = Vec::new();
        for source in sources {
            seqs.extend(source.await.unwrap());
        }
        recorder.close().await.unwrap();
        seqs
    });
    acknowledged.sort_unstable();
    acknowledged.dedup();
    assert_eq!(acknowledged.len() as u64, SOURCES * CALLS * 2);
    let report = verify::run(dir.path(), &verify::Options::default(), &mut |_| ()).unwrap();
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
    assert_eq!(report.events, 3 + SOURCES * CALLS * 2);
}
