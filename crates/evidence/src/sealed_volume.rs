//! What the log says of a volume that is complete.

use crate::error::Error;
use crate::stored;
use crate::volume::volume_path;
use aws_lc_rs::digest::{Context, SHA256};
use serde::Deserialize;
use storage::Disk;

/// Bytes hashed at a time.
const PIECE_BYTES: usize = 1 << 20;

/// In which way a volume is not the one that was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Differs {
    /// It has so many bytes.
    Length(u64),
    /// It has this SHA-256.
    Content(String),
}

/// The facts of a `vault.sealed` event: the volume will not change any more. It needs no key to be checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct SealedVolume {
    #[serde(rename = "volume")]
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// Of the file, hexadecimal.
    pub(crate) sha256: String,
}

impl SealedVolume {
    pub(crate) fn facts(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut facts = serde_json::Map::new();
        facts.insert("volume".into(), self.number.into());
        facts.insert("bytes".into(), self.bytes.into());
        facts.insert("sha256".into(), self.sha256.clone().into());
        facts
    }

    /// In which way the volume on disk is not this one; `None` where it is. One of another length is not read.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(crate) fn differs(&self, disk: &dyn Disk) -> Result<Option<Differs>, Error> {
        let path = volume_path(self.number);
        let file = stored::open(disk, &path)?.ok_or_else(|| Error::Missing(path.clone()))?;
        let len = file.len();
        let len = len.map_err(|error| stored::refused(&path, &error))?;
        if len != self.bytes {
            return Ok(Some(Differs::Length(len)));
        }
        let found = Self::read(disk, self.number)?;
        Ok((found != *self).then_some(Differs::Content(found.sha256)))
    }

    /// Describes a volume as it lies on disk.
    ///
    /// # Errors
    /// [`Error::Missing`], or what the system says.
    pub(crate) fn read(disk: &dyn Disk, number: u64) -> Result<Self, Error> {
        let path = volume_path(number);
        let io = |error: std::io::Error| stored::refused(&path, &error);
        let file = stored::open(disk, &path)?.ok_or_else(|| Error::Missing(path.clone()))?;
        let mut context = Context::new(&SHA256);
        let mut piece = vec![0; PIECE_BYTES];
        let mut bytes = 0;
        loop {
            let n = file.read_at(&mut piece, bytes).map_err(io)?;
            if n == 0 {
                break;
            }
            context.update(piece.get(..n).unwrap_or_default());
            bytes += n as u64;
        }
        Ok(Self {
            number,
            bytes,
            sha256: hex::encode(context.finish()),
        })
    }
}
