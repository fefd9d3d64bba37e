//! The recorder: append, sequence, sign, vault, verify.
//!
//! Owns the order of events and their durability. What [`Recorder::append`] acknowledges survives
//! `kill -9` and power loss; an `fsync` that fails is fatal. Bodies lie outside the tree, in the
//! vault; an event commits to each by a salted digest. Never parses what agents speak.
//!
//! The write path: sources prepare (cut, hash, compress) on their own threads and queue; one writer
//! ([`Recorder`]'s sequencer) gives each event its place and makes a batch durable with a single
//! `fdatasync` of the write-ahead log; a settler reads the log back and turns it into C2SP tiles,
//! entry bundles and vault volumes, and signs checkpoints. Recovery is the settler, run to the end.

mod ambient;
mod body;
mod cipher;
mod clock;
mod command;
mod completion;
mod compression;
mod dedup;
pub mod epochs;
mod error;
mod exhibit;
mod glance;
mod inventory;
mod keys;
mod layout;
mod orders;
mod progress;
mod proofs;
mod published;
mod queue;
mod reach;
mod recipe;
mod record;
mod recorder;
mod recover;
mod salt;
mod salts;
mod sealed_volume;
mod segments;
mod sequencer;
mod settle;
mod settler_thread;
#[cfg(test)]
mod sim;
mod state;
mod store;
mod stored;
mod streams;
mod tiles;
mod vault;
pub mod verify;
mod volume;
mod volume_writer;
mod wal_view;
mod wal_writer;

pub use body::BodyWriter;
pub use cipher::{Recipient, VaultKey};
pub use command::{Appended, Pending};
pub use completion::WRITE_ONLY_SEAL;
pub use error::Error;
pub use exhibit::Exhibit;
pub use keys::TokenSettings;
pub use layout::STORE_FORMAT;
pub use orders::{Revoked, Rotated};
pub use proofs::Proofs;
pub use published::Published;
pub use reach::Reach;
pub use recorder::{Options, Recorder, Status};
pub use store::{Entry, Store};
