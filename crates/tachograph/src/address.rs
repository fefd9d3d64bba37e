//! `DIR/address`: where the recorder of a data directory can be reached while it runs.

use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use storage::read_regular;

/// Longest address file that is read.
const MAX_BYTES: u64 = 4096;

/// Randomness in a token.
const TOKEN_BYTES: usize = 32;

/// Where a running recorder listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Address {
    /// `http://HOST:PORT` of the agent-facing listener.
    pub(crate) gateway: String,
    /// `http://HOST:PORT` of the operator's listener.
    pub(crate) console: String,
    /// Process id of the recorder.
    pub(crate) pid: u32,
    /// What the operator's listener asks for: new at each start, and as closed to others as the record.
    #[serde(default)]
    pub(crate) token: String,
}

impl Address {
    /// A token that nobody guesses.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(crate) fn new_token() -> io::Result<String> {
        let mut bytes = [0_u8; TOKEN_BYTES];
        rand::fill(&mut bytes).map_err(|_| io::Error::other("the system gives no randomness"))?;
        Ok(hex::encode(bytes))
    }

    /// Reads the address of the recorder of `data`; `None` if none is running there.
    ///
    /// After a crash the file stays, so whoever reads it must expect that nobody answers.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Self>> {
        let bytes = match read_regular(&path(data), MAX_BYTES) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from)
    }

    /// Publishes the address: whoever reads it sees the old file or the whole new one.
    pub(crate) fn publish(&self, data: &Path) -> io::Result<()> {
        let temporary = data.join(format!("address.{}", self.pid));
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        file.write_all(&json)?;
        drop(file);
        fs_err::rename(&temporary, path(data))
    }

    /// Takes the address away: nobody listens any more.
    pub(crate) fn withdraw(data: &Path) -> io::Result<()> {
        match std::fs::remove_file(path(data)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_published_and_withdrawn() {
        let dir = tempfile::tempdir().unwrap();
        let address = Address {
            gateway: "http://127.0.0.1:1".to_owned(),
            console: "http://127.0.0.1:2".to_owned(),
            pid: 3,
            token: Address::new_token().unwrap(),
        };
        assert_eq!(Address::read(dir.path()).unwrap(), None);
        address.publish(dir.path()).unwrap();
        assert_eq!(Address::read(dir.path()).unwrap(), Some(address));
        let mode = std::fs::metadata(path(dir.path())).unwrap().permissions();
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777,
            0o600
        );
        Address::withdraw(dir.path()).unwrap();
        Address::withdraw(dir.path()).unwrap();
        assert_eq!(Address::read(dir.path()).unwrap(), None);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_spoilt_address_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("address"), "{").unwrap();
        assert!(Address::read(dir.path()).is_err());
    }
}
