//! Whoever is not there, refuses or lies is named once, with what it did, and asked again.

use crate::rig::{Kept, authority, begin, facts, on_demand, policy};
use anchor::{Kind, Settings};
use std::time::Duration;
use testkit::authority::Fault;
use testkit::{Reply, Upstream};
use tlog::cosignature::{Cosigner, Timestamp};
use tlog::witness::AddCheckpoint;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_is_named_for_what_it_does_and_asked_again() {
    for (fault, words) in [
        (Fault::Reset, "http://127.0.0.1"),
        (Fault::ServerError, "HTTP 500"),
        (Fault::Garbage, "does not hold"),
        (Fault::Cut, "broke off"),
        (Fault::WrongNonce, "nonce"),
        (Fault::WrongImprint, "for other data"),
        (Fault::Rejection, "rejected"),
        (Fault::Endless, "more than"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (_openssl, server, authority) = authority("acme").await;
        server.set_fault(fault);
        let kept = Kept::start(
            dir.path(),
            Settings {
                authorities: vec![authority],
                ..on_demand()
            },
        );
        let failing = |standing: &anchor::Standing| standing.anchors[0].failing.clone();
        let standing = kept
            .until("it is named", |standing| {
                failing(standing).is_some_and(|f| f.attempts >= 2)
            })
            .await;
        let why = failing(&standing).unwrap();
        assert!(
            why.error.contains(words) && !why.incident,
            "{fault:?}: {why:?}"
        );
        // What stands behind the host may be what only the operator may know.
        assert!(!why.error.contains("/tsa"), "{fault:?}: {why:?}");

        server.set_fault(Fault::None);
        kept.append().await;
        let standing = kept.handle.anchor_now().await.unwrap();
        assert!(
            standing.anchors[0].size.is_some(),
            "{fault:?}: {standing:?}"
        );
        kept.close().await;

        let failed = facts(dir.path(), event::Kind::AnchorFailed);
        assert_eq!(failed.len(), 1, "{fault:?}: named once: {failed:?}");
        assert_eq!(failed[0]["anchor"], "timestamp");
        assert_eq!(failed[0]["name"], "acme");
        assert!(failed[0]["since"].is_string());
        let stamped = facts(dir.path(), event::Kind::AnchorTimestamp);
        assert!(stamped[0]["attempts"].as_u64().unwrap() >= 3, "{stamped:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_given_before_and_one_of_a_stranger_count_for_nothing() {
    // A replay needs a first answer; a stranger's root is trusted in place of the authority's own.
    let dir = tempfile::tempdir().unwrap();
    let (_openssl, server, mut honest) = authority("acme").await;
    let (stranger, _, _) = authority("other").await;
    let kept = Kept::start(
        &dir.path().join("a"),
        Settings {
            authorities: vec![honest.clone()],
            ..on_demand()
        },
    );
    kept.until("the first", |standing| standing.anchors[0].size.is_some())
        .await;
    server.set_fault(Fault::Replay);
    kept.append().await;
    let standing = kept.handle.anchor_now().await.unwrap();
    let why = standing.anchors[0].failing.clone().unwrap();
    assert!(why.error.contains("does not hold"), "{why:?}");
    server.set_fault(Fault::None);
    kept.close().await;

    let pem = stranger.pem(testkit::authority::ROOT).unwrap();
    honest.trusted = anchor::Trusted::roots(&pem).unwrap();
    let kept = Kept::start(
        &dir.path().join("b"),
        Settings {
            authorities: vec![honest],
            ..on_demand()
        },
    );
    let standing = kept
        .until("it is named", |standing| {
            standing.anchors[0].failing.is_some()
        })
        .await;
    assert!(
        standing.anchors[0]
            .failing
            .clone()
            .unwrap()
            .error
            .contains("does not hold")
    );
    assert!(
        !dir.path()
            .join("b/anchors")
            .read_dir()
            .unwrap()
            .any(|entry| { entry.unwrap().path().join("acme.tsr").exists() })
    );
    kept.close().await;
}

/// What a witness that lies sends for a request.
type Lie = fn(&AddCheckpoint) -> Reply;

fn cosigned(request: &AddCheckpoint, seed: u8, seconds: u64) -> Reply {
    Reply::body(200, "text/plain", line(request, seed, seconds))
}

fn now() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

fn line(request: &AddCheckpoint, seed: u8, seconds: u64) -> String {
    let cosigner = Cosigner::ed25519("example.com/liar", &[seed; 32]).unwrap();
    let checkpoint = request.note().text().parse().unwrap();
    let signature = cosigner
        .cosign(&checkpoint, Timestamp::new(seconds).unwrap())
        .unwrap();
    // In the name and id of the key that is trusted, whoever made it.
    let trusted = Cosigner::ed25519("example.com/liar", &[1; 32]).unwrap();
    let named = tlog::note::Signature::new(
        "example.com/liar",
        trusted.verifying_key().id(),
        signature.bytes().to_vec(),
    )
    .unwrap();
    format!("{named}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_is_named_for_what_it_says() {
    let lies: [(&str, Lie, &str, bool); 11] = [
        (
            "another's signature",
            |request| cosigned(request, 2, 1_700_000_000),
            "does not verify",
            false,
        ),
        (
            "a time to come",
            |request| cosigned(request, 1, 99_000_000_000),
            "this machine's clock says",
            false,
        ),
        (
            "a time that has long passed",
            |request| cosigned(request, 1, 1_700_000_000),
            "this machine's clock says",
            false,
        ),
        (
            "two things at once",
            |request| {
                let lines = [0, 1].map(|second| line(request, 1, now() + second));
                Reply::body(200, "text/plain", lines.concat())
            },
            "2 signatures",
            false,
        ),
        (
            "the same until no event holds it",
            |request| Reply::body(200, "text/plain", line(request, 1, now()).repeat(60)),
            "60 signatures",
            false,
        ),
        ("nothing", |_| Reply::body(200, "text/plain", ""), "", false),
        (
            "noise",
            |_| Reply::body(200, "text/plain", "ok\n"),
            "",
            false,
        ),
        (
            "a door",
            |_| Reply::body(302, "text/plain", "elsewhere"),
            "302",
            false,
        ),
        (
            "no",
            |_| Reply::body(404, "text/plain", "no"),
            "not known",
            false,
        ),
        (
            "that the log lost its end",
            |_| Reply::body(409, "text/x.tlog.size", "1000000\n"),
            "lost its end",
            true,
        ),
        (
            "that the log is another",
            |_| Reply::body(422, "text/plain", "no"),
            "another history",
            true,
        ),
    ];
    let key = Cosigner::ed25519("example.com/liar", &[1; 32])
        .unwrap()
        .verifying_key()
        .clone();
    for (name, lie, words, incident) in lies {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path()).await;
        let witness =
            Upstream::start(move |request| lie(&AddCheckpoint::parse(&request.body).unwrap()))
                .await
                .unwrap();
        let kept = Kept::start(
            dir.path(),
            Settings {
                witnesses: Some(policy(&key, &witness.url())),
                ..on_demand()
            },
        );
        let standing = kept
            .until(name, |standing| standing.anchors[0].failing.is_some())
            .await;
        let why = standing.anchors[0].failing.clone().unwrap();
        assert!(
            why.error.contains(words) && why.incident == incident,
            "{name}: {why:?}"
        );
        assert_eq!(standing.anchors[0].size, None);
        assert_eq!(standing.quorum.unwrap().size, 0);
        kept.close().await;
        let failed = facts(dir.path(), event::Kind::AnchorFailed);
        assert_eq!(failed.len(), 1, "{name}");
        assert_eq!(failed[0].get("incident").is_some(), incident, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_anchor_that_cannot_be_recorded_is_not_passed_over_in_silence() {
    // Its name alone is longer than an event may be.
    let name = format!("example.com/{}", "w".repeat(20_000));
    let cosigner = Cosigner::ed25519(&name, &[1; 32]).unwrap();
    let key = cosigner.verifying_key().clone();
    let dir = tempfile::tempdir().unwrap();
    begin(dir.path()).await;
    let witness = Upstream::start(move |request| {
        let request = AddCheckpoint::parse(&request.body).unwrap();
        let checkpoint = request.note().text().parse().unwrap();
        let now = Timestamp::new(now()).unwrap();
        let line = cosigner.cosign(&checkpoint, now).unwrap();
        Reply::body(200, "text/plain", format!("{line}\n"))
    })
    .await
    .unwrap();
    let kept = Kept::start(
        dir.path(),
        Settings {
            witnesses: Some(policy(&key, &witness.url())),
            ..on_demand()
        },
    );
    // Once and again: it goes on asking.
    for _ in 0..2 {
        let last = kept.append().await;
        kept.handle.anchor_now().await.unwrap();
        let standing = kept
            .until("it is told", |standing| {
                let anchor = &standing.anchors[0];
                anchor.size > Some(last) && anchor.failing.is_some()
            })
            .await;
        let why = standing.anchors[0].failing.clone().unwrap();
        assert!(why.error.contains("is not recorded"), "{}", why.error);
    }
    kept.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_only_ever_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let (_openssl, server, authority) = authority("acme").await;
    server.set_fault(Fault::ServerError);
    let kept = Kept::start(
        dir.path(),
        Settings {
            authorities: vec![authority],
            timestamp: Duration::from_millis(20),
            ..on_demand()
        },
    );
    let mut before = 0;
    for _ in 0..6 {
        kept.append().await;
        let standing = kept
            .until("the next is published", |standing| {
                standing.published > before
            })
            .await;
        before = standing.published;
    }
    kept.until("it is named", |standing| {
        standing.anchors[0].failing.is_some()
    })
    .await;
    server.set_fault(Fault::None);
    let standing = kept.handle.anchor_now().await.unwrap();
    let stamped = &standing.anchors[0];
    assert_eq!(
        (stamped.kind, stamped.size),
        (Kind::Timestamp, Some(standing.published))
    );
    assert!(stamped.superseded >= 1, "{stamped:?}");
    kept.close().await;
    let stamped = facts(dir.path(), event::Kind::AnchorTimestamp);
    assert!(
        stamped.len() <= 3,
        "the newest and what came since: {stamped:?}"
    );
    assert!(stamped[0]["superseded"].as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_place_that_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("not-mounted");
    let kept = Kept::start(
        &dir.path().join("record"),
        Settings {
            copy: Some(place.clone()),
            ..on_demand()
        },
    );
    let standing = kept
        .until("it is named", |standing| {
            standing.anchors[0].failing.is_some()
        })
        .await;
    assert!(
        standing.anchors[0]
            .failing
            .clone()
            .unwrap()
            .error
            .contains("does not exist")
    );
    assert!(!place.exists());
    std::fs::create_dir(&place).unwrap();
    let standing = kept.handle.anchor_now().await.unwrap();
    assert!(standing.anchors[0].failing.is_none());
    // Nor is it taken for one that is new when it goes away under way: what is left is an empty directory.
    let aside = dir.path().join("aside");
    std::fs::rename(&place, &aside).unwrap();
    std::fs::create_dir(&place).unwrap();
    kept.append().await;
    let standing = kept.handle.anchor_now().await.unwrap();
    let why = standing.anchors[0].failing.clone().unwrap();
    assert!(why.error.contains("not mounted any more"), "{why:?}");
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
    std::fs::remove_dir(&place).unwrap();
    std::fs::rename(&aside, &place).unwrap();
    let standing = kept.handle.anchor_now().await.unwrap();
    assert!(standing.anchors[0].failing.is_none(), "{standing:?}");
    kept.close().await;
    // One in the same hands is refused before anything is done.
    for (place, words) in [
        (dir.path().join("record/place"), "within the record"),
        (dir.path().to_owned(), "holds the record itself"),
        (std::path::PathBuf::new(), "has no name"),
    ] {
        let settings = Settings {
            copy: Some(place),
            ..on_demand()
        };
        let error = settings.judge(&dir.path().join("record")).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}
