//! The data plane against a real recorder and upstreams that do as they are told, byte by byte, over real connections.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod broken_off;
mod disk;
mod durability;
mod ends;
mod figures;
mod foreign;
mod framing;
mod http2;
mod malformed;
mod order;
mod refused;
mod retries;
mod rig;
mod sessions;
mod tls;
mod upgraded;
mod wire;
