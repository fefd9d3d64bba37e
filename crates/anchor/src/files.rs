//! The files of `anchors/`: tokens and cosigned checkpoints as evidence, the rest as hints.
//!
//! What an event tells of, or may soon tell of, is never replaced. After an error nobody knows what was stored: whoever
//! tries again tells of what lies there then.

use crate::Error;
use crate::head::Head;
use crate::standing::Standing;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use storage::{Disk, LocalDisk};
use timestamp::MAX_RESPONSE_BYTES;
use tlog::note::{MAX_NOTE_BYTES, Note, Signature};

/// What was last known of the anchors: for `tacho status`, and for the size to begin with at a witness. Never evidence.
const STANDING: &str = "anchors/standing.json";

/// Longest hint that is read, in bytes.
const MAX_STANDING_BYTES: usize = 1 << 20;

/// Writes into `anchors/` of one record.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    disk: Arc<dyn Disk>,
    /// Several witnesses add to one file.
    cosigned: Arc<Mutex<()>>,
}

/// The directory of the published checkpoint of `size`.
fn directory(size: u64) -> String {
    format!("anchors/{size:020}")
}

fn token(size: u64, name: &str) -> String {
    format!("{}/{name}.tsr", directory(size))
}

/// The published checkpoint of `size` with the witnesses' lines.
fn cosigned(size: u64) -> String {
    format!("{}/cosigned", directory(size))
}

impl Files {
    pub(crate) fn of(dir: &Path) -> Self {
        Self::on(Arc::new(LocalDisk::at(dir)))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            cosigned: Arc::default(),
        }
    }

    /// A file of at most `limit` bytes; `None` where there is none.
    pub(crate) fn read(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.disk.read_up_to(path, limit as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(path, &error)),
        }
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.disk
            .publish(path, bytes)
            .map_err(|error| Error::io(path, &error))
    }

    /// The answer of authority `name` over the checkpoint of `size` that lies there: unverified, and perhaps not durable.
    pub(crate) fn token(&self, size: u64, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.read(&token(size, name), MAX_RESPONSE_BYTES)
    }

    /// Stores an authority's whole answer; durable when this returns.
    ///
    /// # Errors
    /// Also where another answer lies there: it stays.
    pub(crate) fn store_token(&self, size: u64, name: &str, response: &[u8]) -> Result<(), Error> {
        let held = self.token(size, name)?;
        let path = token(size, name);
        if held.is_some_and(|held| held != response) {
            return Err(Error::Local(format!("{path} holds another answer")));
        }
        self.publish(&path, response)
    }

    /// The published checkpoint of `size` with its witnesses' lines; unverified.
    pub(crate) fn cosigned_text(&self, size: u64) -> Result<Option<Vec<u8>>, Error> {
        self.read(&cosigned(size), MAX_NOTE_BYTES)
    }

    /// What lies there of `head` with its witnesses' lines; `None` where that is nothing, or not of this checkpoint.
    fn cosigned(&self, head: &Head) -> Result<Option<Note>, Error> {
        let held = self.cosigned_text(head.size)?;
        let held = held.filter(|held| held.starts_with(&head.bytes));
        Ok(held.and_then(|held| Note::parse(&held).ok()))
    }

    /// Puts the line of a witness under `head` in the place of any that it had there, and returns the checkpoint with all
    /// its lines; durable when this returns.
    pub(crate) fn store_cosignature(&self, head: &Head, line: &Signature) -> Result<Note, Error> {
        let _turn = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        let path = cosigned(head.size);
        let held = self.cosigned(head)?;
        let own = head.note.signatures().len();
        let others = held
            .iter()
            .flat_map(|note| note.signatures().iter().skip(own));
        let others = others.filter(|held| held.name() != line.name() || held.id() != line.id());
        let mut note = head.note.clone();
        for line in others.chain([line]) {
            note = note
                .with_signature(line.clone())
                .map_err(|error| Error::Local(format!("{path}: {error}")))?;
        }
        self.publish(&path, note.to_string().as_bytes())?;
        Ok(note)
    }

    /// Leaves a hint beside the anchors: replaced where it says something else.
    pub(crate) fn hint(&self, path: &str, text: &str) -> Result<(), Error> {
        let path = format!("anchors/{path}");
        if self
            .disk
            .read(&path)
            .is_ok_and(|held| held == text.as_bytes())
        {
            return Ok(());
        }
        self.publish(&path, text.as_bytes())
    }

    /// What was last known; `None` where nothing was ever written.
    ///
    /// # Errors
    /// What lies there cannot be read, or is no such thing.
    pub(crate) fn standing(&self) -> Result<Option<Standing>, Error> {
        let Some(bytes) = self.read(STANDING, MAX_STANDING_BYTES)? else {
            return Ok(None);
        };
        let standing: Standing = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Local(format!("{STANDING} does not parse: {error}")))?;
        if !standing.is_readable() {
            return Err(Error::Local(format!(
                "{STANDING} has a version that this program does not read"
            )));
        }
        Ok(Some(standing))
    }

    /// Keeps what is known now. Lost in a crash, it costs a question.
    pub(crate) fn keep_standing(&self, standing: &Standing) -> Result<(), Error> {
        let mut json = serde_json::to_vec(standing)
            .map_err(|error| Error::Local(format!("{STANDING}: {error}")))?;
        json.push(b'\n');
        self.disk
            .write(STANDING, &json)
            .map_err(|error| Error::io(STANDING, &error))
    }
}
