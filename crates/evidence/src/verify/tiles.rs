//! Whether the hash tiles on disk are those of the events.

use super::report::MAX_FAULTS;
use tlog::Hash;
use tlog::tile::{TileBuilder, TileId};

/// The tree of the events read so far, held against the tiles on disk.
pub(super) struct Tree<'a> {
    /// Reads a tile; `None` where it cannot.
    read: Box<dyn Fn(TileId) -> Option<Vec<Hash>> + 'a>,
    /// Leaves that lie in tiles.
    settled: u64,
    builder: TileBuilder,
    /// Hash tiles that differ from the events, and the first event they differ at.
    bad: Vec<(TileId, Option<u64>)>,
}

impl<'a> Tree<'a> {
    /// A tree whose first `settled` leaves lie in the tiles that `read` reads.
    pub(super) fn new(settled: u64, read: impl Fn(TileId) -> Option<Vec<Hash>> + 'a) -> Self {
        Self {
            read: Box::new(read),
            settled,
            builder: TileBuilder::new(),
            bad: Vec::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.builder.size()
    }

    pub(super) fn root(&self) -> Hash {
        self.builder.root()
    }

    /// Adds an event by its leaf hash and compares each hash tile that it completes with the one on disk.
    pub(super) fn push(&mut self, leaf: Hash) {
        let (read, settled, bad) = (self.read.as_ref(), self.settled, &mut self.bad);
        self.builder.push(leaf, |id, hashes| {
            if settled >= leaves_end(id) {
                compare(read(id), id, hashes, bad);
            }
        });
        if self.builder.size() == settled {
            for (id, hashes) in self.builder.partials() {
                compare(read(id), id, hashes, bad);
            }
        }
    }

    /// Tiles that do not hold the hashes of their events.
    pub(super) fn bad(&self) -> &[(TileId, Option<u64>)] {
        &self.bad
    }

    /// The first event at which a tile differs.
    pub(super) fn first_difference(&self) -> Option<u64> {
        self.bad.iter().filter_map(|(_, seq)| *seq).min()
    }
}

/// The tree size from which on a full tile exists.
fn leaves_end(id: TileId) -> u64 {
    (id.index() + 1).saturating_mul(256_u64.saturating_pow(u32::from(id.level()) + 1))
}

/// Notes a tile that is missing or differs from the hashes of the events.
fn compare(
    told: Option<Vec<Hash>>,
    id: TileId,
    hashes: &[Hash],
    bad: &mut Vec<(TileId, Option<u64>)>,
) {
    let told = told.unwrap_or_default();
    if told.starts_with(hashes) || bad.len() >= MAX_FAULTS {
        return;
    }
    let differs = hashes
        .iter()
        .zip(&told)
        .position(|(here, there)| here != there);
    let seq = differs
        .filter(|_| id.level() == 0)
        .map(|at| id.index() * 256 + at as u64);
    bad.push((id, seq));
}
