//! A head that the auditor holds and that the log does not extend is proof of a fork, whatever the log says of its keys.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod anchored;

use anchored::Anchored;
use evidence::verify::{Options, Report, Subject, Verdict, run_log};
use evidence::{Recorder, Store};
use std::path::Path;
use testkit::authority::RSA;
use tlog::cosignature::{Cosigner, Timestamp};
use tlog::note::{SigningKey, VerifyingKey};
use tlog::policy::Policy;
use tlog::{Checkpoint, Hash};

fn log_seed(dir: &Path) -> [u8; 32] {
    let line = std::fs::read_to_string(dir.join("keys/log.key")).unwrap();
    let seed = hex::decode(line.split(' ').nth(1).unwrap()).unwrap();
    seed.try_into().unwrap()
}

fn now() -> u64 {
    jiff::Timestamp::now().as_second().unsigned_abs()
}

/// A log whose first key, of this seed, was replaced and then revoked from its beginning, which a time stamp shows.
fn revoked() -> (Anchored, [u8; 32]) {
    let mut store = Anchored::new();
    let seed = log_seed(store.path());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let head = runtime.block_on(async {
        let options = evidence::Options {
            segment_bytes: 1 << 20,
            ..evidence::Options::new(store.path())
        };
        let recorder = Recorder::open(options).unwrap();
        recorder.revoke(1, None, "it was lost").await.unwrap();
        let head = recorder.publish().await.unwrap();
        for draft in store.anchor(&head, RSA) {
            recorder.append(&draft).await.unwrap();
        }
        recorder.close().await.unwrap();
        head
    });
    store.sizes.push(head.size);
    (store, seed)
}

/// The head of another history of this size, signed with the log's key of that seed, and cosigned.
fn fork(store: &Anchored, seed: &[u8; 32], witnesses: &[(&Cosigner, u64)]) -> Vec<u8> {
    let origin = Store::open(store.path()).unwrap().origin().to_owned();
    let head = Checkpoint::new(&origin, 100, Hash::new([3; 32])).unwrap();
    let key = SigningKey::from_seed(&origin, seed).unwrap();
    let note = witnesses
        .iter()
        .fold(head.sign(&key).unwrap(), |note, (witness, seconds)| {
            let time = Timestamp::new(*seconds).unwrap();
            let line = witness.cosign(&head, time).unwrap();
            note.with_signature(line).unwrap()
        });
    note.to_string().into_bytes()
}

fn of(report: &Report, subject: Subject) -> Verdict {
    report.verdict(subject).unwrap()
}

#[test]
fn a_revocation_does_not_undo_what_witnesses_vouched_for_before_it() {
    let (store, seed) = revoked();
    let own = std::fs::read(store.head(store.sizes[1]).join("cosigned")).unwrap();
    let before = now() - 3600;
    let after = now() + 3600;
    let [one, two] = &store.witnesses;
    let fork = |witnesses: &[(&Cosigner, u64)]| fork(&store, &seed, witnesses);
    let plain = fork(&[]);
    let vouched = fork(&[(one, before), (two, before)]);
    let late = fork(&[(one, before), (two, after)]);
    let few = fork(&[(one, before)]);
    use Verdict::{Invalid, Unverifiable, Valid};
    // The head, the verdicts on content and witnesses, the exit code: with the policy and without.
    let cases = [
        ("of this log", &own, (Valid, Valid, 0), (Valid, Valid, 0)),
        (
            "by the revoked key alone",
            &plain,
            (Valid, Unverifiable, 12),
            (Valid, Unverifiable, 12),
        ),
        (
            "cosigned by the quorum",
            &vouched,
            (Invalid, Valid, 10),
            (Valid, Unverifiable, 12),
        ),
        (
            "by the quorum only after outsiders had seen the revocation",
            &late,
            (Valid, Unverifiable, 12),
            (Valid, Unverifiable, 12),
        ),
        (
            "cosigned by too few",
            &few,
            (Valid, Unverifiable, 12),
            (Valid, Unverifiable, 12),
        ),
    ];
    for (name, head, with, without) in cases {
        for (options, expected) in [(store.options(), with), (Options::default(), without)] {
            let report = store.verify(&Options {
                heads: vec![head.clone()],
                ..options
            });
            let found = (
                of(&report, Subject::Content),
                of(&report, Subject::Witnesses),
                report.exit_code(),
            );
            assert_eq!(
                found, expected,
                "{name}: {:?} {:?}",
                report.faults, report.missing
            );
        }
    }
    // Whoever names the later key asks for no less.
    let epochs = Store::open(store.path()).unwrap().epochs().unwrap();
    let later = store.policy_text(&epochs.in_force().ed25519.to_string());
    let report = store.verify(&Options {
        heads: vec![vouched],
        policy: Some(Policy::parse(later.as_bytes()).unwrap()),
        ..Options::default()
    });
    assert_eq!(
        (
            of(&report, Subject::Signature),
            of(&report, Subject::Content),
            of(&report, Subject::Witnesses)
        ),
        (Valid, Invalid, Valid)
    );
    // Where nobody outside shows when the key was revoked, no cosignature is too late for it.
    std::fs::remove_dir_all(store.head(*store.sizes.last().unwrap())).unwrap();
    let report = store.verify(&Options {
        heads: vec![late],
        ..store.options()
    });
    assert_eq!(
        (of(&report, Subject::Content), report.exit_code()),
        (Invalid, 10)
    );
}

