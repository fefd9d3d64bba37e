//! The promises of `tlog`, one file each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod arbitrary_bytes_never_panic;
mod ed25519_edge_cases;
mod foreign_log_reads;
mod notes_are_strict;
mod paths_and_bundles_are_strict;
mod persisted_formats;
mod proofs_bind;
mod proofs_match_the_vectors;
mod root_is_rfc6962;
mod shared_data;
mod tiles_hold_the_tree;
mod tree_by_definition;

#[path = "../../../../fuzz/entries/tlog.rs"]
mod fuzz_entries;
