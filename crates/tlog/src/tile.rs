//! Tiles of the Merkle tree as files: C2SP tlog-tiles, "Merkle Tree" and "Partial Tiles".
//!
//! A tile is 8 levels of the tree: up to 256 consecutive hashes of one level, from which the levels
//! between are recomputed. A hash at tile level L is the root of a *full* tile at level L-1; a
//! partial tile is never hashed into the level above.

mod builder;
mod id;

pub use builder::TileBuilder;
pub use id::{BundleId, TileId};

use crate::{Error, HASH_BYTES, Hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u16 = 256;

/// Levels of the tree in one tile.
pub const TILE_HEIGHT: u8 = 8;

/// The highest tile level that a tree of 64-bit size can have.
pub const MAX_TILE_LEVEL: u8 = 7;

/// The bytes of a tile: its hashes, concatenated.
#[must_use]
pub fn encode(hashes: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hashes.len() * HASH_BYTES);
    for hash in hashes {
        bytes.extend_from_slice(hash.as_bytes());
    }
    bytes
}

/// The hashes of the tile `id` from its bytes.
///
/// # Errors
/// [`Error::Malformed`] when the length is not exactly that of the tile.
pub fn decode(id: TileId, bytes: &[u8]) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    if !rest.is_empty() || hashes.len() != usize::from(id.width()) {
        return Err(Error::malformed(
            "tile",
            "length is not the tile's width in hashes",
        ));
    }
    Ok(hashes.iter().copied().map(Hash::new).collect())
}

/// The root of a perfect subtree over `hashes`: for the 256 hashes of a full tile, the hash that
/// stands for it in the level above. `None` unless the count is a power of two, at most 256.
#[must_use]
pub fn perfect_root(hashes: &[Hash]) -> Option<Hash> {
    if !hashes.len().is_power_of_two() || hashes.len() > usize::from(TILE_WIDTH) {
        return None;
    }
    let mut level: Vec<Hash> = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _) = level.as_chunks::<2>();
        level = pairs
            .iter()
            .map(|[left, right]| node_hash(left, right))
            .collect();
    }
    level.first().copied()
}

/// Every hash tile of a tree of `size` leaves, full and partial, level by level.
pub fn tiles_of(size: u64) -> impl Iterator<Item = TileId> {
    tiles_between(0, size)
}

/// The hash tiles that a tree of `new` leaves has and a tree of `old` leaves has not: what a writer
/// publishes when the log grows. Ordered by level, then index; nothing when the tree does not grow.
pub fn tiles_between(old: u64, new: u64) -> impl Iterator<Item = TileId> {
    (0..=MAX_TILE_LEVEL).flat_map(move |level| {
        let shift = u32::from(level) * u32::from(TILE_HEIGHT);
        widths_between(old >> shift, new >> shift)
            .filter_map(move |(index, width)| TileId::new(level, index, width).ok())
    })
}

/// The entry bundles that a tree of `new` leaves has and a tree of `old` leaves has not.
pub fn bundles_between(old: u64, new: u64) -> impl Iterator<Item = BundleId> {
    widths_between(old, new).filter_map(|(index, width)| BundleId::new(index, width).ok())
}

/// Index and width of each tile of one level that changes when the level grows from `old` to `new`
/// hashes.
fn widths_between(old: u64, new: u64) -> impl Iterator<Item = (u64, u16)> {
    let per_tile = u64::from(TILE_WIDTH);
    let indices = if new > old {
        old / per_tile..new.div_ceil(per_tile)
    } else {
        0..0
    };
    indices.map(move |index| (index, width_at(index, new)))
}

/// Width of the tile at `index` of a level that holds `count` hashes; 0 when it has none.
fn width_at(index: u64, count: u64) -> u16 {
    let first = index.saturating_mul(u64::from(TILE_WIDTH));
    u16::try_from(count.saturating_sub(first))
        .unwrap_or(TILE_WIDTH)
        .min(TILE_WIDTH)
}
