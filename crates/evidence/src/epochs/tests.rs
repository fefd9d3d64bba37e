use super::*;
use crate::keys::LogKey;
use event::{Draft, Position};
use proptest::prelude::*;
use std::sync::LazyLock;
use tlog::cosignature::Timestamp;
use tlog::leaf_hash;

const ORIGIN: &str = "example.com/log";

/// Making a key takes longer than everything else here.
static KEYS: LazyLock<Vec<LogKey>> = LazyLock::new(|| {
    (0..10)
        .map(|seed| LogKey::from_seed(ORIGIN, &[seed; 32]).unwrap())
        .collect()
});

fn key(seed: u8) -> &'static LogKey {
    &KEYS[usize::from(seed)]
}

fn root(size: u64) -> Hash {
    match size {
        0 => empty_root(),
        size => leaf_hash(&size.to_le_bytes()),
    }
}

fn line(seq: u64, kind: Kind, source: Source, facts: Facts) -> Vec<u8> {
    let mut draft = Draft::new(kind, source);
    draft.facts = Some(facts);
    let position = Position {
        seq,
        time: "2026-11-22T03:05:50.123456789Z",
        boot_ns: 1,
        boot: "boot",
        stream: 0,
        n: seq,
    };
    let mut out = Vec::new();
    position.write_line(&draft.seal().unwrap(), &mut out);
    out
}

fn said(epoch: u64, size: u64, key: &LogKey) -> EpochNote {
    EpochNote {
        origin: ORIGIN.into(),
        epoch,
        size,
        root: root(size),
        ed25519: key.verifying_key().clone(),
        ml_dsa_44: key.cosigner_key().clone(),
    }
}

/// The event that begins `epoch` at `size` with `new`, signed by `old` too.
fn begins(seq: u64, epoch: u64, size: u64, new: &LogKey, old: Option<&LogKey>) -> Vec<u8> {
    let said = said(epoch, size, new);
    let note = said.sign(new.signer(), old.map(LogKey::signer)).unwrap();
    line(seq, Kind::KeyEpoch, Source::Recorder, said.facts(&note))
}

fn revokes(seq: u64, epoch: u64, size: u64, by: &LogKey) -> Vec<u8> {
    let said = RevocationNote {
        origin: ORIGIN.into(),
        epoch,
        size,
        reason: "stolen".into(),
    };
    let note = said.sign(by.signer()).unwrap();
    line(seq, Kind::KeyRevoked, Source::Recorder, said.facts(&note))
}

fn signed(size: u64, by: &LogKey) -> Vec<u8> {
    let checkpoint = Checkpoint::new(ORIGIN, size, root(size)).unwrap();
    by.sign(&checkpoint).unwrap().to_string().into_bytes()
}

/// Three keys: epoch 1 up to 10 entries, epoch 2 up to 20, epoch 3 from there on.
fn three() -> Epochs {
    let mut epochs = Epochs::pinned(key(1).verifying_key().clone());
    epochs.take(1, &begins(1, 1, 0, key(1), None)).unwrap();
    epochs
        .take(12, &begins(12, 2, 10, key(2), Some(key(1))))
        .unwrap();
    epochs
        .take(20, &begins(20, 3, 20, key(3), Some(key(2))))
        .unwrap();
    epochs
}

#[test]
fn a_key_signs_the_sizes_of_its_epoch_and_no_other() {
    let epochs = three();
    for size in 0..40 {
        let right = match size {
            0..=10 => 1,
            11..=20 => 2,
            _ => 3,
        };
        assert_eq!(epochs.of_size(size).number, right);
        for by in 1..=3 {
            let opened = epochs.open(&signed(size, key(by)));
            if u64::from(by) == right {
                let opened = opened.unwrap();
                assert_eq!((opened.epoch, opened.checkpoint.size()), (right, size));
                assert_eq!((opened.cosigned, opened.revoked), (false, None));
            } else {
                assert_eq!(opened.unwrap_err().wrong, Wrong::Epoch, "{size} by {by}");
            }
        }
        let stranger = epochs.open(&signed(size, key(9))).unwrap_err();
        assert_eq!((stranger.wrong, stranger.seq), (Wrong::Stranger, None));
    }
}

