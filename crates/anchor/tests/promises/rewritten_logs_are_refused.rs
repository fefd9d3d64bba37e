//! A log that was cut, put back to an earlier copy or rewritten is not gone on with.

use crate::rig::{Kept, Witnessing, begin, copy_all, facts, on_demand, policy};
use anchor::{Settings, Successor, Verdict, check};
use event::Kind;
use evidence::{Options, Recorder};
use std::path::Path;

async fn run(data: &Path, settings: &Settings, events: u64) {
    let kept = Kept::start(data, settings.clone());
    for _ in 0..events {
        kept.append().await;
    }
    kept.handle.anchor_now().await.unwrap();
    kept.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_copy_and_a_fork_are_refused_by_witness_and_second_place() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let key = begin(&data).await;
    let witness = Witnessing::start(&dir.path().join("w"), vec![key.clone()]).await;
    let by_witness = Settings {
        witnesses: Some(witness.policy()),
        ..on_demand()
    };
    let by_place = Settings {
        copy: Some(place.clone()),
        ..on_demand()
    };
    let by_both = Settings {
        copy: Some(place),
        ..by_witness.clone()
    };
    run(&data, &by_both, 3).await;
    let earlier = dir.path().join("earlier");
    copy_all(&data, &earlier);
    run(&data, &by_both, 5).await;

    let whole = check(&data, &by_both).await.unwrap().unwrap();
    assert_eq!(whole.in_words(), Vec::<String>::new());
    assert_eq!(whole.marks.len(), 3, "{whole:?}");

    for (settings, kind) in [(&by_witness, "witness"), (&by_place, "copy")] {
        let found = check(&earlier, settings).await.unwrap().unwrap();
        let doubt = found.doubts().next().expect(kind);
        assert_eq!(
            (doubt.kind.as_str(), doubt.verdict),
            (kind, Verdict::Shorter)
        );
        assert!(found.size < doubt.size && found.in_words()[0].contains("earlier copy"));
    }

    // Another history of the same log: as long as the first, by the same key.
    let fork = dir.path().join("fork");
    copy_all(&earlier, &fork);
    run(&fork, &on_demand(), 40).await;
    for (settings, kind) in [(&by_witness, "witness"), (&by_place, "copy")] {
        let found = check(&fork, settings).await.unwrap().unwrap();
        let doubt = found.doubts().next().expect(kind);
        assert_eq!(
            (doubt.kind.as_str(), doubt.verdict),
            (kind, Verdict::Differs)
        );
    }
    // Whoever goes on with it all the same is found out while it runs.
    let kept = Kept::start(&fork, by_both.clone());
    let standing = kept.handle.anchor_now().await.unwrap();
    for anchor in &standing.anchors {
        let why = anchor.failing.clone().unwrap();
        assert!(
            why.incident && why.error.contains("another history"),
            "{why:?}"
        );
    }
    kept.close().await;
    // A start does not settle it, also when nobody can be asked any more.
    let away = Settings {
        witnesses: Some(policy(&witness.key, "http://127.0.0.1:1")),
        ..on_demand()
    };
    let attempts = standing.anchors[0].failing.as_ref().unwrap().attempts;
    let again = Kept::start(&fork, away);
    let standing = again
        .until("the witness is asked", |standing| {
            standing.anchors[0]
                .failing
                .as_ref()
                .is_some_and(|failing| failing.attempts > attempts)
        })
        .await;
    let why = standing.anchors[0].failing.clone().unwrap();
    assert!(
        why.incident && why.error.contains("another history"),
        "{why:?}"
    );
    again.close().await;
    let failed = facts(&fork, Kind::AnchorFailed);
    assert!(
        failed.len() == 2 && failed.iter().all(|facts| facts["incident"] == true),
        "{failed:?}"
    );
    // Which of the two was rewritten the log cannot say, and whoever verifies it is told.
    let report = evidence::verify::run(&fork, &evidence::verify::Options::default(), &mut |_| ());
    let report = report.unwrap();
    assert_eq!((report.exit_code(), report.incidents.len()), (11, 2));

    // A new log commits to what was found.
    let found = check(&earlier, &by_both).await.unwrap();
    let successor = Successor::of(&earlier, found.as_ref()).unwrap();
    assert_eq!(successor.left().origin, key.name());
    let draft = successor.draft();
    let stated = draft.facts.unwrap();
    assert_eq!(stated["size"], found.unwrap().size);
    assert_eq!(stated["mark"]["verdict"], "shorter");
    assert!(stated["reason"].as_str().unwrap().contains("earlier copy"));
    witness.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_lost_its_end_contradicts_its_own_anchors() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    begin(&data).await;
    let earlier = dir.path().join("earlier");
    copy_all(&data, &earlier);
    let copy = Some(place);
    run(
        &data,
        &Settings {
            copy,
            ..on_demand()
        },
        5,
    )
    .await;
    copy_all(&data.join("anchors"), &earlier.join("anchors"));
    // The newest may have been begun and not finished, or taken away.
    for hollow in [None, Some(5_000), Some(7_000)] {
        if let Some(size) = hollow {
            std::fs::create_dir(earlier.join(format!("anchors/{size:020}"))).unwrap();
        }
        let found = check(&earlier, &on_demand()).await.unwrap().unwrap();
        let doubt = found.doubts().next().expect("its own anchors");
        assert_eq!(
            (doubt.kind.as_str(), doubt.verdict),
            ("published", Verdict::Shorter)
        );
    }
}

