//! A training file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::training(data));
