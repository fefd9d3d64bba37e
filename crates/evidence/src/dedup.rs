//! Which chunks the vault already holds. A cache: forgetting costs room, never correctness.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// SHA-256 of a chunk's plaintext.
pub(crate) type ChunkHash = [u8; 32];

/// Chunks remembered in each of the two generations: as many as a table of 2^17 places holds before it is doubled.
const GENERATION: usize = (1 << 17) / 8 * 7;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<ChunkHash, u64>,
    old: HashMap<ChunkHash, u64>,
}

/// Chunk number by content. Bounded: when the young generation is full it becomes the old one.
#[derive(Debug, Default)]
pub(crate) struct Dedup(Mutex<Generations>);

impl Dedup {
    /// The number of a chunk that is in the log already, or queued before whatever is queued next.
    pub(crate) fn find(&self, hash: &ChunkHash) -> Option<u64> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = guard.young.get(hash) {
            return Some(*number);
        }
        let number = *guard.old.get(hash)?;
        guard.insert(*hash, number);
        Some(number)
    }

    /// Called by the sequencer alone, once the chunk's frame stands in the batch being written.
    pub(crate) fn insert(&self, hash: ChunkHash, number: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash, number);
    }
}

impl Generations {
    fn insert(&mut self, hash: ChunkHash, number: u64) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, number);
    }
}
