//! RFC 6962's definitions, written down as they stand in the RFC: slow and obvious.

use tlog::{Hash, empty_root, leaf_hash, node_hash};

/// Distinct leaves.
pub(crate) fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// `MTH(D[n])`, section 2.1.
pub(crate) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// `PATH(m, D[n])`, section 2.1.1.
pub(crate) fn path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if m < k {
        (path(m, left), root(right))
    } else {
        (path(m - k, right), root(left))
    };
    path.push(sibling);
    path
}

/// `PROOF(m, D[n])`, section 2.1.2.
pub(crate) fn proof(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    subproof(m, leaves, true)
}

fn subproof(m: usize, leaves: &[Hash], complete: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if complete {
            Vec::new()
        } else {
            vec![root(leaves)]
        };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if m <= k {
        (subproof(m, left, complete), root(right))
    } else {
        (subproof(m - k, right, false), root(left))
    };
    proof.push(sibling);
    proof
}

/// `SUBTREE_PROOF(start, end, D[n])`, draft-ietf-plants-merkle-tree-certs section 4.4.1.
pub(crate) fn subtree_proof(start: usize, end: usize, leaves: &[Hash]) -> Vec<Hash> {
    if start == end {
        return Vec::new();
    }
    subtree_subproof(start, end, leaves, true)
}

fn subtree_subproof(start: usize, end: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if start == 0 && end == leaves.len() {
        return if known {
            Vec::new()
        } else {
            vec![root(leaves)]
        };
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut proof, sibling) = if end <= k {
        (subtree_subproof(start, end, left, known), root(right))
    } else if k <= start {
        (
            subtree_subproof(start - k, end - k, right, known),
            root(left),
        )
    } else {
        (subtree_subproof(0, end - k, right, false), root(left))
    };
    proof.push(sibling);
    proof
}

/// The perfect subtree `index` at `level`.
pub(crate) fn node(leaves: &[Hash], level: u8, index: u64) -> Option<Hash> {
    let width = 1_usize.checked_shl(u32::from(level))?;
    let first = usize::try_from(index).ok()?.checked_mul(width)?;
    leaves.get(first..first.checked_add(width)?).map(root)
}

/// The largest power of two smaller than `n`.
fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}
