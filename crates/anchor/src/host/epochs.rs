//! Which keys sign for a log, from which size on.

use crate::Error;
use evidence::epochs::EpochNote;
use tlog::note::{Note, VerifyingKey};

/// Key epochs that are remembered of one log: 180 years of one a day.
pub(crate) const MAX_EPOCHS: usize = 65_536;

/// The keys of a log: those it was introduced with, and what they handed over to.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The oldest first.
    pinned: Vec<VerifyingKey>,
    /// In order; each begins where its predecessor ends.
    later: Vec<Epoch>,
}

/// One hand-over.
#[derive(Debug, Clone)]
struct Epoch {
    number: u64,
    /// Events that the key before it closed with.
    start: u64,
    key: VerifyingKey,
    note: Note,
}

/// What became of a hand-over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// It is new: it counts once it is durable.
    New,
    /// It was known.
    Known,
    /// It is the log's first: it says what was pinned.
    First,
}

/// Why a hand-over is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is no such note.
    Malformed,
    /// No key that is known signed it, or the new one did not.
    NotSigned,
    /// Another one of its number is known, or those before it are not.
    Conflict,
}

impl Keys {
    pub(crate) fn pinned(keys: Vec<VerifyingKey>) -> Self {
        Self {
            pinned: keys,
            later: Vec::new(),
        }
    }

    pub(crate) fn pin(&mut self, key: VerifyingKey) {
        if !self.pinned.contains(&key) {
            self.pinned.push(key);
        }
    }

    /// The keys whose signature counts under a tree of `size` events: of each epoch the events behind its start up to
    /// the next one's. A key that the operator names and that no hand-over leads to is newer than all of them.
    pub(crate) fn of_size(&self, size: u64) -> Vec<VerifyingKey> {
        let Some(index) = self.later.iter().rposition(|epoch| epoch.start < size) else {
            return self.pinned.clone();
        };
        let mut keys: Vec<VerifyingKey> = self
            .later
            .get(index)
            .map(|epoch| epoch.key.clone())
            .into_iter()
            .collect();
        if index + 1 == self.later.len() {
            keys.extend(self.beyond().cloned());
        }
        keys
    }

    /// The pinned keys behind the last that a hand-over is by or to.
    fn beyond(&self) -> impl Iterator<Item = &VerifyingKey> {
        let met = |key: &VerifyingKey| {
            let key = std::slice::from_ref(key);
            self.later.iter().any(|epoch| epoch.signed_by(key))
        };
        let old = self.pinned.iter().rposition(met);
        self.pinned.iter().skip(old.map_or(0, |old| old + 1))
    }

    /// The hand-overs as they were posted, in order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &Note> {
        self.later.iter().map(|epoch| &epoch.note)
    }

    /// The origin that a note claims to hand over a key of; unverified.
    pub(crate) fn origin(note: &Note) -> Option<String> {
        let said: EpochNote = note.text().parse().ok()?;
        Some(said.origin)
    }

    /// Takes a hand-over.
    pub(crate) fn add(&mut self, note: &Note) -> Result<Added, Refused> {
        let epoch = Epoch::read(note)?;
        if epoch.number == 1 {
            let first = self.pinned.contains(&epoch.key);
            return if first {
                Ok(Added::First)
            } else {
                Err(Refused::NotSigned)
            };
        }
        if let Some(known) = self.later.iter().find(|known| known.number == epoch.number) {
            let same = known.key == epoch.key && known.start == epoch.start;
            return if same {
                Ok(Added::Known)
            } else {
                Err(Refused::Conflict)
            };
        }
        // Whoever pinned a later key may begin with that.
        let pinned: Vec<VerifyingKey> = self.beyond().cloned().collect();
        let skips = epoch.signed_by(&pinned);
        let (before, start, due) = match self.later.last() {
            Some(last) if skips => (pinned, last.start, epoch.number.max(last.number + 1)),
            Some(last) => (vec![last.key.clone()], last.start, last.number + 1),
            None => (pinned, 0, epoch.number),
        };
        if epoch.number != due || epoch.start < start || self.later.len() >= MAX_EPOCHS {
            return Err(Refused::Conflict);
        }
        if !epoch.signed_by(&before) || !epoch.signed_by(std::slice::from_ref(&epoch.key)) {
            return Err(Refused::NotSigned);
        }
        self.later.push(epoch);
        Ok(Added::New)
    }

    /// As [`Self::add`], for what was stored.
    pub(crate) fn restore(&mut self, note: &Note) -> Result<(), Error> {
        match self.add(note) {
            Ok(_) => Ok(()),
            Err(why) => Err(Error::Setting(format!(
                "a stored hand-over does not follow on the keys of {} that are named ({why:?}): name the key that the \
                 witness was begun with too, `--log VKEY` with the first one of the log (its `log/vkey`)",
                self.pinned.first().map_or("the log", VerifyingKey::name)
            ))),
        }
    }
}

impl Epoch {
    fn read(note: &Note) -> Result<Self, Refused> {
        let said: EpochNote = note.text().parse().map_err(|_| Refused::Malformed)?;
        Ok(Self {
            number: said.epoch,
            start: said.size,
            key: said.ed25519,
            note: note.clone(),
        })
    }

