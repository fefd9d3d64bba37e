//! The right edge of the tree: all that appending and the root need.

use crate::{Error, Hash, empty_root, node_hash};

/// A perfect subtree that an append completed, or the leaf itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Height above the leaves; a leaf is 0.
    pub level: u8,
    /// Index within the level: the node covers leaves `index << level` to `(index + 1) << level`.
    pub index: u64,
    /// The Merkle tree hash of those leaves.
    pub hash: Hash,
}

/// The roots of the perfect subtrees that make up a tree, largest first: one for each one bit of
/// the size (the compact range of `[0, size)`).
///
/// Appending costs one or two hashes on average and allocates only to grow to its at most 63
/// hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    parts: Vec<Hash>,
}

impl Frontier {
    /// The largest tree a frontier describes, in leaves.
    pub const MAX_SIZE: u64 = u64::MAX >> 1;

    /// The empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            parts: Vec::new(),
        }
    }

    /// The tree that [`Frontier::parts`] described.
    ///
    /// The parts are believed: compare [`Frontier::root`] with a root that is known.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless there is one part for each one bit of `size`;
    /// [`Error::OverLimit`] above [`Frontier::MAX_SIZE`].
    pub fn from_parts(size: u64, parts: Vec<Hash>) -> Result<Self, Error> {
        if size > Self::MAX_SIZE {
            return Err(Error::OverLimit {
                what: "tree size",
                limit: Self::MAX_SIZE,
            });
        }
        if parts.len() != size.count_ones() as usize {
            return Err(Error::malformed(
                "frontier",
                "not one hash for each one bit of the size",
            ));
        }
        Ok(Self { size, parts })
    }

    /// Appends a leaf by its [`crate::leaf_hash`].
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_| ());
    }

    /// Appends a leaf and reports the leaf and every perfect subtree it completes, lowest first.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(Node)) {
        let mut node = Node {
            level: 0,
            index: self.size,
            hash: leaf,
        };
        completed(node);
        // Each trailing one bit of the size is a perfect subtree of the new node's height.
        while node.index & 1 == 1 {
            let Some(left) = self.parts.pop() else { break };
            node = Node {
                level: node.level + 1,
                index: node.index >> 1,
                hash: node_hash(&left, &node.hash),
            };
            completed(node);
        }
        self.parts.push(node.hash);
        self.size += 1;
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, largest first.
    #[must_use]
    pub fn parts(&self) -> &[Hash] {
        &self.parts
    }

    /// The Merkle tree hash of all leaves, RFC 6962 section 2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.parts
            .iter()
            .copied()
            .rev()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }
}