#[test]
fn a_key_out_of_its_time_is_named_with_the_first_entry() {
    let epochs = three();
    for (size, by, seq, detail) in [
        (
            15,
            1,
            10,
            "the key of epoch 1 signed 15 events, but it ended at 10",
        ),
        (
            25,
            1,
            10,
            "the key of epoch 1 signed 25 events, but it ended at 10",
        ),
        (
            21,
            2,
            20,
            "the key of epoch 2 signed 21 events, but it ended at 20",
        ),
        (
            10,
            2,
            0,
            "the key of epoch 2, which began at 10, signed the 10 events of epoch 1",
        ),
        (
            15,
            3,
            10,
            "the key of epoch 3, which began at 20, signed the 15 events of epoch 2",
        ),
    ] {
        let refusal = epochs.open(&signed(size, key(by))).unwrap_err();
        assert_eq!((refusal.seq, refusal.detail.as_str()), (Some(seq), detail));
    }
}

#[test]
fn the_second_signature_counts_only_beside_the_first_and_only_of_the_epochs_key() {
    let epochs = three();
    let checkpoint = Checkpoint::new(ORIGIN, 15, root(15)).unwrap();
    let time = Timestamp::new(1_800_000_000).unwrap();
    let both = key(2).sign_both(&checkpoint, time).unwrap();
    let opened = epochs.open(both.to_string().as_bytes()).unwrap();
    assert!(opened.cosigned);
    assert_eq!(opened.note, both);
    // That of another epoch's key is carried unread.
    let [_, foreign] = key(3)
        .sign_both(&checkpoint, time)
        .unwrap()
        .signatures()
        .to_vec()
        .try_into()
        .unwrap();
    let mixed = key(2)
        .sign(&checkpoint)
        .unwrap()
        .with_signature(foreign)
        .unwrap();
    assert!(!epochs.open(mixed.to_string().as_bytes()).unwrap().cosigned);
    // Alone it is not enough.
    let text = both.to_string();
    let alone: String = text
        .lines()
        .filter(|line| !line.contains(&first_line_of(&both)))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(
        epochs.open(alone.as_bytes()).unwrap_err().wrong,
        Wrong::Signature
    );
}

fn first_line_of(note: &Note) -> String {
    note.signatures()[0].to_string()
}

#[test]
fn a_hand_over_out_of_place_changes_nothing() {
    let before = three();
    let (old, new) = (key(3), key(4));
    let foreign = {
        let said = EpochNote {
            origin: "example.com/other".into(),
            ..said(4, 25, new)
        };
        let note = said.sign(new.signer(), Some(old.signer())).unwrap();
        line(30, Kind::KeyEpoch, Source::Recorder, said.facts(&note))
    };
    let by_another_source = {
        let said = said(4, 25, new);
        let note = said.sign(new.signer(), Some(old.signer())).unwrap();
        line(30, Kind::KeyEpoch, Source::Gateway, said.facts(&note))
    };
    let other_number = {
        let said = said(4, 25, new);
        let note = said.sign(new.signer(), Some(old.signer())).unwrap();
        let facts = EpochNote { epoch: 5, ..said }.facts(&note);
        line(30, Kind::KeyEpoch, Source::Recorder, facts)
    };
    let bad: Vec<(&str, Vec<u8>)> = vec![
        ("leaves a number out", begins(30, 5, 25, new, Some(old))),
        ("goes back", begins(30, 3, 25, new, Some(old))),
        (
            "begins before the end of the one before",
            begins(30, 4, 19, new, Some(old)),
        ),
        (
            "begins before the one before had begun",
            begins(30, 4, 20, new, Some(old)),
        ),
        (
            "begins behind its own event",
            begins(30, 4, 31, new, Some(old)),
        ),
        (
            "is not signed by the key before",
            begins(30, 4, 25, new, None),
        ),
        (
            "is signed by a key that ended",
            begins(30, 4, 25, new, Some(key(2))),
        ),
        ("brings a key back", begins(30, 4, 25, key(1), Some(old))),
        ("keeps its key", begins(30, 4, 25, old, None)),
        ("is the first again", begins(30, 1, 0, key(1), None)),
        ("is of another log", foreign),
        ("comes from elsewhere", by_another_source),
        ("says another number", other_number),
        ("is no line", b"{}".to_vec()),
        (
            "has no facts",
            line(30, Kind::KeyEpoch, Source::Recorder, Facts::new()),
        ),
        ("is of another kind", {
            let said = said(4, 25, new);
            let note = said.sign(new.signer(), Some(old.signer())).unwrap();
            line(30, Kind::Heartbeat, Source::Recorder, said.facts(&note))
        }),
    ];
    for (why, event) in bad {
        let mut epochs = before.clone();
        let refusal = epochs.take(30, &event).expect_err(why);
        assert_eq!(
            (refusal.wrong, refusal.seq),
            (Wrong::Epoch, Some(30)),
            "{why}"
        );
        assert_eq!(epochs, before, "{why}");
    }
    let mut epochs = before;
    epochs.take(30, &begins(30, 4, 25, new, Some(old))).unwrap();
    assert_eq!(epochs.in_force().number, 4);
    assert_eq!(epochs.end_of(3), Some(25));
}

