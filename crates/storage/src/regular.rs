//! Reading what somebody else may have put at a path, or named: a regular file, up to a bound.

use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Opens a regular file for reading. A pipe would keep whoever opens it waiting, a device may do anything. A link to a
/// regular file is one.
///
/// # Errors
/// The system's; [`io::ErrorKind::InvalidInput`] for a directory, a pipe, a socket, a device or links in a circle. Each names
/// the file.
pub fn open_regular(path: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    let without_waiting = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits();
    options
        .read(true)
        .custom_flags(without_waiting.cast_signed());
    match options.open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Err(error) if !is_of_no_file(&error) => Err(io::Error::new(
            error.kind(),
            format!("failed to open {}: {error}", path.display()),
        )),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} is not a regular file", path.display()),
        )),
    }
}

/// Whether opening failed because of what stands there: links that lead in a circle, a device that nobody drives, a socket.
pub(crate) fn is_of_no_file(error: &io::Error) -> bool {
    let not_files = [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::NAMETOOLONG];
    Errno::from_io_error(error).is_some_and(|errno| not_files.contains(&errno))
}

/// What a file that is open does not give back.
pub(crate) fn unreadable(error: &io::Error) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it cannot be read: {error}"),
    )
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open_regular`]; [`io::ErrorKind::FileTooLarge`] for a longer one; [`io::ErrorKind::InvalidData`] where the medium does
/// not give it back.
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
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(&error))?;
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
