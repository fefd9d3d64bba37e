//! What somebody with write access to the disk and knowledge of the format could do, on a copy.

use crate::failure::Failure;
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// What the record says, and what it is made to say: one letter differs.
const BEFORE: &str = "send_email";
const AFTER: &str = "Send_email";

/// What was changed.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    /// The file, relative to the record.
    pub(crate) file: String,
    /// What it said.
    pub(crate) before: &'static str,
    /// What it says.
    pub(crate) after: &'static str,
}

/// Copies the record at `from` to `to` and changes one letter of the log there. The bundle is left
/// unpacked, as another tool may leave it, so that nothing but the log's own hashes can notice.
pub(crate) fn alter_one_letter(from: &Path, to: &Path) -> Result<Change, Failure> {
    copy(from, to)
        .and_then(|()| alter(to))
        .map_err(|error| Failure::new("cannot change a copy of the record").because(&error))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
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

fn alter(record: &Path) -> io::Result<Change> {
    for path in bundles(&record.join("log").join("tile").join("entries"))? {
        let mut lines = zstd::decode_all(fs_err::File::open(&path)?)?;
        let at = lines
            .windows(BEFORE.len())
            .position(|window| window == BEFORE.as_bytes());
        let Some(first) = at.and_then(|at| lines.get_mut(at..at + AFTER.len())) else {
            continue;
        };
        first.copy_from_slice(AFTER.as_bytes());
        fs_err::remove_file(&path)?;
        let plain = path.with_extension("");
        fs_err::write(&plain, &lines)?;
        let file = plain
            .strip_prefix(record)
            .unwrap_or(&plain)
            .display()
            .to_string();
        return Ok(Change {
            file,
            before: BEFORE,
            after: AFTER,
        });
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("no event says {BEFORE}"),
    ))
}

/// The files of entries beneath `directory`, in order.
fn bundles(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(bundles(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "zst") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