#[test]
fn a_log_without_an_account_of_its_first_key_goes_on() {
    let mut epochs = Epochs::pinned(key(1).verifying_key().clone());
    assert_eq!(epochs.in_force().ml_dsa_44, None);
    let mut other = epochs.clone();
    other.take(7, &begins(7, 1, 0, key(2), None)).unwrap_err();
    epochs
        .take(12, &begins(12, 2, 10, key(2), Some(key(1))))
        .unwrap();
    // The account would come too late now.
    epochs
        .take(13, &begins(13, 1, 0, key(1), None))
        .unwrap_err();
    assert_eq!(epochs.open(&signed(10, key(1))).unwrap().epoch, 1);
}

#[test]
fn a_revoked_key_counts_up_to_the_size_that_is_said() {
    let mut epochs = three();
    epochs.take(30, &revokes(30, 2, 15, key(3))).unwrap();
    for size in 11..=20 {
        let opened = epochs.open(&signed(size, key(2))).unwrap();
        assert_eq!(opened.revoked.is_some(), size > 15, "{size}");
    }
    // A second one can only go further back.
    epochs.take(31, &revokes(31, 2, 18, key(3))).unwrap();
    assert_eq!(epochs.get(2).unwrap().revoked.as_ref().unwrap().size, 15);
    epochs.take(32, &revokes(32, 2, 10, key(3))).unwrap();
    assert_eq!(epochs.get(2).unwrap().revoked.as_ref().unwrap().size, 10);
    epochs.take(33, &revokes(33, 1, 0, key(3))).unwrap();
    assert!(epochs.open(&signed(1, key(1))).unwrap().revoked.is_some());
    assert!(epochs.open(&signed(0, key(1))).unwrap().revoked.is_none());
    assert!(epochs.open(&signed(21, key(3))).unwrap().revoked.is_none());
}

#[test]
fn a_revocation_out_of_place_changes_nothing() {
    let before = three();
    for (why, event) in [
        ("of the key in force", revokes(30, 3, 25, key(3))),
        ("of a key that never was", revokes(30, 9, 25, key(3))),
        ("from before the epoch", revokes(30, 2, 9, key(3))),
        ("from its end", revokes(30, 2, 20, key(3))),
        ("by a key that ended", revokes(30, 1, 5, key(2))),
        ("by a stranger", revokes(30, 1, 5, key(9))),
    ] {
        let mut epochs = before.clone();
        epochs.take(30, &event).expect_err(why);
        assert_eq!(epochs, before, "{why}");
    }
}

proptest! {
    #[test]
    fn arbitrary_events_and_checkpoints_never_panic(
        line in prop::collection::vec(any::<u8>(), 0..300),
        note in "(?s).{0,300}",
        seq in any::<u64>(),
    ) {
        let mut epochs = three();
        epochs.take(seq, &line).ok();
        epochs.open(&line).ok();
        let facts = [("epoch".to_owned(), 4.into()), ("note".to_owned(), note.into())];
        let facts: Facts = facts.into_iter().collect();
        for kind in [Kind::KeyEpoch, Kind::KeyRevoked] {
            let event = super::tests::line(30, kind, Source::Recorder, facts.clone());
            prop_assert!(epochs.take(30, &event).is_err());
        }
        prop_assert_eq!(epochs, three());
    }

    /// Whatever the lengths of the epochs, every size has exactly one key, and the chain names it.
    #[test]
    fn every_size_has_one_key(lengths in prop::collection::vec(1_u64..9, 1..5)) {
        let mut epochs = Epochs::pinned(key(1).verifying_key().clone());
        epochs.take(0, &begins(0, 1, 0, key(1), None)).unwrap();
        let (mut start, mut starts) = (0, vec![0]);
        for (number, length) in (2_u8..).zip(lengths) {
            start += length + 1;
            starts.push(start);
            let event = begins(start, number.into(), start, key(number), Some(key(number - 1)));
            epochs.take(start, &event).unwrap();
        }
        for size in 0..start + 5 {
            let right = starts.iter().filter(|start| **start < size).count().max(1);
            let keys = (1..=u8::try_from(starts.len()).unwrap())
                .filter(|by| epochs.open(&signed(size, key(*by))).is_ok());
            prop_assert_eq!(keys.map(usize::from).collect::<Vec<_>>(), vec![right]);
        }
    }
}
