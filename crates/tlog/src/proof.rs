//! Inclusion and consistency proofs: RFC 6962 section 2.1.1 and 2.1.2, verified as RFC 9162
//! sections 2.1.3.2 and 2.1.4.2 say.
//!
//! Making a proof reads nodes through a closure `(level, index) -> Option<Hash>` (the binary tree's
//! levels, a leaf hash is level 0); only perfect subtrees are ever asked for. Verifying needs
//! nothing but the proof, and accepts no hash too few or too many.

use crate::{Error, Hash, empty_root, node_hash};

/// The audit path of leaf `index` in the tree of `size` leaves, from the leaf upwards.
///
/// # Errors
/// [`Error::OutOfRange`] when the tree has no such leaf, [`Error::MissingNode`] when `node` has no
/// answer.
pub fn inclusion(
    index: u64,
    size: u64,
    mut node: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, Error> {
    if index >= size {
        return Err(Error::OutOfRange {
            what: "leaf",
            index,
            size,
        });
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let split = start + largest_power_below(end - start);
        if index < split {
            path.push(range_root(split, end, &mut node)?);
            end = split;
        } else {
            path.push(range_root(start, split, &mut node)?);
            start = split;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of `old` leaves is a prefix of the tree of `new` leaves. Empty when
/// `old` is 0 or equals `new`.
///
/// # Errors
/// [`Error::OutOfRange`] when `old` is larger than `new`, [`Error::MissingNode`] when `node` has no
/// answer.
pub fn consistency(
    old: u64,
    new: u64,
    mut node: impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Vec<Hash>, Error> {
    if old > new {
        return Err(Error::OutOfRange {
            what: "older tree",
            index: old,
            size: new,
        });
    }
    let mut path = Vec::new();
    if old == 0 {
        return Ok(path);
    }
    let (mut start, mut end) = (0, new);
    while old != end {
        let split = start + largest_power_below(end - start);
        if old <= split {
            path.push(range_root(split, end, &mut node)?);
            end = split;
        } else {
            path.push(range_root(start, split, &mut node)?);
            start = split;
        }
    }
    // The verifier knows the old root; any other subtree where the paths meet it has to be told.
    if start != 0 {
        path.push(range_root(start, end, &mut node)?);
    }
    path.reverse();
    Ok(path)
}

/// The root of the tree of `size` leaves.
///
/// # Errors
/// [`Error::MissingNode`] when `node` has no answer.
pub fn root(size: u64, mut node: impl FnMut(u8, u64) -> Option<Hash>) -> Result<Hash, Error> {
    if size == 0 {
        return Ok(empty_root());
    }
    range_root(0, size, &mut node)
}

/// Checks that the leaf with hash `leaf` is number `index` of the tree of `size` leaves with `root`.
///
/// # Errors
/// [`Error::OutOfRange`] when the tree has no such leaf; [`Error::ProofMismatch`] when the proof is
/// too short, too long or leads elsewhere.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    if index >= size {
        return Err(Error::OutOfRange {
            what: "leaf",
            index,
            size,
        });
    }
    let (mut position, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return Err(Error::ProofMismatch("inclusion"));
        }
        if position & 1 == 1 || position == last {
            hash = node_hash(sibling, &hash);
            // Skip the levels where the node is the right edge and has no sibling.
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        position >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root {
        Ok(())
    } else {
        Err(Error::ProofMismatch("inclusion"))
    }
}

/// Checks that the tree of `old` leaves with `old_root` is a prefix of the tree of `new` leaves with
/// `new_root`. Between equal sizes and from the empty tree the proof must be empty.
///
/// # Errors
/// [`Error::OutOfRange`] when `old` is larger than `new`; [`Error::ProofMismatch`] when the proof is
/// too short, too long or leads elsewhere.
pub fn verify_consistency(
    old: u64,
    new: u64,
    path: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), Error> {
    if old > new {
        return Err(Error::OutOfRange {
            what: "older tree",
            index: old,
            size: new,
        });
    }
    let holds = if old == new {
        path.is_empty() && old_root == new_root
    } else if old == 0 {
        path.is_empty() && *old_root == empty_root()
    } else {
        consistent(old, new, path, old_root, new_root)
    };
    if holds {
        Ok(())
    } else {
        Err(Error::ProofMismatch("consistency"))
    }
}

/// RFC 9162 section 2.1.4.2, for `0 < old < new`.
fn consistent(old: u64, new: u64, path: &[Hash], old_root: &Hash, new_root: &Hash) -> bool {
    // Where the old tree is perfect, its root is the first node and is left out of the proof.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, path)
    } else if let Some((first, rest)) = path.split_first() {
        (first, rest)
    } else {
        return false;
    };
    let skipped = (old - 1).trailing_ones();
    let (mut position, mut last) = ((old - 1) >> skipped, (new - 1) >> skipped);
    let (mut old_hash, mut new_hash) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if position & 1 == 1 || position == last {
            old_hash = node_hash(hash, &old_hash);
            new_hash = node_hash(hash, &new_hash);
            while position & 1 == 0 && position != 0 {
                position >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, hash);
        }
        position >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The root over leaves `start..end`, where `start` is aligned as RFC 6962's recursion leaves it:
/// the range falls into perfect subtrees, one for each one bit of its length.
fn range_root(
    start: u64,
    end: u64,
    node: &mut impl FnMut(u8, u64) -> Option<Hash>,
) -> Result<Hash, Error> {
    let mut root = None;
    let mut rest = end - start;
    let mut end = end;
    // From the right, smallest subtree first, so that each step hashes a left part onto the whole.
    while rest != 0 {
        let level = u8::try_from(rest.trailing_zeros()).unwrap_or(u8::MAX);
        end -= 1 << level;
        rest &= rest - 1;
        let index = end >> level;
        let left = node(level, index).ok_or(Error::MissingNode { level, index })?;
        root = Some(root.map_or(left, |right| node_hash(&left, &right)));
    }
    Ok(root.unwrap_or_else(empty_root))
}

/// The largest power of two smaller than `n`, for `n` of at least 2: where RFC 6962 splits a tree.
const fn largest_power_below(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}
