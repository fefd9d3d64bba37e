//! What else is wrong with a store of which a bundle is broken: that its last events cannot be read excuses nothing that can be
//! seen without them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod anchored;

use anchored::Anchored;
use evidence::Store;
use evidence::verify::{Options, Report, Subject, Verdict};
use std::fs;
use std::path::{Path, PathBuf};
use tlog::note::SigningKey;
use tlog::{Checkpoint, Hash};

/// A size of which the store never was.
const TOO_MANY: u64 = 10_000;

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    *bytes.get_mut(middle).unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

/// A store of which the newest bundle is broken; how many events can be read, and how many there are.
fn broken() -> (Anchored, u64, u64) {
    let store = Anchored::new();
    let events = Store::open(store.path()).unwrap().len();
    let entries = store.path().join("log/tile/entries/001.p");
    let bundles = fs::read_dir(entries).unwrap();
    let mut bundles: Vec<PathBuf> = bundles.map(|entry| entry.unwrap().path()).collect();
    bundles.sort();
    bundles.iter().for_each(|path| flip(path));
    let report = store.verify(&Options::default());
    assert!(report.is_damage_alone(), "{:?}", report.faults);
    assert!(report.events < events);
    (store, report.events, events)
}

/// A head of `size` events by the log's own key, or by another in its name.
fn head(store: &Anchored, size: u64, stranger: bool) -> String {
    let origin = Store::open(store.path()).unwrap().origin().to_owned();
    let line = fs::read_to_string(store.path().join("keys/log.key")).unwrap();
    let own = hex::decode(line.split(' ').nth(1).unwrap()).unwrap();
    let seed = if stranger {
        [9; 32]
    } else {
        own.try_into().unwrap()
    };
    let key = SigningKey::from_seed(&origin, &seed).unwrap();
    let head = Checkpoint::new(&origin, size, Hash::new([3; 32])).unwrap();
    head.sign(&key).unwrap().to_string()
}

fn faults(report: &Report) -> Vec<(&str, Subject)> {
    let faults = report.faults.iter();
    faults
        .map(|fault| (fault.what.as_str(), fault.claim))
        .collect()
}

fn detail(report: &Report, subject: Subject) -> (Verdict, &str) {
    let claim = report.claims.iter().find(|claim| claim.claim == subject);
    claim
        .map(|claim| (claim.verdict, claim.detail.as_str()))
        .unwrap()
}

/// The report where a head lies in the place of the log's own checkpoint, of a published one, and of one that is held.
fn with(store: &Anchored, head: &str, size: u64) -> [(&'static str, Report); 3] {
    let held = Options {
        heads: vec![head.as_bytes().to_vec()],
        ..Options::default()
    };
    let held = store.verify(&held);
    let put = |path: PathBuf| {
        let before = fs::read(&path).ok();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, head).unwrap();
        let report = store.verify(&Options::default());
        match before {
            Some(before) => fs::write(&path, before).unwrap(),
            None => fs::remove_dir_all(path.parent().unwrap()).unwrap(),
        }
        report
    };
    let own = put(store.path().join("log/checkpoint"));
    let published = put(store.head(size).join("checkpoint"));
    [("own", own), ("published", published), ("held", held)]
}

#[test]
fn a_head_of_more_events_than_the_log_says_it_has_shows_that_its_end_was_cut_off() {
    let (store, read, events) = broken();
    for size in [events + 1, TOO_MANY] {
        for (what, report) in with(&store, &head(&store, size, false), size) {
            let expected = [
                ("corrupt", Subject::Content),
                ("removed", Subject::Sequence),
            ];
            assert_eq!(faults(&report), expected, "{what}, {size}");
            let fault = report.faults.last().unwrap();
            assert_eq!(fault.seq, Some(events), "{what}: {}", fault.detail);
            assert!(!report.is_damage_alone());
        }
    }
    // Of the events that are there and could not be read nothing is said.
    for size in [read + 1, events] {
        for (what, report) in with(&store, &head(&store, size, false), size) {
            assert!(report.is_damage_alone(), "{what}: {:?}", report.faults);
        }
    }
}

#[test]
fn a_strangers_signature_is_excused_only_where_its_key_may_be_told_of_by_what_could_not_be_read() {
    let (store, read, events) = broken();
    for (size, word) in [
        (7, "signature"),
        (read, "signature"),
        (read + 1, "corrupt"),
        (events, "corrupt"),
        (TOO_MANY, "signature"),
    ] {
        for (what, report) in with(&store, &head(&store, size, true), size) {
            let found = faults(&report);
            // What was published is of a size, whoever signed it.
            let word = match (what, size) {
                ("published", TOO_MANY) => "removed",
                _ => word,
            };
            let said: Vec<&str> = found.iter().map(|(what, _)| *what).collect();
            let expected = if word == "corrupt" {
                vec!["corrupt"]
            } else {
                vec!["corrupt", word]
            };
            assert_eq!(said, expected, "{what}, {size}");
            let signature = report.verdict(Subject::Signature) == Some(Verdict::Invalid);
            assert_eq!(signature, word == "signature", "{what}, {size}");
        }
    }
}

#[test]
fn where_nothing_is_signed_no_signature_is_valid_whatever_else_is_wrong() {
    let store = Anchored::new();
    fs::remove_file(store.path().join("log/checkpoint")).unwrap();
    flip(&store.path().join("vault/0000000001.vol"));
    let report = store.verify(&Options::default());
    assert_eq!(report.exit_code(), 10);
    let (signature, why) = detail(&report, Subject::Signature);
    assert_eq!(signature, Verdict::Unverifiable);
    assert!(why.contains("log/checkpoint"), "{why}");
    let (content, why) = detail(&report, Subject::Content);
    assert_eq!(
        (content, why),
        (Verdict::Unverifiable, "no checkpoint signs the events")
    );
    assert_eq!(report.missing, ["a signed checkpoint (log/checkpoint)"]);
}

#[test]
fn a_volume_that_is_gone_hides_no_alteration() {
    let store = Anchored::new();
    let other = head(&store, 7, false);
    fs::remove_file(store.path().join("vault/0000000001.vol")).unwrap();
    let report = store.verify(&Options::default());
    assert_eq!((report.exit_code(), faults(&report)), (12, vec![]));
    assert_eq!(report.missing, ["vault/0000000001.vol"]);
    assert_eq!(report.verdict(Subject::Content), Some(Verdict::Valid));
    let (bodies, why) = detail(&report, Subject::Bodies);
    assert_eq!(
        (bodies, why),
        (Verdict::Unverifiable, "vault/0000000001.vol is missing")
    );
    // The head that somebody holds is looked at all the same.
    let held = Options {
        heads: vec![other.into_bytes()],
        ..Options::default()
    };
    let report = store.verify(&held);
    assert_eq!(report.exit_code(), 10);
    assert_eq!(faults(&report), [("altered", Subject::Content)]);
}
