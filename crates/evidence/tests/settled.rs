//! What is settled is not touched again: whatever is written behind it and torn, the log goes on.
#![allow(clippy::unwrap_used, reason = "tests")]

use event::{Draft, Kind, Source};
use evidence::{Options, Recorder, Store};
use std::sync::Arc;
use std::time::Duration;
use storage::SimDisk;

fn open(disk: &SimDisk) -> Recorder {
    let options = Options {
        segment_bytes: 1 << 18,
        // Signed is what a test publishes.
        checkpoint: Duration::from_secs(3_600),
        heartbeat: Duration::from_secs(3_600),
        ..Options::new("unused")
    };
    Recorder::open_on(Arc::new(disk.clone()), None, &options).unwrap()
}

async fn append(recorder: &Recorder, events: usize) {
    let draft = Draft::new(Kind::Environment, Source::Recorder);
    for _ in 0..events {
        recorder.append(&draft).await.unwrap();
    }
}

/// Behind the first 256 events a second level of tiles begins, whose partial tiles outlast many checkpoints. Those are
/// shown without a sync, and the power fails: each file that was not synced is found cut off somewhere, by a file
/// system that makes a name durable before what it stands for.
#[tokio::test]
async fn a_checkpoint_touches_no_tile_that_the_settled_state_relies_on() {
    for already in [254, 300, 511] {
        let disk = SimDisk::new();
        let recorder = open(&disk);
        append(&recorder, already).await;
        recorder.close().await.unwrap();

        let recorder = open(&disk);
        let before = disk.durable("log/tile/");
        for _ in 0..3 {
            append(&recorder, 1).await;
            recorder.publish().await.unwrap();
        }
        let settled = recorder.status().durable;
        for (path, bytes) in before {
            for kept in [0, bytes.len() / 2] {
                let torn = |n: u64| if n == 4 { 1 } else { (kept as u64).min(n - 1) };
                let cut = disk.lose_power(&mut { torn });
                let found = cut.files().remove(&path);
                assert_eq!(found.as_ref(), Some(&bytes), "{path} of {already} events");
            }
        }
        std::mem::forget(recorder);

        let torn = |n: u64| u64::from(n == 4);
        let cut = disk.lose_power(&mut { torn });
        open(&cut).close().await.unwrap();
        assert!(Store::open_on(Arc::new(cut.clone())).unwrap().len() > settled);
    }
}
