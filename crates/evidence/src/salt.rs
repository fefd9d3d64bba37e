//! The salts of body commitments.
//!
//! A salt is a leaf of a binary tree of SHA-256 over a random seed (Goldreich, Goldwasser, Micali
//! 1986): it costs no room beside the body, and a single salt can be destroyed by replacing the seed
//! with the nodes beside its path, which leave every other salt derivable.
//!
//! One seed of 32 bytes serves [`BODIES_PER_SEED`] bodies; `vault/salts/NNNNNNNN.seed` holds it, wrapped as the key of a
//! volume is.

use aws_lc_rs::digest::{Context, SHA256};

/// Levels of a seed's tree.
const DEPTH: u32 = 20;

/// Bodies that one seed serves.
pub(crate) const BODIES_PER_SEED: u64 = 1 << DEPTH;

/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;

/// Derives salts; neighbouring ids share most of the path, which is kept.
#[derive(Clone)]
pub(crate) struct SaltTree {
    /// `path[level]` is the node above `id` at that level; `path[0]` the seed.
    path: Vec<[u8; 32]>,
    index: Option<u64>,
}

impl std::fmt::Debug for SaltTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaltTree").finish_non_exhaustive()
    }
}

fn child(node: &[u8; 32], right: bool) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(b"tachograph salt v1");
    context.update(&[u8::from(right)]);
    context.update(node);
    digest_bytes(context)
}

fn digest_bytes(context: Context) -> [u8; 32] {
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

impl SaltTree {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self {
            path: vec![seed],
            index: None,
        }
    }

    /// The salt of body `id`, which must belong to this seed.
    pub(crate) fn salt(&mut self, id: u64) -> [u8; SALT_BYTES] {
        let index = id % BODIES_PER_SEED;
        // Levels whose node is the same as for the index derived last.
        let shared = self.index.map_or(0, |last| {
            let differing = 64 - (last ^ index).leading_zeros();
            DEPTH.saturating_sub(differing)
        });
        self.path.truncate(shared as usize + 1);
        for level in shared..DEPTH {
            let right = (index >> (DEPTH - 1 - level)) & 1 == 1;
            let Some(node) = self.path.last() else { break };
            self.path.push(child(node, right));
        }
        self.index = Some(index);
        let mut salt = [0; SALT_BYTES];
        if let Some(leaf) = self.path.last() {
            for (to, from) in salt.iter_mut().zip(leaf) {
                *to = *from;
            }
        }
        salt
    }
}

/// `SHA-256(salt || plaintext)` of a body that is already whole or arrives in pieces.
pub(crate) struct Commitment(Context);

impl std::fmt::Debug for Commitment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Commitment").finish_non_exhaustive()
    }
}

impl Commitment {
    pub(crate) fn new(salt: &[u8; SALT_BYTES]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(salt);
        Self(context)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The commitment to what has arrived so far.
    pub(crate) fn so_far(&self) -> [u8; 32] {
        digest_bytes(self.0.clone())
    }

    /// As it stands in an event.
    pub(crate) fn finish(self) -> String {
        hex::encode(digest_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_derivation_does_not_matter() {
        let mut forward = SaltTree::new([7; 32]);
        let ids = [0, 1, 2, 3, 1000, 999, BODIES_PER_SEED - 1, 5];
        for id in ids {
            assert_eq!(forward.salt(id), SaltTree::new([7; 32]).salt(id), "{id}");
        }
    }

    /// Worked out by another implementation. Part of the format: with other salts no body that was ever recorded
    /// matches what its event commits to.
    #[test]
    fn derivation_is_as_it_was_first_published() {
        for (seed, id, salt) in [
            (0, 0, "a95c1c134a5013bdd0bf110453154ac5"),
            (0, 1, "44463d588b61b823b248922192c39bcc"),
            (1, 0, "c5b96bbe5d25a495055e31191dee352c"),
            (7, BODIES_PER_SEED - 1, "77f53fb0fb12846bc7ca0219720b5623"),
            (
                7,
                BODIES_PER_SEED * 3 - 1,
                "77f53fb0fb12846bc7ca0219720b5623",
            ),
        ] {
            let found = SaltTree::new([seed; 32]).salt(id);
            assert_eq!(hex::encode(found), salt, "body {id} of seed {seed}");
        }
    }
}
