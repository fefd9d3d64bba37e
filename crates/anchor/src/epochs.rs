//! The log's public keys, as its record states them.

use crate::Error;
use crate::head::Head;
use evidence::Store;
use evidence::epochs::Epochs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use storage::read_regular;
use tlog::note::VerifyingKey;

/// Longest file of a verifier key that is read.
const MAX_VKEY_BYTES: u64 = 16 << 10;

/// The key by which a log is known for ever: that of its first epoch. Its name is the log's origin.
pub(crate) fn first_key(dir: &Path) -> Result<VerifyingKey, Error> {
    let path = dir.join("log/vkey");
    let bytes =
        read_regular(&path, MAX_VKEY_BYTES).map_err(|error| Error::Local(error.to_string()))?;
    String::from_utf8_lossy(&bytes)
        .trim_end()
        .parse()
        .map_err(|error| Error::Local(format!("{}: {error}", path.display())))
}

/// The chain of keys of a log that grows, read again only when a key is met that is not known yet.
#[derive(Debug)]
pub(crate) struct Chain {
    dir: PathBuf,
    known: Mutex<Option<Epochs>>,
}

impl Chain {
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            known: Mutex::new(None),
        }
    }

    /// The key that signed a head of this log; it is that of the head's epoch.
    pub(crate) fn signer(&self, head: &Head) -> Result<VerifyingKey, Error> {
        let signed_by = |epochs: &Epochs| {
            let key = epochs.of_size(head.size).ed25519.clone();
            epochs.open(&head.bytes).map(|_| key)
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = known.as_ref().and_then(|epochs| signed_by(epochs).ok()) {
            return Ok(key);
        }
        let epochs = known.insert(Store::open(&self.dir)?.epochs()?);
        signed_by(epochs).map_err(|refusal| Error::Local(refusal.to_string()))
    }

    /// The notes by which each key handed over to the next, in order.
    pub(crate) fn notes(&self) -> Result<Vec<String>, Error> {
        Ok(Store::open(&self.dir)?.hand_overs()?)
    }
}
