//! A subtree's hash and proofs are those that draft-ietf-plants-merkle-tree-certs defines.

use crate::tree_by_definition as definition;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use tlog::{Hash, leaf_hash, subtree::Subtree};

/// Largest tree of the draft's appendix "Subtree Test Vectors".
const MAX: usize = 130;

/// The tree of that appendix.
fn leaves() -> Vec<Hash> {
    (0..MAX as u8).map(|n| leaf_hash(&[n])).collect()
}

fn subtrees(end: usize) -> impl Iterator<Item = (usize, Subtree)> {
    (0..=end).filter_map(move |start| {
        let subtree = Subtree::new(start as u64, end as u64).ok()?;
        Some((start, subtree))
    })
}

fn line(mut head: String, path: &[Hash]) -> String {
    path.iter()
        .for_each(|hash| write!(head, " {hash:x}").unwrap());
    head + "\n"
}

#[test]
fn accumulated_hashes_and_inclusion_proofs() {
    let leaves = leaves();
    let (mut hashes, mut proofs) = (Sha256::new(), Sha256::new());
    for end in 0..=MAX {
        for (start, subtree) in subtrees(end) {
            let run = &leaves[start..end];
            let root = definition::root(run);
            hashes.update(format!("[{start}, {end}) {root:x}\n"));
            for (place, leaf) in run.iter().enumerate() {
                let (index, path) = (start + place, definition::path(place, run));
                proofs.update(line(format!("{index} [{start}, {end})"), &path));
                subtree
                    .verify_inclusion(leaf, index as u64, &path, &root)
                    .unwrap();
            }
        }
    }
    assert_eq!(
        hex::encode(hashes.finalize()),
        "b82806ad4265bb151c1119c0f4db437bb4d1a1f887b3a7fba1cd4ebf552e3e81"
    );
    assert_eq!(
        hex::encode(proofs.finalize()),
        "ac2a8f989e44d99e399db448050ff5f19757df53cfb716aa81015d3955d8163f"
    );
}

#[test]
fn accumulated_consistency_proofs() {
    let leaves = leaves();
    let mut proofs = Sha256::new();
    for size in 0..=MAX {
        let tree = &leaves[..size];
        let tree_root = definition::root(tree);
        for end in 0..=size {
            for (start, subtree) in subtrees(end) {
                let path = definition::subtree_proof(start, end, tree);
                proofs.update(line(format!("[{start}, {end}) {size}"), &path));
                let root = definition::root(&leaves[start..end]);
                subtree
                    .verify_consistency(size as u64, &path, &root, &tree_root)
                    .unwrap();
            }
        }
    }
    assert_eq!(
        hex::encode(proofs.finalize()),
        "10fa99b37bf9bf9ffa26b412fbd98bd75363256d0b75d61bc4538b9c9c5a0a74"
    );
}

#[test]
fn only_aligned_runs_are_subtrees() {
    let half = 1 << 63;
    for (start, end, valid) in [
        (0, 0, true),
        (5, 5, true),
        (u64::MAX, u64::MAX, true),
        (0, 13, true),
        (8, 13, true),
        (4, 8, true),
        (7, 8, true),
        (4, 9, false),
        (3, 5, false),
        (1, 3, false),
        (2, 6, false),
        (6, 5, false),
        (0, u64::MAX, true),
        (0, half + 1, true),
        (1, half + 2, false),
        (half, u64::MAX, true),
        (half - 1, u64::MAX, false),
    ] {
        assert_eq!(Subtree::new(start, end).is_ok(), valid, "{start}..{end}");
    }
}

proptest! {
    #[test]
    fn a_proof_of_one_subtree_is_of_no_other(
        (size, end, start) in (1_usize..90).prop_flat_map(|size| (Just(size), 1..=size)).prop_flat_map(|(size, end)| (Just(size), Just(end), 0..end)),
        (other_start, other_end) in (0_u64..90, 0_u64..90), other_size in 1_u64..90, bit in 0_usize..256, at in any::<prop::sample::Index>(),
    ) {
        let Ok(subtree) = Subtree::new(start as u64, end as u64) else { return Ok(()) };
        let leaves = definition::leaves(size as u64);
        let (root, tree_root) = (definition::root(&leaves[start..end]), definition::root(&leaves));
        let path = definition::subtree_proof(start, end, &leaves);
        prop_assert_eq!(subtree.verify_consistency(size as u64, &path, &root, &tree_root), Ok(()));

        // Where a proof of another subtree or tree has the same shape, it says the same.
        if let Ok(other) = Subtree::new(other_start, other_end)
            && (other_start, other_end) != (start as u64, end as u64)
            && other_start != other_end
            && other_end <= size as u64
        {
            let theirs = definition::root(&leaves[other_start as usize..other_end as usize]);
            prop_assert!(other.verify_consistency(size as u64, &path, &root, &tree_root).is_err() || theirs == root);
        }
        let mut flipped = path.clone();
        if let Some(hash) = (!path.is_empty()).then(|| at.index(path.len())) {
            let mut bytes = *path[hash].as_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            flipped[hash] = Hash::new(bytes);
            prop_assert!(subtree.verify_consistency(size as u64, &flipped, &root, &tree_root).is_err());
        }
        flipped.push(root);
        prop_assert!(subtree.verify_consistency(size as u64, &flipped, &root, &tree_root).is_err());
        // No proof makes the verifier panic or accept a tree that is too small.
        let verdict = subtree.verify_consistency(other_size, &path, &root, &tree_root);
        prop_assert!(verdict.is_err() || other_size >= end as u64);
    }
}
