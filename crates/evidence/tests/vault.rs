//! The vault is encrypted: without a key no body, with the wrong one an error that names it, and nothing lost either way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

use event::{BodyRef, Draft, Exchange, Kind, Line, Outcome, Role, Source, State};
use evidence::verify::{self, Report, Subject, Verdict};
use evidence::{Error, Options, Recorder, Store, VaultKey};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::{Disk, Fault, SimDisk};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Small segments and volumes, so that volumes are completed while a test looks on.
fn options(dir: &Path, key: Option<&VaultKey>) -> Options {
    Options {
        segment_bytes: 256 << 10,
        volume_bytes: 64 << 10,
        recipient: key.map(|key| key.recipient().clone()),
        ..Options::new(dir)
    }
}

fn request() -> Draft {
    Draft::new(Kind::ToolRequest, Source::Gateway)
}

fn response(call: u64) -> Draft {
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
    draft
}

/// Bytes that do not compress, so that they would lie as they are in a file that is not encrypted.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// What events refer to, and the bytes that it is.
type Recorded = Vec<(BodyRef, Vec<u8>)>;

/// Records `calls` calls with a body each; returns the bodies.
async fn record(recorder: &Recorder, seed: u64, calls: u64) -> Recorded {
    let mut bodies = Vec::new();
    for index in 0..calls {
        let bytes = noise(seed * 10_000 + index, 9_000);
        let mut draft = request();
        let body = recorder.put(Role::Request, None, None, &bytes);
        draft.bodies.push(body.await.unwrap());
        let call = recorder.append(&draft).await.unwrap().seq;
        recorder.append(&response(call)).await.unwrap();
        bodies.push((draft.bodies.remove(0), bytes));
    }
    bodies
}

/// Leaves a call open with a body of which 40,000 bytes are durable, and dies.
async fn die(recorder: Recorder) -> Vec<u8> {
    let call = recorder.append(&request()).await.unwrap().seq;
    let bytes = noise(77, 40_000);
    let mut body = recorder.body().unwrap();
    body.attach(call, Role::Response);
    for piece in bytes.chunks(7_000) {
        body.write(piece).await.unwrap();
        body.flush().await.unwrap().await.unwrap();
    }
    std::mem::forget(body);
    std::mem::forget(recorder);
    bytes
}

/// A store whose recorder was killed, with what a power cut leaves of it: what was recorded, and what is durable of the
/// open body.
fn killed(key: Option<&VaultKey>) -> (SimDisk, Recorded, Vec<u8>) {
    let disk = SimDisk::new();
    let (before, sent) = runtime().block_on(async {
        let options = options(Path::new("unused"), key);
        let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap();
        let before = record(&recorder, 1, 60).await;
        (before, die(recorder).await)
    });
    let cut = disk.power_cut(|_, durable, _| durable.to_vec());
    (cut, before, sent)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => out.extend(files(&entry.path())),
            false => out.push(entry.path()),
        }
    }
    out.sort();
    out
}

/// A copy of a directory, without its keys unless `keys`.
fn copy(from: &Path, keys: bool) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for path in files(from) {
        let inner = path.strip_prefix(from).unwrap();
        if inner.starts_with("keys") && !keys {
            continue;
        }
        let target = to.path().join(inner);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(&path, target).unwrap();
    }
    to
}

fn verified(dir: &Path, key: Option<&VaultKey>) -> Report {
    let options = verify::Options {
        vault_key: key.cloned(),
        ..verify::Options::default()
    };
    verify::run(dir, &options, &mut |_| ()).unwrap()
}

fn lines(store: &Store) -> Vec<Line> {
    store
        .events(0)
        .map(|entry| Line::parse(&entry.unwrap().line).unwrap())
        .collect()
}

/// The volumes that the log says are complete.
fn sealed(store: &Store) -> Vec<u64> {
    lines(store)
        .iter()
        .filter(|line| line.kind == "vault.sealed")
        .map(|line| line.facts.as_ref().unwrap()["volume"].as_u64().unwrap())
        .collect()
}

