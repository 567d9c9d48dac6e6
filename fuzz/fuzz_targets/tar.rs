//! A tar shard without a manifest, in training and in prediction.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::tar(data));
