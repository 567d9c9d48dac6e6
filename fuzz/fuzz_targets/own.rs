//! One's own data: TOML, then CSV.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::own(data));
