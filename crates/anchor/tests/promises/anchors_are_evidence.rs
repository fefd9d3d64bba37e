//! An anchor is verified, stored and recorded, and others can check what was stored.

use crate::rig::{Kept, Witnessing, authority, begin, facts, on_demand, policy};
use anchor::{Settings, Standing};
use aws_lc_rs::digest::{SHA256, digest};
use event::Kind;
use evidence::verify;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::{Reply, Upstream};
use tlog::Checkpoint;
use tlog::cosignature::{Cosigner, Timestamp};
use tlog::note::{Note, VerifyingKey};
use tlog::witness::AddCheckpoint;

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

fn head_of(place: &Path, origin: &str) -> std::path::PathBuf {
    let path = tlog::witness::checkpoint_path(origin);
    place.join(path.split('/').next().unwrap()).join("head")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_anchor_is_stored_and_recorded_and_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let key = begin(&data).await;
    let witness = Witnessing::start(&dir.path().join("w"), vec![key.clone()]).await;
    let (openssl, _server, authority) = authority("acme").await;
    let policy = witness.policy();
    let kept = Kept::start(
        &data,
        Settings {
            authorities: vec![authority],
            witnesses: Some(policy.clone()),
            copy: Some(place.clone()),
            ..on_demand()
        },
    );
    kept.append().await;
    let standing = kept.handle.anchor_now().await.unwrap();
    let size = standing.published;
    let has = |anchor: &anchor::Anchored| anchor.size >= Some(size) && anchor.failing.is_none();
    assert!(
        standing.anchors.len() == 3 && standing.anchors.iter().all(has),
        "{standing:?}"
    );
    assert_eq!(standing.quorum.unwrap().size, size);

    let head = data.join(format!("anchors/{size:020}"));
    let checkpoint = std::fs::read(head.join("checkpoint")).unwrap();
    let root = checkpoint_of(&checkpoint, &key).root().to_string();

    // The authority's own tool agrees, and the event commits to what it agreed to.
    let token = std::fs::read(head.join("acme.tsr")).unwrap();
    std::fs::write(openssl.dir().join("stored.tsr"), &token).unwrap();
    std::fs::write(openssl.dir().join("stored"), &checkpoint).unwrap();
    openssl
        .openssl(&[
            "ts",
            "-verify",
            "-in",
            "stored.tsr",
            "-data",
            "stored",
            "-CAfile",
            "root.pem",
        ])
        .unwrap();
    let stamped = facts(&data, Kind::AnchorTimestamp).pop().unwrap();
    assert_eq!(stamped["token_sha256"], sha256(&token));
    assert_eq!(stamped["checkpoint_sha256"], sha256(&checkpoint));
    assert_eq!(stamped["authority"], "acme");
    assert_eq!(
        (&stamped["size"], &stamped["root"]),
        (&size.into(), &root.clone().into())
    );
    assert!(stamped["gen_time"].as_str().unwrap().ends_with('Z'));

    // The policy accepts the cosigned checkpoint, and the event's line is in it.
    let cosigned = std::fs::read_to_string(head.join("cosigned")).unwrap();
    let note = Note::parse(cosigned.as_bytes()).unwrap();
    policy.with_log(key.clone()).accept(&note, None).unwrap();
    let witnessed = facts(&data, Kind::AnchorWitness).pop().unwrap();
    assert!(cosigned.contains(witnessed["signature"].as_str().unwrap()));
    assert_eq!(witnessed["key"], witness.key.to_string());
    assert_eq!(witnessed["root"], root);

    let copied = facts(&data, Kind::AnchorCopy).pop().unwrap();
    assert_eq!(copied["checkpoint_sha256"], sha256(&checkpoint));
    assert_eq!(
        std::fs::read(head_of(&place, key.name())).unwrap(),
        checkpoint
    );

    // Hints for whoever comes later.
    assert!(data.join("anchors/roots/acme.pem").exists());
    let witnesses = std::fs::read_to_string(data.join("anchors/witnesses")).unwrap();
    assert_eq!(witnesses, format!("{}\n", witness.key));

    kept.close().await;
    anchor::lay_down_last(&data, &place).unwrap();
    let last = std::fs::read(head_of(&place, key.name())).unwrap();
    let store = evidence::Store::open(&data).unwrap();
    assert_eq!(checkpoint_of(&last, &key).size(), store.len());
    let standing = Standing::last_known(&data).unwrap().unwrap();
    assert_eq!(standing.unanchored(store.len()), 0);
    witness.stop().await;
}

