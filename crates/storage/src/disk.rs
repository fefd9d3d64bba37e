//! What the rest of the recorder may ask of a disk.

use std::fmt::Debug;
use std::io;

/// Largest file that [`Disk::read`] reads, in bytes. Whoever knows better asks [`Disk::read_up_to`].
pub const MAX_READ_BYTES: u64 = 256 << 20;

/// A tree of files under one root, addressed by relative paths with `/`.
///
/// Implementations MUST make [`Disk::publish`] and [`Disk::sync_all`] durable when they return `Ok`,
/// and MUST NOT report success for a write that the medium refused. Callers MUST treat an error of
/// any `sync` as "outcome unknown" and never retry it on the same file.
pub trait Disk: Debug + Send + Sync {
    /// The whole file; `NotFound` where there is none, `NotADirectory` where something else stands in the way,
    /// `FileTooLarge` for one of more than `limit` bytes, `InvalidData` where the medium does not give it back. Never waits
    /// for anybody: what is no regular file, such as a pipe, is `InvalidInput`.
    fn read_up_to(&self, path: &str, limit: u64) -> io::Result<Vec<u8>>;

    /// As [`Disk::read_up_to`] with [`MAX_READ_BYTES`].
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.read_up_to(path, MAX_READ_BYTES)
    }

    /// Replaces a file atomically: a reader sees the old bytes or the new, never a mixture. Durable
    /// only after [`Disk::sync_all`].
    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Replaces a file atomically and durably.
    fn publish(&self, path: &str, bytes: &[u8]) -> io::Result<()>;

    /// Opens an existing regular file for reading; anything else is `InvalidInput`.
    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a file of `len` zero bytes (replacing any), with its blocks written and durable, so
    /// that later writes into it need no new blocks and cannot fail for want of room.
    fn allocate(&self, path: &str, len: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Creates an empty file, or opens the existing one.
    fn open_or_create(&self, path: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file, or a directory with all that is in it. Missing is no error.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Names in a directory, sorted; empty where there is none. What is no directory is `InvalidInput`.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;

    /// Makes everything written so far durable.
    fn sync_all(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Reads up to `buffer.len()` bytes at `offset`; fewer only at the end of the file. `InvalidData` where the medium does
    /// not give them back.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// `fdatasync`. An error is final: the outcome is not known.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds nothing.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
}