/// What the record still says of who knew it.
const TRACES: [&str; 3] = ["all that was said", "the events alone", "nothing"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knew_the_log_and_says_that_he_does_not_was_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let key = begin(&data).await;
    let new = dir.path().join("new");
    copy_all(&data, &new);
    let witness = Witnessing::start(&dir.path().join("w"), vec![key.clone()]).await;
    let settings = Settings {
        copy: Some(place.clone()),
        witnesses: Some(witness.policy()),
        ..on_demand()
    };
    run(&data, &settings, 3).await;
    witness.stop().await;

    // The place is not mounted: an empty directory. In the witness's place somebody answers who knows nothing.
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    let nobody = testkit::Upstream::start(|_| testkit::Reply::body(404, "text/plain", "no\n"));
    let nobody = nobody.await.unwrap();
    let named = settings.witnesses.as_ref().unwrap();
    let settings = Settings {
        witnesses: Some(policy(
            &named.witnesses().next().unwrap().key,
            &nobody.url(),
        )),
        ..settings.clone()
    };
    for traces in TRACES {
        let record = match traces {
            // It never had an anchor, and that nobody knows it is as it should be.
            "nothing" => new.clone(),
            _ => data.clone(),
        };
        if traces == "the events alone" {
            std::fs::remove_dir_all(data.join("anchors")).unwrap();
        }
        let found = check(&record, &settings).await.unwrap().unwrap();
        let names: Vec<&str> = found
            .unreachable
            .iter()
            .map(|absent| absent.kind.as_str())
            .collect();
        let expected: &[&str] = match traces {
            "nothing" => &[],
            _ => &["copy", "witness"],
        };
        assert_eq!(names, expected, "{traces}: {found:?}");
        let told = |absent: &anchor::Unreachable| absent.error.contains("knows nothing");
        assert!(found.unreachable.iter().all(told), "{traces}: {found:?}");
        assert_eq!(found.doubts().count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_cannot_be_asked_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("record");
    let key = begin(&data).await;
    let cosigner = tlog::cosignature::Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
    // A port that nobody listens on any more.
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let settings = Settings {
        copy: Some(dir.path().join("not-there")),
        witnesses: Some(policy(cosigner.verifying_key(), &gone)),
        ..on_demand()
    };
    let found = check(&data, &settings).await.unwrap().unwrap();
    assert_eq!(found.doubts().count(), 0);
    let names: Vec<&str> = found
        .unreachable
        .iter()
        .map(|absent| absent.kind.as_str())
        .collect();
    assert_eq!(names, ["copy", "witness"]);
    let facts = found.draft().facts.unwrap();
    assert_eq!(facts["unreachable"][1]["name"], "example.com/w");

    // A mark that no key of the log signed is no ground to go on.
    let place = dir.path().join("place");
    let path = tlog::witness::checkpoint_path(key.name());
    let home = place.join(path.split('/').next().unwrap());
    std::fs::create_dir_all(&home).unwrap();
    let forged = tlog::note::SigningKey::from_seed(key.name(), &[9; 32]).unwrap();
    let head = tlog::Checkpoint::new(key.name(), 1, tlog::leaf_hash(b"x")).unwrap();
    std::fs::write(home.join("head"), head.sign(&forged).unwrap().to_string()).unwrap();
    let settings = Settings {
        copy: Some(place),
        ..on_demand()
    };
    let found = check(&data, &settings).await.unwrap().unwrap();
    assert_eq!(found.doubts().next().unwrap().verdict, Verdict::NotSigned);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_has_not_begun_or_crashed_is_compared_with_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let settings = on_demand();
    assert_eq!(
        check(&dir.path().join("new"), &settings).await.unwrap(),
        None
    );

    // Not recovered yet: what was published counts the tail in the write-ahead log.
    let data = dir.path().join("record");
    let mut options = Options::new(&data);
    options.checkpoint = std::time::Duration::from_secs(3600);
    let recorder = Recorder::open(options).unwrap();
    for _ in 0..10 {
        recorder
            .append(&event::Draft::new(Kind::Clock, event::Source::Recorder))
            .await
            .unwrap();
    }
    let published = recorder.publish().await.unwrap();
    let crashed = dir.path().join("crashed");
    copy_all(&data, &crashed);
    let found = check(&crashed, &settings).await.unwrap().unwrap();
    assert_eq!(found.marks[0].size, published.size);
    assert_eq!(found.doubts().count(), 0);
    recorder.close().await.unwrap();
}
