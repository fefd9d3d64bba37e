#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::{Store, VaultKey};
use event::{Kind, Source};
use std::io::ErrorKind;
use std::time::Duration;
use storage::{Fault, SimDisk};

const SEEDS: &str = "vault/salts/";

/// Nothing but the salts touches the disk while a test looks on.
fn quiet(key: Option<&VaultKey>) -> Options {
    Options {
        heartbeat: Duration::from_secs(3600),
        checkpoint: Duration::from_secs(3600),
        recipient: key.map(|key| key.recipient().clone()),
        ..Options::new("unused")
    }
}

async fn record(recorder: &Recorder, bytes: &[u8]) -> Result<BodyRef, Error> {
    let mut draft = Draft::new(Kind::ToolRequest, Source::Gateway);
    draft
        .bodies
        .push(recorder.put(Role::Request, None, None, bytes).await?);
    recorder.append(&draft).await?;
    Ok(draft.bodies.remove(0))
}

fn seeds(disk: &SimDisk) -> usize {
    let paths = disk.paths();
    paths.iter().filter(|path| path.starts_with(SEEDS)).count()
}

/// From then on the settler has nothing to do, so that the fault strikes the seed.
async fn until_signed(recorder: &Recorder) {
    recorder.publish().await.unwrap();
}

/// As for every failed `fsync`: nothing may rely on the seed, and the next attempt would not tell.
#[tokio::test]
async fn a_seed_that_may_not_be_durable_ends_the_recorder() {
    let key = VaultKey::generate().unwrap();
    for key in [None, Some(&key)] {
        for fault in [Fault::NotPersisted, Fault::Persisted] {
            let disk = SimDisk::new();
            let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &quiet(key)).unwrap();
            let before = record(&recorder, b"before").await.unwrap();
            until_signed(&recorder).await;
            assert_eq!(seeds(&disk), 1);

            recorder.shared.salts.renew();
            disk.arm(0, "publish", ErrorKind::Other, fault);
            let error = record(&recorder, b"refused").await.unwrap_err();
            assert!(
                matches!(&error, Error::Fatal(why) if why.contains(SEEDS)),
                "{error}"
            );
            assert!(!disk.is_armed());
            assert_eq!(seeds(&disk), 1 + usize::from(fault == Fault::Persisted));
            // Every later call fails the same way, though the disk is well again.
            let same = error.to_string();
            let again = record(&recorder, b"again").await.unwrap_err();
            assert_eq!(again.to_string(), same);
            let event = Draft::new(Kind::ToolRequest, Source::Gateway);
            let appended = recorder.append(&event).await.unwrap_err();
            assert_eq!(appended.to_string(), same);
            assert_eq!(recorder.failed().await.to_string(), same);
            assert_eq!(recorder.close().await.unwrap_err().to_string(), same);

            let cut = disk.power_cut(|_, durable, _| durable.to_vec());
            let recorder = Recorder::open_on(Arc::new(cut.clone()), None, &quiet(key)).unwrap();
            let after = record(&recorder, b"after").await.unwrap();
            recorder.close().await.unwrap();
            let dir = tempfile::tempdir().unwrap();
            lay_down(&cut, dir.path());
            let store = Store::open_with(dir.path(), key.cloned()).unwrap();
            assert_eq!(store.body(&before).unwrap(), b"before");
            assert_eq!(store.body(&after).unwrap(), b"after");
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_a_new_seed_until_there_is_room() {
    for fault in [Fault::NotPersisted, Fault::Persisted] {
        let disk = SimDisk::new();
        let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &quiet(None)).unwrap();
        record(&recorder, b"before").await.unwrap();
        until_signed(&recorder).await;
        recorder.shared.salts.renew();
        disk.arm(0, "publish", ErrorKind::StorageFull, fault);
        let error = record(&recorder, b"refused").await.unwrap_err();
        assert!(matches!(error, Error::Full(_)), "{error}");
        let body = record(&recorder, b"taken").await.unwrap();
        recorder.close().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        lay_down(&disk, dir.path());
        let store = Store::open(dir.path()).unwrap();
        assert_eq!(store.body(&body).unwrap(), b"taken");
    }
}

fn lay_down(disk: &SimDisk, to: &std::path::Path) {
    for path in disk.paths() {
        let target = to.join(&path);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::write(target, disk.read(&path).unwrap()).unwrap();
    }
}

/// A thread that outlives the last handle may find its process ending, or the directory taken by the next recorder.
#[tokio::test]
async fn no_thread_of_a_recorder_that_nobody_closed_outlives_its_last_handle() {
    for _ in 0..20 {
        let recorder = Recorder::open_on(Arc::new(SimDisk::new()), None, &quiet(None)).unwrap();
        record(&recorder, b"left").await.unwrap();
        let progress = Arc::downgrade(&recorder.shared.progress);
        let beside = recorder.clone();
        drop(recorder);
        assert!(progress.strong_count() > 1);
        drop(beside);
        assert_eq!(progress.strong_count(), 0);
    }
}
