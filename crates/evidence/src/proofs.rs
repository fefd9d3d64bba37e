//! Proofs about the log's tree: roots of earlier sizes, inclusion, consistency (RFC 6962, section 2.1).
//!
//! [`Proofs`] reads tiles alone and costs a few small files, whatever the size of the log: for sizes that are settled, as
//! every published checkpoint is. [`Store`] answers for the tail in the write-ahead log too, which a store has that
//! was not recovered yet. Tiles are believed: whoever needs to trust an answer compares it with a signed root.

use crate::error::Error;
use crate::state::State;
use crate::store::Store;
use crate::tiles::{read_settled_tile, read_tile};
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, LocalDisk};
use tlog::tile::TileId;
use tlog::tree::TileTree;
use tlog::{Hash, leaf_hash, node_hash, proof};

/// The log's settled tree, read from its tiles. Never writes.
#[derive(Debug, Clone)]
pub struct Proofs {
    disk: Arc<dyn Disk>,
}

impl Proofs {
    /// The tree of the store in `dir`, live or stopped. Reads nothing yet.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            disk: Arc::new(LocalDisk::at(dir)),
        }
    }

    /// The root of the first `size` leaves.
    ///
    /// # Errors
    /// [`Error::Missing`] beyond what is settled, or where a tile is gone; [`Error::Damaged`] for a tile that is none.
    pub fn root(&self, size: u64) -> Result<Hash, Error> {
        self.ask(size, |tree| tree.root())
    }

    /// The audit path of leaf `index` in the tree of `size` leaves.
    ///
    /// # Errors
    /// As [`Self::root`]; [`Error::Missing`] where that tree has no such leaf.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.ask(size, |tree| tree.inclusion(index))
    }

    /// The proof that the tree of `new` leaves continues the one of `old`; empty where `old` is 0 or `new`.
    ///
    /// # Errors
    /// As [`Self::root`]; [`Error::Missing`] where `old` is the larger.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        self.ask(new, |tree| tree.consistency(old))
    }

    fn ask<T>(
        &self,
        size: u64,
        question: impl FnOnce(
            &mut TileTree<&mut dyn FnMut(TileId) -> Option<Vec<Hash>>>,
        ) -> Result<T, tlog::Error>,
    ) -> Result<T, Error> {
        let mut failure = None;
        let settled = State::load(self.disk.as_ref())?.size;
        let mut read = |id| match read_settled_tile(self.disk.as_ref(), id, settled) {
            Ok(tile) => tile,
            Err(error) => {
                failure = Some(error);
                None
            }
        };
        let answer = question(&mut TileTree::new(size, &mut read));
        answer.map_err(|error| failure.unwrap_or_else(|| Error::Missing(error.to_string())))
    }
}

impl Store {
    /// The root of the first `size` events.
    ///
    /// # Errors
    /// [`Error::Missing`] beyond [`Store::len`] or where a file is gone; [`Error::Damaged`].
    pub fn root(&self, size: u64) -> Result<Hash, Error> {
        self.ask(size, |node| proof::root(size, node))
    }

    /// The audit path of event `seq` in the tree of the first `size` events.
    ///
    /// # Errors
    /// As [`Store::root`].
    pub fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<Hash>, Error> {
        self.ask(size, |node| proof::inclusion(seq, size, node))
    }

    /// The proof that the first `new` events continue the first `old`; empty where `old` is 0 or `new`.
    ///
    /// # Errors
    /// As [`Store::root`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        self.ask(new, |node| proof::consistency(old, new, node))
    }

    fn ask<T>(
        &self,
        size: u64,
        question: impl FnOnce(&mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<T, tlog::Error>,
    ) -> Result<T, Error> {
        if size > self.len() {
            return Err(Error::Missing(format!(
                "a tree of {size} events, of which the log has {},",
                self.len()
            )));
        }
        let mut failure = None;
        let mut settled = TileTree::new(self.settled(), |id| match read_tile(self.disk(), id) {
            Ok(tile) => tile,
            Err(error) => {
                failure = Some(error);
                None
            }
        });
        let mut tail = None;
        let answer = question(&mut |level, index| {
            self.node(&mut settled, level, index)
                .map_err(|error| tail = Some(error))
                .ok()
        });
        drop(settled);
        answer.map_err(|error| {
            failure
                .or(tail)
                .unwrap_or_else(|| Error::Missing(error.to_string()))
        })
    }

    /// A perfect subtree: from the tiles where it is settled, else hashed from the events behind them. Recurses once
    /// a level.
    fn node(
        &self,
        settled: &mut TileTree<impl FnMut(TileId) -> Option<Vec<Hash>>>,
        level: u8,
        index: u64,
    ) -> Result<Hash, Error> {
        let end = (index + 1).checked_shl(u32::from(level));
        if end.is_some_and(|end| end <= settled.size()) {
            return settled
                .node(level, index)
                .map_err(|error| Error::Missing(error.to_string()));
        }
        let Some(below) = level.checked_sub(1) else {
            return self.event(index).map(|line| leaf_hash(&line));
        };
        let left = self.node(settled, below, 2 * index)?;
        let right = self.node(settled, below, 2 * index + 1)?;
        Ok(node_hash(&left, &right))
    }
}
