//! Which keys' signatures count for a head of the log, and whether each key took over from the one before.
//!
//! The chain of keys is taken from the events as they are read, never from where the store says they are. The root
//! that a hand-over names is compared with that of the events.

use super::{Report, Subject};
use crate::epochs::{Epoch, Epochs, Refusal, Signed, Wrong};
use crate::store::Store;
use std::collections::BTreeMap;
use tlog::Hash;
use tlog::note::VerifyingKey;
use tlog::policy::Policy;

/// The log's keys, by the size of what they may sign.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    chain: Epochs,
}

impl LogKeys {
    /// The log's keys as far as `log/vkey` tells them, before any event.
    pub(crate) fn new(first: VerifyingKey) -> Self {
        Self {
            chain: Epochs::pinned(first),
        }
    }

    /// Sizes at which keys began, as the store says: it only tells which roots to remember on the way.
    pub(super) fn begun(store: &Store) -> Vec<u64> {
        let told = store.epochs();
        told.map_or_else(
            |_| Vec::new(),
            |told| told.iter().map(|epoch| epoch.start).collect(),
        )
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.chain.origin()
    }

    /// Takes an event about the log's keys into the chain.
    pub(super) fn event(&mut self, seq: u64, line: &[u8], report: &mut Report) {
        if let Err(refusal) = self.chain.take(seq, line) {
            // Of an event, which tells of no stranger.
            refuse(report, seq, &refusal, &refusal.detail);
        }
    }

    /// Reads a head, believing it only when the key that was in force at its size signed it.
    ///
    /// # Errors
    /// As [`Epochs::open`].
    pub(crate) fn open(&self, signed: &[u8]) -> Result<Signed, Refusal> {
        self.chain.open(signed)
    }

    /// The epochs of the log, the first one first.
    pub(super) fn epochs(&self) -> impl Iterator<Item = &Epoch> {
        self.chain.iter()
    }

    /// `policy` with the keys that the log had at `size`; `None` where it names none of the log's keys.
    ///
    /// Any of them will do: the one before a key signed its hand-over, and the key itself signed the tree that it took over.
    pub(crate) fn known_to(&self, policy: &Policy, size: u64) -> Option<Policy> {
        let named = |key: &VerifyingKey| policy.logs().iter().any(|log| log.key == *key);
        if !self.chain.iter().any(|epoch| named(&epoch.ed25519)) {
            return None;
        }
        let epoch = self.chain.of_size(size);
        let keys = std::iter::once(&epoch.ed25519).chain(&epoch.ml_dsa_44);
        Some(keys.cloned().fold(policy.clone(), Policy::with_log))
    }

    /// Once all events have been read: the trees that keys closed and began with must be this one.
    pub(super) fn conclude(&self, store: &Store, roots: &BTreeMap<u64, Hash>, report: &mut Report) {
        for epoch in self.chain.iter().filter(|epoch| epoch.event.is_some()) {
            let remembered = roots.get(&epoch.start).copied();
            let here = remembered.or_else(|| store.root(epoch.start).ok());
            if here == Some(epoch.root) {
                continue;
            }
            let (start, number) = (epoch.start, epoch.number);
            let detail = match here {
                Some(_) => format!(
                    "the first {start} events are not those that the key of epoch {number} took over"
                ),
                None => {
                    format!("the events that the key of epoch {number} took over cannot be read")
                }
            };
            report.fault(Subject::Epoch, "epoch", epoch.event, detail);
        }
        let detail = match self.chain.in_force().number {
            1 => "one key has been in force from the beginning".to_owned(),
            count => {
                format!("{count} keys followed each other, each handed over by the one before")
            }
        };
        report.rests(Subject::Epoch, detail);
        for epoch in self.chain.iter() {
            if let Some(revoked) = &epoch.revoked {
                let detail = format!(
                    "the key of epoch {} was revoked by event {}: it counts for heads of up to {} events",
                    epoch.number, revoked.event, revoked.size
                );
                report.rests(Subject::Epoch, detail);
            }
        }
    }
}

/// Refutes what the refusal of a head of `size` events speaks against, naming the first event that it concerns. A key that
/// nobody knows of may be one that events tell of which could not be read; but a key signs nothing before its own event can be
/// read back, so that this is so only of a head that covers such events.
pub(super) fn refuse(report: &mut Report, size: u64, refusal: &Refusal, detail: &str) {
    if refusal.wrong == Wrong::Stranger
        && report.is_out_of_reach(size)
        && let Some(why) = report.unread()
    {
        let why = format!("{detail} that is known so far: {why}");
        return report.doubt(Subject::Signature, why);
    }
    let (subject, what) = match refusal.wrong {
        Wrong::Signature | Wrong::Stranger => (Subject::Signature, "signature"),
        Wrong::Epoch => (Subject::Epoch, "epoch"),
    };
    report.fault(subject, what, refusal.seq, detail);
}
