#![no_main]

#[path = "../entries/evidence.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::vault_key(data));
