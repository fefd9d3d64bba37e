//! The log's public keys, as its record states them.

use crate::Error;
use std::path::Path;
use tlog::note::VerifyingKey;

/// The key by which a log is known for ever: that of its first epoch. Its name is the log's origin.
pub(crate) fn first_key(dir: &Path) -> Result<VerifyingKey, Error> {
    let path = dir.join("log/vkey");
    let text = fs_err::read_to_string(&path).map_err(|error| Error::Local(error.to_string()))?;
    text.trim_end()
        .parse()
        .map_err(|error| Error::Local(format!("{}: {error}", path.display())))
}

/// The Ed25519 keys of all epochs, the first one first.
pub(crate) fn keys(dir: &Path) -> Result<Vec<VerifyingKey>, Error> {
    first_key(dir).map(|key| vec![key])
}

/// The notes by which each key handed over to the next, in order.
pub(crate) fn notes(_dir: &Path) -> Result<Vec<String>, Error> {
    Ok(Vec::new())
}
