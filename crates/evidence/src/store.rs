//! Reading a store, live or stopped. Never writes.

mod bodies;
mod events;

use crate::cipher::{Keyring, VaultKey};
use crate::epochs::{self, Epochs};
use crate::error::Error;
use crate::salt::SaltTree;
use crate::state::{Phase, State};
use crate::tiles::{CHECKPOINT, open_checkpoint, read_checkpoint};
use crate::vault::Vault;
use crate::wal_view::WalView;
use crate::{keys, layout, published};
use event::{Kind, Line};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::{Disk, LocalDisk};
use tlog::Checkpoint;
use tlog::note::{Note, VerifyingKey};

/// How often a reader looks again when the writer moved files under its eyes.
const ATTEMPTS: usize = 20;

/// One event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Index in the log.
    pub seq: u64,
    /// The exact bytes of the leaf, without a line feed.
    pub line: Vec<u8>,
}

/// A live or a stopped store, read-only.
#[derive(Debug)]
pub struct Store {
    disk: Arc<dyn Disk>,
    vkey: VerifyingKey,
    state: State,
    wal: WalView,
    keys: Arc<Keyring>,
    /// The newest checkpoint as it lay there before the rest was looked at: nothing that it signs is missing from that.
    checkpoint: Option<Vec<u8>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    vault: Vault,
    /// The bundle read last, by index, and where its entries lie.
    bundle: Option<(u64, Vec<u8>)>,
    salts: HashMap<u64, SaltTree>,
    /// Seeds that were looked for though nothing could be opened with them.
    sought_seeds: HashSet<u64>,
}

