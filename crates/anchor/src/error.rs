//! What can go wrong with an anchor, by what it means.

/// Why an anchor could not be had, or a log not be anchored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Nobody answered, or too slowly, or too much. Try again later.
    #[error("{0}")]
    Unreachable(String),
    /// It answered, and does not do what was asked. Try again later; its operator may have to act.
    #[error("{0}")]
    Refused(String),
    /// It answered something that does not hold: it counts for nothing.
    #[error("the answer does not hold: {0}")]
    Lies(String),
    /// What is known of the log outside contradicts the log: an incident. One of the two was rewritten.
    #[error("{0}")]
    Doubt(String),
    /// What a witness remembers is not what it has stored, or not all of it. To go on would be to forget.
    #[error("{0}")]
    Memory(String),
    /// The setting cannot be used.
    #[error("{0}")]
    Setting(String),
    /// Trouble of our own: the disk, the record, the system.
    #[error("{0}")]
    Local(String),
}

impl Error {
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::Local(format!("{what}: {error}"))
    }

    /// Whether this says that a history was rewritten.
    #[must_use]
    pub const fn is_incident(&self) -> bool {
        matches!(self, Self::Doubt(_))
    }
}

impl From<evidence::Error> for Error {
    fn from(error: evidence::Error) -> Self {
        Self::Local(error.to_string())
    }
}
