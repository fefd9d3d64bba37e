//! How a recorder is opened.

use crate::cipher::Recipient;
use crate::keys::TokenSettings;
use std::path::PathBuf;
use std::time::Duration;
use storage::MAX_SEGMENT_BYTES;

/// How to open a recorder.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; created where it is missing.
    pub dir: PathBuf,
    /// Facts for `recorder.start`: build identity, configuration, limits.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Digest of the governance configuration, `sha256:` and hexadecimal.
    pub governance: String,
    /// Idle time after which a heartbeat is recorded.
    pub heartbeat: Duration,
    /// How often a checkpoint is signed while there is something new.
    pub checkpoint: Duration,
    /// How long a key of the log is in force before the next one takes over.
    pub epoch: Duration,
    /// Where the log's Ed25519 keys are made from now on. `None`: in files.
    pub token: Option<TokenSettings>,
    /// Size of a write-ahead log segment in bytes; more than [`storage::MAX_SEGMENT_BYTES`] counts as that.
    pub segment_bytes: u64,
    /// To whom the keys of the vault are wrapped. With a recipient the recorder cannot read what it has settled.
    pub recipient: Option<Recipient>,
    /// Age at which a volume that is not full is completed. `None`: [`crate::WRITE_ONLY_SEAL`] with a recipient, else never.
    pub seal: Option<Duration>,
    /// Size at which a volume of the vault is completed, in bytes; it may come out larger by a segment.
    pub volume_bytes: u64,
}

impl Options {
    /// Defaults for a directory.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            facts: serde_json::Map::new(),
            governance: String::new(),
            heartbeat: Duration::from_secs(30),
            // Within a second of being durable an event is signed; making a checkpoint takes some of that.
            checkpoint: Duration::from_millis(800),
            epoch: Duration::from_secs(24 * 60 * 60),
            token: None,
            segment_bytes: 32 << 20,
            recipient: None,
            seal: None,
            volume_bytes: 1 << 30,
        }
    }

    /// What a segment is made of, which whoever recovers reads whole.
    pub(super) fn segment_len(&self) -> u64 {
        self.segment_bytes.min(MAX_SEGMENT_BYTES)
    }
}
