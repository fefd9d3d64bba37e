//! What can go wrong, by what the caller can do about it.

use std::io;
use std::path::PathBuf;

/// Everything that recording and reading can fail with.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The outcome of a write is not known. The process must stop; recovery at the next start
    /// decides. Every later call fails the same way.
    #[error("the recorder has failed and must stop: {0}")]
    Fatal(String),
    /// The disk is full: nothing was recorded, so nothing may be forwarded. Try again later.
    #[error("there is no room to record: {0}")]
    Full(String),
    /// The recorder is closing or closed.
    #[error("the recorder is closed")]
    Closed,
    /// The event cannot be written; a mistake of the caller.
    #[error("the event is refused: {0}")]
    Event(String),
    /// Another process records into the directory.
    #[error("{path} is in use by another recorder")]
    InUse {
        /// Which directory.
        path: PathBuf,
    },
    /// The directory holds something else; nothing was written there.
    #[error("the directory holds `{holds}` but no `format` file: it is not a record")]
    NotARecord {
        /// One of the names in it.
        holds: String,
    },
    /// The directory was written by a newer version.
    #[error("{what} has format {found}, which is newer than this program reads ({supported})")]
    Newer {
        /// Which file or directory.
        what: String,
        /// Its format.
        found: String,
        /// The newest format that this program reads.
        supported: u32,
    },
    /// What lies on disk is not what was written.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// Which file or record.
        what: String,
        /// In which way.
        detail: String,
    },
    /// What lies on disk is whole, and is not what was committed to.
    #[error("{what} is altered: {detail}")]
    Altered {
        /// Which record.
        what: String,
        /// In which way.
        detail: String,
    },
    /// Something is encrypted, and none of the keys that open it is at hand: neither altered nor gone.
    #[error("{what} is encrypted: {why}")]
    Locked {
        /// Which volume or record.
        what: String,
        /// The keys that would open it, and what is at hand.
        why: String,
        /// The id of the investigator's key that would open it, if one would.
        recipient: Option<String>,
    },
    /// A head that the caller gave is of another log than the one that it is to be held against: a mistake of the caller, or
    /// another log was put in the place of the one that was meant.
    #[error("the head given is of the log {theirs}, and this is the log {ours}")]
    OtherLog {
        /// The log that the head is of.
        theirs: String,
        /// The log that is there.
        ours: String,
    },
    /// Something that should be there is not.
    #[error("{0} is missing")]
    Missing(String),
    /// The token with the log's key cannot be used now. A running recorder goes on recording; what it records stays
    /// unsigned until the token signs again.
    #[error("the log's key cannot be used: {0}")]
    Signer(String),
    /// The operating system refused.
    #[error("{what}: {detail}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        detail: String,
        /// Its kind, for those who act on it.
        kind: io::ErrorKind,
    },
}

impl Error {
    /// Wraps an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Self::Io {
            what: what.into(),
            detail: error.to_string(),
            kind: error.kind(),
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            detail: detail.into(),
        }
    }

    pub(crate) fn altered(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Altered {
            what: what.into(),
            detail: detail.into(),
        }
    }

    /// The file or record that is not as it was written, its path first; empty for an error that is about none.
    pub(crate) fn place(&self) -> &str {
        match self {
            Self::Damaged { what, .. } | Self::Altered { what, .. } => what,
            _ => "",
        }
    }

    /// Whether something could not be looked at because it is not there, or because its reader may not: neither speaks
    /// for or against what lies in it.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::Io { kind, .. } => *kind == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }

    /// Whether freeing space would help.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Full(_) => true,
            Self::Io { kind, .. } => {
                matches!(
                    kind,
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                )
            }
            _ => false,
        }
    }
}

impl From<event::SealError> for Error {
    fn from(error: event::SealError) -> Self {
        Self::Event(error.to_string())
    }
}
