//! From the write-ahead log into tiles, bundles and volumes.
//!
//! One function, [`Settler::apply`], serves the running recorder and recovery alike. It reads the
//! bytes that were written, not the bytes that were meant: what a checkpoint signs has been read back.

use crate::cipher::Keyring;
use crate::epochs::{self, Epochs};
use crate::error::Error;
use crate::glance;
use crate::keys::LogKey;
use crate::published::{self, Published};
use crate::recipe;
use crate::record::{CLOSES, Claim, KEYS, OPENS, Record, SEALS, Says, decode_chunk};
use crate::state::{OpenBody, Phase, State, Then};
use crate::tiles::TileWriter;
use crate::volume::HEADER_BYTES;
use crate::volume_writer::VolumeWriter;
use std::sync::Arc;
use storage::{Disk, Frame};
use tlog::Hash;

/// Compression of what is settled while there is time.
pub(crate) const LEVEL_AT_EASE: i32 = 9;

/// A body may not have more chunks than this.
pub(crate) const MAX_CHUNKS: u64 = 1 << 32;

/// Owns the settled part of the store.
#[derive(Debug)]
pub(crate) struct Settler {
    disk: Arc<dyn Disk>,
    state: State,
    /// The log's keys, as far as it has been applied.
    epochs: Epochs,
    tiles: TileWriter,
    volume: VolumeWriter,
    keys: Arc<Keyring>,
    /// Whether the volume is to be completed.
    seal: bool,
}

