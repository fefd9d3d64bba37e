//! What this crate promises, with real parts: a recorder, an authority made of `openssl`, a witness, a second place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    reason = "tests"
)]

mod anchors_are_evidence;
mod kept_is_what_lies_there;
mod liars_are_named;
mod rewritten_logs_are_refused;
mod rig;
mod the_log_does_not_anchor_itself;
mod witnesses_remember;