fn closed(dir: &Path, key: Option<&VaultKey>, seed: u64, calls: u64) -> Recorded {
    runtime().block_on(async {
        let recorder = Recorder::open(options(dir, key)).unwrap();
        let bodies = record(&recorder, seed, calls).await;
        recorder.close().await.unwrap();
        bodies
    })
}

/// Waits until the log tells of `count` complete volumes.
async fn until_sealed(recorder: &Recorder, dir: &Path, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while sealed(&Store::open(dir).unwrap()).len() < count {
        assert!(Instant::now() < deadline, "no volume was sealed");
        let call = recorder.append(&request()).await.unwrap().seq;
        recorder.append(&response(call)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn no_plaintext_of_a_body_lies_anywhere_on_disk() {
    for settled in [true, false] {
        for key in [None, Some(VaultKey::generate().unwrap())] {
            let dir = tempfile::tempdir().unwrap();
            let mut bodies = match settled {
                true => closed(dir.path(), key.as_ref(), 1, 60),
                false => {
                    let (disk, bodies, _) = killed(key.as_ref());
                    lay_down(&disk, "", dir.path());
                    bodies
                }
            };
            let bytes = bodies.swap_remove(0).1;
            let tail = noise(77, 40_000);
            for path in files(dir.path()) {
                let stored = std::fs::read(&path).unwrap();
                let hexed = hex::encode(&tail[39_980..]);
                for needle in [
                    &bytes[100..120],
                    &tail[..20],
                    &tail[39_980..],
                    hexed.as_bytes(),
                ] {
                    let found = stored.windows(needle.len()).any(|part| part == needle);
                    assert!(!found, "plaintext in {}", path.display());
                }
            }
        }
    }
}

#[test]
fn a_copy_without_keys_has_everything_but_bodies_and_its_ciphertext_is_still_checked() {
    let dir = tempfile::tempdir().unwrap();
    let bodies = runtime().block_on(async {
        let recorder = Recorder::open(options(dir.path(), None)).unwrap();
        let bodies = record(&recorder, 1, 100).await;
        until_sealed(&recorder, dir.path(), 1).await;
        recorder.close().await.unwrap();
        bodies
    });
    let whole = verified(dir.path(), None);
    assert_eq!(
        (whole.exit_code(), whole.bodies),
        (0, 100),
        "{:?}",
        whole.faults
    );
    assert!(whole.volumes_sealed >= 1);

    let copy = copy(dir.path(), false);
    let store = Store::open(copy.path()).unwrap();
    assert_eq!(store.len(), whole.events);
    let error = store.body(&bodies[0].0).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    assert!(error.to_string().contains("keys/vault.key"), "{error}");
    let report = verified(copy.path(), None);
    assert_eq!(
        (report.exit_code(), report.bodies),
        (0, 0),
        "{:?}",
        report.faults
    );
    assert_eq!(report.bodies_locked, 100);
    assert_eq!(report.volumes_sealed, whole.volumes_sealed);
    assert_eq!(report.verdict(Subject::Bodies), Some(Verdict::Unverifiable));

    // Ciphertext replaced and its checksum made right again: only the digest in the log tells.
    let volume = copy.path().join("vault/0000000001.vol");
    let mut bytes = std::fs::read(&volume).unwrap();
    let stored_len = u32::from_le_bytes(bytes[48..52].try_into().unwrap()) as usize;
    bytes[60] ^= 1;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[16..52]), &bytes[56..56 + stored_len]);
    bytes[52..56].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(&volume, &bytes).unwrap();
    let report = verified(copy.path(), None);
    assert_eq!(report.exit_code(), 10);
    assert_eq!(report.faults[0].what, "altered");
    assert!(
        report.faults[0].detail.contains("volume 1"),
        "{:?}",
        report.faults
    );

    // A key that is gone is neither an alteration nor a crash.
    std::fs::remove_file(dir.path().join("vault/0000000001.key")).unwrap();
    let report = verified(dir.path(), None);
    assert_eq!(report.exit_code(), 12, "{:?}", report.faults);
    assert_eq!(report.missing, ["vault/0000000001.key"]);
}

#[test]
fn a_wrong_or_missing_key_stops_the_recorder_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let bodies = closed(dir.path(), None, 1, 3);
    let other = tempfile::tempdir().unwrap();
    closed(other.path(), None, 2, 1);
    let key = dir.path().join("keys/vault.key");
    let right = std::fs::read(&key).unwrap();
    for wrong in [
        None,
        Some(std::fs::read(other.path().join("keys/vault.key")).unwrap()),
    ] {
        match &wrong {
            None => std::fs::remove_file(&key).unwrap(),
            Some(bytes) => std::fs::write(&key, bytes).unwrap(),
        }
        let error = Recorder::open(options(dir.path(), None)).unwrap_err();
        assert!(error.to_string().contains("keys/vault.key"), "{error}");
        let error = Store::open(dir.path())
            .unwrap()
            .body(&bodies[0].0)
            .unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        assert!(
            !error
                .to_string()
                .contains(std::str::from_utf8(&right[3..30]).unwrap())
        );
    }
    std::fs::write(&key, right).unwrap();
    closed(dir.path(), None, 3, 3);
    assert_eq!(verified(dir.path(), None).exit_code(), 0);
}

