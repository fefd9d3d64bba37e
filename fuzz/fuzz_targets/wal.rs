#![no_main]

#[path = "../entries/storage.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::wal(data));
