//! The promises of `timestamp`, one file each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod any_flipped_bit_is_seen;
mod arbitrary_bytes_never_panic;
mod certificates_are_judged_at_their_time;
mod forge;
mod forged_tokens_are_refused;
mod formats_are_strict;
mod openssl_agrees;
mod public_vectors_hold;
mod sigstore_agrees;

#[path = "../../../../fuzz/entries/corpus.rs"]
mod corpus;
#[path = "../../../../fuzz/entries/timestamp.rs"]
mod fuzz_entries;
