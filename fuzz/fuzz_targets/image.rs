//! Images of every format.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::image(data));
