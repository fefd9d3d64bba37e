//! Which keys' signatures count for a head of the log.

use tlog::note::{Note, VerifyingKey};
use tlog::policy::Policy;
use tlog::{Checkpoint, Error};

/// The log's keys, by the size of what they may sign.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    first: VerifyingKey,
}

impl LogKeys {
    /// The log's keys as far as `log/vkey` tells them.
    pub(crate) const fn new(first: VerifyingKey) -> Self {
        Self { first }
    }

    /// The log's name.
    pub(crate) fn origin(&self) -> &str {
        self.first.name()
    }

    /// The keys that may sign a head of `size` events.
    pub(crate) fn of_size(&self, _size: u64) -> Vec<VerifyingKey> {
        vec![self.first.clone()]
    }

    /// Reads a head, believing it only when the key that was in force at its size signed it.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub(crate) fn open(&self, signed: &[u8]) -> Result<(Checkpoint, Note), Error> {
        let note = Note::parse(signed)?;
        let claimed: Checkpoint = note.text().parse()?;
        Checkpoint::open(signed, self.origin(), &self.of_size(claimed.size()))
    }

    /// `policy` with the keys that the log had at `size`, where the policy knows the first of them.
    pub(crate) fn known_to(&self, policy: &Policy, size: u64) -> Policy {
        let known = policy.logs().iter().any(|log| log.key == self.first);
        let keys = if known {
            self.of_size(size)
        } else {
            Vec::new()
        };
        keys.into_iter().fold(policy.clone(), Policy::with_log)
    }
}
