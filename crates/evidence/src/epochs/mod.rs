//! Which key may sign for which part of the log.
//!
//! The log's keys succeed each other in epochs. Epoch `n` covers the entries from `start(n)` up to `start(n + 1)`: its key
//! may sign a checkpoint of size `M` only if `start(n) < M <= start(n + 1)`. An old key over a larger tree and a new key
//! over a smaller one count for nothing, so that whoever steals today's key cannot write yesterday's log, and whoever
//! kept yesterday's cannot write today's.
//!
//! The chain begins at a key that the reader knows from elsewhere and goes on through the log's own events
//! `key.epoch` and `key.revoked`. Pure: lines in, verdicts out. What a note says of the root at its size is for the caller
//! to compare, who has the tree.

mod load;
mod note;

pub(crate) use load::{settled, take};
pub(crate) use note::Facts;
pub use note::{EpochNote, MAX_REASON_BYTES, RevocationNote, is_reason};

use event::{Kind, Line, Source};
use tlog::note::{Algorithm, Note, VerifyingKey};
use tlog::{Checkpoint, Hash, empty_root};

/// The time during which one key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Counted from 1.
    pub number: u64,
    /// Its first entry: the size of the tree that the key before closed with.
    pub start: u64,
    /// Root of that tree, as both keys say.
    pub root: Hash,
    /// The key that signs checkpoints.
    pub ed25519: VerifyingKey,
    /// The key that cosigns published ones. A log from before there were epochs names none.
    pub ml_dsa_44: Option<VerifyingKey>,
    /// `seq` of the event that began it.
    pub event: Option<u64>,
    /// When, by the recorder's clock (RFC 3339).
    pub began: Option<String>,
    /// The revocation that goes furthest back.
    pub revoked: Option<Revocation>,
}

/// A key counts for nothing beyond a size, unless something outside vouched before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// `seq` of the event that says so.
    pub event: u64,
    /// The largest size for which its signature counts.
    pub size: u64,
    /// Why.
    pub reason: String,
}

/// A checkpoint that the key of its epoch signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The tree head.
    pub checkpoint: Checkpoint,
    /// All of the note, with further signatures.
    pub note: Note,
    /// Number of the epoch.
    pub epoch: u64,
    /// Whether the epoch's ML-DSA-44 key signed too.
    pub cosigned: bool,
    /// Set where the key was revoked for this size: then only an anchor from outside, older than the revocation, makes
    /// the signature count.
    pub revoked: Option<Revocation>,
}

/// What is wrong with a statement about keys or with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// A false signature, or none that could be believed.
    Signature,
    /// None of the keys that are known so far signed.
    Stranger,
    /// A key of this log signed what is not its epoch's, or the chain of keys does not hold.
    Epoch,
}

/// Why a statement about keys, or a checkpoint, counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Of which sort.
    pub wrong: Wrong,
    /// First entry of the log concerned, where one is.
    pub seq: Option<u64>,
    /// A sentence.
    pub detail: String,
}

impl Refusal {
    fn signature(detail: impl Into<String>) -> Self {
        Self {
            wrong: Wrong::Signature,
            seq: None,
            detail: detail.into(),
        }
    }

    fn epoch(seq: u64, detail: impl Into<String>) -> Self {
        Self {
            wrong: Wrong::Epoch,
            seq: Some(seq),
            detail: detail.into(),
        }
    }
}

/// The chain of a log's keys, as far as it has been read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    first: Epoch,
    later: Vec<Epoch>,
}

impl Epochs {
    /// The chain of the log whose first key is `pinned`, before any of its events. Only an Ed25519 key of notes ever
    /// signs anything that counts.
    #[must_use]
    pub fn pinned(pinned: VerifyingKey) -> Self {
        let first = Epoch {
            number: 1,
            start: 0,
            root: empty_root(),
            ed25519: pinned,
            ml_dsa_44: None,
            event: None,
            began: None,
            revoked: None,
        };
        Self {
            first,
            later: Vec::new(),
        }
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.first.ed25519.name()
    }

    /// All epochs, the first one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Epoch> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// The newest epoch.
    #[must_use]
    pub fn in_force(&self) -> &Epoch {
        self.later.last().unwrap_or(&self.first)
    }

