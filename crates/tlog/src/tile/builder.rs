//! Leaves in, tiles out.

use super::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH, TileId, perfect_root, width_at};
use crate::{Error, Frontier, Hash};

/// The growing right edge of a tree in tiles: for each tile level the hashes of its last, not yet
/// full tile.
///
/// Hashes every node once, and holds at most 8 levels of 255 hashes (64 KiB).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TileBuilder {
    frontier: Frontier,
    levels: [Vec<Hash>; MAX_TILE_LEVEL as usize + 1],
}

impl TileBuilder {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on with a tree of `size` leaves from its partial tiles, which `read` returns (a fuller
    /// tile at the same place serves as well: the surplus is ignored).
    ///
    /// The tiles are believed: compare [`TileBuilder::root`] with a root that is known.
    ///
    /// # Errors
    /// [`Error::MissingTile`] when `read` has no answer or one that is too short;
    /// [`Error::OverLimit`] above [`Frontier::MAX_SIZE`].
    pub fn resume(
        size: u64,
        mut read: impl FnMut(TileId) -> Option<Vec<Hash>>,
    ) -> Result<Self, Error> {
        let mut builder = Self::new();
        let mut parts = Vec::new();
        for (level, hashes) in (0..=MAX_TILE_LEVEL).zip(&mut builder.levels).rev() {
            let count = size >> (u32::from(level) * u32::from(TILE_HEIGHT));
            let index = count / u64::from(TILE_WIDTH);
            let width = width_at(index, count);
            if width == 0 {
                continue;
            }
            let id = TileId::new(level, index, width)?;
            *hashes = read(id).ok_or(Error::MissingTile(id))?;
            hashes.truncate(usize::from(width));
            if hashes.len() < usize::from(width) {
                return Err(Error::MissingTile(id));
            }
            let mut rest = hashes.as_slice();
            for bit in (0..TILE_HEIGHT).rev().filter(|bit| width >> bit & 1 == 1) {
                let (subtree, others) = rest.split_at_checked(1 << bit).unwrap_or((rest, &[]));
                parts.extend(perfect_root(subtree));
                rest = others;
            }
        }
        builder.frontier = Frontier::from_parts(size, parts)?;
        Ok(builder)
    }

    /// Appends a leaf by its [`crate::leaf_hash`] and hands out each tile that it fills.
    pub fn push(&mut self, leaf: Hash, mut full: impl FnMut(TileId, &[Hash])) {
        let levels = &mut self.levels;
        self.frontier.push_with(leaf, |node| {
            if node.level % TILE_HEIGHT != 0 {
                return;
            }
            let level = node.level / TILE_HEIGHT;
            let Some(hashes) = levels.get_mut(usize::from(level)) else {
                return;
            };
            hashes.push(node.hash);
            if hashes.len() < usize::from(TILE_WIDTH) {
                return;
            }
            if let Ok(id) = TileId::new(level, node.index / u64::from(TILE_WIDTH), TILE_WIDTH) {
                full(id, hashes);
            }
            hashes.clear();
        });
    }

    /// The partial tiles of the tree as it stands.
    pub fn partials(&self) -> impl Iterator<Item = (TileId, &[Hash])> {
        (0..=MAX_TILE_LEVEL)
            .zip(&self.levels)
            .filter_map(|(level, hashes)| {
                let count = self.size() >> (u32::from(level) * u32::from(TILE_HEIGHT));
                let width = u16::try_from(hashes.len()).ok()?;
                let id = TileId::new(level, count / u64::from(TILE_WIDTH), width).ok()?;
                Some((id, hashes.as_slice()))
            })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// The Merkle tree hash of all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The right edge of the tree.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}
