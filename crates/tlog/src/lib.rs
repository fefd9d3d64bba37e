//! The transparency log's mathematics and its public formats: bytes in, values out.
//!
//! Owns the RFC 6962 Merkle tree ([`struct@Hash`], [`Frontier`], [`proof`]) and the C2SP formats in which
//! independent tools read it: tlog-tiles ([`tile`], [`bundle`], [`tree`]), signed-note ([`note`]),
//! tlog-checkpoint ([`checkpoint`]), tlog-cosignature ([`cosignature`], [`subtree`]), tlog-witness
//! ([`witness`]), tlog-policy ([`policy`]) and tlog-proof ([`receipt`]).
//!
//! Promises: parsing is strict (what parses encodes back to the same bytes), every input is bounded
//! and no input panics. A tile or a bundle is only a claim until a root computed from it equals the
//! root of a checkpoint whose signature was verified.
//!
//! Never touches I/O or a clock, and never looks into an entry. Draws no randomness but what the
//! cryptographic module mixes into an ML-DSA signature.

pub mod bundle;
pub mod checkpoint;
pub mod cosignature;
mod error;
mod frontier;
mod hash;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod line;
pub mod note;
pub mod policy;
pub mod proof;
pub mod receipt;
pub mod subtree;
pub mod tile;
pub mod tree;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use frontier::{Frontier, Node};
pub use hash::{HASH_BYTES, Hash, empty_root, leaf_hash, leaf_hashes, node_hash};