#[test]
fn a_volume_or_key_of_another_place_or_log_does_not_open() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&here, &there] {
        runtime().block_on(async {
            let recorder = Recorder::open(options(dir.path(), None)).unwrap();
            record(&recorder, 1, 100).await;
            until_sealed(&recorder, dir.path(), 2).await;
            recorder.close().await.unwrap();
        });
    }
    let file = |dir: &Path, name: &str| dir.join("vault").join(name);
    for (to, from) in [
        ("0000000001.key", (here.path(), "0000000002.key")),
        ("0000000001.vol", (here.path(), "0000000002.vol")),
        ("0000000001.key", (there.path(), "0000000001.key")),
        ("salts/00000000.seed", (there.path(), "salts/00000000.seed")),
    ] {
        let target = copy(here.path(), true);
        std::fs::copy(file(from.0, from.1), file(target.path(), to)).unwrap();
        let report = verified(target.path(), None);
        assert_eq!(report.exit_code(), 10, "{to}: {:?}", report.faults);
        assert_eq!(
            report.verdict(Subject::Bodies),
            Some(Verdict::Invalid),
            "{to}"
        );
        assert!(
            report.faults.iter().any(|fault| fault.detail.contains(to)),
            "{to}: {:?}",
            report.faults
        );
        assert!(report.bodies < 100, "{to}: bodies opened all the same");
    }
    // Blocks within a volume, each whole, in each other's place.
    let target = copy(here.path(), true);
    let volume = file(target.path(), "0000000001.vol");
    let bytes = std::fs::read(&volume).unwrap();
    let len =
        |at: usize| 40 + u32::from_le_bytes(bytes[at + 32..at + 36].try_into().unwrap()) as usize;
    let (first, second) = (len(16), len(16 + len(16)));
    let swapped = [
        &bytes[..16],
        &bytes[16 + first..16 + first + second],
        &bytes[16..16 + first],
        &bytes[16 + first + second..],
    ]
    .concat();
    std::fs::write(&volume, swapped).unwrap();
    let report = verified(target.path(), None);
    assert_eq!(report.exit_code(), 10);
    assert!(
        report
            .faults
            .iter()
            .any(|fault| fault.detail.contains("does not open")),
        "{:?}",
        report.faults
    );
}

