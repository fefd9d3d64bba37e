//! The witness protocol: C2SP tlog-witness, `add-checkpoint`.
//!
//! [`AddCheckpoint`] is the request, [`Answer`] the answer, [`Witness`] decides, [`accept`] is what a
//! log does with an answer. Nothing here listens, connects or stores.

mod answer;
mod request;

pub use answer::{Answer, Refusal, accept};
pub use request::{AddCheckpoint, MAX_CONSISTENCY_PATH, MAX_REQUEST_BYTES};

use crate::{
    Checkpoint, Error, Hash,
    cosignature::{Cosigner, Timestamp},
    empty_root,
    note::{Note, Signature, VerifyingKey},
    proof,
};
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::BTreeMap;

/// The largest tree of a log that a witness has cosigned: all that it must remember of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number of leaves.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl Head {
    /// What a witness knows of a log before it has cosigned anything: the empty tree.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }
}

impl From<&Checkpoint> for Head {
    fn from(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size(),
            root: checkpoint.root(),
        }
    }
}

/// Who cosigns, and for which logs. Remembers nothing: the caller keeps a [`Head`] for each log.
#[derive(Debug)]
pub struct Witness {
    cosigners: Vec<Cosigner>,
    logs: BTreeMap<String, Vec<VerifyingKey>>,
}

/// What a witness does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Cosign, once the new state is durable.
    Cosign(Box<Cosigned>),
    /// Answer this, and change nothing.
    Refuse(Refusal),
}

/// A checkpoint that a witness cosigned and has not yet told anybody about.
///
/// The caller replaces the head it decided from by [`Cosigned::head`], durably and only if it is
/// still the one it decided from, and only then sends [`Cosigned::answer`]. Where another request
/// came first, it throws this away, unsent, and decides anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The new head of the log.
    pub head: Head,
    /// The checkpoint with the log's verified signatures and the witness's own: what the witness
    /// serves at [`checkpoint_path`]. It holds the head, and may be stored in its place.
    pub checkpoint: Note,
    /// The witness's signatures.
    pub cosignatures: Vec<Signature>,
}

impl Cosigned {
    /// The answer to the request.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer::Cosigned(self.cosignatures.clone())
    }
}

impl Witness {
    /// The witness that cosigns with each of `cosigners` what the log of an origin signs with one of
    /// its keys.
    ///
    /// # Errors
    /// [`Error::Malformed`] without a cosigner, or when a log has no key.
    pub fn new(
        cosigners: Vec<Cosigner>,
        logs: BTreeMap<String, Vec<VerifyingKey>>,
    ) -> Result<Self, Error> {
        if cosigners.is_empty() {
            return Err(Error::malformed("witness", "has no key to cosign with"));
        }
        if logs.values().any(Vec::is_empty) {
            return Err(Error::malformed("witness", "knows a log without a key"));
        }
        Ok(Self { cosigners, logs })
    }

    /// The keys under which this witness is known.
    pub fn verifying_keys(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.cosigners.iter().map(Cosigner::verifying_key)
    }

    /// Whether the witness serves this log: for any other, no head need be looked up.
    #[must_use]
    pub fn knows(&self, origin: &str) -> bool {
        self.logs.contains_key(origin)
    }

    /// Decides about `request` in the order of checks that the specification gives, from the log's
    /// `head` ([`Head::empty`] where nothing was ever cosigned).
    ///
    /// # Errors
    /// [`Error::Key`] and [`Error::Malformed`] when cosigning fails, [`Error::OverLimit`] when the
    /// signatures do not fit into a note: the witness's own trouble, not a refusal.
    pub fn decide(
        &self,
        request: &AddCheckpoint,
        head: &Head,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let checkpoint = request.checkpoint();
        let Some(keys) = self.logs.get(checkpoint.origin()) else {
            return Ok(Decision::Refuse(Refusal::UnknownLog));
        };
        let Ok(verified) = request.note().verify(keys) else {
            return Ok(Decision::Refuse(Refusal::NotSigned));
        };
        if checkpoint.clone().covered_by(&verified.signers).is_err() {
            return Ok(Decision::Refuse(Refusal::NotSigned));
        }
        if let Some(refusal) = inconsistency(request, head) {
            return Ok(Decision::Refuse(refusal));
        }
        self.cosign(request, keys, now)
    }

    fn cosign(
        &self,
        request: &AddCheckpoint,
        keys: &[VerifyingKey],
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let checkpoint = request.checkpoint();
        let cosignatures = self
            .cosigners
            .iter()
            .map(|cosigner| cosigner.cosign(checkpoint, now))
            .collect::<Result<Vec<_>, _>>()?;
        // One signature of each of the log's keys: all that were in its name have verified.
        let mut kept: Vec<&VerifyingKey> = Vec::new();
        let first_of_key = |signature: &&Signature| {
            let signer = keys.iter().find(|key| key.claims(signature));
            let first = signer.filter(|key| !kept.contains(key));
            kept.extend(first);
            first.is_some()
        };
        let record = request.note().resigned(first_of_key, &cosignatures)?;
        Ok(Decision::Cosign(Box::new(Cosigned {
            head: checkpoint.into(),
            checkpoint: record,
            cosignatures,
        })))
    }
}

/// Why the checkpoint does not follow on `head`, if it does not.
fn inconsistency(request: &AddCheckpoint, head: &Head) -> Option<Refusal> {
    let checkpoint = request.checkpoint();
    if request.old_size() > checkpoint.size() {
        return Some(Refusal::BadRequest);
    }
    if request.old_size() != head.size {
        return Some(Refusal::Conflict { size: head.size });
    }
    let consistent = checkpoint.clone().possible().and_then(|checkpoint| {
        proof::verify_consistency(
            head.size,
            checkpoint.size(),
            request.path(),
            &head.root,
            &checkpoint.root(),
        )
    });
    consistent.is_err().then_some(Refusal::Inconsistent)
}

/// Where a witness serves the newest checkpoint that it cosigned for a log, under its monitoring
/// prefix.
#[must_use]
pub fn checkpoint_path(origin: &str) -> String {
    use std::fmt::Write as _;
    let hash = digest(&SHA256, origin.as_bytes());
    let mut path = String::new();
    for byte in hash.as_ref() {
        // Writing to a string does not fail.
        write!(path, "{byte:02x}").unwrap_or_default();
    }
    path.push_str("/checkpoint");
    path
}
