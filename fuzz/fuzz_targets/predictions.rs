//! Predictions that `star score` reads.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::predictions(data));