#[test]
fn what_a_write_only_recorder_has_settled_opens_for_the_investigator_alone() {
    let key = VaultKey::generate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut bodies = closed(dir.path(), Some(&key), 1, 5);
    runtime().block_on(async {
        let recorder = Recorder::open(options(dir.path(), Some(&key))).unwrap();
        bodies.extend(record(&recorder, 2, 5).await);
        until_sealed(&recorder, dir.path(), 1).await;
        recorder.close().await.unwrap();
    });
    for path in files(&dir.path().join("vault")) {
        if path
            .extension()
            .is_some_and(|ext| ext == "key" || ext == "seed")
        {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(
                text.contains(" hpke ") && !text.contains(" local "),
                "{text}"
            );
        }
    }
    // The recorder's own machine, and somebody else's key.
    let stranger = VaultKey::generate().unwrap();
    for (given, named) in [(None, &key), (Some(stranger.clone()), &stranger)] {
        let store = Store::open_with(dir.path(), given).unwrap();
        let error = store.body(&bodies[0].0).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&key.recipient().id()), "{text}");
        assert!(text.contains(&named.recipient().id()), "{text}");
    }
    let store = Store::open_with(dir.path(), Some(key.clone())).unwrap();
    for (body, bytes) in &bodies {
        assert_eq!(&store.body(body).unwrap(), bytes);
    }
    assert_eq!(
        sealed(&store),
        [1],
        "the first volume ended with its session"
    );
    for (given, code, count) in [(Some(&key), 0, 10), (Some(&stranger), 12, 0), (None, 0, 0)] {
        let report = verified(dir.path(), given);
        assert_eq!(
            (report.exit_code(), report.bodies),
            (code, count),
            "{:?}",
            report.faults
        );
        assert_eq!(report.volumes_sealed, 1);
    }
    // The keyring key is not needed to read: only the log's own tail lies under it.
    let copy = copy(dir.path(), false);
    assert_eq!(verified(copy.path(), Some(&key)).bodies, 10);
}

#[test]
fn a_recorder_may_change_between_both_ways_and_everything_stays_readable() {
    let key = VaultKey::generate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut bodies = Vec::new();
    for (seed, to) in [None, Some(&key), None, Some(&key)].into_iter().enumerate() {
        bodies.extend(closed(dir.path(), to, seed as u64, 3));
    }
    let store = Store::open_with(dir.path(), Some(key.clone())).unwrap();
    for (body, bytes) in &bodies {
        assert_eq!(&store.body(body).unwrap(), bytes);
    }
    assert_eq!(verified(dir.path(), Some(&key)).exit_code(), 0);
    // Without the investigator, what was written for everybody still opens.
    assert_eq!(verified(dir.path(), None).bodies, 6);
}

#[test]
fn a_call_cut_off_by_a_kill_keeps_what_was_durable_of_its_body_in_both_ways() {
    for key in [None, Some(VaultKey::generate().unwrap())] {
        let dir = tempfile::tempdir().unwrap();
        let (disk, before, sent) = killed(key.as_ref());
        lay_down(&disk, "", dir.path());
        closed(dir.path(), key.as_ref(), 2, 2);
        let store = Store::open_with(dir.path(), key.clone()).unwrap();
        let lines = lines(&store);
        let interrupted = lines
            .iter()
            .find(|line| {
                let outcome = line.outcome.as_ref();
                outcome.is_some_and(|outcome| outcome.state == State::Interrupted)
            })
            .unwrap();
        assert_eq!(store.body(&interrupted.bodies[0]).unwrap(), sent);
        for (body, bytes) in &before {
            assert_eq!(&store.body(body).unwrap(), bytes);
        }
        let report = verified(dir.path(), key.as_ref());
        assert_eq!(
            (report.exit_code(), report.fault_count),
            (11, 0),
            "{:?}",
            report.faults
        );
    }
}

#[test]
fn a_volume_is_completed_when_it_is_old_enough() {
    let key = VaultKey::generate().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let bodies = runtime().block_on(async {
        let options = Options {
            volume_bytes: 1 << 30,
            seal: Some(Duration::from_millis(1)),
            checkpoint: Duration::from_millis(5),
            ..options(dir.path(), Some(&key))
        };
        let recorder = Recorder::open(options).unwrap();
        let mut bodies = record(&recorder, 1, 1).await;
        until_sealed(&recorder, dir.path(), 1).await;
        bodies.extend(record(&recorder, 2, 1).await);
        until_sealed(&recorder, dir.path(), 2).await;
        recorder.close().await.unwrap();
        bodies
    });
    // A seed goes with the volume: the process forgets both.
    assert_ne!(bodies[0].0.id >> 20, bodies[1].0.id >> 20);
    let report = verified(dir.path(), Some(&key));
    assert_eq!(
        (report.exit_code(), report.bodies),
        (0, 2),
        "{:?}",
        report.faults
    );
}

