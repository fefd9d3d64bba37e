//! A witness answers as tlog-witness says, and never vouches for two histories of one log.

use crate::{
    actors::{ORIGIN, at, checkpoint, leaves, log, public, root, witness},
    tree_by_definition as definition,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tlog::{
    Checkpoint, Hash,
    cosignature::Cosigner,
    leaf_hash,
    note::{KeyId, MAX_SIGNATURES, Note, Signature, SigningKey, VerifyingKey},
    policy::Policy,
    proof,
    witness::{AddCheckpoint, Answer, Decision, Head, Refusal, Witness, accept},
};

/// A witness of both kinds of keys, for one log with two keys.
fn both() -> Witness {
    let second = Cosigner::ml_dsa_44(ORIGIN, &[2; 32]).unwrap();
    let keys = vec![log().verifying_key().clone(), public(&second)];
    let logs = BTreeMap::from([(ORIGIN.to_owned(), keys)]);
    Witness::new(vec![witness(1), witness(2)], logs).unwrap()
}

fn consistency(old: u64, leaves: &[Hash]) -> Vec<Hash> {
    let node = |level, index| definition::node(leaves, level, index);
    proof::consistency(old, leaves.len() as u64, node).unwrap()
}

fn request(old: u64, path: Vec<Hash>, note: Note) -> AddCheckpoint {
    let request = AddCheckpoint::new(old, path, note).unwrap();
    let read = AddCheckpoint::parse(request.to_string().as_bytes()).unwrap();
    assert_eq!(read, request);
    request
}

/// An honest request from `old` leaves to `new`.
fn honest(old: u64, new: u64) -> AddCheckpoint {
    let leaves = leaves(new, None);
    request(
        old,
        consistency(old, &leaves),
        checkpoint(&leaves).sign(&log()).unwrap(),
    )
}

fn head(size: u64) -> Head {
    Head {
        size,
        root: root(&leaves(size, None)),
    }
}

#[track_caller]
fn refusal(request: &AddCheckpoint, head: &Head) -> Refusal {
    match both().decide(request, head, at(1_000)).unwrap() {
        Decision::Refuse(refusal) => refusal,
        Decision::Cosign(_) => panic!("cosigned"),
    }
}

#[test]
fn a_log_that_grows_is_cosigned() {
    let witness = both();
    let mut last = Head::empty();
    for (time, size) in [0, 1, 1, 4, 7, 7, 16, 300].into_iter().enumerate() {
        let request = honest(last.size, size);
        let now = at(1_000 + time as u64);
        let Decision::Cosign(cosigned) = witness.decide(&request, &last, now).unwrap() else {
            panic!("refused at size {size}")
        };
        assert_eq!(cosigned.head, head(size));
        // Both the answer and what the witness serves verify, for the log and the witness.
        let keys: Vec<VerifyingKey> = witness.verifying_keys().cloned().collect();
        let answer = cosigned.answer();
        let answer = Answer::parse(
            answer.status(),
            Some(answer.content_type()),
            answer.body().as_bytes(),
        );
        let Ok(Answer::Cosigned(signatures)) = answer else {
            panic!("{answer:?}")
        };
        let (note, signers) = accept(request.note().clone(), &signatures, &keys).unwrap();
        assert_eq!(note, cosigned.checkpoint);
        assert_eq!(signers.len(), 2);
        assert!(signers.iter().all(|signer| signer.time == Some(now)));
        let known = [log().verifying_key().clone()];
        let (served, _) = Checkpoint::open(note.to_string().as_bytes(), ORIGIN, &known).unwrap();
        assert_eq!(Head::from(&served), cosigned.head);
        last = cosigned.head;
    }
}

/// In the order in which the specification checks: what comes first decides where several apply.
#[test]
fn refusals() {
    let sign = |checkpoint: &Checkpoint| checkpoint.sign(&log()).unwrap();
    let grown = leaves(9, None);
    let (note, path) = (sign(&checkpoint(&grown)), consistency(5, &grown));
    let forged = checkpoint(&grown)
        .sign(&SigningKey::from_seed(ORIGIN, &[9; 32]).unwrap())
        .unwrap();
    let altered = {
        let signature = &note.signatures()[0];
        let bytes = vec![7; 64];
        let bad = Signature::new(signature.name(), signature.id(), bytes).unwrap();
        note.clone().with_signature(bad).unwrap()
    };
    let elsewhere = Checkpoint::new("example.com/other", 9, root(&grown)).unwrap();
    let fork = leaves(9, Some(4));
    let rewritten = sign(&checkpoint(&fork));
    let impossible = format!("{ORIGIN}\n0\n{}\n", leaf_hash(b"a"));
    let impossible = Note::sign(impossible, &[&log()]).unwrap();
    let conflict = |size| Refusal::Conflict { size };
    let other_root = Head {
        size: 5,
        root: leaf_hash(b"fork"),
    };

    let cases: Vec<(&str, AddCheckpoint, Head, Refusal)> = vec![
        (
            "unknown log",
            request(5, path.clone(), sign(&elsewhere)),
            head(5),
            Refusal::UnknownLog,
        ),
        (
            "unknown key",
            request(5, path.clone(), forged.clone()),
            head(5),
            Refusal::NotSigned,
        ),
        (
            "unknown key, shrunk",
            request(99, path.clone(), forged),
            head(5),
            Refusal::NotSigned,
        ),
        (
            "a trusted key's signature fails",
            request(5, path.clone(), altered),
            head(5),
            Refusal::NotSigned,
        ),
        (
            "old above new",
            request(10, vec![], note.clone()),
            head(10),
            Refusal::BadRequest,
        ),
        (
            "old above new, conflict",
            request(10, vec![], note.clone()),
            head(5),
            Refusal::BadRequest,
        ),
        (
            "size unknown to the log",
            request(0, vec![], note.clone()),
            head(5),
            conflict(5),
        ),
        (
            "behind",
            request(5, path.clone(), note.clone()),
            head(7),
            conflict(7),
        ),
        (
            "ahead",
            request(5, path.clone(), note.clone()),
            head(4),
            conflict(4),
        ),
        (
            "never seen",
            request(5, path.clone(), note.clone()),
            Head::empty(),
            conflict(0),
        ),
        ("rolled back", honest(3, 3), head(5), conflict(5)),
        (
            "no proof",
            request(5, vec![], note.clone()),
            head(5),
            Refusal::Inconsistent,
        ),
        (
            "another proof",
            request(5, consistency(4, &grown), note.clone()),
            head(5),
            Refusal::Inconsistent,
        ),
        (
            "proof too long",
            request(5, [path.clone(), path.clone()].concat(), note.clone()),
            head(5),
            Refusal::Inconsistent,
        ),
        (
            "proof from nothing",
            request(0, vec![root(&grown)], note.clone()),
            Head::empty(),
            Refusal::Inconsistent,
        ),
        (
            "forked before",
            request(5, path.clone(), note.clone()),
            other_root,
            Refusal::Inconsistent,
        ),
        (
            "rewritten",
            request(5, consistency(5, &fork), rewritten.clone()),
            head(5),
            Refusal::Inconsistent,
        ),
        (
            "same size, other root",
            request(9, vec![], rewritten),
            head(9),
            Refusal::Inconsistent,
        ),
        (
            "same size, with a proof",
            request(9, vec![root(&grown)], note.clone()),
            head(9),
            Refusal::Inconsistent,
        ),
        (
            "impossible empty tree",
            request(0, vec![], impossible.clone()),
            Head::empty(),
            Refusal::Inconsistent,
        ),
        (
            "impossible empty tree, conflict",
            request(0, vec![], impossible),
            head(5),
            conflict(5),
        ),
    ];
    for (what, request, head, expected) in cases {
        let found = refusal(&request, &head);
        assert_eq!(found, expected, "{what}");
        let answer = Answer::Refused(found);
        let read = Answer::parse(
            answer.status(),
            Some(answer.content_type()),
            answer.body().as_bytes(),
        );
        assert_eq!(read, Ok(answer), "{what}");
    }
}

#[test]
fn what_a_witness_serves_bears_no_strangers_signature() {
    let witness = both();
    let checkpoint = checkpoint(&leaves(5, None));
    let stranger = Signature::new("stranger", KeyId::new([9; 4]), vec![9; 64]).unwrap();
    let second = Cosigner::ml_dsa_44(ORIGIN, &[2; 32]).unwrap();
    let mut note = checkpoint.sign(&log()).unwrap();
    // As many signatures as a note may hold, all valid but the stranger's.
    note = note.with_signature(stranger.clone()).unwrap();
    while note.signatures().len() < MAX_SIGNATURES {
        let time = at(note.signatures().len() as u64);
        note = note
            .with_signature(second.cosign(&checkpoint, time).unwrap())
            .unwrap();
    }
    let request = AddCheckpoint::new(0, vec![], note).unwrap();
    let Decision::Cosign(cosigned) = witness.decide(&request, &Head::empty(), at(1_000)).unwrap()
    else {
        panic!("refused")
    };
    let names: Vec<&str> = cosigned
        .checkpoint
        .signatures()
        .iter()
        .map(Signature::name)
        .collect();
    assert_eq!(
        names,
        [ORIGIN, ORIGIN, "witness.example/w1", "witness.example/w2"]
    );
    assert!(!cosigned.checkpoint.signatures().contains(&stranger));
}

#[test]
fn a_witness_without_keys_is_none() {
    assert!(Witness::new(vec![], BTreeMap::new()).is_err());
    let keyless = BTreeMap::from([("example.com/log".to_owned(), vec![])]);
    assert!(Witness::new(vec![witness(1)], keyless).is_err());
    assert!(both().knows(ORIGIN) && !both().knows("example.com/other"));
}

/// What a log, its forks and the network do to a witness.
#[derive(Debug, Clone)]
struct Step {
    /// Leaves from here on are another history's; none is the honest one.
    fork: Option<u64>,
    size: u64,
    /// Where the proof begins; the witness's own size if the request is well informed.
    old: Option<u64>,
    /// Whether another request, of the next step, was decided from the same head and stored first.
    raced: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop::option::of(0_u64..24),
        0_u64..24,
        prop::option::weighted(0.3, 0_u64..24),
        any::<bool>(),
    );
    let step = step.prop_map(|(fork, size, old, raced)| Step {
        fork,
        size,
        old,
        raced,
    });
    prop::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However requests are forked, stale or raced, each tree that was cosigned continues the one
    /// before, as long as the caller stores a head only in the place of the one it decided from.
    #[test]
    fn no_two_histories(steps in steps()) {
        let logs = BTreeMap::from([(ORIGIN.to_owned(), vec![log().verifying_key().clone()])]);
        let witness = Witness::new(vec![crate::actors::witness(1)], logs).unwrap();
        let mut stored = Head::empty();
        let mut history: Vec<Hash> = Vec::new();
        let mut pending: Option<(Head, Head, Vec<Hash>)> = None;
        for step in steps {
            let claimed = leaves(step.size, step.fork);
            let old = step.old.unwrap_or(stored.size);
            let path = if old <= step.size { consistency(old, &claimed) } else { vec![] };
            let request = AddCheckpoint::new(old, path, checkpoint(&claimed).sign(&log()).unwrap()).unwrap();
            let decision = witness.decide(&request, &stored, at(1_000)).unwrap();
            let continues = old == stored.size && claimed.len() >= history.len() && claimed[..history.len()] == history[..];
            match decision {
                Decision::Refuse(_) => prop_assert!(!continues, "refused an honest request"),
                Decision::Cosign(cosigned) => {
                    prop_assert!(continues, "cosigned a fork");
                    if step.raced {
                        pending = Some((stored, cosigned.head, claimed));
                        continue;
                    }
                    (stored, history) = (cosigned.head, claimed);
                }
            }
            // The slower request compares and finds its head gone, unless nothing has changed.
            if let Some((decided_from, head, claimed)) = pending.take() && decided_from == stored {
                (stored, history) = (head, claimed);
            }
            prop_assert_eq!(stored.root, root(&history));
            prop_assert_eq!(stored.size, history.len() as u64);
        }
    }
}

