//! A folder of weights: `config.json`, then `model.safetensors`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::weights(data));
