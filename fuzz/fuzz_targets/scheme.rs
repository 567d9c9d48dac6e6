//! A keypoint scheme in TOML.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::scheme(data));
