//! The data directory and its version.

use crate::error::Error;
use storage::Disk;

/// Version of the directory as a whole. A reader accepts every version up to this one.
pub const STORE_FORMAT: u32 = 1;

const PATH: &str = "format";
const WORD: &str = "tachograph";

/// Checks the directory's version, writing it into an empty directory.
pub(crate) fn check_or_create(disk: &dyn Disk) -> Result<(), Error> {
    if !is_new(disk)? {
        return Ok(());
    }
    let text = format!("{WORD} {STORE_FORMAT}\n");
    disk.publish(PATH, text.as_bytes())
        .map_err(|error| Error::io("writing format", &error))
}

/// Whether a record can begin here; `false` where there is one. Writes nothing.
///
/// # Errors
/// [`Error::NotARecord`]: a directory that holds something else is not ours to write into.
pub(crate) fn is_new(disk: &dyn Disk) -> Result<bool, Error> {
    match check(disk) {
        Err(Error::Missing(_)) => {}
        other => return other.map(|()| false),
    }
    let names = disk
        .list("")
        .map_err(|error| Error::io("listing the data directory", &error))?;
    let stranger = names.into_iter().find(|name| {
        let ours = [
            "lock",
            "recorder.tmp",
            "recorder.sock",
            "address",
            "lost+found",
        ];
        !ours.contains(&name.as_str())
    });
    stranger.map_or(Ok(true), |holds| Err(Error::NotARecord { holds }))
}

/// Checks the directory's version.
pub(crate) fn check(disk: &dyn Disk) -> Result<(), Error> {
    let bytes = match disk.read(PATH) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing(
                "a Tachograph store (the file `format`)".into(),
            ));
        }
        other => other.map_err(|error| Error::io("reading format", &error))?,
    };
    let text = String::from_utf8_lossy(&bytes);
    let version = text
        .strip_prefix(WORD)
        .and_then(|rest| {
            rest.strip_prefix(' ')?
                .strip_suffix('\n')?
                .parse::<u32>()
                .ok()
        })
        .filter(|version| text == format!("{WORD} {version}\n") && *version > 0);
    match version {
        Some(found) if found > STORE_FORMAT => Err(Error::Newer {
            what: "the data directory".into(),
            found: found.to_string(),
            supported: STORE_FORMAT,
        }),
        Some(_) => Ok(()),
        None => Err(Error::damaged(PATH, "it does not name a version")),
    }
}