/// Writes a log of another tool with some entries; the head as `sign` signs it.
fn foreign(dir: &Path, entries: &[&str], sign: impl Fn(&Checkpoint) -> String) -> String {
    let mut tree = tlog::Frontier::default();
    let (mut bundle, mut hashes) = (Vec::new(), Vec::new());
    for entry in entries {
        tlog::bundle::encode_entry(&mut bundle, entry.as_bytes()).unwrap();
        hashes.push(tlog::leaf_hash(entry.as_bytes()));
        tree.push(tlog::leaf_hash(entry.as_bytes()));
    }
    let width = entries.len();
    for (path, bytes) in [
        (format!("tile/entries/000.p/{width}"), bundle),
        (format!("tile/0/000.p/{width}"), tlog::tile::encode(&hashes)),
    ] {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let head = Checkpoint::new("log.example/other", width as u64, tree.root()).unwrap();
    let note = sign(&head);
    std::fs::write(dir.join("checkpoint"), &note).unwrap();
    note
}

#[test]
fn heads_of_another_tools_log_are_judged_by_the_policys_keys() {
    let origin = "log.example/other";
    let note_key = SigningKey::from_seed(origin, &[1; 32]).unwrap();
    let cosigners = [
        Cosigner::ed25519(origin, &[2; 32]).unwrap(),
        Cosigner::ml_dsa_44(origin, &[3; 32]).unwrap(),
    ];
    let plain = |head: &Checkpoint| head.sign(&note_key).unwrap().to_string();
    let by = |cosigner: &Cosigner, head: &Checkpoint| {
        let line = cosigner.cosign(head, Timestamp::new(5).unwrap()).unwrap();
        format!("{head}\n{line}\n")
    };
    let stranger = Cosigner::ed25519(origin, &[4; 32]).unwrap();
    let policy = |keys: &[&VerifyingKey]| {
        let (first, rest) = keys.split_first().unwrap();
        let policy = Policy::of_log((*first).clone());
        Some(
            rest.iter()
                .fold(policy, |policy, key| policy.with_log((*key).clone())),
        )
    };
    let keys = [
        note_key.verifying_key(),
        cosigners[0].verifying_key(),
        cosigners[1].verifying_key(),
    ];
    let dir = tempfile::tempdir().unwrap();
    // Whoever of the log's keys signed the newest head, and whichever signed the one that is held.
    type Sign<'a> = &'a dyn Fn(&Checkpoint) -> String;
    let first = |head: &Checkpoint| by(&cosigners[0], head);
    let second = |head: &Checkpoint| by(&cosigners[1], head);
    let signers: [(&str, Sign<'_>); 3] = [
        ("a note key", &plain),
        ("an Ed25519 cosigner", &first),
        ("an ML-DSA-44 cosigner", &second),
    ];
    for (newest, sign) in signers {
        for (held, hold) in signers {
            let older = foreign(dir.path(), &["a", "b"], hold);
            foreign(dir.path(), &["a", "b", "c"], sign);
            let other = Checkpoint::new(origin, 2, Hash::new([9; 32])).unwrap();
            let cases = [
                (older.clone(), Verdict::Valid, Verdict::Valid, 0),
                (hold(&other), Verdict::Invalid, Verdict::Valid, 10),
                (by(&stranger, &other), Verdict::Valid, Verdict::Invalid, 10),
            ];
            for (head, content, signature, exit) in cases {
                let options = Options {
                    policy: policy(&keys),
                    heads: vec![head.into_bytes()],
                    ..Options::default()
                };
                let report = run_log(dir.path(), &options, &mut |_| ()).unwrap();
                assert_eq!(
                    (
                        of(&report, Subject::Content),
                        of(&report, Subject::Signature),
                        report.exit_code()
                    ),
                    (content, signature, exit),
                    "newest by {newest}, held by {held}: {:?} {:?}",
                    report.faults,
                    report.missing
                );
            }
        }
    }
    let options = Options {
        heads: vec![foreign(dir.path(), &["a", "b", "c"], plain).into_bytes()],
        ..Options::default()
    };
    let report = run_log(dir.path(), &options, &mut |_| ()).unwrap();
    assert_eq!(
        (of(&report, Subject::Witnesses), report.exit_code()),
        (Verdict::Unverifiable, 12)
    );
}

#[test]
fn every_claim_about_another_tools_log_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let origin = "log.example/other";
    let key = SigningKey::from_seed(origin, &[1; 32]).unwrap();
    let sign = |head: &Checkpoint| head.sign(&key).unwrap().to_string();
    let head = foreign(dir.path(), &["a", "b"], sign);
    let of_others = Checkpoint::new(origin, 2, Hash::new([9; 32])).unwrap();
    for (checkpoint, exit) in [
        (head, 12),
        (String::new(), 10),
        ("no note at all".to_owned(), 10),
        (sign(&of_others), 10),
    ] {
        std::fs::write(dir.path().join("checkpoint"), &checkpoint).unwrap();
        let report = run_log(dir.path(), &Options::default(), &mut |_| ()).unwrap();
        assert_eq!(report.exit_code(), exit, "{checkpoint}");
        for claim in &report.claims {
            assert!(!claim.detail.is_empty(), "{checkpoint}: {claim:?}");
        }
    }
}