    /// The epoch whose key may sign a checkpoint of `size`; of size 0 it is the first.
    #[must_use]
    pub fn of_size(&self, size: u64) -> &Epoch {
        self.iter()
            .rev()
            .find(|epoch| epoch.start < size)
            .unwrap_or(&self.first)
    }

    /// The epoch of that number.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Epoch> {
        self.iter().find(|epoch| epoch.number == number)
    }

    /// The largest size that the key of epoch `number` may sign; `None` for the one in force, which has no end yet.
    #[must_use]
    pub fn end_of(&self, number: u64) -> Option<u64> {
        self.get(number + 1).map(|next| next.start)
    }

    /// Takes the event `seq` of kind `key.epoch` or `key.revoked` into the chain. One that is refused changes nothing.
    ///
    /// # Errors
    /// The event says what its place, its keys or its signatures do not allow.
    pub fn take(&mut self, seq: u64, line: &[u8]) -> Result<(), Refusal> {
        let wrong = |detail: String| Refusal::epoch(seq, format!("event {seq}: {detail}"));
        let line = Line::parse(line).map_err(|error| wrong(error.to_string()))?;
        if line.source != Source::Recorder.as_str() {
            return Err(wrong("only the recorder itself tells of its keys".into()));
        }
        let facts = line
            .facts
            .as_ref()
            .ok_or_else(|| wrong("it has no facts".into()))?;
        let number = |name: &str| facts.get(name).and_then(serde_json::Value::as_u64);
        let text = |name: &str| facts.get(name).and_then(serde_json::Value::as_str);
        let note = text("note").ok_or_else(|| wrong("it has no note".into()))?;
        let note = Note::parse(note.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        match line.kind.parse() {
            Ok(Kind::KeyEpoch) => {
                let said = EpochNote::open(&note, &self.in_force().ed25519)
                    .map_err(|error| wrong(format!("the hand-over: {error}")))?;
                if number("epoch") != Some(said.epoch) {
                    return Err(wrong("its number is not that of its note".into()));
                }
                self.begin(seq, line.time, said).map_err(wrong)
            }
            Ok(Kind::KeyRevoked) => {
                let said = RevocationNote::open(&note, &self.in_force().ed25519)
                    .map_err(|error| wrong(format!("the revocation: {error}")))?;
                let same = number("epoch") == Some(said.epoch)
                    && number("size") == Some(said.size)
                    && text("reason") == Some(&said.reason);
                if !same {
                    return Err(wrong("it does not say what its note says".into()));
                }
                self.revoke(seq, said).map_err(wrong)
            }
            _ => Err(wrong(format!("{} is no event about keys", line.kind))),
        }
    }

    fn begin(&mut self, seq: u64, time: String, said: EpochNote) -> Result<(), String> {
        let last = self.in_force();
        if said.epoch == 1 {
            // The log's own account of its first key; that it is the pinned one, its signature has shown.
            if last.number != 1 || last.event.is_some() {
                return Err("the first epoch began long ago".into());
            }
            if said.ed25519 != last.ed25519 {
                return Err("it names another first key".into());
            }
            self.first.ml_dsa_44 = Some(said.ml_dsa_44);
            (self.first.event, self.first.began) = (Some(seq), Some(time));
            return Ok(());
        }
        if said.epoch != last.number + 1 {
            return Err(format!(
                "epoch {} does not follow epoch {}",
                said.epoch, last.number
            ));
        }
        // The key that ends has signed its own beginning, and nothing that is still to come.
        if said.size <= last.event.unwrap_or(last.start) || said.size > seq {
            return Err(format!(
                "epoch {} cannot begin at size {}",
                said.epoch, said.size
            ));
        }
        let known = |epoch: &Epoch| {
            epoch.ed25519 == said.ed25519 || epoch.ml_dsa_44.as_ref() == Some(&said.ml_dsa_44)
        };
        if self.iter().any(known) {
            return Err(format!("epoch {} uses a key of an earlier one", said.epoch));
        }
        self.later.push(Epoch {
            number: said.epoch,
            start: said.size,
            root: said.root,
            ed25519: said.ed25519,
            ml_dsa_44: Some(said.ml_dsa_44),
            event: Some(seq),
            began: Some(time),
            revoked: None,
        });
        Ok(())
    }

    fn revoke(&mut self, seq: u64, said: RevocationNote) -> Result<(), String> {
        self.may_revoke(said.epoch, said.size)?;
        let epoch = match said.epoch {
            1 => Some(&mut self.first),
            number => self.later.iter_mut().find(|epoch| epoch.number == number),
        };
        let further = |epoch: &Epoch| {
            epoch
                .revoked
                .as_ref()
                .is_none_or(|old| said.size < old.size)
        };
        if let Some(epoch) = epoch.filter(|epoch| further(epoch)) {
            let RevocationNote { size, reason, .. } = said;
            epoch.revoked = Some(Revocation {
                event: seq,
                size,
                reason,
            });
        }
        Ok(())
    }

    /// Whether the key of epoch `number` can be revoked from `size` on by the one in force; why not.
    pub(crate) fn may_revoke(&self, number: u64, size: u64) -> Result<(), String> {
        let epoch = self
            .get(number)
            .ok_or_else(|| format!("there is no epoch {number}"))?;
        let Some(end) = self.end_of(number) else {
            return Err(format!(
                "epoch {number} is in force: no key can revoke itself"
            ));
        };
        if size < epoch.start || size >= end {
            return Err(format!(
                "the key of epoch {number} signs for sizes above {} up to {end}: it cannot be revoked from size {size} on",
                epoch.start
            ));
        }
        Ok(())
    }

    /// Reads a checkpoint, believing it only when the key of its epoch signed it.
    ///
    /// # Errors
    /// [`Wrong::Signature`] for what is no checkpoint of this log or has no signature that could be believed;
    /// [`Wrong::Stranger`] where none of the log's keys signed; [`Wrong::Epoch`] where one of them did that may not sign for
    /// this size.
    pub fn open(&self, signed: &[u8]) -> Result<Signed, Refusal> {
        let refused = |error: tlog::Error| Refusal::signature(error.to_string());
        let note = Note::parse(signed).map_err(refused)?;
        let checkpoint: Checkpoint = note.text().parse().map_err(refused)?;
        if checkpoint.origin() != self.origin() {
            return Err(refused(tlog::Error::WrongOrigin {
                found: checkpoint.origin().to_owned(),
                expected: self.origin().to_owned(),
            }));
        }
        let epoch = self.of_size(checkpoint.size());
        let keys: Vec<VerifyingKey> = std::iter::once(&epoch.ed25519)
            .chain(&epoch.ml_dsa_44)
            .cloned()
            .collect();
        let signers = match note.verify(&keys) {
            Ok(verified) => verified.signers,
            Err(tlog::Error::Unsigned) => return Err(self.unsigned(&note, &checkpoint)),
            Err(error) => return Err(refused(error)),
        };
        let by = |key: &VerifyingKey| signers.iter().any(|signer| signer.key == key);
        if !by(&epoch.ed25519) || epoch.ed25519.algorithm() != Algorithm::Ed25519 {
            return Err(Refusal::signature("the Ed25519 signature is missing"));
        }
        let cosigned = epoch.ml_dsa_44.as_ref().is_some_and(by);
        let beyond = |revoked: &&Revocation| checkpoint.size() > revoked.size;
        let revoked = epoch.revoked.as_ref().filter(beyond).cloned();
        let epoch = epoch.number;
        Ok(Signed {
            checkpoint,
            note,
            epoch,
            cosigned,
            revoked,
        })
    }

    /// Why a checkpoint that the key of its epoch did not sign counts for nothing.
    fn unsigned(&self, note: &Note, checkpoint: &Checkpoint) -> Refusal {
        let size = checkpoint.size();
        let right = self.of_size(size);
        let signed = |epoch: &&Epoch| note.verify(std::slice::from_ref(&epoch.ed25519)).is_ok();
        let Some(wrong) = self.iter().find(signed) else {
            return Refusal {
                wrong: Wrong::Stranger,
                seq: None,
                detail: format!("no key of this log signed the checkpoint of {size} events"),
            };
        };
        let (number, start) = (wrong.number, wrong.start);
        match self.end_of(number).filter(|end| *end < size) {
            Some(end) => Refusal::epoch(
                end,
                format!("the key of epoch {number} signed {size} events, but it ended at {end}"),
            ),
            None => Refusal::epoch(
                right.start,
                format!(
                    "the key of epoch {number}, which began at {start}, signed the {size} events of epoch {}",
                    right.number
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
