//! Why a measurement could not be taken.

use std::io;

/// Why a measurement could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operating system refused.
    #[error("{what}")]
    Io {
        what: &'static str,
        #[source]
        source: io::Error,
    },
    /// The recorder refused.
    #[error("the recorder refused")]
    Evidence(#[from] evidence::Error),
    /// What was measured did not do its work, so its figures would mean nothing.
    #[error("{0}")]
    Wrong(String),
}

impl Error {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}
