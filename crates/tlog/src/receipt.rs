//! Receipts: C2SP tlog-proof, the proof that an entry is in a log, to be checked without the log.
//!
//! A receipt does not hold the entry. Who checks it has the entry and a policy from elsewhere.

use crate::{
    Checkpoint, Error, Hash,
    bundle::MAX_ENTRY_BYTES,
    cosignature::Timestamp,
    line,
    note::{MAX_NOTE_BYTES, Note},
    policy::{Findings, Policy},
    proof,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::fmt;

const WHAT: &str = "receipt";
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// Most hashes of an inclusion proof: a tree of 64-bit size is no higher.
const MAX_PATH: usize = 64;

/// Most extra data in bytes: as much as an entry.
pub const MAX_EXTRA_BYTES: usize = MAX_ENTRY_BYTES;

/// Longest receipt in bytes.
pub const MAX_RECEIPT_BYTES: usize = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES;

/// An entry's place in a log: index, inclusion proof and signed checkpoint.
///
/// `Display` writes the receipt; [`Receipt::parse`] reads exactly what `Display` writes. Nothing in
/// it may be believed before [`Receipt::verify`], the extra data not even then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<Hash>,
    checkpoint: Note,
}

impl Receipt {
    /// The receipt that entry `index` is in the log of `checkpoint`, with the inclusion proof that
    /// [`proof::inclusion`] makes for the checkpoint's size.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the note is no checkpoint, [`Error::OverLimit`] when the path is
    /// longer than that of any tree.
    pub fn new(index: u64, path: Vec<Hash>, checkpoint: Note) -> Result<Self, Error> {
        line::check_path(&path, MAX_PATH)?;
        Checkpoint::read(checkpoint.text())?.possible()?;
        Ok(Self {
            extra: None,
            index,
            path,
            checkpoint,
        })
    }

    /// The receipt with data for the application, which nothing authenticates.
    ///
    /// # Errors
    /// [`Error::OverLimit`] above [`MAX_EXTRA_BYTES`].
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, Error> {
        if extra.len() > MAX_EXTRA_BYTES {
            return Err(Error::OverLimit {
                what: "extra data in bytes",
                limit: MAX_EXTRA_BYTES as u64,
            });
        }
        self.extra = Some(extra);
        Ok(self)
    }

    /// Reads a receipt, strictly.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not a receipt, [`Error::OverLimit`] above the bounds
    /// of this module.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return Err(Error::OverLimit {
                what: "receipt length in bytes",
                limit: MAX_RECEIPT_BYTES as u64,
            });
        }
        let (mut head, checkpoint) = line::split_note(WHAT, bytes)?;
        if head.next() != Some(HEADER) {
            return Err(Error::malformed(
                WHAT,
                "does not begin with `c2sp.org/tlog-proof@v1`",
            ));
        }
        let mut next = head.next();
        let extra = next.and_then(|line| line.strip_prefix("extra "));
        if extra.is_some() {
            next = head.next();
        }
        let index = next
            .and_then(|line| line.strip_prefix("index "))
            .and_then(line::decimal)
            .ok_or(Error::malformed(
                WHAT,
                "no index line with a canonical decimal number of 64 bits",
            ))?;
        let receipt = Self::new(index, line::hashes(head, MAX_PATH)?, checkpoint)?;
        let Some(extra) = extra else {
            return Ok(receipt);
        };
        let extra = STANDARD
            .decode(extra)
            .map_err(|_| Error::malformed(WHAT, "extra data is not canonical base64"))?;
        receipt.with_extra(extra)
    }

    /// Checks that the entry with hash `leaf` is in a log of `policy`, at the receipt's index, under
    /// a checkpoint that [`Policy::accept`] accepts at `now`.
    ///
    /// # Errors
    /// Those of [`Policy::accept`]; [`Error::OutOfRange`] and [`Error::ProofMismatch`] when the
    /// checkpoint does not include the entry at this place.
    pub fn verify<'p>(
        &self,
        leaf: &Hash,
        policy: &'p Policy,
        now: Option<Timestamp>,
    ) -> Result<Findings<'p>, Error> {
        let findings = policy.accept(&self.checkpoint, now)?;
        self.verify_inclusion(leaf, &findings)?;
        Ok(findings)
    }

    /// Checks that the entry with hash `leaf` is under the checkpoint that [`Policy::weigh`] found
    /// in this receipt: for a caller who decides about the quorum itself.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] and [`Error::ProofMismatch`] when the checkpoint does not include the
    /// entry at this place.
    pub fn verify_inclusion(&self, leaf: &Hash, findings: &Findings<'_>) -> Result<(), Error> {
        let checkpoint = &findings.checkpoint;
        proof::verify_inclusion(
            leaf,
            self.index,
            checkpoint.size(),
            &self.path,
            &checkpoint.root(),
        )
    }

    /// The entry's index in the log.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The inclusion proof, from the leaf upwards.
    #[must_use]
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// Data for the application, if there is any. Hostile: nothing authenticates it.
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The checkpoint as the log issued it, with its cosignatures. Hostile until verified.
    #[must_use]
    pub const fn checkpoint(&self) -> &Note {
        &self.checkpoint
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
