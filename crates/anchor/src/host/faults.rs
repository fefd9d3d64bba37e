//! A write that fails, in every way in which one can: nobody ever learns of two histories of a log.

use super::Host;
use super::memory::Wanted;
use crate::Error;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use storage::{Fault, SimDisk};
use tlog::note::SigningKey;
use tlog::witness::{AddCheckpoint, Answer, Refusal, checkpoint_path};
use tlog::{Checkpoint, Frontier, Hash, leaf_hash, proof};

const ORIGIN: &str = "example.com/log";

/// Leaves that every history begins with.
const COMMON: u64 = 3;

/// Every way in which a write can fail.
const FAULTS: [Fault; 5] = [
    Fault::NotPersisted,
    Fault::Persisted,
    Fault::NotDurable,
    Fault::Unwinds,
    Fault::Dies,
];

fn key() -> SigningKey {
    SigningKey::from_seed(ORIGIN, &[1; 32]).unwrap()
}

fn root(leaves: &[Hash]) -> Hash {
    let mut tree = Frontier::new();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

fn leaves(history: char, size: u64) -> Vec<Hash> {
    let leaf = |n| match n {
        0..COMMON => leaf_hash(&n.to_be_bytes()),
        n => leaf_hash(format!("{history}{n}").as_bytes()),
    };
    (0..size).map(leaf).collect()
}

/// What the log would send that was at `old` and is at `size` in one of its histories.
fn request(history: char, old: u64, size: u64) -> Vec<u8> {
    let leaves = leaves(history, size);
    let node = |level: u8, index: u64| {
        let from = usize::try_from(index << level).ok()?;
        Some(root(leaves.get(from..from + (1 << level))?))
    };
    let path = proof::consistency(old, size, node).unwrap();
    let note = Checkpoint::new(ORIGIN, size, root(&leaves))
        .unwrap()
        .sign(&key())
        .unwrap();
    let request = AddCheckpoint::new(old, path, note).unwrap();
    request.to_string().into_bytes()
}

fn open(disk: &SimDisk) -> Result<Host, Error> {
    let keys = vec![key().verifying_key().clone()];
    let wanted = Wanted {
        name: Some("example.com/w"),
        algorithm: None,
    };
    Host::on(Box::new(disk.clone()), wanted, keys)
}

/// As a task of the server asks: one that unwinds is gone, and the witness is not.
fn add(host: &Host, body: &[u8]) -> Result<Answer, Error> {
    let asked = std::panic::AssertUnwindSafe(|| host.add_checkpoint(body));
    std::panic::catch_unwind(asked).unwrap_or_else(|_| Err(Error::Local("unwound".into())))
}

/// How far the witness knows the log: it says so to whoever asks from too far back.
fn size_known_to(host: &Host) -> Option<u64> {
    match add(host, &request('a', 0, 1)) {
        Ok(Answer::Cosigned(_)) => Some(1),
        Ok(Answer::Refused(Refusal::Conflict { size })) => Some(size),
        _ => None,
    }
}

/// The head that anybody can read.
fn seen(host: &Host) -> Result<Option<(u64, Hash)>, Error> {
    let text = host.checkpoint(&checkpoint_path(ORIGIN))?;
    Ok(text.map(|text| {
        let note = tlog::note::Note::parse(&text).unwrap();
        let head: Checkpoint = note.text().parse().unwrap();
        (head.size(), head.root())
    }))
}

#[test]
fn after_a_write_that_fails_nothing_is_said_until_it_is_known_what_lies_there() {
    for fault in FAULTS {
        let disk = SimDisk::new();
        let host = open(&disk).unwrap();
        assert!(matches!(
            add(&host, &request('a', 0, COMMON)),
            Ok(Answer::Cosigned(_))
        ));
        disk.arm(0, "publish", ErrorKind::Other, fault);
        add(&host, &request('a', COMMON, 5)).unwrap_err();
        // It may lie there, and then another history of it must not be cosigned; it may be lost, and then nobody must
        // have seen it.
        add(&host, &request('b', COMMON, 5)).unwrap_err();
        seen(&host).unwrap_err();
        assert!(host.failure().borrow().is_some(), "{fault:?}");
        drop(host);

        // The next one goes by what it finds, and that stays whatever happens then.
        let disk = disk.restart(&mut |_| 0);
        let host = open(&disk).unwrap();
        let found = seen(&host).unwrap().unwrap();
        let disk = disk.lose_power(&mut |_| 0);
        let again = open(&disk).unwrap();
        assert_eq!(seen(&again).unwrap(), Some(found), "{fault:?}");
        let fork = add(&again, &request('b', found.0, 7)).unwrap();
        match found.0 {
            COMMON => assert!(matches!(fork, Answer::Cosigned(_)), "{fault:?}"),
            _ => assert_eq!(fork, Answer::Refused(Refusal::Inconsistent), "{fault:?}"),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Add { history: char, more: u64 },
    Look,
    Fail { after: u64, fault: Fault },
    Restart,
    LosePower { seed: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (prop::sample::select(vec!['a', 'b']), 0_u64..4)
            .prop_map(|(history, more)| Step::Add { history, more }),
        2 => Just(Step::Look),
        2 => (0_u64..2, prop::sample::select(FAULTS.to_vec()))
            .prop_map(|(after, fault)| Step::Fail { after, fault }),
        2 => Just(Step::Restart),
        2 => any::<u64>().prop_map(|seed| Step::LosePower { seed }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]
    #[test]
    fn nobody_ever_learns_of_two_histories(steps in prop::collection::vec(step(), 1..32)) {
        let mut disk = SimDisk::new();
        let mut host = open(&disk).unwrap();
        // Heads that somebody outside holds, by size.
        let mut told: BTreeMap<u64, Hash> = BTreeMap::new();
        let mut learn = |(size, root): (u64, Hash)| {
            prop_assert_eq!(*told.entry(size).or_insert(root), root, "two heads of {} events", size);
            let sides = ['a', 'b'].map(|history| {
                told.iter().all(|(size, root)| *root == self::root(&leaves(history, *size)))
            });
            prop_assert!(sides[0] || sides[1], "a fork is told: {:?}", told);
            Ok(())
        };
        for step in steps {
            match step {
                Step::Add { history, more } => {
                    let Some(old) = size_known_to(&host) else {
                        continue;
                    };
                    let size = old + more;
                    let asked = add(&host, &request(history, old, size));
                    if let Ok(Answer::Cosigned(_)) = asked {
                        learn((size, root(&leaves(history, size))))?;
                    }
                }
                Step::Look => {
                    if let Ok(Some(head)) = seen(&host) {
                        learn(head)?;
                    }
                }
                Step::Fail { after, fault } => {
                    disk.arm(after, "publish", ErrorKind::Other, fault);
                    continue;
                }
                Step::Restart => {
                    disk = disk.restart(&mut |_| 0);
                    host = open(&disk).unwrap();
                }
                Step::LosePower { seed } => {
                    let mut next = seed;
                    disk = disk.lose_power(&mut |n| {
                        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        (next >> 33) % n.max(1)
                    });
                    host = open(&disk).unwrap();
                }
            }
        }
    }
}
