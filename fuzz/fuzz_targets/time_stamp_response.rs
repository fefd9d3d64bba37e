#![no_main]

#[path = "../entries/timestamp.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entries::time_stamp_response(data));
