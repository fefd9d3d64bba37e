//! What an auditor brings along: files to hold the record against, the key that opens its bodies.

use crate::failure::{Failure, note};
use crate::shell;
use evidence::VaultKey;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use storage::read_regular;

/// Longest file of an auditor that is read.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The option of every command that reads bodies.
#[derive(Debug, clap::Args)]
pub(crate) struct VaultKeyFile {
    /// Investigator's private key, for bodies that are encrypted to its public half
    #[arg(long = "vault-key", value_name = "FILE")]
    path: Option<PathBuf>,
}

impl VaultKeyFile {
    /// Whether a key was named.
    pub(crate) const fn is_named(&self) -> bool {
        self.path.is_some()
    }

    /// The key, where one was named.
    pub(crate) fn read(&self) -> Result<Option<VaultKey>, Failure> {
        self.path.as_deref().map(key).transpose()
    }
}

fn key(path: &Path) -> Result<VaultKey, Failure> {
    let bytes = file(path)?;
    let key = VaultKey::parse("the file", &bytes).map_err(|error| {
        Failure::usage(format!("{} is not a vault key", path.display()))
            .because(&error)
            .hint("name the private key that `tacho keys recipient --out FILE` wrote")
    })?;
    // A stick's file system may have no modes, so it is no error.
    let mode = std::fs::metadata(path).map(|meta| meta.permissions().mode() & 0o777);
    if let Ok(mode) = mode
        && mode & 0o077 != 0
    {
        note(&format!(
            "warning: others may read {here} (mode {mode:04o}), and with it every body: `chmod 600 {word}`",
            here = path.display(),
            word = shell::word(path)
        ));
    }
    Ok(key)
}

/// The bytes of a file that the auditor named.
pub(crate) fn file(path: &Path) -> Result<Vec<u8>, Failure> {
    read_regular(path, MAX_FILE_BYTES).map_err(|error| {
        Failure::usage(format!("cannot read {}", path.display()))
            .because(&error)
            .hint("name a regular file of at most 1 MiB that you may read")
    })
}