/// A witness that says another time whenever it is asked, also about a head that it knows.
async fn forgetful_witness() -> (Upstream, VerifyingKey) {
    let cosigner = Cosigner::ed25519("example.com/w", &[1; 32]).unwrap();
    let key = cosigner.verifying_key().clone();
    let asked = AtomicU64::new(0);
    let upstream = Upstream::start(move |request| {
        let request = AddCheckpoint::parse(&request.body).unwrap();
        // Another than in the answer before, and no further from the true one than clocks may differ.
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let ahead = asked.fetch_add(1, Ordering::Relaxed) % 3;
        let now = Timestamp::new(now + ahead).unwrap();
        let checkpoint = request.note().text().parse().unwrap();
        let line = cosigner.cosign(&checkpoint, now).unwrap();
        Reply::body(200, "text/plain", format!("{line}\n"))
    });
    (upstream.await.unwrap(), key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_offered_twice_is_anchored_once() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    begin(&data).await;
    let (witness, key) = forgetful_witness().await;
    let (_openssl, _server, authority) = authority("acme").await;
    let trust = timestamp_roots(&authority);
    let policy = policy(&key, &witness.url());
    let kept = Kept::start(
        &data,
        Settings {
            authorities: vec![authority],
            witnesses: Some(policy.clone()),
            copy: Some(place),
            ..on_demand()
        },
    );
    for _ in 0..5 {
        kept.append().await;
        // Whoever comes while others wait is offered the head that they wait for.
        let (a, b, c, d) = tokio::join!(
            kept.handle.anchor_now(),
            kept.handle.anchor_now(),
            kept.handle.anchor_now(),
            kept.handle.anchor_now(),
        );
        for standing in [a, b, c, d] {
            let standing = standing.unwrap();
            assert!(
                standing
                    .anchors
                    .iter()
                    .all(|anchor| anchor.failing.is_none()),
                "{standing:?}"
            );
        }
    }
    kept.close().await;
    for kind in [Kind::AnchorTimestamp, Kind::AnchorWitness, Kind::AnchorCopy] {
        let told = facts(&data, kind);
        let sizes: BTreeSet<u64> = told
            .iter()
            .filter_map(|facts| facts["size"].as_u64())
            .collect();
        assert_eq!(sizes.len(), told.len(), "{kind:?}: {told:?}");
    }
    let vkey = std::fs::read_to_string(data.join("log/vkey")).unwrap();
    let options = verify::Options {
        policy: Some(policy.with_log(vkey.trim_end().parse().unwrap())),
        roots: Some(trust),
        ..verify::Options::default()
    };
    let report = verify::run(&data, &options, &mut |_| {}).unwrap();
    assert!(
        report.faults.is_empty() && report.missing.is_empty(),
        "{:?} {:?}",
        report.faults,
        report.missing
    );
}

fn timestamp_roots(authority: &anchor::Authority) -> timestamp::Trust {
    let roots = timestamp::Certificate::from_pem(authority.trusted.pem()).unwrap();
    timestamp::Trust::new(roots).unwrap()
}

fn checkpoint_of(bytes: &[u8], key: &VerifyingKey) -> Checkpoint {
    Checkpoint::open(bytes, key.name(), std::slice::from_ref(key))
        .unwrap()
        .0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_recorder_is_anchored() {
    let dir = tempfile::tempdir().unwrap();
    let (data, place) = (dir.path().join("record"), dir.path().join("place"));
    std::fs::create_dir(&place).unwrap();
    let copy = Some(place);
    let kept = Kept::start(
        &data,
        Settings {
            copy,
            ..on_demand()
        },
    );
    kept.until("the start", |standing| standing.anchors[0].size.is_some())
        .await;
    let last = kept.append().await;
    kept.close().await;
    let copied = facts(&data, Kind::AnchorCopy).pop().unwrap();
    assert!(copied["size"].as_u64().unwrap() > last);
}
