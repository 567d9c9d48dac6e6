//! Packed shards: manifest, tar file, list.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::shards(data));
