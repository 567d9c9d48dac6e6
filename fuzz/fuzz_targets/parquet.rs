//! Images listed in a Parquet file.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::parquet(data));