impl Settler {
    /// Goes on from the state on disk, whatever was written behind it.
    pub(crate) fn load(disk: Arc<dyn Disk>, keys: Arc<Keyring>) -> Result<Self, Error> {
        let state = State::load(disk.as_ref())?;
        let epochs = epochs::settled(disk.as_ref(), &state)?;
        let tiles = TileWriter::resume(disk.as_ref(), state.size)?;
        let volume = newest_volume(disk.as_ref(), &state, &keys)?;
        Ok(Self {
            disk,
            state,
            epochs,
            tiles,
            volume,
            keys,
            seal: false,
        })
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The log's keys.
    pub(crate) fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Size and root of what has been applied.
    pub(crate) fn head(&self) -> (u64, Hash) {
        (self.tiles.size(), self.tiles.root())
    }

    pub(crate) fn size(&self) -> u64 {
        self.tiles.size()
    }

    pub(crate) fn next_chunk(&self) -> u64 {
        self.state.next_chunk
    }

    pub(crate) fn next_body(&self) -> u64 {
        self.state.next_body
    }

    pub(crate) fn set_level(&mut self, level: i32) {
        self.volume.set_level(level);
        self.tiles.set_level(if level > LEVEL_AT_EASE {
            level
        } else {
            crate::tiles::LEVEL
        });
    }

    /// Settles one frame, whose payload lies in `bytes`.
    pub(crate) fn apply(&mut self, frame: &Frame, bytes: &[u8]) -> Result<(), Error> {
        let wal = |detail: String| Error::damaged("the write-ahead log", detail);
        let payload = bytes.get(frame.payload.clone()).unwrap_or_default();
        if frame.kind == crate::record::END {
            return Ok(());
        }
        let record = Record::parse(frame.kind, payload)
            .ok_or_else(|| wal(format!("a record of kind {} is malformed", frame.kind.0)))?;
        match record {
            Record::Event {
                flags,
                number: call,
                line,
            } => {
                let seq = self.tiles.size();
                if glance::seq(line) != Some(seq) {
                    return Err(wal(format!("event {seq} is missing or out of its place")));
                }
                self.tiles.push(self.disk.as_ref(), line)?;
                if flags & KEYS != 0 {
                    epochs::take(&mut self.epochs, seq, line)?;
                    self.state.keys.push(seq);
                }
                if flags & OPENS != 0 {
                    let line = String::from_utf8(line.to_vec())
                        .map_err(|_| wal(format!("event {seq} is not text")))?;
                    self.state.open_calls.insert(seq, line);
                }
                if flags & CLOSES != 0 {
                    self.state.open_calls.remove(&call);
                    self.state.open_bodies.retain(|_, body| body.call != call);
                }
                if flags & SEALS != 0 {
                    self.state.sealed = self.state.sealed.max(call);
                }
            }
            Record::Chunk {
                number,
                raw_len,
                codec,
                bytes,
            } => {
                if number != self.state.next_chunk {
                    let missing = self.state.next_chunk;
                    return Err(wal(format!(
                        "chunk {missing} is missing or out of its place"
                    )));
                }
                let raw = decode_chunk(number, raw_len, codec, &mut bytes.to_vec(), &self.keys)?;
                self.volume.push_chunk(number, &raw)?;
                self.state.next_chunk = number + 1;
            }
            Record::Body {
                id,
                len,
                commitment,
                recipe,
            } => {
                self.volume.push_body(id, len, recipe)?;
                self.state.next_body = self.state.next_body.max(id + 1);
                if let Some(open) = self.state.open_bodies.get_mut(&id) {
                    // It ended, but the event that will refer to it may still be to come.
                    let runs = recipe::decode(recipe, MAX_CHUNKS)
                        .ok_or_else(|| wal(format!("body {id} has a malformed recipe")))?;
                    open.chunks = runs
                        .into_iter()
                        .flat_map(|(first, n)| first..first + n)
                        .collect();
                    open.tail.clear();
                    open.ended = true;
                    open.claim = commitment.map(|commitment| Claim {
                        chunks: u32::try_from(open.chunks.len()).unwrap_or(u32::MAX),
                        len,
                        commitment: *commitment,
                    });
                }
            }
            Record::Part {
                id,
                call,
                role,
                says,
                chunks,
                tail,
            } => {
                self.state.next_body = self.state.next_body.max(id + 1);
                if self.state.open_calls.contains_key(&call) {
                    let open = self
                        .state
                        .open_bodies
                        .entry(id)
                        .or_insert_with(|| OpenBody {
                            call,
                            role: role.to_owned(),
                            ..OpenBody::default()
                        });
                    let (numbers, _) = chunks.as_chunks::<8>();
                    open.chunks
                        .extend(numbers.iter().copied().map(u64::from_le_bytes));
                    match says {
                        Says::Names => {}
                        Says::Claim(claim) => {
                            (open.claim, open.tail) = (Some(claim), tail.to_vec());
                        }
                        Says::Tail => open.tail = tail.to_vec(),
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes everything applied so far durable outside the write-ahead log, which is no longer needed
    /// before `segment`.
    pub(crate) fn settle(&mut self, segment: u64, then: Then) -> Result<(), Error> {
        self.volume.flush()?;
        self.tiles.show(self.disk.as_ref())?;
        self.disk
            .sync_all()
            .map_err(|error| Error::io("syncing the store", &error))?;
        let mut next = self.state.clone();
        (next.segment, next.offset) = (segment, 0);
        (next.phase, next.torn) = match then {
            Then::Ended => (Phase::Ended, None),
            Then::Runs => (Phase::Running, None),
            Then::Recovers(torn) => (Phase::Recovering, torn),
        };
        next.size = self.tiles.size();
        (next.volume, next.volume_len) = (self.volume.number(), self.volume.len());
        if self.seal && !self.volume.is_empty() {
            let number = self.volume.number() + 1;
            self.volume = VolumeWriter::begin(self.disk.as_ref(), number, &self.keys)?;
            (next.volume, next.volume_len) = (number, 0);
        }
        next.publish(self.disk.as_ref())?;
        self.state = next;
        self.seal = false;
        self.tiles.settled(self.disk.as_ref())?;
        for old in crate::segments::list(self.disk.as_ref())? {
            if old < segment {
                let path = crate::segments::segment_path(old);
                self.disk
                    .remove(&path)
                    .map_err(|error| Error::io(path, &error))?;
            }
        }
        Ok(())
    }

    /// Completes the volume with the next settlement, unless it is empty.
    pub(crate) const fn seal_next(&mut self) {
        self.seal = true;
    }

    /// Bytes of the newest volume, without what still waits to be written.
    pub(crate) const fn volume_len(&self) -> u64 {
        self.volume.len()
    }

    /// Whether nothing has come into the volume since it was begun.
    pub(crate) fn volume_is_empty(&self) -> bool {
        self.volume.is_empty() && !self.volume.has_gathered()
    }

    /// The first volume that is complete and that the log does not tell of.
    pub(crate) const fn unsealed(&self) -> Option<u64> {
        let next = self.state.sealed + 1;
        if next < self.state.volume {
            Some(next)
        } else {
            None
        }
    }

    pub(crate) const fn keys(&self) -> &Arc<Keyring> {
        &self.keys
    }

    /// Makes it known that the recorder has begun: from now on its segment is missed when it is not there.
    pub(crate) fn begin(&mut self) -> Result<(), Error> {
        let mut next = self.state.clone();
        (next.phase, next.torn) = (Phase::Running, None);
        next.publish(self.disk.as_ref())?;
        self.state = next;
        Ok(())
    }

    /// Signs what has been applied.
    pub(crate) fn sign(&mut self, key: &LogKey) -> Result<u64, Error> {
        self.tiles.sign(self.disk.as_ref(), key)?;
        Ok(self.tiles.size())
    }

    /// Publishes a checkpoint of what has been applied.
    pub(crate) fn publish(&mut self, key: &LogKey) -> Result<Published, Error> {
        let checkpoint = self.tiles.checkpoint(self.disk.as_ref(), key.origin())?;
        published::publish(self.disk.as_ref(), key, &checkpoint)
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}

/// The volume to write on: the one the state names, or the one behind it where that is not to be touched again.
fn newest_volume(disk: &dyn Disk, state: &State, keys: &Keyring) -> Result<VolumeWriter, Error> {
    if state.volume_len <= HEADER_BYTES {
        return VolumeWriter::begin(disk, state.volume, keys);
    }
    match VolumeWriter::resume(disk, state.volume, state.volume_len, keys)? {
        Some(volume) => Ok(volume),
        None => VolumeWriter::begin(disk, state.volume + 1, keys),
    }
}
