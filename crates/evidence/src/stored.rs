//! Files of a store, as whoever can write there may have left them.
//!
//! One rule for all of them. What is not there is missing. What stands in the place of a file and is none (a pipe, a
//! device, a directory, links in a circle), or in the place of a directory on the way to it, is that file, altered; one that
//! is longer than any can be, or that the medium does not give back, is that file, damaged. Nothing of it is waited for. What
//! may not be read is the system's refusal, and weighs as much as what is missing ([`Error::is_absence`]).

use crate::error::Error;
use std::io;
use storage::{Disk, DiskFile, MAX_READ_BYTES};

/// The whole file; `None` where there is none.
pub(crate) fn read(disk: &dyn Disk, path: &str) -> Result<Option<Vec<u8>>, Error> {
    read_up_to(disk, path, MAX_READ_BYTES)
}

/// As [`read`], of a file that has at most `limit` bytes if it is what it should be.
pub(crate) fn read_up_to(
    disk: &dyn Disk,
    path: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    found(path, disk.read_up_to(path, limit))
}

/// The whole file.
///
/// # Errors
/// [`Error::Missing`] where there is none.
pub(crate) fn need(disk: &dyn Disk, path: &str) -> Result<Vec<u8>, Error> {
    read(disk, path)?.ok_or_else(|| Error::Missing(path.into()))
}

/// The file, open; `None` where there is none.
pub(crate) fn open(disk: &dyn Disk, path: &str) -> Result<Option<Box<dyn DiskFile>>, Error> {
    found(path, disk.open(path))
}

/// Names in a directory; none where it is not there.
pub(crate) fn list(disk: &dyn Disk, dir: &str) -> Result<Vec<String>, Error> {
    disk.list(dir).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Error::altered(dir, "it is not a directory"),
        _ => refused(dir, &error),
    })
}

/// What it means that something which stands there cannot be opened, listed or read.
pub(crate) fn refused(path: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput => Error::altered(path, "it is not a regular file"),
        io::ErrorKind::NotADirectory => {
            Error::altered(path, "what it should lie in is not a directory")
        }
        io::ErrorKind::FileTooLarge => Error::damaged(path, "it is longer than it can be"),
        io::ErrorKind::InvalidData => Error::damaged(path, error.to_string()),
        _ => Error::io(path, error),
    }
}

fn found<T>(path: &str, outcome: io::Result<T>) -> Result<Option<T>, Error> {
    match outcome {
        Ok(there) => Ok(Some(there)),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(None),
            _ => Err(refused(path, &error)),
        },
    }
}