/// Lays a disk's files down where `verify` looks.
fn lay_down(disk: &SimDisk, path: &str, to: &Path) {
    for name in disk.list(path).unwrap() {
        let inner = match path {
            "" => name.clone(),
            _ => format!("{path}/{name}"),
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

/// Whatever step of completing and beginning volumes fails, having happened or not, and is followed by a power cut: every
/// acknowledged body is there, and each complete volume is told of once, as it is.
#[test]
fn completing_a_volume_survives_a_fault_at_every_step() {
    let key = VaultKey::generate().unwrap();
    let (mut struck, mut told) = (0, 0);
    for step in 0..90 {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            let recipient = (step % 2 == 1).then_some(&key);
            let options = Options {
                segment_bytes: 64 << 10,
                volume_bytes: 1,
                checkpoint: Duration::from_millis(1),
                ..options(Path::new("unused"), recipient)
            };
            let disk = SimDisk::new();
            let mut bodies = Vec::new();
            runtime().block_on(async {
                let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap();
                disk.arm(step, "any", ErrorKind::Other, fault);
                for index in 0..30 {
                    let bytes = noise(index, 6_000);
                    let mut draft = request();
                    let Ok(body) = recorder.put(Role::Request, None, None, &bytes).await else {
                        break;
                    };
                    draft.bodies.push(body);
                    if recorder.append(&draft).await.is_err() {
                        break;
                    }
                    bodies.push((draft.bodies.remove(0), bytes));
                }
                drop(recorder);
            });
            struck += u64::from(!disk.is_armed());
            let cut = disk.power_cut(|_, durable, _| durable.to_vec());
            for _ in 0..2 {
                runtime().block_on(async {
                    let recorder =
                        Recorder::open_on(Arc::new(cut.clone()), None, &options).unwrap();
                    bodies.extend(record(&recorder, 5, 3).await);
                    recorder.close().await.unwrap();
                });
            }
            let dir = tempfile::tempdir().unwrap();
            lay_down(&cut, "", dir.path());
            let store = Store::open_with(dir.path(), Some(key.clone())).unwrap();
            for (body, bytes) in &bodies {
                assert_eq!(&store.body(body).unwrap(), bytes, "step {step}, {fault:?}");
            }
            let report = verified(dir.path(), Some(&key));
            assert_eq!(
                report.fault_count, 0,
                "step {step}, {fault:?}: {:?}",
                report.faults
            );
            let sealed = sealed(&store);
            let mut once = sealed.clone();
            once.dedup();
            assert_eq!(sealed, once, "step {step}, {fault:?}");
            assert_eq!(report.volumes_sealed, sealed.len() as u64);
            told += sealed.len();
        }
    }
    assert!(struck > 60 && told > 100, "{struck} faults, {told} volumes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// With the keys at hand, and for a volume that the log tells of.
    #[test]
    fn any_flipped_bit_of_a_volume_its_key_or_a_seed_is_found_and_named(seed in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let recorder = Recorder::open(options(dir.path(), None)).unwrap();
            record(&recorder, seed % 1_000, 40).await;
            until_sealed(&recorder, dir.path(), 1).await;
            recorder.close().await.unwrap();
        });
        for name in ["0000000001.vol", "0000000001.key", "salts/00000000.seed"] {
            let path = dir.path().join("vault").join(name);
            let bytes = std::fs::read(&path).unwrap();
            let step = 1 + bytes.len() * 8 / 24;
            for at in (seed as usize % step..bytes.len() * 8).step_by(step) {
                let mut changed = bytes.clone();
                changed[at / 8] ^= 1 << (at % 8);
                std::fs::write(&path, &changed).unwrap();
                let options = verify::Options::default();
                let named = match verify::run(dir.path(), &options, &mut |_| ()) {
                    Ok(report) => {
                        prop_assert!(report.exit_code() == 10 || report.exit_code() == 12, "bit {} of {}", at, name);
                        report.faults.iter().map(|fault| fault.detail.clone()).chain(report.missing).collect()
                    }
                    Err(error) => error.to_string(),
                };
                prop_assert!(named.contains(name) || named.contains("volume 1"), "bit {} of {}: {}", at, name, named);
            }
            std::fs::write(&path, &bytes).unwrap();
        }
    }
}

#[test]
fn a_key_file_that_opens_for_nobody_weighs_as_much_as_one_that_is_gone() {
    let investigator = VaultKey::generate().unwrap();
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(here.path(), None, 1, 30);
    closed(there.path(), Some(&investigator), 2, 30);
    let emptied = {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"");
        format!("sha256 {}\n", hex::encode(digest.as_ref())).into_bytes()
    };
    for name in ["vault/0000000001.key", "vault/salts/00000000.seed"] {
        let to_a_stranger = std::fs::read(there.path().join(name)).unwrap();
        for bytes in [None, Some(&emptied), Some(&to_a_stranger)] {
            for keys in [true, false] {
                let copy = copy(here.path(), keys);
                match bytes {
                    None => std::fs::remove_file(copy.path().join(name)).unwrap(),
                    Some(bytes) => std::fs::write(copy.path().join(name), bytes).unwrap(),
                }
                let report = verified(copy.path(), None);
                let case = format!("{name}, {} bytes, keys {keys}", bytes.map_or(0, Vec::len));
                assert_eq!(report.exit_code(), 12, "{case}: {:?}", report.faults);
                assert_eq!(
                    report.verdict(Subject::Bodies),
                    Some(Verdict::Unverifiable),
                    "{case}"
                );
                assert!(
                    report.missing.iter().any(|what| what.contains(name)),
                    "{case}: {:?}",
                    report.missing
                );
            }
        }
    }
}