    /// Whether one of `keys` signed the hand-over, and none of them falsely.
    fn signed_by(&self, keys: &[VerifyingKey]) -> bool {
        self.note.verify(keys).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tlog::cosignature::Cosigner;
    use tlog::note::SigningKey;

    const ORIGIN: &str = "example.com/log";

    fn key(n: u8) -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[n; 32]).unwrap()
    }

    fn hand_over(number: u64, size: u64, to: u8, signers: &[u8]) -> Note {
        let second = Cosigner::ml_dsa_44(ORIGIN, &[to; 32]).unwrap();
        let text = format!(
            "tachograph/key-epoch/v1\n{ORIGIN}\nepoch {number}\nsize {size}\nroot {}\nkey {}\nkey {}\n",
            tlog::empty_root(),
            key(to).verifying_key(),
            second.verifying_key()
        );
        let keys: Vec<SigningKey> = signers.iter().map(|n| key(*n)).collect();
        Note::sign(text, &keys.iter().collect::<Vec<_>>()).unwrap()
    }

    fn pinned() -> Keys {
        Keys::pinned(vec![key(1).verifying_key().clone()])
    }

    #[test]
    fn a_chain_of_hand_overs_decides_who_signs_for_which_size() {
        let mut keys = pinned();
        assert_eq!(keys.add(&hand_over(1, 0, 1, &[1])), Ok(Added::First));
        assert_eq!(keys.add(&hand_over(2, 10, 2, &[1, 2])), Ok(Added::New));
        assert_eq!(keys.add(&hand_over(3, 20, 3, &[2, 3])), Ok(Added::New));
        assert_eq!(keys.add(&hand_over(2, 10, 2, &[1, 2])), Ok(Added::Known));
        for (size, by) in [(0, 1), (10, 1), (11, 2), (20, 2), (21, 3), (u64::MAX, 3)] {
            assert_eq!(
                keys.of_size(size),
                [key(by).verifying_key().clone()],
                "{size}"
            );
        }
    }

    #[test]
    fn hand_overs_that_do_not_follow_are_refused() {
        let mut keys = pinned();
        keys.add(&hand_over(2, 10, 2, &[1, 2])).unwrap();
        for (note, why) in [
            (hand_over(3, 20, 3, &[3]), Refused::NotSigned),
            (hand_over(3, 20, 3, &[2]), Refused::NotSigned),
            // The key that has handed over says nothing any more.
            (hand_over(3, 20, 3, &[1, 3]), Refused::NotSigned),
            (hand_over(2, 10, 4, &[1, 4]), Refused::Conflict),
            (hand_over(4, 20, 3, &[2, 3]), Refused::Conflict),
            (hand_over(3, 9, 3, &[2, 3]), Refused::Conflict),
            (hand_over(0, 9, 3, &[2, 3]), Refused::Malformed),
            (hand_over(1, 0, 3, &[3]), Refused::NotSigned),
        ] {
            assert_eq!(keys.add(&note), Err(why), "{note}");
        }
    }

    #[test]
    fn a_key_that_is_pinned_behind_the_chain_counts_and_one_that_handed_over_does_not() {
        let mut keys = pinned();
        keys.add(&hand_over(2, 10, 2, &[1, 2])).unwrap();
        // The witness was away, and its operator names the key that the log has now.
        keys.pin(key(7).verifying_key().clone());
        let of = |keys: &[u8]| -> Vec<VerifyingKey> {
            keys.iter()
                .map(|n| key(*n).verifying_key().clone())
                .collect()
        };
        assert_eq!(keys.of_size(11), of(&[2, 7]));
        // What it hands over to is followed, whatever lies between.
        assert_eq!(
            keys.add(&hand_over(8, 9, 8, &[7, 8])),
            Err(Refused::Conflict)
        );
        assert_eq!(keys.add(&hand_over(8, 70, 8, &[7, 8])), Ok(Added::New));
        assert_eq!(keys.of_size(71), of(&[8]));
        assert_eq!(keys.of_size(70), of(&[2]));
        assert_eq!(
            keys.add(&hand_over(9, 80, 9, &[2, 9])),
            Err(Refused::NotSigned)
        );
        assert_eq!(
            keys.add(&hand_over(9, 80, 9, &[7, 9])),
            Err(Refused::NotSigned)
        );
    }

    #[test]
    fn a_key_that_is_pinned_before_one_that_handed_over_is_older() {
        let mut keys = pinned();
        keys.pin(key(2).verifying_key().clone());
        keys.add(&hand_over(3, 20, 3, &[2, 3])).unwrap();
        assert_eq!(keys.of_size(21), [key(3).verifying_key().clone()]);
        assert_eq!(
            keys.add(&hand_over(4, 30, 4, &[1, 4])),
            Err(Refused::NotSigned)
        );
    }

    #[test]
    fn what_was_stored_follows_on_the_first_key_or_the_remedy_is_named() {
        let notes = [hand_over(2, 10, 2, &[1, 2]), hand_over(3, 20, 3, &[2, 3])];
        for (named, fine) in [(vec![1], true), (vec![1, 3], true), (vec![3], false)] {
            let mut named = named.into_iter().map(|n| key(n).verifying_key().clone());
            let mut keys = Keys::pinned(vec![named.next().unwrap()]);
            named.for_each(|key| keys.pin(key));
            let restored = notes.iter().try_for_each(|note| keys.restore(note));
            match restored {
                Ok(()) => assert!(fine && keys.of_size(21) == [key(3).verifying_key().clone()]),
                Err(error) => {
                    let told = error.to_string();
                    assert!(
                        !fine && told.contains("--log") && told.contains(ORIGIN),
                        "{told}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(lines in prop::collection::vec("\\PC{0,30}", 1..9)) {
            let text = format!("tachograph/key-epoch/v1\n{}\n", lines.join("\n"));
            let note = Note::sign(text, &[&key(1)]).unwrap();
            prop_assert!(pinned().add(&note).is_err());
        }
    }
}
