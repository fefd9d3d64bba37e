//! An anchor is an event, and an event makes the log grow: that alone is no reason for another anchor. What is worth one
//! is anchored soon.

use crate::rig::{Kept, PATIENCE, Witnessing, authority, begin, facts, lines, on_demand, policy};
use anchor::{Kind, Settings};
use event::{Draft, Gap, Source};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_time_passes_waits_for_the_long_cadence() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let short = Settings {
        publish: Duration::from_millis(2),
        copy: Some(place),
        ..on_demand()
    };
    let beat = Duration::from_millis(5);
    let kept = Kept::start_idling(&data, short.clone(), beat);
    for _ in 0..3 {
        let seq = kept.append().await;
        let standing = kept
            .until("it is anchored", |standing| {
                standing.anchors[0].size > Some(seq)
            })
            .await;
        let durable = kept.recorder.status().durable;
        kept.until("the recorder idles", |_| {
            kept.recorder.status().durable >= durable + 5
        })
        .await;
        assert_eq!(kept.handle.standing().published, standing.published);
    }
    kept.close().await;
    // That it idled is worth knowing too, now and then, without an authority as well.
    let long = Settings {
        timestamp: Duration::from_millis(50),
        ..short
    };
    let kept = Kept::start_idling(&data, long, beat);
    let mut before = 0;
    for _ in 0..3 {
        let standing = kept
            .until("the long cadence", |standing| {
                standing.anchors[0].size > Some(before)
            })
            .await;
        before = standing.anchors[0].size.unwrap() + 3;
    }
    kept.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_run_a_loss_and_an_incident_are_stamped_out_of_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    begin(&data).await;
    let (_openssl, _server, authority) = authority("acme").await;
    // This one agrees to nothing, until it says that the log was longer.
    let longer = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
    let said = longer.clone();
    let witness =
        testkit::Upstream::start(
            move |_| match said.load(std::sync::atomic::Ordering::SeqCst) {
                true => testkit::Reply::body(409, "text/x.tlog.size", "1000000\n"),
                false => testkit::Reply::body(404, "text/plain", "no"),
            },
        );
    let witness = witness.await.unwrap();
    let cosigner = tlog::cosignature::Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
    let kept = Kept::start(
        &data,
        Settings {
            publish: Duration::from_millis(5),
            pressing: Duration::ZERO,
            authorities: vec![authority],
            copy: Some(place),
            witnesses: Some(policy(cosigner.verifying_key(), &witness.url())),
            ..on_demand()
        },
    );
    let size = |standing: &anchor::Standing, kind| standing.newest(kind).unwrap().size;
    let reaches = async |kind: Kind, seq: u64, what: &str| {
        kept.until(what, |standing| size(standing, kind) > Some(seq))
            .await
    };
    let record = async |kind: event::Kind, cause: Option<&str>| {
        let mut draft = Draft::new(kind, Source::Gateway);
        draft.gap = cause.map(|cause| Gap {
            of: "request".into(),
            cause: cause.into(),
            ..Gap::default()
        });
        kept.recorder.append(&draft).await.unwrap().seq
    };
    reaches(Kind::Timestamp, 0, "the start").await;
    let mut stamps = 1;
    for (kind, cause, pressing) in [
        (event::Kind::ProcessExit, None, true),
        (event::Kind::RunStart, None, false),
        (event::Kind::Gap, Some("disk-full"), true),
        (event::Kind::Gap, Some("not-understood"), false),
        (event::Kind::ProcessExit, None, true),
    ] {
        let seq = record(kind, cause).await;
        let by = if pressing {
            Kind::Timestamp
        } else {
            Kind::Copy
        };
        reaches(by, seq, kind.as_str()).await;
        stamps += usize::from(pressing);
    }
    let before = size(&kept.handle.standing(), Kind::Timestamp).unwrap();
    longer.store(true, std::sync::atomic::Ordering::SeqCst);
    let seq = record(event::Kind::RunStart, None).await;
    reaches(Kind::Copy, seq, "nothing presses").await;
    kept.until("the incident", |standing| {
        standing.anchors.iter().any(|anchor| {
            anchor
                .failing
                .as_ref()
                .is_some_and(|failing| failing.incident)
        })
    })
    .await;
    reaches(Kind::Timestamp, before, "the incident is stamped").await;
    kept.close().await;
    let told = facts(&data, event::Kind::AnchorTimestamp);
    // The incident's, and the last of all at the end.
    assert!(
        (stamps + 1..=stamps + 2).contains(&told.len()),
        "{stamps}: {told:?}"
    );
}
