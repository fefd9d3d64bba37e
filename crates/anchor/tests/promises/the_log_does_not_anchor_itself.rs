//! An anchor is an event, and an event makes the log grow: that alone is no reason for another anchor.

use crate::rig::{Kept, PATIENCE, Witnessing, begin, lines, on_demand};
use anchor::Settings;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_which_nothing_happens_is_anchored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let key = begin(&data).await;
    let witness = Witnessing::start(&dir.path().join("w"), vec![key]).await;
    let cadence = Duration::from_millis(10);
    let kept = Kept::start(
        &data,
        Settings {
            publish: cadence,
            witnesses: Some(witness.policy()),
            copy: Some(place),
            ..on_demand()
        },
    );
    for round in 0..3 {
        let seq = kept.append().await;
        let standing = kept
            .until("the event is anchored", |standing| {
                standing
                    .anchors
                    .iter()
                    .all(|anchor| anchor.size > Some(seq))
            })
            .await;
        // A hundred times the cadence in which nothing happens: at most one more, for an event that was on its way.
        let begun = Instant::now();
        while begun.elapsed() < 100 * cadence {
            tokio::time::sleep(cadence).await;
        }
        let then = kept.handle.standing().published;
        let since = then.saturating_sub(standing.published);
        assert!(
            since <= 4,
            "round {round}: {since} events of our own were anchored"
        );
        assert!(begun.elapsed() < PATIENCE);
    }
    kept.close().await;
    let anchors = lines(&data)
        .iter()
        .filter(|line| line.kind.starts_with("anchor."))
        .count();
    assert!(
        anchors <= 2 * (1 + 3 * 2 + 1),
        "{anchors} events about anchors"
    );
    witness.stop().await;
}
