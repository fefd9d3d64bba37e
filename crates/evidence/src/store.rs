//! Reading a store, live or stopped. Never writes.

use crate::cipher::{Keyring, VaultKey};
use crate::epochs::{self, Epochs};
use crate::error::Error;
use crate::salt::{BODIES_PER_SEED, Commitment, SALT_BYTES, SaltTree};
use crate::salts::read_seed;
use crate::state::{Phase, State};
use crate::tiles::{open_checkpoint, read_bundle, read_checkpoint};
use crate::vault::Vault;
use crate::volume::BodyRecord;
use crate::wal_view::WalView;
use crate::{keys, layout, published};
use event::{BodyRef, Kind, Line};
use std::collections::HashSet;
use std::collections::hash_map::{self, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use storage::{Disk, LocalDisk};
use tlog::note::{Note, VerifyingKey};
use tlog::tile::{BundleId, TILE_WIDTH};
use tlog::{Checkpoint, Hash, bundle, leaf_hash, leaf_hashes};

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

    /// Opens any disk for reading.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, Error> {
        Self::open_keyed_by(disk, None)
    }

    /// As [`Self::open_with`], on any disk.
    pub(crate) fn open_keyed_by(disk: Arc<dyn Disk>, key: Option<VaultKey>) -> Result<Self, Error> {
        Self::open_keyed(disk, |disk, origin| {
            Arc::new(Keyring::of_reader(disk, origin, key))
        })
    }

    /// As [`Self::open_on`], with the keys of the recorder.
    pub(crate) fn open_own(disk: Arc<dyn Disk>, keys: &Arc<Keyring>) -> Result<Self, Error> {
        Self::open_keyed(disk, |_, _| keys.clone())
    }

    fn open_keyed(
        disk: Arc<dyn Disk>,
        keyring: impl FnOnce(Arc<dyn Disk>, &str) -> Arc<Keyring>,
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
                vault: Vault::new(keys.clone()),
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
            return Ok(self.len());
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

    /// Events from `from` on, in order, up to [`Self::len`]; ends after the first error.
    pub fn events(&self, from: u64) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        let mut next = from;
        let mut bundle: Vec<u8> = Vec::new();
        let mut offset = 0;
        let mut failed = false;
        std::iter::from_fn(move || {
            if failed || next >= self.len() {
                return None;
            }
            let line = if next < self.state.size {
                if offset >= bundle.len() {
                    match self.bundle_from(next) {
                        Ok((bytes, start)) => (bundle, offset) = (bytes, start),
                        Err(error) => {
                            failed = true;
                            return Some(Err(error));
                        }
                    }
                }
                let mut entries = bundle::entries(bundle.get(offset..).unwrap_or_default());
                match entries.next() {
                    Some(Ok(entry)) => {
                        offset += entry.len() + 2;
                        if (next + 1).is_multiple_of(u64::from(TILE_WIDTH)) {
                            // The next entry lies in the next bundle.
                            let line = entry.to_vec();
                            offset = usize::MAX;
                            bundle.clear();
                            next += 1;
                            return Some(Ok(Entry {
                                seq: next - 1,
                                line,
                            }));
                        }
                        Ok(entry.to_vec())
                    }
                    _ => Err(Error::damaged(
                        format!("event {next}"),
                        "its entry bundle is cut short",
                    )),
                }
            } else {
                self.tail_event(next)
            };
            failed = line.is_err();
            let seq = next;
            next += 1;
            Some(line.map(|line| Entry { seq, line }))
        })
    }

    /// Hands every event and its leaf hash to `each`, in order and without copying: for whoever reads the whole log.
    ///
    /// # Errors
    /// What keeps the next event from being read; `each` has seen all before it.
    pub(crate) fn scan(&self, each: &mut dyn FnMut(u64, &[u8], Hash)) -> Result<(), Error> {
        let mut next = 0;
        let mut bytes = Vec::new();
        while next < self.state.size {
            let (_, width) = self.read_bundle(next, &mut bytes)?;
            let mut entries = Vec::with_capacity(usize::from(width));
            let mut broken = None;
            for entry in bundle::entries(&bytes) {
                match entry {
                    Ok(entry) => entries.push(entry),
                    Err(error) => broken = Some(error),
                }
            }
            let in_bundle = u64::from(TILE_WIDTH).min(self.state.size - next);
            let end = next + in_bundle;
            for (entry, leaf) in entries.iter().zip(leaf_hashes(&entries)) {
                if next < end {
                    each(next, entry, leaf);
                    next += 1;
                }
            }
            if let Some(error) = broken {
                return Err(Error::damaged(format!("event {next}"), error.to_string()));
            }
            if next < end {
                return Err(Error::altered(
                    format!("event {next}"),
                    "its entry bundle is cut short",
                ));
            }
            let held = entries.len();
            if held != usize::from(width) {
                return Err(Error::altered(
                    format!("event {next}"),
                    format!("its entry bundle holds {held} entries where its name says {width}"),
                ));
            }
        }
        for seq in next..self.len() {
            let line = self.tail_event(seq)?;
            each(seq, &line, leaf_hash(&line));
        }
        Ok(())
    }

    /// Reads the bundle that holds event `seq`; returns which it is and how many entries its name says it has.
    fn read_bundle(&self, seq: u64, bytes: &mut Vec<u8>) -> Result<(BundleId, u16), Error> {
        let id = BundleId::holding(seq, self.state.size)
            .ok_or_else(|| Error::Missing(format!("event {seq}")))?;
        read_bundle(self.disk.as_ref(), id, bytes)?
            .map(|width| (id, width))
            .ok_or_else(|| Error::Missing(crate::tiles::bundle_path(id)))
    }

    /// The bundle that holds event `seq`, and the offset of that event in it.
    fn bundle_from(&self, seq: u64) -> Result<(Vec<u8>, usize), Error> {
        let mut bytes = Vec::new();
        let (id, _) = self.read_bundle(seq, &mut bytes)?;
        let skip = usize::try_from(seq % u64::from(TILE_WIDTH)).unwrap_or_default();
        let mut offset = 0;
        for entry in bundle::entries(&bytes).take(skip) {
            let entry = entry.map_err(|error| Error::damaged(id.to_string(), error.to_string()))?;
            offset += entry.len() + 2;
        }
        Ok((bytes, offset))
    }

    fn tail_event(&self, seq: u64) -> Result<Vec<u8>, Error> {
        usize::try_from(seq - self.state.size)
            .ok()
            .and_then(|index| self.wal.event(index))
            .unwrap_or_else(|| Err(Error::Missing(format!("event {seq}"))))
    }

    /// The exact bytes of one event's line.
    ///
    /// # Errors
    /// [`Error::Missing`] beyond the end of the log.
    pub fn event(&self, seq: u64) -> Result<Vec<u8>, Error> {
        if seq >= self.state.size {
            return self.tail_event(seq);
        }
        let mut inner = self.lock();
        let index = seq / u64::from(TILE_WIDTH);
        if inner.bundle.as_ref().is_none_or(|(held, _)| *held != index) {
            let first = index * u64::from(TILE_WIDTH);
            inner.bundle = Some((index, self.bundle_from(first)?.0));
        }
        let skip = usize::try_from(seq % u64::from(TILE_WIDTH)).unwrap_or_default();
        let bytes = inner
            .bundle
            .as_ref()
            .map(|(_, bytes)| bytes.as_slice())
            .unwrap_or_default();
        match bundle::entries(bytes).nth(skip) {
            Some(Ok(entry)) => Ok(entry.to_vec()),
            _ => Err(Error::damaged(
                format!("event {seq}"),
                "its entry bundle is cut short",
            )),
        }
    }

    fn record(&self, inner: &mut Inner, id: u64) -> Result<BodyRecord, Error> {
        if let Some(record) = self.wal.body(id) {
            return Ok(record.clone());
        }
        inner
            .vault
            .body(id)?
            .ok_or_else(|| Error::Missing(format!("body {id}")))
    }

    /// Hands the plaintext of chunks `first .. first + count` to `each`, in order, in pieces of one
    /// chunk or more, until it refuses one.
    fn chunks(
        &self,
        inner: &mut Inner,
        (first, count): (u64, u64),
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = first;
        let end = first + count;
        while next < end {
            if let Some(chunk) = self.wal.chunk(next, &self.keys) {
                each(&chunk?)?;
                next += 1;
                continue;
            }
            let block = inner
                .vault
                .chunk_block(next)?
                .ok_or_else(|| Error::Missing(format!("chunk {next}")))?;
            let (held, bytes) = block.run(next, end).ok_or_else(|| {
                Error::damaged(format!("chunk {next}"), "its block does not hold it")
            })?;
            each(bytes)?;
            next += held;
        }
        Ok(())
    }

    /// The plaintext of chunks, for recovery.
    pub(crate) fn read_chunks(&self, numbers: &[u64]) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for &number in numbers {
            self.chunks(&mut self.lock(), (number, 1), &mut |chunk| {
                out.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        Ok(out)
    }

    /// Whether a body ended.
    pub(crate) fn has_body(&self, id: u64) -> Result<bool, Error> {
        if self.wal.body(id).is_some() {
            return Ok(true);
        }
        Ok(self.lock().vault.body(id)?.is_some())
    }

    /// The salt of a body's commitment.
    fn salt(&self, inner: &mut Inner, id: u64) -> Result<[u8; SALT_BYTES], Error> {
        Ok(match inner.salts.entry(id / BODIES_PER_SEED) {
            hash_map::Entry::Occupied(tree) => tree.into_mut(),
            hash_map::Entry::Vacant(slot) => slot.insert(SaltTree::new(read_seed(
                self.disk.as_ref(),
                id,
                &self.keys,
            )?)),
        }
        .salt(id))
    }

    /// What a body is made of and salted with. Where both are locked the seed is looked for all the same, once: that it is
    /// not there, or not as it was written, shows without a key.
    fn record_and_salt(
        &self,
        inner: &mut Inner,
        id: u64,
    ) -> Result<(BodyRecord, [u8; SALT_BYTES]), Error> {
        let record = match self.record(inner, id) {
            Err(locked @ Error::Locked { .. }) => {
                let sought = inner.sought_seeds.insert(id / BODIES_PER_SEED);
                return match sought.then(|| self.salt(inner, id)) {
                    None | Some(Ok(_) | Err(Error::Locked { .. })) => Err(locked),
                    Some(Err(error)) => Err(error),
                };
            }
            other => other?,
        };
        Ok((record, self.salt(inner, id)?))
    }

    /// Re-computes the commitment of a body from what the vault holds, handing the plaintext to `each`: never more bytes
    /// than the event says, however much a recipe repeats.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Damaged`] naming the body; [`Error::Altered`] when length or
    /// commitment differ from what the event says; [`Error::Locked`] without a key for it.
    pub fn check_body(&self, body: &BodyRef, each: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let altered =
            |detail: String| Error::altered(format!("body {} ({})", body.id, body.role), detail);
        let says = body.len;
        let inner = &mut *self.lock();
        let (record, salt) = self.record_and_salt(inner, body.id)?;
        let runs = WalView::runs(&record)?;
        // No chunk is empty.
        let chunks: u64 = runs.iter().map(|(_, count)| count).sum();
        if record.len != says || chunks > says {
            return Err(altered(format!(
                "{chunks} chunks of {} bytes where the event says {says} bytes",
                record.len
            )));
        }
        let mut commitment = Commitment::new(&salt);
        let mut len = 0_u64;
        for run in runs {
            self.chunks(inner, run, &mut |chunk| {
                len += chunk.len() as u64;
                if len > says {
                    let detail = format!("{len} bytes or more where the event says {says}");
                    return Err(altered(detail));
                }
                commitment.update(chunk);
                each(chunk);
                Ok(())
            })?;
        }
        if len != says {
            return Err(altered(format!("{len} bytes where the event says {says}")));
        }
        if commitment.finish() != body.commitment {
            return Err(altered(
                "its bytes do not match the event's commitment".into(),
            ));
        }
        Ok(())
    }

    /// What is wrong with those parts of the vault that no event led to.
    pub(crate) fn check_rest_of_vault(&self) -> Vec<Error> {
        self.lock().vault.check_rest(self.has_ended())
    }

    /// Whether the recorder had ended in order when this was opened: nothing of it goes on.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.phase == Phase::Ended && self.wal.events() == 0
    }

    /// The exact bytes of a body, checked against the commitment in its event.
    ///
    /// # Errors
    /// As [`Self::check_body`].
    pub fn body(&self, body: &BodyRef) -> Result<Vec<u8>, Error> {
        // The length is a claim until it is checked; it only sizes the first allocation.
        let mut out = Vec::with_capacity(usize::try_from(body.len).unwrap_or(0).min(1 << 20));
        self.check_body(body, &mut |chunk| out.extend_from_slice(chunk))?;
        Ok(out)
    }
}
