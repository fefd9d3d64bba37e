//! One recorder per directory.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// An exclusive advisory lock on a directory, held while the value lives; the kernel releases it
/// when the process dies, however it dies.
#[derive(Debug)]
pub struct DirLock {
    // Held for its open file description; dropping it releases the lock.
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("the directory is locked by another process")]
    Held,
    /// The lock file cannot be opened.
    #[error("the lock file cannot be opened")]
    Io(#[from] io::Error),
}

impl DirLock {
    /// Takes `dir/lock`, or fails at once.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn take(dir: &Path) -> Result<Self, LockError> {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(dir.join("lock"))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(LockError::Held),
            Err(error) => Err(LockError::Io(error.into())),
        }
    }
}
