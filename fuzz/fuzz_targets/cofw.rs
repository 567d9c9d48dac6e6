//! COFW's MATLAB files, which are HDF5.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::cofw(data));
