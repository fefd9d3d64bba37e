//! The data directory and its version.

use crate::error::Error;
use crate::stored;
use storage::Disk;

/// Version of the directory as a whole. A reader accepts every version up to this one.
///
/// 1: the vault is not encrypted. 2: volumes, seeds and write-ahead log are.
pub const STORE_FORMAT: u32 = 2;

const PATH: &str = "format";
const WORD: &str = "tachograph";

/// Checks the directory's version, writing it into an empty directory; returns it.
pub(crate) fn check_or_create(disk: &dyn Disk) -> Result<u32, Error> {
    if is_new(disk)? {
        write(disk)?;
    }
    check(disk)
}

/// Makes it known that a store goes on in this version: an earlier program refuses it from here on.
pub(crate) fn upgrade(disk: &dyn Disk) -> Result<(), Error> {
    if check(disk)? < STORE_FORMAT {
        write(disk)?;
    }
    Ok(())
}

fn write(disk: &dyn Disk) -> Result<(), Error> {
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
        other => return other.map(|_| false),
    }
    let names = stored::list(disk, "")?;
    let stranger = names.into_iter().find(|name| {
        let ours = [
            "lock",
            "recorder.tmp",
            "recorder.sock",
            "control.sock",
            "address",
            "lost+found",
        ];
        !ours.contains(&name.as_str())
    });
    stranger.map_or(Ok(true), |holds| Err(Error::NotARecord { holds }))
}

/// Checks the directory's version and returns it.
pub(crate) fn check(disk: &dyn Disk) -> Result<u32, Error> {
    let bytes = stored::read(disk, PATH)?
        .ok_or_else(|| Error::Missing("a Tachograph store (the file `format`)".into()))?;
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
        Some(version) => Ok(version),
        None => Err(Error::damaged(PATH, "it does not name a version")),
    }
}
