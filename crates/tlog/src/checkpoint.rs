//! Checkpoints: C2SP tlog-checkpoint.
//!
//! A checkpoint is a note whose text names a log, its size and its root. The body carries no time.

use crate::{
    Error, Hash, empty_root, line,
    note::{self, Note, Signer, SigningKey, VerifyingKey},
};
use std::{fmt, str::FromStr};

const WHAT: &str = "checkpoint";

/// The tree head of a log at one size.
///
/// `Display` and `FromStr` are the note text, line feeds included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The tree head of log `origin` with `size` leaves.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the origin is empty or holds a control character, or when `size` is
    /// 0 and `root` is not the root of the empty tree.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        Self::claimed(origin, size, root)?.possible()
    }

    /// A tree head as it is claimed to be: of size 0 it may have any root.
    fn claimed(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        if !is_line(origin) {
            return Err(Error::malformed(
                WHAT,
                "origin is empty or holds a control character",
            ));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// The tree head, if there can be such a tree.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the tree is empty and its root is not the empty tree's.
    pub(crate) fn possible(self) -> Result<Self, Error> {
        if self.size == 0 && self.root != empty_root() {
            return Err(Error::malformed(
                WHAT,
                "root of size 0 is not that of the empty tree",
            ));
        }
        Ok(self)
    }

    /// Adds an extension line. The specification advises against them: monitors cannot audit them.
    ///
    /// # Errors
    /// [`Error::Malformed`] when the line is empty or holds a control character.
    pub fn with_extension(mut self, line: &str) -> Result<Self, Error> {
        if !is_line(line) {
            return Err(Error::malformed(
                WHAT,
                "extension line is empty or holds a control character",
            ));
        }
        self.extensions.push(line.to_owned());
        Ok(self)
    }

    /// Reads a signed checkpoint, believing it only when a key in `known` signed it and it is of log
    /// `origin`. `known` are keys of the log alone, of any algorithm; for those of witnesses see
    /// [`crate::policy`]. The note is returned for its further signatures.
    ///
    /// # Errors
    /// [`Error::Malformed`] and [`Error::OverLimit`] for what is not a checkpoint or has extension
    /// lines that no signature covers, [`Error::Unsigned`] and [`Error::BadSignature`] for one that
    /// must not be believed, [`Error::WrongOrigin`] for one of another log.
    pub fn open(
        signed: &[u8],
        origin: &str,
        known: &[VerifyingKey],
    ) -> Result<(Self, Note), Error> {
        let note = Note::parse(signed)?;
        let verified = note.verify(known)?;
        let checkpoint = Self::read(note.text())?
            .possible()?
            .covered_by(&verified.signers)?;
        if checkpoint.origin != origin {
            return Err(Error::WrongOrigin {
                found: checkpoint.origin,
                expected: origin.to_owned(),
            });
        }
        Ok((checkpoint, note))
    }

    /// The checkpoint, if what its log's `signers` signed is all of it.
    pub(crate) fn covered_by(self, signers: &[Signer<'_>]) -> Result<Self, Error> {
        let mut algorithms = signers.iter().map(|signer| signer.key.algorithm());
        if self.extensions.is_empty() || algorithms.any(note::Algorithm::covers_extensions) {
            return Ok(self);
        }
        Err(Error::malformed(
            WHAT,
            "has extension lines that no signature of the log covers",
        ))
    }

    /// The checkpoint as a note signed by `key`. The key's name should be the origin.
    ///
    /// # Errors
    /// [`Error::OverLimit`] when extension lines make the note too long, [`Error::Key`] when signing
    /// fails.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, Error> {
        Note::sign(self.to_string(), &[key])
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The RFC 6962 root over them.
    #[must_use]
    pub const fn root(&self) -> Hash {
        self.root
    }

    /// Extension lines, without line feeds. ML-DSA-44 cosignatures do not cover them.
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

/// A non-empty line as a note may hold it.
fn is_line(line: &str) -> bool {
    !line.is_empty() && !line.bytes().any(|b| b < b' ')
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    /// Reads exactly the text that `Display` writes.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text)?.possible()
    }
}

impl Checkpoint {
    /// Reads a tree head as it is claimed to be: see [`Checkpoint::possible`].
    pub(crate) fn read(text: &str) -> Result<Self, Error> {
        if text.len() > note::MAX_NOTE_BYTES {
            return Err(Error::OverLimit {
                what: "checkpoint length in bytes",
                limit: note::MAX_NOTE_BYTES as u64,
            });
        }
        let body = text
            .strip_suffix('\n')
            .ok_or(Error::malformed(WHAT, "does not end in a line feed"))?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next())
        else {
            return Err(Error::malformed(WHAT, "fewer than three lines"));
        };
        let size = line::decimal(size).ok_or(Error::malformed(
            WHAT,
            "size is not a canonical decimal number of 64 bits",
        ))?;
        let checkpoint = Self::claimed(origin, size, root.parse()?)?;
        lines.try_fold(checkpoint, Self::with_extension)
    }
}
