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

mod actors;
mod arbitrary_bytes_never_panic;
mod cosignatures_bind;
mod ed25519_edge_cases;
mod foreign_log_reads;
mod ml_dsa_44_is_fips_204;
mod notes_are_strict;
mod paths_and_bundles_are_strict;
mod persisted_formats;
mod policies_are_strict;
mod proofs_bind;
mod proofs_match_the_vectors;
mod published_examples_read;
mod receipts_bind;
mod root_is_rfc6962;
mod shared_data;
mod subtrees_are_consistent;
mod tiles_hold_the_tree;
mod tree_by_definition;
mod witness_messages_are_strict;
mod witnesses_refuse_forks;

#[path = "../../../../fuzz/entries/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/entries/tlog.rs"]
mod fuzz_entries;