/// The whole round: a log asks its witnesses, keeps what they answer, and a verifier with a policy
/// accepts the checkpoint.
#[test]
fn a_quorum_is_gathered_and_accepted() {
    let logs = BTreeMap::from([(ORIGIN.to_owned(), vec![log().verifying_key().clone()])]);
    let text = format!(
        "log {}\nwitness a {}\nwitness b {}\nwitness c {}\ngroup g 2 a b c\nquorum g\n",
        log().verifying_key(),
        public(&witness(1)),
        public(&witness(2)),
        public(&witness(3))
    );
    let policy = Policy::parse(text.as_bytes()).unwrap();
    let mut note = checkpoint(&leaves(5, None)).sign(&log()).unwrap();
    for (n, met) in [(1, false), (2, true), (3, true)] {
        let witness_n = Witness::new(vec![witness(n)], logs.clone()).unwrap();
        let request = AddCheckpoint::new(0, vec![], note.clone()).unwrap();
        let Decision::Cosign(cosigned) = witness_n.decide(&request, &Head::empty(), at(7)).unwrap()
        else {
            panic!("refused")
        };
        let keys = [public(&witness(n))];
        note = accept(note, &cosigned.cosignatures, &keys).unwrap().0;
        assert_eq!(
            policy.accept(&note, Some(at(7))).is_ok(),
            met,
            "after witness {n}"
        );
    }
}