impl Store {
    /// Opens a directory for reading. Bodies can be read with the keyring key if it lies there and may be read;
    /// everything else without any key.
    ///
    /// # Errors
    /// [`Error::Missing`] where there is no store, [`Error::Newer`], [`Error::Damaged`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Self::open_with(dir, None)
    }

    /// As [`Self::open`], with an investigator's private key to read bodies with.
    ///
    /// # Errors
    /// As [`Self::open`]. That a key does not fit is told when a body is read.
    pub fn open_with(dir: &Path, key: Option<VaultKey>) -> Result<Self, Error> {
        Self::open_keyed_by(Arc::new(LocalDisk::at(dir)), key)
    }

    /// As [`Self::open_with`], where volumes of the vault may be missing: then bodies cannot be read that lay there,
    /// and everything else can.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_what_is_left(dir: &Path, key: Option<VaultKey>) -> Result<Self, Error> {
        Self::open_left_on(Arc::new(LocalDisk::at(dir)), key)
    }

    /// As [`Self::open_what_is_left`], on any disk.
    pub(crate) fn open_left_on(disk: Arc<dyn Disk>, key: Option<VaultKey>) -> Result<Self, Error> {
        let keyring = |disk, origin: &str| Arc::new(Keyring::of_reader(disk, origin, key));
        Self::open_keyed(disk, keyring, Vault::of_what_is_left)
    }

    /// Opens any disk for reading.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        Self::open_keyed_by(disk, None)
    }

    /// As [`Self::open_with`], on any disk.
    pub(crate) fn open_keyed_by(disk: Arc<dyn Disk>, key: Option<VaultKey>) -> Result<Self, Error> {
        let keyring = |disk, origin: &str| Arc::new(Keyring::of_reader(disk, origin, key));
        Self::open_keyed(disk, keyring, Vault::new)
    }

    /// As [`Self::open_on`], with the keys of the recorder.
    pub(crate) fn open_own(disk: Arc<dyn Disk>, keys: &Arc<Keyring>) -> Result<Self, Error> {
        Self::open_keyed(disk, |_, _| keys.clone(), Vault::new)
    }

    fn open_keyed(
        disk: Arc<dyn Disk>,
        keyring: impl FnOnce(Arc<dyn Disk>, &str) -> Arc<Keyring>,
        vault: impl FnOnce(Arc<Keyring>) -> Vault,
    ) -> Result<Self, Error> {
        layout::check(disk.as_ref())?;
        let vkey = keys::read_vkey(disk.as_ref())?;
        let keys = keyring(disk.clone(), vkey.name());
        let mut store = Self {
            disk,
            vkey,
            state: State::default(),
            wal: WalView::default(),
            checkpoint: None,
            inner: Mutex::new(Inner {
                vault: vault(keys.clone()),
                bundle: None,
                salts: HashMap::new(),
                sought_seeds: HashSet::new(),
            }),
            keys,
        };
        store.rebuild()?;
        Ok(store)
    }

    /// The log's name: the first line of its checkpoints.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.vkey.name()
    }

    /// The verifier key that lies beside the log.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.vkey
    }

    /// The same, as it is written.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        self.vkey.to_string()
    }

    /// Looks again; returns the number of events that can be read now.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn refresh(&mut self) -> Result<u64, Error> {
        let checkpoint = read_checkpoint(self.disk.as_ref())?;
        let state = State::load(self.disk.as_ref())?;
        if state == self.state && self.wal.extend(self.disk.as_ref()).is_ok() {
            self.checkpoint = checkpoint;
            if !self.is_overtaken()? {
                return Ok(self.len());
            }
        }
        self.rebuild()?;
        Ok(self.len())
    }

    /// Reads the settled position and indexes the tail behind it. A writer may settle meanwhile and
    /// remove segments; then the position has moved and the look is repeated.
    fn rebuild(&mut self) -> Result<(), Error> {
        let mut last = Error::Missing("the write-ahead log".into());
        for _ in 0..ATTEMPTS {
            let checkpoint = read_checkpoint(self.disk.as_ref())?;
            let state = State::load(self.disk.as_ref())?;
            let mut wal = WalView::behind(&state);
            match wal.extend(self.disk.as_ref()) {
                Ok(()) => {
                    let again = State::load(self.disk.as_ref())?;
                    if again.segment != state.segment {
                        continue;
                    }
                    self.lock().vault.refresh(
                        self.disk.as_ref(),
                        state.volume,
                        state.volume_len,
                    )?;
                    self.lock().bundle = None;
                    (self.state, self.wal, self.checkpoint) = (state, wal, checkpoint);
                    if self.is_overtaken()? {
                        last = Error::damaged(
                            CHECKPOINT,
                            "it does not fit the events, again and again",
                        );
                        continue;
                    }
                    return Ok(());
                }
                Err(error) => {
                    last = error;
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
        Err(last)
    }

    /// Whether the checkpoint that was read first is refused by what was read after it, and has been replaced meanwhile: a
    /// recorder revoked the key that had signed it, and signed anew before it said so.
    fn is_overtaken(&self) -> Result<bool, Error> {
        let is_replaced = read_checkpoint(self.disk.as_ref())? != self.checkpoint;
        Ok(is_replaced && self.checkpoint().is_err())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Events that can be read now.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.state.size + self.wal.events()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events that lie in tiles and bundles; the rest is the write-ahead log's tail.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.state.size
    }

    /// Bytes at the end of the log that are no whole record.
    #[must_use]
    pub fn torn_bytes(&self) -> u64 {
        self.wal.torn_bytes
    }

    /// The bytes of the newest checkpoint as it lay there before the events were looked at, unverified.
    pub(crate) fn checkpoint_bytes(&self) -> Option<&[u8]> {
        self.checkpoint.as_deref()
    }

    /// The newest checkpoint, signed by the key of its epoch.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it does not verify; as [`Self::epochs`].
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>, Error> {
        let Some(bytes) = &self.checkpoint else {
            return Ok(None);
        };
        open_checkpoint(bytes, &self.epochs()?).map(Some)
    }

    /// The log's keys, from the one that lies beside it on through the events that the store's own positions lead to.
    /// [`crate::verify`] looks at every event instead, and at the trees that the keys sign.
    ///
    /// # Errors
    /// [`Error::Damaged`] when the chain does not hold; [`Error::Missing`] where an event of it is gone.
    pub fn epochs(&self) -> Result<Epochs, Error> {
        let mut chain = epochs::settled(self.disk.as_ref(), &self.state)?;
        for seq in self.unsettled_keys() {
            epochs::take(&mut chain, seq, &self.tail_event(seq)?)?;
        }
        Ok(chain)
    }

    fn unsettled_keys(&self) -> impl Iterator<Item = u64> {
        self.wal
            .keys()
            .iter()
            .map(|&index| self.state.size + index as u64)
    }

    /// The notes by which the log's keys handed over to each other, the first key's own account of itself first: what
    /// somebody outside needs to see who knows an earlier key.
    ///
    /// # Errors
    /// As [`Self::epochs`].
    pub fn hand_overs(&self) -> Result<Vec<String>, Error> {
        let mut notes = Vec::new();
        for seq in self.state.keys.iter().copied().chain(self.unsettled_keys()) {
            let line = self.event(seq)?;
            let line = Line::parse(&line)
                .map_err(|error| Error::damaged(format!("event {seq}"), error.to_string()))?;
            let note = line
                .facts
                .as_ref()
                .and_then(|facts| facts.get("note")?.as_str());
            if line.kind == Kind::KeyEpoch.as_str() {
                notes.extend(note.map(str::to_owned));
            }
        }
        Ok(notes)
    }

    /// Sizes of which a checkpoint has been published, ascending.
    ///
    /// # Errors
    /// The system's.
    pub fn published_sizes(&self) -> Result<Vec<u64>, Error> {
        published::sizes(self.disk.as_ref())
    }

    /// The published checkpoint of `size` events, unverified; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Damaged`] when it is not a note.
    pub fn published(&self, size: u64) -> Result<Option<Note>, Error> {
        published::read(self.disk.as_ref(), size)
    }

    pub(crate) fn keys(&self) -> &Keyring {
        &self.keys
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Whether the recorder had ended in order when this was opened: nothing of it goes on.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.phase == Phase::Ended && self.wal.events() == 0
    }
}
