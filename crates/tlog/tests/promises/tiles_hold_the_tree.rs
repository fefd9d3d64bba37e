//! Tiles written as the log grows are the tiles the specification defines, and the tree reads back
//! out of them.

use crate::tree_by_definition as definition;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tlog::{
    Error, Hash,
    tile::{self, BundleId, TileBuilder, TileId, bundles_between, tiles_between, tiles_of},
    tree::TileTree,
};

type Tiles = BTreeMap<TileId, Vec<Hash>>;

/// The tiles that a builder hands out for `leaves`, the partial ones at the end included.
fn build(leaves: &[Hash]) -> (TileBuilder, Tiles) {
    let (mut builder, mut tiles) = (TileBuilder::new(), Tiles::new());
    for leaf in leaves {
        builder.push(*leaf, |id, hashes| {
            assert!(tiles.insert(id, hashes.to_vec()).is_none())
        });
    }
    tiles.extend(builder.partials().map(|(id, hashes)| (id, hashes.to_vec())));
    (builder, tiles)
}

/// "The n-th tile at level l is MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l])".
fn by_definition(leaves: &[Hash], id: TileId) -> Vec<Hash> {
    let first = id.index() * 256;
    (first..first + u64::from(id.width()))
        .map(|index| definition::node(leaves, id.level() * 8, index).unwrap())
        .collect()
}

