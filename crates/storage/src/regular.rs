//! Reading what somebody else may have put at a path, or named: a regular file, up to a bound.

use fs_err as fs;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file for reading. A pipe would keep whoever opens it waiting, a device may do anything. A link to a
/// regular file is one.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for a directory, a pipe, a socket or a device. Each names the file.
pub fn open_regular(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    let without_waiting = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    options.read(true).custom_flags(without_waiting);
    let opened = fs::OpenOptions::from_options(options).open(path)?;
    let (file, path) = opened.into_parts();
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let detail = format!("{} is not a regular file", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidInput, detail))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; [`io::ErrorKind::FileTooLarge`] for a longer one.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open_regular(path)?;
    let too_large = || {
        let detail = format!("{} has more than {limit} bytes", path.display());
        io::Error::new(io::ErrorKind::FileTooLarge, detail)
    };
    let len = file.metadata()?.len();
    if len > limit {
        return Err(too_large());
    }
    // It may grow while it is read.
    let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| too_large())?);
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_file_is_read_up_to_the_bound_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "four").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), kind, mode, 0).unwrap();
        for name in ["file", "link"] {
            assert_eq!(read_regular(&at(name), 4).unwrap(), b"four");
            let error = read_regular(&at(name), 3).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
        }
        for other in [at("pipe"), dir.path().to_owned(), "/dev/zero".into()] {
            let error = read_regular(&other, 4).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
            assert!(error.to_string().contains(&*other.to_string_lossy()));
        }
        let error = read_regular(&at("none"), 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
