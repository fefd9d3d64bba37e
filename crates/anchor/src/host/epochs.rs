//! Which keys sign for a log, from which size on.

use crate::Error;
use evidence::epochs::EpochNote;
use tlog::note::{Note, VerifyingKey};

/// Key epochs that are remembered of one log: 180 years of one a day.
pub(crate) const MAX_EPOCHS: usize = 65_536;

/// The keys of a log: those it was introduced with, and what they handed over to.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
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
    note: String,
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
    /// the next one's.
    pub(crate) fn of_size(&self, size: u64) -> Vec<VerifyingKey> {
        let begun = self.later.iter().rev().find(|epoch| epoch.start < size);
        begun.map_or_else(|| self.pinned.clone(), |epoch| vec![epoch.key.clone()])
    }

    /// The hand-overs as they were posted, in order.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &str> {
        self.later.iter().map(|epoch| epoch.note.as_str())
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
        let (before, start, due) = match self.later.last() {
            Some(last) => (vec![last.key.clone()], last.start, last.number + 1),
            // Whoever pinned a later key may begin with that.
            None => (self.pinned.clone(), 0, epoch.number),
        };
        if epoch.number != due || epoch.start < start || self.later.len() >= MAX_EPOCHS {
            return Err(Refused::Conflict);
        }
        let signed = |keys: &[VerifyingKey]| note.verify(keys).is_ok();
        if !signed(&before) || !signed(std::slice::from_ref(&epoch.key)) {
            return Err(Refused::NotSigned);
        }
        self.later.push(epoch);
        Ok(Added::New)
    }

    /// As [`Self::add`], for what was stored.
    pub(crate) fn restore(&mut self, note: &Note) -> Result<(), Error> {
        match self.add(note) {
            Ok(_) => Ok(()),
            Err(why) => Err(Error::Local(format!(
                "a stored key epoch does not follow on the log's keys ({why:?})"
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
            note: note.to_string(),
        })
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

    proptest! {
        #[test]
        fn no_text_panics(lines in prop::collection::vec("\\PC{0,30}", 1..9)) {
            let text = format!("tachograph/key-epoch/v1\n{}\n", lines.join("\n"));
            let note = Note::sign(text, &[&key(1)]).unwrap();
            prop_assert!(pinned().add(&note).is_err());
        }
    }
}
