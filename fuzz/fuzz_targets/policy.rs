#![no_main]

#[path = "../entries/tlog.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::policy(data));
