//! The body of an `add-checkpoint` request.

use crate::{
    Checkpoint, Error, Hash, line,
    note::{MAX_NOTE_BYTES, Note},
};
use std::fmt;

const WHAT: &str = "add-checkpoint request";

/// Most hashes of the consistency proof in a request.
pub const MAX_CONSISTENCY_PATH: usize = 63;

/// Longest body of a request in bytes: a note, and a head of lines before it.
pub const MAX_REQUEST_BYTES: usize = MAX_NOTE_BYTES + 4 * 1024;

/// A checkpoint for a witness, and the proof that it follows on the last one that the witness saw.
///
/// `Display` writes the body; [`AddCheckpoint::parse`] reads exactly what `Display` writes. The
/// checkpoint is hostile until a witness has decided, and may claim an impossible root of the empty
/// tree: that is for the witness to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    old_size: u64,
    path: Vec<Hash>,
    note: Note,
    checkpoint: Checkpoint,
}

impl AddCheckpoint {
    /// Submits the checkpoint in `note` to a witness whose last one has `old_size` leaves, with the
    /// consistency proof that [`crate::proof::consistency`] makes. A size of 0 asks a witness whose
    /// last size is not known: it answers with [`super::Refusal::Conflict`].
    ///
    /// # Errors
    /// [`Error::Malformed`] when the note is no checkpoint, [`Error::OverLimit`] when the proof has
    /// more than [`MAX_CONSISTENCY_PATH`] hashes.
    pub fn new(old_size: u64, path: Vec<Hash>, note: Note) -> Result<Self, Error> {
        line::check_path(&path, MAX_CONSISTENCY_PATH)?;
        let checkpoint = Checkpoint::read(note.text())?;
        Ok(Self {
            old_size,
            path,
            note,
            checkpoint,
        })
    }

    /// Reads a body, strictly. A witness answers an error with [`super::Refusal::BadRequest`].
    ///
    /// # Errors
    /// [`Error::Malformed`] when the bytes are not a request, [`Error::OverLimit`] above the bounds
    /// of this module.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(Error::OverLimit {
                what: "request length in bytes",
                limit: MAX_REQUEST_BYTES as u64,
            });
        }
        let (mut head, note) = line::split_note(WHAT, bytes)?;
        let old_size = head
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(line::decimal)
            .ok_or(Error::malformed(
                WHAT,
                "no `old` line with a canonical decimal number of 64 bits",
            ))?;
        Self::new(old_size, line::hashes(head, MAX_CONSISTENCY_PATH)?, note)
    }

    /// Size of the last tree that the witness is said to have cosigned.
    #[must_use]
    pub const fn old_size(&self) -> u64 {
        self.old_size
    }

    /// The consistency proof from that tree to the checkpoint's.
    #[must_use]
    pub fn path(&self) -> &[Hash] {
        &self.path
    }

    /// The signed checkpoint.
    #[must_use]
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Origin of the log that the checkpoint claims to be of: says which head to look up.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.checkpoint.origin()
    }

    pub(super) const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.path
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}
