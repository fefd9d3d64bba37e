//! Files of a store as an attacker sees them: copied, listed, changed in place.

use crate::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// Copies a directory with all that lies beneath it. Sockets and the like are left out.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs_err::create_dir_all(to)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs_err::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Puts a copy of a directory in the place of another.
pub(crate) fn put_in_place(from: &Path, to: &Path) -> Result<(), Failure> {
    fs_err::remove_dir_all(to)?;
    Ok(copy(from, to)?)
}

/// Every file beneath a directory, relative to it, in order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![PathBuf::new()];
    while let Some(below) = left.pop() {
        for entry in fs_err::read_dir(dir.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Files that hold evidence or what vouches for it. Not among them are what a verifier has no business to read (private keys),
/// what says nothing of the record (the lock, the address of a recorder that ran), and what an operator noted beside the
/// anchors (roots, witnesses, standing), which no verifier believes.
pub(crate) fn evidence(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = list(dir)?;
    files.retain(|path| {
        let first = path
            .components()
            .next()
            .map(|part| part.as_os_str().to_owned());
        let hint = [
            "anchors/roots",
            "anchors/witnesses",
            "anchors/standing.json",
        ]
        .iter()
        .any(|hint| path.starts_with(hint));
        !hint
            && !first.is_some_and(|first| {
                ["keys", "lock", "address", "recorder.tmp"]
                    .iter()
                    .any(|name| first == *name)
            })
    });
    Ok(files)
}

/// Replaces `before` by `after`, of the same length, wherever it stands; how often that was.
pub(crate) fn replace(bytes: &mut [u8], before: &[u8], after: &[u8]) -> usize {
    let mut times = 0;
    let mut at = 0;
    while let Some(window) = bytes.get_mut(at..at + before.len()) {
        if window == before {
            window.copy_from_slice(after);
            times += 1;
        }
        at += 1;
    }
    times
}
