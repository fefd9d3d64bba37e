//! The second place: a directory on another disk or machine that holds the newest published checkpoint of each log.
//!
//! `PLACE/HEX(SHA-256(origin))/head` is replaced atomically and durably, only by a checkpoint that extends it; `vkey`
//! lies beside it. Whoever keeps the place holds what a rewritten log has to be measured with.

use crate::Error;
use crate::files::Files;
use crate::head::Head;
use crate::known::Known;
use crate::standing::Label;
use evidence::{Proofs, Store};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use storage::{Disk, LocalDisk, read_regular};
use tlog::note::{MAX_NOTE_BYTES, Note};
use tlog::{Checkpoint, Hash, witness};

/// A second place for one log.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    dir: PathBuf,
    proofs: Proofs,
    vkey: String,
}

impl Place {
    /// `vkey` is the log's first verifier key.
    pub(crate) fn new(dir: &Path, proofs: Proofs, vkey: String) -> Self {
        Self {
            dir: dir.to_owned(),
            proofs,
            vkey,
        }
    }

    pub(crate) fn name(&self) -> String {
        self.dir.display().to_string()
    }

    /// Lays `head` down; durable when this returns. `had` is the size of the head that it took last in this session.
    /// Blocks.
    pub(crate) fn lay_down(
        &self,
        head: &Head,
        origin: &str,
        had: Option<u64>,
    ) -> Result<(), Error> {
        match (read(&self.dir, origin)?, had) {
            (Some(held), _) => {
                self.extends(&held, head.size, head.root)?;
                if held.size() == head.size {
                    return Ok(());
                }
            }
            (None, Some(size)) => return Err(self.forgot(size)),
            (None, None) => {}
        }
        self.replace(origin, &head.bytes)
    }

    /// Nothing lies there any more. Laid down now, a head would lie on this disk, under the place where the other one was
    /// mounted.
    fn forgot(&self, size: u64) -> Error {
        Error::Unreachable(format!(
            "the second place {} had a head of {size} events and has none now: it is not mounted any more, or was \
             emptied; where another disk is in its place, start the recorder again",
            self.name()
        ))
    }

    fn replace(&self, origin: &str, bytes: &[u8]) -> Result<(), Error> {
        let disk = LocalDisk::at(&self.dir);
        let io = |error: std::io::Error| Error::io(&self.name(), &error);
        let vkey = path(origin, "vkey");
        let line = format!("{}\n", self.vkey);
        if !disk.read(&vkey).is_ok_and(|held| held == line.as_bytes()) {
            disk.publish(&vkey, line.as_bytes()).map_err(io)?;
        }
        disk.publish(&path(origin, "head"), bytes).map_err(io)
    }

    /// Refuses to replace what the log does not continue.
    fn extends(&self, held: &Checkpoint, size: u64, root: Hash) -> Result<(), Error> {
        let place = self.name();
        if held.size() > size {
            return Err(Error::Doubt(format!(
                "the second place {place} knows this log with {} events, and it has {size}: the log lost its end",
                held.size()
            )));
        }
        let here = match held.size() == size {
            true => root,
            false => self.proofs.root(held.size())?,
        };
        if here != held.root() {
            return Err(Error::Doubt(format!(
                "the second place {place} knows another history of the first {} events of this log: one of the two was \
                 rewritten",
                held.size()
            )));
        }
        Ok(())
    }
}

fn path(origin: &str, name: &str) -> String {
    let path = witness::checkpoint_path(origin);
    let dir = path.split('/').next().unwrap_or_default();
    format!("{dir}/{name}")
}

/// The head that `place` holds of a log, with its note; unverified.
pub(crate) fn read_note(place: &Path, origin: &str) -> Result<Option<Note>, Error> {
    if place.exists() && !place.is_dir() {
        return Err(Error::Unreachable(format!(
            "the second place {} is not a directory",
            place.display()
        )));
    }
    if !place.is_dir() {
        // Made by us, it would lie on this disk where another was to be mounted.
        return Err(Error::Unreachable(format!(
            "the second place {} does not exist: mount it or make it",
            place.display()
        )));
    }
    let file = place.join(path(origin, "head"));
    let bytes = match read_regular(&file, MAX_NOTE_BYTES as u64) {
        Ok(bytes) => bytes,
        Err(error) => {
            return match error.kind() {
                ErrorKind::NotFound => Ok(None),
                ErrorKind::InvalidInput | ErrorKind::FileTooLarge => {
                    Err(Error::Lies(format!("its head is no checkpoint: {error}")))
                }
                _ => Err(Error::Unreachable(error.to_string())),
            };
        }
    };
    Note::parse(&bytes)
        .map(Some)
        .map_err(|error| Error::Lies(format!("{}: {error}", file.display())))
}

fn read(place: &Path, origin: &str) -> Result<Option<Checkpoint>, Error> {
    let Some(note) = read_note(place, origin)? else {
        return Ok(None);
    };
    let head: Checkpoint = note.text().parse().map_err(|error: tlog::Error| {
        Error::Lies(format!("the head in {}: {error}", place.display()))
    })?;
    if head.origin() != origin {
        return Err(Error::Lies(format!(
            "the head in {} is of the log {}",
            place.display(),
            head.origin()
        )));
    }
    Ok(Some(head))
}

/// Lays the last checkpoint of a recorder that has ended down in the second place: the one over `recorder.stop`, which
/// nobody published any more.
///
/// # Errors
/// As an anchor fails; nobody is left to record it.
pub fn lay_down_last(data: &Path, place: &Path) -> Result<(), Error> {
    let store = Store::open(data)?;
    let Some(last) = store.checkpoint()? else {
        return Ok(());
    };
    let origin = store.origin().to_owned();
    let bytes = read_regular(&data.join("log/checkpoint"), MAX_NOTE_BYTES as u64)
        .map_err(|error| Error::io("reading the checkpoint", &error))?;
    let note = Note::parse(&bytes).map_err(|error| Error::Local(error.to_string()))?;
    if note.text() != last.to_string() {
        return Err(Error::Local("another recorder has begun".into()));
    }
    let place = Place::new(place, Proofs::of(data), store.verifier_key());
    let label = Label::copy(place.name());
    match read(&place.dir, &origin)? {
        Some(held) => place.extends(&held, last.size(), last.root())?,
        None => {
            // As at the start: who knew the log and knows nothing of it now is not asked to begin anew.
            let knew = Known::by_record(&store, data).to_place(&label)?;
            knew.map_or(Ok(()), |size| Err(place.forgot(size)))?;
        }
    }
    place.replace(&origin, &bytes)?;
    let files = Files::of(data);
    // One that cannot be read is told by `tacho status`, and does not undo what was laid down.
    match files.standing().ok().flatten() {
        Some(standing) => files.keep_standing(&standing.with_last_copy(&label, last.size())),
        None => Ok(()),
    }
}
