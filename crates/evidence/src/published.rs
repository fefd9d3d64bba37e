//! Published checkpoints: the heads of the log that anchors, witnesses and other places get to see.
//!
//! Each lies in `anchors/SIZE20/checkpoint` for ever: whoever holds a token over one can always be shown the bytes
//! that it is over. A size has one published checkpoint; asked for again, it is the same.

use crate::error::Error;
use crate::keys::LogKey;
use crate::stored;
use storage::Disk;
use tlog::cosignature::Timestamp;
use tlog::note::Note;
use tlog::{Checkpoint, Hash};

/// Where the published heads and what vouches for them lie.
pub(crate) const DIR: &str = "anchors";

/// A checkpoint signed with every key of its epoch, durable in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Events that it covers.
    pub size: u64,
    /// The RFC 6962 root over them.
    pub root: Hash,
    /// The signed note, whose text is the checkpoint. Its bytes are `note.to_string()`.
    pub note: Note,
}

/// The directory of what belongs to the head of `size` events: the size in 20 decimal digits.
pub(crate) fn dir(size: u64) -> String {
    format!("{DIR}/{size:020}")
}

fn path(size: u64) -> String {
    format!("{}/checkpoint", dir(size))
}

/// Sizes of which something was published, ascending. A directory with nothing in it is what is left of a publication that
/// broke off: nobody was ever shown that head.
pub(crate) fn sizes(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    Ok(stored::list(disk, DIR)?
        .iter()
        .filter(|name| name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|name| name.parse().ok())
        // What cannot be listed is not empty: whoever reads it says why.
        .filter(|size| stored::list(disk, &dir(*size)).map_or(true, |held| !held.is_empty()))
        .collect())
}

/// The published checkpoint of `size` events, unverified; `None` where there is none.
pub(crate) fn read(disk: &dyn Disk, size: u64) -> Result<Option<Note>, Error> {
    let path = path(size);
    let Some(bytes) = stored::read(disk, &path)? else {
        return Ok(None);
    };
    Note::parse(&bytes)
        .map(Some)
        .map_err(|error| Error::damaged(path, error.to_string()))
}

/// Makes `checkpoint` a published one, durably. One that is there already is left as it is.
///
/// # Errors
/// [`Error::Damaged`] when what is there is not of the same tree; or what the disk says.
pub(crate) fn publish(
    disk: &dyn Disk,
    key: &LogKey,
    checkpoint: &Checkpoint,
) -> Result<Published, Error> {
    let (size, root) = (checkpoint.size(), checkpoint.root());
    let note = match read(disk, size)? {
        Some(note) if note.text() == checkpoint.to_string() => note,
        Some(_) => {
            return Err(Error::damaged(
                path(size),
                "it is not the head of this log at that size",
            ));
        }
        None => {
            let note = key.sign_both(checkpoint, now()?)?;
            let path = path(size);
            disk.publish(&path, note.to_string().as_bytes())
                .map_err(|error| Error::io(path, &error))?;
            note
        }
    };
    Ok(Published { size, root, note })
}

/// The second it is. A cosignature must state one, and a clock may stand anywhere.
fn now() -> Result<Timestamp, Error> {
    let seconds = crate::ambient::clocks().wall.as_secs();
    Timestamp::new(seconds.max(1)).map_err(|error| Error::Fatal(format!("the clock: {error}")))
}
