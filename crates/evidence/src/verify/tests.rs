//! A recorder may be at work while its store is verified: what it does in between is never taken for an alteration.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use crate::Recorder;
use event::{Draft, Kind as EventKind, Source};
use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use storage::{DiskFile, SimDisk};

/// A disk that shows what it held some time ago to whoever asks for it the first time.
#[derive(Debug)]
struct Earlier {
    now: SimDisk,
    read: Mutex<HashMap<&'static str, Vec<u8>>>,
    listed: Mutex<HashMap<&'static str, Vec<String>>>,
}

impl Disk for Earlier {
    fn read_up_to(&self, path: &str, limit: u64) -> io::Result<Vec<u8>> {
        let earlier = self.read.lock().unwrap().remove(path);
        earlier.map_or_else(|| self.now.read_up_to(path, limit), Ok)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let earlier = self.listed.lock().unwrap().remove(path);
        earlier.map_or_else(|| self.now.list(path), Ok)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        self.now.open(path)
    }
    fn write(&self, path: &str, _: &[u8]) -> io::Result<()> {
        panic!("verification writes {path}")
    }
    fn publish(&self, path: &str, _: &[u8]) -> io::Result<()> {
        panic!("verification writes {path}")
    }
    fn allocate(&self, path: &str, _: u64) -> io::Result<Box<dyn DiskFile>> {
        panic!("verification writes {path}")
    }
    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        panic!("verification writes {path}")
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        panic!("verification removes {path}")
    }
    fn sync_all(&self) -> io::Result<()> {
        panic!("verification writes")
    }
}

fn some_event() -> Draft {
    Draft::new(EventKind::Environment, Source::Recorder)
}

async fn copied(recorder: &Recorder) {
    let head = recorder.publish().await.unwrap();
    let mut draft = Draft::new(EventKind::AnchorCopy, Source::Recorder);
    let facts = serde_json::json!({
        "place": "/elsewhere",
        "size": head.size,
        "root": head.root.to_string(),
        "checkpoint_sha256": hex::encode(crate::body::sha256(head.note.to_string().as_bytes())),
    });
    draft.facts = facts.as_object().cloned();
    recorder.append(&draft).await.unwrap();
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(task)
}

/// What was signed and published while somebody verified: the disk now, and what it showed first.
fn meanwhile(ends: bool) -> Earlier {
    let disk = SimDisk::new();
    block_on(async {
        let options = crate::Options::new("unused");
        let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap();
        recorder.append(&some_event()).await.unwrap();
        copied(&recorder).await;
        let earlier = Earlier {
            now: disk.clone(),
            read: Mutex::new([(CHECKPOINT, disk.read(CHECKPOINT).unwrap())].into()),
            listed: Mutex::new([("anchors", disk.list("anchors").unwrap())].into()),
        };
        recorder.append(&some_event()).await.unwrap();
        copied(&recorder).await;
        if ends {
            recorder.close().await.unwrap();
        } else {
            recorder.publish().await.unwrap();
            std::mem::forget(recorder);
        }
        earlier
    })
}

#[test]
fn what_a_recorder_signs_and_publishes_meanwhile_is_no_alteration() {
    for ends in [true, false] {
        let disk = Arc::new(meanwhile(ends));
        let report = run_on(disk.clone(), &Options::default(), &mut |_| ()).unwrap();
        assert!(disk.read.lock().unwrap().is_empty() && disk.listed.lock().unwrap().is_empty());
        assert_eq!(report.faults, vec![], "ends: {ends}");
        assert_eq!(report.exit_code(), 0, "ends: {ends}, {:?}", report.missing);
        assert_eq!(
            report.verdict(Subject::Content),
            Some(Verdict::Valid),
            "ends: {ends}, {:?}",
            report.claims
        );
        assert_eq!(report.anchors.len(), 2);
    }
}

#[test]
fn an_earlier_checkpoint_that_stays_is_one() {
    let earlier = meanwhile(true);
    let old = earlier.read.lock().unwrap().remove(CHECKPOINT).unwrap();
    assert!(earlier.now.edit(CHECKPOINT, |bytes| *bytes = old));
    let report = run_on(Arc::new(earlier.now), &Options::default(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 10);
    assert_eq!(report.verdict(Subject::Signature), Some(Verdict::Invalid));
}

/// The disk after the key of the first epoch was revoked, which shows at the first look the checkpoint from before.
fn revoked_meanwhile() -> Earlier {
    let disk = SimDisk::new();
    block_on(async {
        let options = crate::Options::new("unused");
        let recorder = Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap();
        recorder.append(&some_event()).await.unwrap();
        recorder.publish().await.unwrap();
        recorder.append(&some_event()).await.unwrap();
        recorder.publish().await.unwrap();
        let earlier = Earlier {
            now: disk.clone(),
            read: Mutex::new([(CHECKPOINT, disk.read(CHECKPOINT).unwrap())].into()),
            listed: Mutex::default(),
        };
        let revoked = recorder.revoke(1, Some(1), "it was shown around").await;
        assert_eq!(revoked.unwrap().size, 1);
        std::mem::forget(recorder);
        earlier
    })
}

#[test]
fn a_key_that_is_revoked_meanwhile_speaks_against_nothing() {
    let earlier = revoked_meanwhile();
    let old = earlier.read.lock().unwrap().get(CHECKPOINT).cloned();
    let disk = Arc::new(earlier);
    let report = run_on(disk.clone(), &Options::default(), &mut |_| ()).unwrap();
    assert!(disk.read.lock().unwrap().is_empty());
    assert_eq!((report.exit_code(), report.faults), (0, vec![]));
    // Where it stays, it is one that the log itself refuses.
    let now = &disk.now;
    assert!(now.edit(CHECKPOINT, |bytes| *bytes = old.unwrap()));
    let report = run_on(Arc::new(now.clone()), &Options::default(), &mut |_| ()).unwrap();
    assert_eq!(report.exit_code(), 10);
    assert_eq!(report.verdict(Subject::Signature), Some(Verdict::Invalid));
    let content = report
        .claims
        .iter()
        .find(|claim| claim.claim == Subject::Content);
    assert_eq!(
        content.unwrap().detail,
        "no valid checkpoint signs the events"
    );
}

#[test]
fn a_reader_that_goes_on_does_not_hold_new_events_against_an_old_checkpoint() {
    let mut earlier = revoked_meanwhile();
    let old = earlier.read.get_mut().unwrap().remove(CHECKPOINT).unwrap();
    let disk = Arc::new(earlier);
    let mut store = Store::open_on(disk.clone()).unwrap();
    disk.read.lock().unwrap().insert(CHECKPOINT, old);
    store.refresh().unwrap();
    assert!(store.checkpoint().unwrap().is_some());
}
