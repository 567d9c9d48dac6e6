//! CSV files of HRNet.

#![no_main]

use star_data::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::annotations(Format::Hrnet, "a.csv", data));
