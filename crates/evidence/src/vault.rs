//! Reading bodies back out of the vault's volumes.

use crate::cipher::Keyring;
use crate::error::Error;
use crate::stored;
use crate::volume::{
    BlockAt, BodyRecord, ChunkBlock, is_only_begun, read_bodies, read_chunks, scan, volume_path,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use storage::{Disk, DiskFile};

/// Plaintext of blocks kept at once.
const CACHE_BYTES: usize = 48 << 20;

/// Where a block lies: volume and offset.
type BlockKey = (u64, u64);

#[derive(Debug)]
struct Volume {
    number: u64,
    file: Box<dyn DiskFile>,
    scanned: u64,
}

/// The blocks of all volumes, and a bounded cache of their contents.
#[derive(Debug)]
pub(crate) struct Vault {
    keys: Arc<Keyring>,
    volumes: Vec<Volume>,
    chunk_blocks: Vec<BlockAt>,
    body_blocks: Vec<BlockAt>,
    chunk_cache: Vec<(BlockKey, Arc<ChunkBlock>)>,
    body_cache: Vec<(BlockKey, Arc<Vec<BodyRecord>>)>,
    /// Blocks whose checksum was found right.
    read: HashSet<BlockKey>,
    /// Where the rest is read all the same.
    without: Option<Without>,
}

/// Volumes that should be there and are of no use.
#[derive(Debug, Default)]
struct Without {
    missing: BTreeSet<u64>,
    /// What stands there is no volume, or its blocks do not follow each other.
    broken: BTreeMap<u64, Error>,
}

impl Without {
    fn is_of(&self, number: u64) -> bool {
        self.missing.contains(&number) || self.broken.contains_key(&number)
    }
}

/// Volumes that may be missing where the rest is read all the same: that many never were, however far a position claims to be.
const MAX_MISSING: usize = 1 << 16;

/// Body blocks kept at once.
const BODY_BLOCKS: usize = 16;

impl Vault {
    pub(crate) fn new(keys: Arc<Keyring>) -> Self {
        Self {
            keys,
            volumes: Vec::new(),
            chunk_blocks: Vec::new(),
            body_blocks: Vec::new(),
            chunk_cache: Vec::new(),
            body_cache: Vec::new(),
            read: HashSet::new(),
            without: None,
        }
    }

    /// As [`Self::new`], of which volumes may be missing or broken.
    pub(crate) fn of_what_is_left(keys: Arc<Keyring>) -> Self {
        Self {
            without: Some(Without::default()),
            ..Self::new(keys)
        }
    }

    /// The volumes that were found to be missing, where that is borne.
    pub(crate) fn missing(&self) -> impl Iterator<Item = String> {
        let missing = self.without.iter().flat_map(|without| &without.missing);
        missing.map(|number| volume_path(*number))
    }

    /// What is wrong with those that were found to be no volumes, where that is borne.
    pub(crate) fn broken(&self) -> impl Iterator<Item = &Error> {
        let broken = self.without.iter();
        broken.flat_map(|without| without.broken.values())
    }

    /// Whether `error` says why a volume is broken.
    pub(crate) fn is_of_broken(&self, error: &Error) -> bool {
        self.broken().any(|broken| broken.place() == error.place())
    }

    /// Looks at what volumes hold up to `newest` and, in that one, up to `len`.
    pub(crate) fn refresh(&mut self, disk: &dyn Disk, newest: u64, len: u64) -> Result<(), Error> {
        let known = self.volumes.last().map_or(1, |volume| volume.number);
        for number in known..=newest {
            let until = (number == newest).then_some(len);
            let looked = self.look_at(disk, number, until);
            let (Err(error), Some(without)) = (&looked, &mut self.without) else {
                looked?;
                continue;
            };
            if error.is_absence() {
                without.missing.insert(number);
                if without.missing.len() > MAX_MISSING {
                    let detail = format!(
                        "it tells of {newest} volumes, and {MAX_MISSING} and more of them are missing"
                    );
                    return Err(Error::damaged("state", detail));
                }
            } else if matches!(error, Error::Damaged { .. } | Error::Altered { .. }) {
                without.broken.insert(number, error.clone());
                self.volumes.retain(|volume| volume.number != number);
            } else {
                return looked;
            }
        }
        Ok(())
    }

    /// Looks at what a volume holds, `until` there or until its end.
    fn look_at(&mut self, disk: &dyn Disk, number: u64, until: Option<u64>) -> Result<(), Error> {
        let path = volume_path(number);
        let newest = self.volumes.last();
        if newest.is_none_or(|volume| volume.number < number) {
            let Some(file) = stored::open(disk, &path)? else {
                // The newest is made with its first block.
                let is_due = until != Some(0);
                return if is_due {
                    Err(Error::Missing(path))
                } else {
                    Ok(())
                };
            };
            if let Some(without) = &mut self.without {
                without.missing.remove(&number);
                without.broken.remove(&number);
            }
            self.volumes.push(Volume {
                number,
                file,
                scanned: 0,
            });
        }
        let Some(volume) = self.volumes.last_mut() else {
            return Ok(());
        };
        let end = match until {
            Some(end) => end,
            None => {
                let len = volume.file.len();
                len.map_err(|error| stored::refused(&path, &error))?
            }
        };
        if volume.scanned >= end {
            return Ok(());
        }
        for block in scan(volume.file.as_ref(), number, volume.scanned, end)? {
            if block.chunks {
                self.chunk_blocks.push(block);
            } else {
                self.body_blocks.push(block);
            }
        }
        volume.scanned = end;
        Ok(())
    }

    fn file(&self, number: u64) -> Result<&dyn DiskFile, Error> {
        self.volumes
            .iter()
            .find(|volume| volume.number == number)
            .map(|volume| volume.file.as_ref())
            .ok_or_else(|| Error::Missing(volume_path(number)))
    }

    /// The record of a body; `None` where no volume has it.
    pub(crate) fn body(&mut self, id: u64) -> Result<Option<BodyRecord>, Error> {
        // Bodies end in nearly the order of their numbers, so the newest matching blocks are few.
        for at in (0..self.body_blocks.len()).rev() {
            let Some(block) = self.body_blocks.get(at).copied() else {
                continue;
            };
            if block.first <= id && id <= block.last {
                let records = self.body_block(&block)?;
                let at = records.binary_search_by_key(&id, |record| record.id);
                if let Some(record) = at.ok().and_then(|at| records.get(at)) {
                    return Ok(Some(record.clone()));
                }
            }
        }
        Ok(None)
    }

    fn body_block(&mut self, block: &BlockAt) -> Result<Arc<Vec<BodyRecord>>, Error> {
        let key = (block.volume, block.offset);
        if let Some((_, records)) = self.body_cache.iter().find(|(cached, _)| *cached == key) {
            return Ok(records.clone());
        }
        let records = Arc::new(read_bodies(self.file(block.volume)?, block, &self.keys)?);
        self.read.insert(key);
        if self.body_cache.len() >= BODY_BLOCKS {
            self.body_cache.remove(0);
        }
        self.body_cache.push((key, records.clone()));
        Ok(records)
    }

    fn chunk_block_at(&self, number: u64) -> Option<BlockAt> {
        let blocks = &self.chunk_blocks;
        let after = blocks.partition_point(|block| block.first <= number);
        let block = after.checked_sub(1).and_then(|at| blocks.get(at)).copied();
        block.filter(|block| number <= block.last)
    }

    /// The last chunk of the block that holds a chunk; `None` where no volume has it.
    pub(crate) fn last_beside(&self, number: u64) -> Option<u64> {
        self.chunk_block_at(number).map(|block| block.last)
    }

    /// The block that holds a chunk; `None` where no volume has it.
    pub(crate) fn chunk_block(&mut self, number: u64) -> Result<Option<Arc<ChunkBlock>>, Error> {
        let Some(block) = self.chunk_block_at(number) else {
            return Ok(None);
        };
        let key = (block.volume, block.offset);
        if let Some(at) = self
            .chunk_cache
            .iter()
            .position(|(cached, _)| *cached == key)
        {
            let hit = self.chunk_cache.remove(at);
            let found = hit.1.clone();
            self.chunk_cache.push(hit);
            return Ok(Some(found));
        }
        let chunks = Arc::new(read_chunks(self.file(block.volume)?, &block, &self.keys)?);
        self.read.insert(key);
        let mut held: usize = self
            .chunk_cache
            .iter()
            .map(|(_, block)| block.raw_len())
            .sum();
        while held + chunks.raw_len() > CACHE_BYTES && !self.chunk_cache.is_empty() {
            held -= self.chunk_cache.remove(0).1.raw_len();
        }
        self.chunk_cache.push((key, chunks.clone()));
        Ok(Some(chunks))
    }

    /// Reads every block that nothing has read yet; returns what is wrong with them, as far as it can be seen with
    /// the keys at hand.
    pub(crate) fn check_rest(&mut self, ended: bool) -> Vec<Error> {
        let mut faults = Vec::new();
        let (mut next, mut last) = (0, 0);
        for block in &self.chunk_blocks {
            // What lay in a volume that is missing or broken is gone with it.
            let mut between = last + 1..block.volume;
            let is_gone = between.any(|number| {
                let without = self.without.as_ref();
                without.is_some_and(|without| without.is_of(number))
            });
            last = block.volume;
            if block.first != next && !is_gone {
                faults.push(Error::damaged(
                    volume_path(block.volume),
                    format!("chunk {next} is missing, or a block was put in before it"),
                ));
            }
            next = block.last + 1;
        }
        // While the recorder runs, what it has not settled yet stands behind what it has.
        if ended
            && let Some(newest) = self.volumes.last()
            && newest.file.len().is_ok_and(|len| len > newest.scanned)
            && !(newest.scanned == 0 && is_only_begun(newest.file.as_ref()).unwrap_or(false))
        {
            faults.push(Error::damaged(
                volume_path(newest.number),
                "it goes on behind its last block",
            ));
        }
        for block in self.chunk_blocks.iter().chain(&self.body_blocks) {
            if self.read.contains(&(block.volume, block.offset)) {
                continue;
            }
            let checked = self.file(block.volume).and_then(|file| {
                if block.chunks {
                    read_chunks(file, block, &self.keys).map(drop)
                } else {
                    read_bodies(file, block, &self.keys).map(drop)
                }
            });
            let is_locked = |error: &Error| matches!(error, Error::Locked { .. });
            let fault = checked.err();
            faults.extend(fault.filter(|error| !is_locked(error) && !error.is_absence()));
        }
        faults
    }
}
