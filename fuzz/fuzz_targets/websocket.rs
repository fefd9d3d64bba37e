#![no_main]

#[path = "../entries/protocol.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::websocket(data));
