//! Subtrees: draft-ietf-plants-merkle-tree-certs, section 4, as C2SP tlog-cosignature signs them.
//!
//! A subtree is the Merkle tree over a run of leaves that is aligned so that its hashes, but for the
//! right edge, are nodes of the whole tree. The whole tree of `n` leaves is the subtree `0..n`.

use crate::{Error, Hash, empty_root, node_hash, proof};

/// The run of leaves `start..end` of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subtree {
    start: u64,
    end: u64,
}

impl Subtree {
    /// The subtree over leaves `start..end`, which may be empty.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless `start` is at most `end` and a multiple of the smallest power of
    /// two that is not smaller than the number of leaves.
    pub const fn new(start: u64, end: u64) -> Result<Self, Error> {
        let aligned = match end.checked_sub(start) {
            None => false,
            Some(size) => match size.checked_next_power_of_two() {
                // Larger than half of all sizes: only the tree's own beginning is aligned.
                None => start == 0,
                Some(width) => start & (width - 1) == 0,
            },
        };
        if aligned {
            Ok(Self { start, end })
        } else {
            Err(Error::malformed(
                "subtree",
                "its start is not aligned to its size",
            ))
        }
    }

    /// Index of the first leaf.
    #[must_use]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// One more than the index of the last leaf.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// Checks that the leaf with hash `leaf` is number `index` of the tree, within this subtree with
    /// `root`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the subtree has no such leaf; [`Error::ProofMismatch`] when the
    /// proof is too short, too long or leads elsewhere.
    pub fn verify_inclusion(
        &self,
        leaf: &Hash,
        index: u64,
        path: &[Hash],
        root: &Hash,
    ) -> Result<(), Error> {
        let place = index.checked_sub(self.start).ok_or(Error::OutOfRange {
            what: "leaf",
            index,
            size: self.end,
        })?;
        proof::verify_inclusion(leaf, place, self.end - self.start, path, root)
    }

    /// Checks that this subtree with `root` is part of the tree of `size` leaves with `tree_root`.
    /// An empty subtree is part of every tree.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the tree has not all of the subtree's leaves;
    /// [`Error::ProofMismatch`] when the proof is too short, too long or leads elsewhere.
    pub fn verify_consistency(
        &self,
        size: u64,
        path: &[Hash],
        root: &Hash,
        tree_root: &Hash,
    ) -> Result<(), Error> {
        if self.end > size {
            return Err(Error::OutOfRange {
                what: "end of the subtree",
                index: self.end,
                size,
            });
        }
        let holds = if self.start == self.end {
            path.is_empty() && *root == empty_root()
        } else {
            self.consistent(size, path, root, tree_root)
        };
        if holds {
            Ok(())
        } else {
            Err(Error::ProofMismatch("subtree consistency"))
        }
    }

    /// Section 4.4.3 from its third step on, for a subtree that is not empty.
    fn consistent(&self, size: u64, path: &[Hash], root: &Hash, tree_root: &Hash) -> bool {
        let (mut first, mut last, mut edge) = (self.start, self.end - 1, size - 1);
        // Up to the largest node that both trees share on the subtree's right edge.
        while first != last && (last == edge || last & 1 == 1) {
            (first, last, edge) = (first >> 1, last >> 1, edge >> 1);
        }
        // Where that node is the subtree itself, the verifier knows it and the proof leaves it out.
        let (known, rest) = if first == last {
            (root, path)
        } else if let Some((known, rest)) = path.split_first() {
            (known, rest)
        } else {
            return false;
        };
        let (mut subtree_hash, mut tree_hash) = (*known, *known);
        for hash in rest {
            if edge == 0 {
                return false;
            }
            if last & 1 == 1 || last == edge {
                if first < last {
                    subtree_hash = node_hash(hash, &subtree_hash);
                }
                tree_hash = node_hash(hash, &tree_hash);
                while last & 1 == 0 && last != 0 {
                    (first, last, edge) = (first >> 1, last >> 1, edge >> 1);
                }
            } else {
                tree_hash = node_hash(&tree_hash, hash);
            }
            (first, last, edge) = (first >> 1, last >> 1, edge >> 1);
        }
        edge == 0 && subtree_hash == *root && tree_hash == *tree_root
    }
}
