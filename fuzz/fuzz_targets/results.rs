//! Results of two runs that are compared.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::results(data));
