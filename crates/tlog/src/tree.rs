//! Reading a tree out of its tiles.

use crate::{
    Error, Hash, proof,
    tile::{TILE_HEIGHT, TILE_WIDTH, TileId, perfect_root},
};

/// Tiles kept at once: the path from a leaf to the root crosses at most 8, and a proof walks both
/// sides of it.
const CACHED_TILES: usize = 16;

/// A tree of a fixed size, read from hash tiles through a closure.
///
/// The closure gets a tile's id and returns its hashes, or `None` when it cannot. Where a partial
/// tile is gone it may return the full one at the same place: the surplus is ignored. Tiles are
/// believed: whoever needs to trust a node compares [`TileTree::root`] with a signed root, or
/// verifies a proof.
#[derive(Debug)]
pub struct TileTree<F> {
    size: u64,
    read: F,
    /// Most recently used last.
    cache: Vec<(TileId, Vec<Hash>)>,
}

impl<F: FnMut(TileId) -> Option<Vec<Hash>>> TileTree<F> {
    /// The tree of `size` leaves whose tiles `read` returns.
    pub const fn new(size: u64, read: F) -> Self {
        Self {
            size,
            read,
            cache: Vec::new(),
        }
    }

    /// Number of leaves.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The perfect subtree `index` at `level` of the binary tree (a leaf hash is level 0).
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the tree has no such node, [`Error::MissingTile`] when the tile
    /// that holds it cannot be read or is too short.
    pub fn node(&mut self, level: u8, index: u64) -> Result<Hash, Error> {
        let size = self.size;
        let out_of_range = Error::OutOfRange {
            what: "node",
            index,
            size,
        };
        if size
            .checked_shr(u32::from(level))
            .is_none_or(|count| index >= count)
        {
            return Err(out_of_range);
        }
        // The node covers 2^height hashes of the tile level below it.
        let height = level % TILE_HEIGHT;
        let first = index << height;
        let id = TileId::holding(level / TILE_HEIGHT, first, size).ok_or(out_of_range)?;
        let offset = usize::try_from(first % u64::from(TILE_WIDTH)).unwrap_or(usize::MAX);
        self.tile(id)?
            .get(offset..)
            .and_then(|hashes| hashes.get(..1 << height))
            .and_then(perfect_root)
            .ok_or(Error::MissingTile(id))
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// [`Error::MissingTile`] when a tile cannot be read.
    pub fn root(&mut self) -> Result<Hash, Error> {
        self.ask(|size, node| proof::root(size, node))
    }

    /// The inclusion proof of leaf `index`, see [`proof::inclusion`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the tree has no such leaf, [`Error::MissingTile`] when a tile
    /// cannot be read.
    pub fn inclusion(&mut self, index: u64) -> Result<Vec<Hash>, Error> {
        self.ask(|size, node| proof::inclusion(index, size, node))
    }

    /// The proof that this tree continues its first `old` leaves, see [`proof::consistency`].
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when this tree is smaller, [`Error::MissingTile`] when a tile cannot be
    /// read.
    pub fn consistency(&mut self, old: u64) -> Result<Vec<Hash>, Error> {
        self.ask(|size, node| proof::consistency(old, size, node))
    }

    /// Answers a question about nodes, and names the missing tile rather than the missing node.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(u64, &mut dyn FnMut(u8, u64) -> Option<Hash>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut cause = None;
        let answer = question(self.size, &mut |level, index| {
            self.node(level, index)
                .map_err(|error| cause = Some(error))
                .ok()
        });
        answer.map_err(|error| cause.unwrap_or(error))
    }

    fn tile(&mut self, id: TileId) -> Result<&[Hash], Error> {
        let tile = match self.cache.iter().position(|(cached, _)| *cached == id) {
            Some(at) => self.cache.remove(at),
            None => {
                let mut hashes = (self.read)(id).ok_or(Error::MissingTile(id))?;
                hashes.truncate(usize::from(id.width()));
                if hashes.len() < usize::from(id.width()) {
                    return Err(Error::MissingTile(id));
                }
                if self.cache.len() >= CACHED_TILES {
                    self.cache.remove(0);
                }
                (id, hashes)
            }
        };
        self.cache.push(tile);
        self.cache
            .last()
            .map(|(_, hashes)| hashes.as_slice())
            .ok_or(Error::MissingTile(id))
    }
}
