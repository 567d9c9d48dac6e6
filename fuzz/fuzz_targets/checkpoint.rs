//! External weights: PyTorch's two formats and safetensors; other bytes as the pickle of a zip checkpoint.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::checkpoint(data));
