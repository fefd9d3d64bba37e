//! A proof that is made verifies, is the one RFC 6962 defines, and verifies for nothing else.

use crate::tree_by_definition as definition;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use sha2::Sha256;
use tlog::{Error, Hash, empty_root, leaf_hash, proof};

/// One change to a proof that is not a no-op.
fn mutate(path: &[Hash], at: prop::sample::Index, bit: usize, how: u8) -> Vec<Hash> {
    let mut changed = path.to_vec();
    if changed.is_empty() {
        return vec![leaf_hash(b"surplus")];
    }
    let at = at.index(changed.len());
    match how % 6 {
        0 => changed[at] = flip(&changed[at], bit),
        1 => drop(changed.remove(at)),
        2 => changed.insert(at, leaf_hash(b"surplus")),
        3 => changed.push(path[at]),
        4 if at > 0 => changed.swap(at - 1, at),
        _ => changed.truncate(at),
    }
    changed
}

fn flip(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::new(bytes)
}

fn flatten(path: &[Hash]) -> Vec<u8> {
    path.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Sigstore's verdict on an inclusion proof.
fn sigstore_inclusion(leaf: &Hash, index: u64, size: u64, path: &[Hash], root: &Hash) -> bool {
    let path: Vec<_> = path.iter().map(sigstore).collect();
    sigstore_merkle::verify_inclusion_proof(&sigstore(leaf), index, size, &path, &sigstore(root))
        .is_ok()
}

/// Sigstore's verdict on a consistency proof.
fn sigstore_consistency(
    old: u64,
    new: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> bool {
    let path: Vec<_> = path.iter().map(sigstore).collect();
    let (old_root, new_root) = (sigstore(old_root), sigstore(new_root));
    sigstore_merkle::verify_consistency_proof(old, new, &path, &old_root, &new_root).is_ok()
}

fn sigstore(hash: &Hash) -> sigstore_types::Sha256Hash {
    sigstore_types::Sha256Hash::new(*hash.as_bytes())
}

/// A tree of our own and the peer's, over the same leaves.
fn peer(size: u64) -> MemoryBackedTree<Sha256, [u8; 8]> {
    let mut tree = MemoryBackedTree::new();
    (0..size).for_each(|n| tree.push(n.to_be_bytes()));
    tree
}

#[test]
fn every_small_tree() {
    let leaves = definition::leaves(40);
    for new in 0..=40_usize {
        let tree = &leaves[..new];
        let root = definition::root(tree);
        let node = |level, index| definition::node(tree, level, index);
        assert_eq!(proof::root(new as u64, node).unwrap(), root);
        for (index, leaf) in tree.iter().enumerate() {
            let path = proof::inclusion(index as u64, new as u64, node).unwrap();
            assert_eq!(path, definition::path(index, tree), "leaf {index} of {new}");
            proof::verify_inclusion(leaf, index as u64, new as u64, &path, &root).unwrap();
            for other in (0..new as u64).filter(|other| *other != index as u64) {
                assert!(proof::verify_inclusion(leaf, other, new as u64, &path, &root).is_err());
            }
        }
        for old in 0..=new {
            let path = proof::consistency(old as u64, new as u64, node).unwrap();
            let expected = if old == 0 {
                Vec::new()
            } else {
                definition::proof(old, tree)
            };
            assert_eq!(path, expected, "{old} to {new}");
            let old_root = definition::root(&leaves[..old]);
            proof::verify_consistency(old as u64, new as u64, &path, &old_root, &root).unwrap();
            if old != new {
                let verdict =
                    proof::verify_consistency(old as u64, new as u64, &path, &root, &old_root);
                assert!(verdict.is_err(), "swapped roots of {old} and {new}");
            }
        }
    }
}

#[test]
fn questions_without_an_answer_are_refused() {
    let root = empty_root();
    let none = |_, _| None;
    assert_eq!(proof::root(0, none), Ok(root));
    assert!(matches!(
        proof::inclusion(0, 0, none),
        Err(Error::OutOfRange { .. })
    ));
    assert!(matches!(
        proof::inclusion(7, 7, none),
        Err(Error::OutOfRange { .. })
    ));
    assert!(matches!(
        proof::consistency(8, 7, none),
        Err(Error::OutOfRange { .. })
    ));
    assert_eq!(
        proof::inclusion(0, 2, none),
        Err(Error::MissingNode { level: 0, index: 1 })
    );
    assert_eq!(proof::consistency(0, 7, none), Ok(Vec::new()));
    assert!(proof::verify_inclusion(&root, 0, 0, &[], &root).is_err());
    assert!(proof::verify_inclusion(&root, u64::MAX, u64::MAX, &[], &root).is_err());
    assert!(proof::verify_consistency(2, 1, &[], &root, &root).is_err());
    assert!(
        proof::verify_consistency(0, 1, &[], &leaf_hash(b""), &root).is_err(),
        "empty tree with another root"
    );
    assert!(proof::verify_consistency(0, 1, &[root], &root, &root).is_err());
    assert!(proof::verify_consistency(3, 4, &[], &root, &root).is_err());
}

/// The arithmetic holds up to the last size that 64 bits can write.
#[test]
fn the_largest_tree() {
    let node =
        |level: u8, index: u64| Some(leaf_hash(&[&[level][..], &index.to_be_bytes()].concat()));
    let size = u64::MAX;
    for index in [0, 1, size / 2, size - 1] {
        assert!(proof::inclusion(index, size, node).unwrap().len() <= 64);
    }
    for old in [1, 2, 1 << 63, size - 1, size] {
        assert!(proof::consistency(old, size, node).unwrap().len() <= 65);
    }
    let path = vec![leaf_hash(b""); 70];
    assert!(proof::verify_inclusion(&path[0], size - 1, size, &path, &path[0]).is_err());
    assert!(proof::verify_consistency(size - 1, size, &path, &path[0], &path[0]).is_err());
}

proptest! {
    #[test]
    fn an_altered_inclusion_proof_fails(
        (size, index) in (1_u64..600).prop_flat_map(|size| (Just(size), 0..size)),
        at in any::<prop::sample::Index>(), bit in 0_usize..256, how in any::<u8>(),
    ) {
        let leaves = definition::leaves(size);
        let root = definition::root(&leaves);
        let leaf = leaves[index as usize];
        let path = proof::inclusion(index, size, |level, index| definition::node(&leaves, level, index)).unwrap();
        prop_assert_eq!(proof::verify_inclusion(&leaf, index, size, &path, &root), Ok(()));
        let peers = peer(size).prove_inclusion(index as usize);
        prop_assert_eq!(peers.as_bytes(), &flatten(&path)[..]);

        prop_assert!(sigstore_inclusion(&leaf, index, size, &path, &root));

        let altered = mutate(&path, at, bit, how);
        prop_assert!(!sigstore_inclusion(&leaf, index, size, &altered, &root));
        prop_assert!(proof::verify_inclusion(&leaf, index, size, &altered, &root).is_err());
        prop_assert!(proof::verify_inclusion(&flip(&leaf, bit), index, size, &path, &root).is_err());
        prop_assert!(proof::verify_inclusion(&leaf, index, size, &path, &flip(&root, bit)).is_err());
    }

    #[test]
    fn an_altered_consistency_proof_fails(
        (new, old) in (1_u64..600).prop_flat_map(|new| (Just(new), 1..=new)),
        at in any::<prop::sample::Index>(), bit in 0_usize..256, how in any::<u8>(),
    ) {
        let leaves = definition::leaves(new);
        let (old_root, new_root) = (definition::root(&leaves[..old as usize]), definition::root(&leaves));
        let path = proof::consistency(old, new, |level, index| definition::node(&leaves, level, index)).unwrap();
        prop_assert_eq!(proof::verify_consistency(old, new, &path, &old_root, &new_root), Ok(()));
        if old < new {
            let peers = peer(new).prove_consistency((new - old) as usize);
            prop_assert_eq!(peers.as_bytes(), &flatten(&path)[..]);
        }

        prop_assert!(sigstore_consistency(old, new, &path, &old_root, &new_root));

        let altered = mutate(&path, at, bit, how);
        prop_assert!(!sigstore_consistency(old, new, &altered, &old_root, &new_root));
        prop_assert!(proof::verify_consistency(old, new, &altered, &old_root, &new_root).is_err());
        prop_assert!(proof::verify_consistency(old, new, &path, &flip(&old_root, bit), &new_root).is_err());
        prop_assert!(proof::verify_consistency(old, new, &path, &old_root, &flip(&new_root, bit)).is_err());
    }

    /// Whatever is asked of both verifiers, they agree: sizes, indices and proofs that do not belong
    /// together. From the empty tree they differ, and on purpose: Sigstore takes any root for its.
    #[test]
    fn sigstore_agrees(
        (new, old) in (1_u64..80).prop_flat_map(|new| (Just(new), 1..=new)),
        (claimed_old, claimed_new) in (1_u64..80, 1_u64..80), index in 0_u64..80,
        at in any::<prop::sample::Index>(), bit in 0_usize..256, how in any::<u8>(), honest in any::<bool>(),
    ) {
        let leaves = definition::leaves(new);
        let node = |level, index| definition::node(&leaves, level, index);
        let (old_root, root) = (definition::root(&leaves[..old as usize]), definition::root(&leaves));
        let keep = |path: Vec<Hash>| if honest { path } else { mutate(&path, at, bit, how) };

        let path = keep(proof::consistency(old, new, node).unwrap());
        let ours = proof::verify_consistency(claimed_old, claimed_new, &path, &old_root, &root).is_ok();
        prop_assert_eq!(ours, sigstore_consistency(claimed_old, claimed_new, &path, &old_root, &root));

        let leaf = leaves[(old - 1) as usize];
        let path = keep(proof::inclusion(old - 1, new, node).unwrap());
        let ours = proof::verify_inclusion(&leaf, index, claimed_new, &path, &root).is_ok();
        prop_assert_eq!(ours, sigstore_inclusion(&leaf, index, claimed_new, &path, &root));
    }
}
