//! The transparency log's mathematics and its public formats: bytes in, values out.
//!
//! Owns the RFC 6962 Merkle tree ([`struct@Hash`], [`Frontier`], [`proof`]) and the C2SP formats in which
//! independent tools read it: tlog-tiles ([`tile`], [`bundle`], [`tree`]), signed-note ([`note`])
//! and tlog-checkpoint ([`checkpoint`]).
//!
//! Promises: parsing is strict (what parses encodes back to the same bytes), every input is bounded
//! and no input panics. A tile or a bundle is only a claim until a root computed from it equals the
//! root of a checkpoint whose signature was verified.
//!
//! Never touches I/O, a clock or randomness, and never looks into an entry.

pub mod bundle;
pub mod checkpoint;
mod error;
mod frontier;
mod hash;
pub mod note;
pub mod proof;
pub mod tile;
pub mod tree;

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use frontier::{Frontier, Node};
pub use hash::{HASH_BYTES, Hash, empty_root, leaf_hash, node_hash};
