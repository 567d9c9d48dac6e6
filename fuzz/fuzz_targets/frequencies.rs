//! How often each image is seen in an epoch: a CSV file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::frequencies(data));
