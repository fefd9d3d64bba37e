//! What someone with write access to the disk could do, on a copy.

use crate::failure::Failure;
use std::io;
use std::path::{Path, PathBuf};

/// Where the byte was changed.
#[derive(Debug)]
pub(crate) struct Place {
    /// The file, relative to the record.
    pub(crate) file: String,
    /// Index of the byte.
    pub(crate) offset: usize,
}

/// Copies the record at `from` to `to` and flips one bit of one stored body there.
pub(crate) fn flip_one_byte(from: &Path, to: &Path) -> Result<Place, Failure> {
    copy(from, to)
        .and_then(|()| flip(to))
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

fn flip(record: &Path) -> io::Result<Place> {
    let nothing = || io::Error::new(io::ErrorKind::NotFound, "the record holds no bodies");
    let mut volumes: Vec<PathBuf> = fs_err::read_dir(record.join("vault"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    volumes.retain(|path| path.extension().is_some_and(|extension| extension == "vol"));
    volumes.sort();
    let volume = volumes.first().ok_or_else(nothing)?;
    let mut bytes = fs_err::read(volume)?;
    // The file may be longer than what is written in it.
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .ok_or_else(nothing)?;
    let offset = used / 2;
    if let Some(byte) = bytes.get_mut(offset) {
        *byte ^= 1;
    }
    fs_err::write(volume, bytes)?;
    let file = volume
        .strip_prefix(record)
        .unwrap_or(volume)
        .display()
        .to_string();
    Ok(Place { file, offset })
}
