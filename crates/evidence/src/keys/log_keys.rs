//! The file of the log's key, and of the next one while a rotation is under way.
//!
//! `keys/log.key` holds the seed of the key in force. `keys/log.next.key` is there from before the event that hands
//! over is written until the next key has taken its place; which of the two is in force, the log says.

use super::seed::{Seed, parse_seed, publish_seed, random};
use super::{LOG_KEY, LogKey, read};
use crate::epochs::Epochs;
use crate::error::Error;
use std::sync::Arc;
use storage::Disk;

const NEXT_KEY: &str = "keys/log.next.key";

/// A key that is durable and not yet in force.
#[derive(Debug)]
pub(crate) struct NextKey {
    seed: Seed,
    key: Arc<LogKey>,
}

impl NextKey {
    /// Makes a key for log `origin`, durably.
    pub(crate) fn propose(disk: &dyn Disk, origin: &str) -> Result<Self, Error> {
        let seed = random()?;
        let key = Arc::new(LogKey::from_seed(origin, &seed)?);
        publish_seed(disk, NEXT_KEY, &seed)?;
        Ok(Self { seed, key })
    }

    pub(crate) fn key(&self) -> &LogKey {
        &self.key
    }

    /// Puts the key in the place of the one before, which is gone then.
    pub(crate) fn promote(&self, disk: &dyn Disk) -> Result<Arc<LogKey>, Error> {
        publish_seed(disk, LOG_KEY, &self.seed)?;
        self.discard(disk)?;
        Ok(self.key.clone())
    }

    /// Removes the file of the key that is not in force.
    pub(crate) fn discard(&self, disk: &dyn Disk) -> Result<(), Error> {
        remove_next(disk)
    }
}

fn remove_next(disk: &dyn Disk) -> Result<(), Error> {
    disk.remove(NEXT_KEY)
        .map_err(|error| Error::io(NEXT_KEY, &error))
}

/// What became of a rotation that an end of the recorder cut short.
#[derive(Debug)]
pub(crate) enum CutShort {
    /// There was none.
    Nothing,
    /// The log does not hold its event: the key in force stays.
    Undo,
    /// The log holds its event: the next key is in force.
    Finish(NextKey),
}

/// Finds the key that the log says is in force. Changes nothing yet.
///
/// # Errors
/// [`Error::Damaged`]: neither file holds it.
pub(crate) fn in_force(
    disk: &dyn Disk,
    held: &Arc<LogKey>,
    epochs: &Epochs,
) -> Result<(Arc<LogKey>, CutShort), Error> {
    let wanted = &epochs.in_force().ed25519;
    let next = read(disk, NEXT_KEY)?;
    if held.verifying_key() == wanted {
        let cut_short = next.map_or(CutShort::Nothing, |_| CutShort::Undo);
        return Ok((held.clone(), cut_short));
    }
    let next = match next {
        Some(bytes) => {
            let seed = parse_seed(NEXT_KEY, &bytes)?;
            let key = Arc::new(LogKey::from_seed(epochs.origin(), &seed)?);
            (key.verifying_key() == wanted).then_some(NextKey { seed, key })
        }
        None => None,
    };
    let Some(next) = next else {
        let epoch = epochs.in_force().number;
        let detail = match epoch {
            1 => "it is not the key that log/vkey names".to_owned(),
            _ => format!("it is not the key that began epoch {epoch} of the log"),
        };
        return Err(Error::damaged(LOG_KEY, detail));
    };
    Ok((next.key.clone(), CutShort::Finish(next)))
}

impl CutShort {
    /// Finishes the rotation, or undoes it.
    pub(crate) fn settle(self, disk: &dyn Disk) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            Self::Undo => remove_next(disk),
            Self::Finish(next) => next.promote(disk).map(drop),
        }
    }
}