#[test]
fn bodies_for_whom_the_log_names_are_locked_and_nothing_is_missing() {
    let (first, second) = (VaultKey::generate().unwrap(), VaultKey::generate().unwrap());
    let dir = tempfile::tempdir().unwrap();
    // Local keys at first, then one investigator's, then another's.
    for (seed, key) in [(1, None), (2, Some(&first)), (3, Some(&second)), (4, None)] {
        closed(dir.path(), key, seed, 20);
    }
    for keys in [true, false] {
        let copy = copy(dir.path(), keys);
        let report = verified(copy.path(), None);
        assert_eq!(
            report.exit_code(),
            0,
            "{:?} {:?}",
            report.faults,
            report.missing
        );
        assert_eq!(report.verdict(Subject::Bodies), Some(Verdict::Unverifiable));
        let locked = if keys { 40 } else { 80 };
        assert_eq!((report.bodies, report.bodies_locked), (80 - locked, locked));
    }
}

#[test]
fn a_body_is_read_no_further_than_its_event_says() {
    let dir = tempfile::tempdir().unwrap();
    let sent = noise(1, 9_000).repeat(10);
    let body = runtime().block_on(async {
        let recorder = Recorder::open(options(dir.path(), None)).unwrap();
        let mut draft = request();
        let body = recorder.put(Role::Request, None, None, &sent);
        draft.bodies.push(body.await.unwrap());
        let call = recorder.append(&draft).await.unwrap().seq;
        recorder.append(&response(call)).await.unwrap();
        recorder.close().await.unwrap();
        draft.bodies.remove(0)
    });
    let store = Store::open(dir.path()).unwrap();
    let read = |says: u64| {
        let body = BodyRef {
            len: says,
            ..body.clone()
        };
        let mut read = 0;
        let found = store.check_body(&body, &mut |chunk| read += chunk.len() as u64);
        (read, found)
    };
    assert_eq!(
        (read(body.len).0, read(body.len).1.is_ok()),
        (body.len, true)
    );
    for says in [0, 1, 1000, body.len - 1, body.len + 1, u64::MAX] {
        let (read, found) = read(says);
        assert_eq!(read, 0, "{says}");
        assert!(
            matches!(found, Err(Error::Altered { .. })),
            "{says}: {found:?}"
        );
    }
}
