//! The files of `anchors/`: tokens and cosigned checkpoints as evidence, the rest as hints.

use crate::Error;
use crate::standing::Standing;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use storage::{Disk, LocalDisk};
use tlog::note::{Note, Signature};

/// What was last known of the anchors: for `tacho status`, and for the size to begin with at a witness. Never evidence.
const STANDING: &str = "anchors/standing.json";

/// Longest hint that is read, in bytes.
const MAX_STANDING_BYTES: usize = 1 << 20;

/// Writes into `anchors/` of one record.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    disk: Arc<LocalDisk>,
    /// Several witnesses add to one file.
    cosigned: Arc<Mutex<()>>,
}

/// The directory of the published checkpoint of `size`.
pub(crate) fn directory(size: u64) -> String {
    format!("anchors/{size:020}")
}

impl Files {
    pub(crate) fn of(dir: &Path) -> Self {
        Self {
            disk: Arc::new(LocalDisk::at(dir)),
            cosigned: Arc::default(),
        }
    }

    fn publish(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        self.disk
            .publish(path, bytes)
            .map_err(|error| Error::io(path, &error))
    }

    /// Stores an authority's whole answer; durable when this returns.
    pub(crate) fn store_token(&self, size: u64, name: &str, response: &[u8]) -> Result<(), Error> {
        self.publish(&format!("{}/{name}.tsr", directory(size)), response)
    }

    /// Adds cosignatures to the checkpoint of `size` and returns it with all it has; durable when this returns.
    pub(crate) fn store_cosignatures(
        &self,
        size: u64,
        checkpoint: &Note,
        cosignatures: &[Signature],
    ) -> Result<Note, Error> {
        let _turn = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        let path = format!("{}/cosigned", directory(size));
        let mut note = match self.disk.read(&path) {
            Ok(bytes) => Note::parse(&bytes)
                .ok()
                .filter(|note| note.text() == checkpoint.text())
                .unwrap_or_else(|| checkpoint.clone()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => checkpoint.clone(),
            Err(error) => return Err(Error::io(&path, &error)),
        };
        for cosignature in cosignatures {
            let same = |held: &Signature| {
                held.name() == cosignature.name() && held.id() == cosignature.id()
            };
            if !note.signatures().iter().any(same) {
                note = note
                    .with_signature(cosignature.clone())
                    .map_err(|error| Error::Local(format!("{path}: {error}")))?;
            }
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

    /// What was last known, if anything was written that can be read.
    pub(crate) fn standing(&self) -> Option<Standing> {
        let bytes = self.disk.read(STANDING).ok()?;
        if bytes.len() > MAX_STANDING_BYTES {
            return None;
        }
        serde_json::from_slice(&bytes)
            .ok()
            .filter(Standing::is_readable)
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
