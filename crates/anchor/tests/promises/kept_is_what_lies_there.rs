//! Known outside is what was read back and verifies, whatever was written down of it.

use crate::rig::{Kept as Keeping, Witnessing, authority, begin, facts, on_demand};
use anchor::{Kept, Kind, Settings, Standing, kept};
use event::Kind as Event;
use std::path::Path;
use tlog::note::Algorithm;
use tlog::policy::Policy;

fn sizes(kept: &[Kept]) -> Vec<(Kind, Option<u64>)> {
    let mut sizes: Vec<_> = kept.iter().map(|kept| (kept.kind, kept.size)).collect();
    sizes.sort_unstable();
    sizes
}

fn trouble(kept: &[Kept], kind: Kind) -> String {
    let found = kept.iter().find(|kept| kept.kind == kind).unwrap();
    found.trouble.clone().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_is_read_back_and_what_is_gone_or_altered_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let key = begin(&data).await;
    let witness = Witnessing::start(&dir.path().join("w"), vec![key]).await;
    let (_openssl, _server, authority) = authority("acme").await;
    let settings = Settings {
        authorities: vec![authority],
        witnesses: Some(witness.policy()),
        copy: Some(place.clone()),
        ..on_demand()
    };
    let keeping = Keeping::start(&data, settings);
    keeping.append().await;
    let standing = keeping.handle.anchor_now().await.unwrap();
    let published = standing.published;
    let size = Some(published);
    let all = |size| {
        [
            (Kind::Timestamp, size),
            (Kind::Witness, size),
            (Kind::Copy, size),
        ]
    };
    let back = kept(&data, Some(&standing)).await.unwrap();
    assert_eq!(sizes(&back), all(size), "{back:?}");
    assert!(
        back.iter()
            .all(|kept| kept.trouble.is_none() && kept.at.is_some())
    );
    keeping.close().await;
    witness.stop().await;

    // Of the record that has ended more is known, also where nobody wrote it down.
    let last = Standing::last_known(&data).unwrap().unwrap();
    let newest = last.newest(Kind::Witness).unwrap().size;
    let back = kept(&data, Some(&last)).await.unwrap();
    assert_eq!(sizes(&back), all(newest), "{back:?}");
    let hinted = kept(&data, None).await.unwrap();
    assert_eq!(sizes(&hinted), all(newest)[..2], "{hinted:?}");

    // What was put in its place counts for nothing, and an older one does.
    let head = data.join(format!("anchors/{:020}", newest.unwrap()));
    let older = data.join(format!("anchors/{:020}", published));
    assert_ne!(head, older);
    std::fs::copy(older.join("acme.tsr"), head.join("acme.tsr")).unwrap();
    std::fs::copy(older.join("cosigned"), head.join("cosigned")).unwrap();
    std::fs::remove_dir_all(&place).unwrap();
    let back = kept(&data, Some(&last)).await.unwrap();
    let some = [
        (Kind::Timestamp, size),
        (Kind::Witness, size),
        (Kind::Copy, None),
    ];
    assert_eq!(sizes(&back), some, "{back:?}");
    assert!(
        trouble(&back, Kind::Timestamp).contains("for other data"),
        "{back:?}"
    );
    assert!(
        trouble(&back, Kind::Witness).contains("not what was published"),
        "{back:?}"
    );
    assert!(
        trouble(&back, Kind::Copy).contains("does not exist"),
        "{back:?}"
    );

    // Nor does a whole head under the name of a longer one.
    std::fs::copy(older.join("checkpoint"), head.join("checkpoint")).unwrap();
    let back = kept(&data, Some(&last)).await.unwrap();
    assert_eq!(sizes(&back), some, "{back:?}");
    for kind in [Kind::Timestamp, Kind::Witness] {
        let words = format!("its head is one of {published} events");
        assert!(trouble(&back, kind).contains(&words), "{back:?}");
    }

    // Without whom to believe nothing is believed.
    std::fs::remove_file(data.join("anchors/witnesses")).unwrap();
    std::fs::write(data.join("anchors/roots/acme.pem"), "").unwrap();
    let back = kept(&data, Some(&last)).await.unwrap();
    assert!(back.iter().all(|kept| kept.size.is_none()), "{back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_down_and_does_not_parse_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    begin(dir.path()).await;
    assert!(Standing::last_known(dir.path()).unwrap().is_none());
    std::fs::create_dir_all(dir.path().join("anchors")).unwrap();
    for (text, words) in [("{", "does not parse"), ("", "does not parse")] {
        std::fs::write(dir.path().join("anchors/standing.json"), text).unwrap();
        let error = Standing::last_known(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(words) && error.contains("standing.json"),
            "{error}"
        );
    }
}

fn lay_down_last(data: &Path, place: &Path) -> Result<(), String> {
    anchor::lay_down_last(data, place).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_checkpoint_is_not_laid_down_where_the_place_is_not_mounted() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    let settings = Settings {
        copy: Some(place.clone()),
        ..on_demand()
    };
    std::fs::create_dir(&place).unwrap();
    let keeping = Keeping::start(&data, settings);
    keeping.append().await;
    keeping.handle.anchor_now().await.unwrap();
    keeping.close().await;
    let aside = dir.path().join("aside");
    std::fs::rename(&place, &aside).unwrap();
    std::fs::create_dir(&place).unwrap();
    // By the hint, and by the log where the hint is broken or gone.
    for hint in [None, Some("{")] {
        let error = lay_down_last(&data, &place).unwrap_err();
        assert!(error.contains("is not mounted any more"), "{error}");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        let file = data.join("anchors/standing.json");
        match hint {
            None => std::fs::write(&file, "{").unwrap(),
            Some(_) => std::fs::remove_file(&file).unwrap(),
        }
    }
    std::fs::remove_dir(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    lay_down_last(&data, &place).unwrap();
    // A place that never knew the log may begin to.
    let fresh = dir.path().join("fresh");
    std::fs::create_dir(&fresh).unwrap();
    lay_down_last(&data, &fresh).unwrap();
    assert_eq!(std::fs::read_dir(&fresh).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_of_one_name_are_two_witnesses_whatever_they_sign_with() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("record");
    let key = begin(&data).await;
    let logs = vec![key.clone()];
    let first = Witnessing::start(&dir.path().join("w1"), logs.clone()).await;
    let by = Algorithm::MlDsa44Cosignature;
    let second = Witnessing::start_by(&dir.path().join("w2"), logs, Some(by)).await;
    assert_eq!(first.key.name(), second.key.name());
    assert_eq!(second.key.algorithm(), by);
    let policy = format!(
        "witness a {} {}\nwitness b {} {}\ngroup both 2 a b\nquorum both\n",
        first.key, first.url, second.key, second.url
    );
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let settings = Settings {
        witnesses: Some(policy.clone()),
        ..on_demand()
    };
    let keeping = Keeping::start(&data, settings);
    keeping.append().await;
    let standing = keeping.handle.anchor_now().await.unwrap();
    let size = standing.published;
    assert_eq!(standing.quorum.unwrap().size, size, "{standing:?}");
    let ids = standing.anchors.iter().map(|anchor| anchor.key_id.clone());
    let expected = [&first.key, &second.key].map(|key| Some(key.id().to_string()));
    assert_eq!(ids.collect::<Vec<_>>(), expected);
    let back = kept(&data, Some(&standing)).await.unwrap();
    assert!(back.iter().all(|kept| kept.size == Some(size)), "{back:?}");

    // One ends: the other one's standing is its own.
    let (ended, id) = (second.key.clone(), second.key.id().to_string());
    second.stop().await;
    keeping.append().await;
    let standing = keeping.handle.anchor_now().await.unwrap();
    let [going, gone] = standing.anchors.as_slice() else {
        panic!("{standing:?}")
    };
    assert!(
        going.failing.is_none() && going.size > Some(size),
        "{going:?}"
    );
    assert!(
        gone.failing.is_some() && gone.size == Some(size),
        "{gone:?}"
    );
    keeping.close().await;
    let failed = facts(&data, Event::AnchorFailed);
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["key_id"], id);
    first.stop().await;

    // What it cosigned, verification accepts.
    let options = evidence::verify::Options {
        policy: Some(policy.with_log(key)),
        ..Default::default()
    };
    let report = evidence::verify::run(&data, &options, &mut |_| ()).unwrap();
    let witnesses = report.verdict(evidence::verify::Subject::Witnesses);
    assert_eq!(
        witnesses,
        Some(evidence::verify::Verdict::Valid),
        "{:?}",
        report.claims
    );
    assert!(report.faults.is_empty(), "{:?}", report.faults);

    // The algorithm of a key is for ever.
    let open = |algorithm| {
        anchor::host::Host::open(anchor::host::Options {
            dir: dir.path().join("w2"),
            name: None,
            algorithm,
            logs: Vec::new(),
        })
    };
    let error = open(Some(Algorithm::Ed25519Cosignature)).unwrap_err();
    assert!(error.to_string().contains("--algorithm"), "{error}");
    assert_eq!(open(None).unwrap().key(), &ended);
}
