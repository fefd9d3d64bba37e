//! How far the write-ahead log has been settled into tiles and volumes: the file `state`.
//!
//! A line of JSON and a line with its SHA-256, published atomically and durably. It is a position, not
//! evidence: everything behind it lies in tiles, bundles and volumes, everything after it in the
//! write-ahead log.

use crate::error::Error;
use crate::record::Claim;
use crate::stored;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use storage::Disk;

const PATH: &str = "state";
const VERSION: u32 = 2;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) version: u32,
    /// First segment that is not settled whole, and the offset in it (0: from its beginning).
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    /// Events settled: the size of the tree.
    pub(crate) size: u64,
    /// Newest volume and its length.
    pub(crate) volume: u64,
    pub(crate) volume_len: u64,
    /// Numbers not yet given.
    pub(crate) next_chunk: u64,
    pub(crate) next_body: u64,
    /// Request events whose call has not ended, by `seq`.
    pub(crate) open_calls: BTreeMap<u64, String>,
    /// Bodies of which a part is durable and which have not ended, by id.
    pub(crate) open_bodies: BTreeMap<u64, OpenBody>,
    /// `seq` of the settled events about the log's keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<u64>,
    #[serde(default)]
    pub(crate) phase: Phase,
    /// What recovery found behind the last whole batch and has not put into the log yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) torn: Option<Torn>,
    /// Every volume up to this one has its event.
    #[serde(default)]
    pub(crate) sealed: u64,
}

/// What the recorder was about when it published a state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Nothing follows: it ended in order. (A state written before there was this field says so too; what
    /// followed it lies in the write-ahead log.)
    #[default]
    Ended,
    /// It had settled what an unclean end left, and had begun nothing of its own.
    Recovering,
    /// It was recording: the segment that the state names exists.
    Running,
}

/// Bytes at the end of the write-ahead log that never were acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Torn {
    pub(crate) bytes: u64,
    /// SHA-256, hexadecimal.
    pub(crate) sha256: String,
}

/// What becomes of the recorder after a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: it has ended in order.
    Ended,
    /// It goes on, in a segment that exists.
    Runs,
    /// It goes on, and has still to say what it found.
    Recovers(Option<Torn>),
}

/// A body of an unfinished stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenBody {
    /// The call it belongs to.
    pub(crate) call: u64,
    pub(crate) role: String,
    pub(crate) chunks: Vec<u64>,
    /// Bytes after the last chunk, hexadecimal: as they stood in the write-ahead log, encrypted if there is a claim.
    #[serde(with = "hex::serde")]
    pub(crate) tail: Vec<u8>,
    /// What its source said of it; `None`: the recorder was of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) claim: Option<Claim>,
    /// Whether the body has ended, and only the event that refers to it is still to come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ended: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            segment: 1,
            offset: 0,
            size: 0,
            volume: 1,
            volume_len: 0,
            next_chunk: 0,
            next_body: 0,
            open_calls: BTreeMap::new(),
            open_bodies: BTreeMap::new(),
            keys: Vec::new(),
            phase: Phase::Ended,
            torn: None,
            sealed: 0,
        }
    }
}

impl State {
    /// The state on disk; the default where nothing was ever settled.
    pub(crate) fn load(disk: &dyn Disk) -> Result<Self, Error> {
        let Some(bytes) = stored::read(disk, PATH)? else {
            return if stored::list(disk, "log/tile")?.is_empty() {
                Ok(Self::default())
            } else {
                Err(Error::Missing(PATH.into()))
            };
        };
        let damaged = |detail: &str| Error::damaged(PATH, detail);
        let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
        let (line, digest) = text
            .split_once('\n')
            .ok_or_else(|| damaged("it is cut short"))?;
        if digest != digest_line(line) {
            return Err(damaged("its checksum is wrong"));
        }
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if let Ok(Version { version }) = serde_json::from_str(line)
            && version > VERSION
        {
            return Err(Error::Newer {
                what: PATH.into(),
                found: version.to_string(),
                supported: VERSION,
            });
        }
        let mut state: Self =
            serde_json::from_str(line).map_err(|error| Error::damaged(PATH, error.to_string()))?;
        // Whatever is published from here on is of this version.
        state.version = VERSION;
        Ok(state)
    }

    pub(crate) fn publish(&self, disk: &dyn Disk) -> Result<(), Error> {
        let line =
            serde_json::to_string(self).map_err(|error| Error::damaged(PATH, error.to_string()))?;
        let text = format!("{line}\n{}", digest_line(&line));
        disk.publish(PATH, text.as_bytes())
            .map_err(|error| Error::io("publishing state", &error))
    }
}

fn digest_line(line: &str) -> String {
    format!(
        "sha256:{}\n",
        hex::encode(crate::body::sha256(line.as_bytes()))
    )
}
