//! A published checkpoint on its way to the anchors.

use aws_lc_rs::digest::{SHA256, digest};
use evidence::Published;
use std::time::Instant;
use tlog::Hash;
use tlog::note::Note;

/// What is anchored: the exact bytes of `anchors/SIZE20/checkpoint`.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) note: Note,
    pub(crate) bytes: Vec<u8>,
    /// Of `bytes`.
    pub(crate) sha256: [u8; 32],
}

impl From<Published> for Head {
    fn from(published: Published) -> Self {
        let bytes = published.note.to_string().into_bytes();
        Self {
            size: published.size,
            root: published.root,
            note: published.note,
            sha256: sha256(&bytes),
            bytes,
        }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// A head with its turn in the row of those that one kind of anchor was offered: what lies between two turns was
/// superseded.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) turn: u64,
    pub(crate) head: std::sync::Arc<Head>,
    pub(crate) since: Instant,
}

/// Which turns it was, for witnesses and the second place, and for authorities.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turns {
    pub(crate) heads: u64,
    pub(crate) stamps: u64,
}