#[test]
fn the_specification_s_example_of_70_000() {
    let mut count = BTreeMap::new();
    for id in tiles_of(70_000) {
        *count.entry((id.level(), id.width())).or_insert(0) += 1;
    }
    let expected = BTreeMap::from([
        ((0, 256), 273),
        ((0, 112), 1),
        ((1, 256), 1),
        ((1, 17), 1),
        ((2, 1), 1),
    ]);
    assert_eq!(count, expected);
    let at_256: Vec<String> = tiles_of(256).map(TileId::path).collect();
    assert_eq!(at_256, ["tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(tiles_of(0).count(), 0);
}

#[test]
fn the_largest_tree_has_its_right_edge() {
    let edge: Vec<String> = tiles_between(u64::MAX - 1, u64::MAX)
        .map(TileId::path)
        .collect();
    let last = "x072/x057/x594/x037/x927/935.p/255";
    assert_eq!(edge, [format!("tile/0/{last}")]);
    let top = TileId::holding(7, 254, u64::MAX).unwrap();
    assert_eq!(top.path(), "tile/7/000.p/255");
    assert_eq!(top.full(), None);
    assert_eq!(TileId::holding(7, 255, u64::MAX), None);
    assert_eq!(TileId::holding(8, 0, u64::MAX), None);
    assert_eq!(TileId::holding(255, 0, u64::MAX), None);
    assert_eq!(tiles_between(u64::MAX, 5).count(), 0);
}

/// Two levels of full tiles: the hash above is the root of the full tile below.
#[test]
fn a_tile_above_holds_roots_of_full_tiles_below() {
    let leaves = definition::leaves(70_000);
    let (builder, tiles) = build(&leaves);
    let listed: BTreeSet<TileId> = tiles_of(70_000).collect();
    assert_eq!(tiles.keys().copied().collect::<BTreeSet<_>>(), listed);
    for (id, hashes) in &tiles {
        assert_eq!(hashes.len(), usize::from(id.width()));
        if id.level() == 0 {
            let first = id.index() as usize * 256;
            assert_eq!(hashes[..], leaves[first..first + hashes.len()]);
            continue;
        }
        for (below, hash) in (id.index() * 256..).zip(hashes) {
            let below = TileId::new(id.level() - 1, below, 256).unwrap();
            assert_eq!(tile::perfect_root(&tiles[&below]), Some(*hash), "{below}");
        }
    }
    let root = definition::root(&leaves);
    assert_eq!(builder.root(), root);
    let mut reads = 0;
    let mut tree = TileTree::new(70_000, |id| {
        reads += 1;
        tiles.get(&id).cloned()
    });
    assert_eq!(tree.root().unwrap(), root);
    drop(tree);
    assert_eq!(reads, 3, "the root needs the partial tiles alone");
}

#[test]
fn a_missing_or_short_tile_is_named() {
    let leaves = definition::leaves(300);
    let (_, tiles) = build(&leaves);
    let victim: TileId = "tile/0/001.p/44".parse().unwrap();
    let mut without = TileTree::new(300, |id| tiles.get(&id).filter(|_| id != victim).cloned());
    assert_eq!(without.root(), Err(Error::MissingTile(victim)));
    assert_eq!(without.inclusion(3), Err(Error::MissingTile(victim)));
    assert_eq!(without.consistency(257), Err(Error::MissingTile(victim)));
    assert!(without.node(0, 0).is_ok());
    let mut short = TileTree::new(300, |id| tiles.get(&id).map(|hashes| hashes[1..].to_vec()));
    assert!(matches!(short.root(), Err(Error::MissingTile(_))));
    let resumed = TileBuilder::resume(300, |id| tiles.get(&id).filter(|_| id != victim).cloned());
    assert_eq!(resumed, Err(Error::MissingTile(victim)));
    let short = TileBuilder::resume(300, |id| tiles.get(&id).map(|hashes| hashes[1..].to_vec()));
    assert!(matches!(short, Err(Error::MissingTile(_))));
}

#[test]
fn nodes_beyond_the_tree_do_not_exist() {
    let leaves = definition::leaves(5);
    let (_, tiles) = build(&leaves);
    let mut tree = TileTree::new(5, |id| tiles.get(&id).cloned());
    for (level, index) in [
        (0, 5),
        (1, 2),
        (2, 1),
        (3, 0),
        (63, 0),
        (64, 0),
        (255, 0),
        (0, u64::MAX),
    ] {
        assert!(
            matches!(tree.node(level, index), Err(Error::OutOfRange { .. })),
            "{level} {index}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_size(size in 0_u64..1_500) {
        let leaves = definition::leaves(size);
        let (builder, tiles) = build(&leaves);
        prop_assert_eq!(tiles.keys().copied().collect::<BTreeSet<_>>(), tiles_of(size).collect());
        prop_assert_eq!(builder.root(), definition::root(&leaves));
        for (id, hashes) in &tiles {
            prop_assert_eq!(hashes, &by_definition(&leaves, *id));
            prop_assert_eq!(&tile::decode(*id, &tile::encode(hashes)).unwrap(), hashes);
        }
    }

    #[test]
    fn resuming_changes_nothing(before in 0_u64..1_200, more in 0_u64..600) {
        let leaves = definition::leaves(before + more);
        let (old, new) = leaves.split_at(before as usize);
        let (built, tiles) = build(old);
        let mut resumed = TileBuilder::resume(before, |id| tiles.get(&id).cloned()).unwrap();
        prop_assert_eq!(&resumed, &built);
        let mut grown: BTreeSet<TileId> = BTreeSet::new();
        for leaf in new {
            resumed.push(*leaf, |id, _| { grown.insert(id); });
        }
        prop_assert_eq!(&resumed, &build(&leaves).0);
        // What a writer publishes from `before` to now: the tiles it filled and the new edge.
        let edge = resumed.partials().map(|(id, _)| id);
        let unchanged: BTreeSet<TileId> = tiles_of(before).collect();
        grown.extend(edge.filter(|id| !unchanged.contains(id)));
        prop_assert_eq!(grown, tiles_between(before, before + more).collect::<BTreeSet<_>>());
    }

    /// A store that has dropped partial tiles answers with the full one.
    #[test]
    fn a_full_tile_serves_for_a_partial_one(size in 1_u64..700) {
        let leaves = definition::leaves(1_024);
        let (_, tiles) = build(&leaves);
        let wider = |id: TileId| tiles.iter().find(|(other, _)| (other.level(), other.index()) == (id.level(), id.index())).map(|(_, hashes)| hashes.clone());
        let old = &leaves[..size as usize];
        prop_assert_eq!(TileTree::new(size, wider).root().unwrap(), definition::root(old));
        prop_assert_eq!(TileBuilder::resume(size, wider).unwrap(), build(old).0);
    }

    /// At any size: what grows is new, and covers the first and the last new hash of each level.
    #[test]
    fn growth_is_the_difference(old in any::<u64>(), by in 1_u64..3_000) {
        let new = old.saturating_add(by);
        let grown: BTreeSet<TileId> = tiles_between(old, new).collect();
        for id in &grown {
            prop_assert!(exists(*id, new) && !exists(*id, old), "{} from {} to {}", id, old, new);
        }
        for level in 0..=7 {
            let count = |size: u64| size >> (8 * u32::from(level));
            for hash in [count(old), count(new).saturating_sub(1)].into_iter().filter(|hash| (count(old)..count(new)).contains(hash)) {
                prop_assert!(grown.contains(&TileId::holding(level, hash, new).unwrap()));
            }
        }
        let bundles: Vec<_> = bundles_between(old, new).map(BundleId::tile).collect();
        let level_0: Vec<_> = tiles_between(old, new).filter(|id| id.level() == 0).collect();
        prop_assert_eq!(bundles, level_0);
    }
}

/// Whether a tree of `size` leaves has exactly this tile.
fn exists(id: TileId, size: u64) -> bool {
    TileId::holding(id.level(), id.index() * 256, size) == Some(id)
}
