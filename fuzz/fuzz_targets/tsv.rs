//! Rows as the reference reads them.

#![no_main]

use star_data::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::annotations(Format::Tsv, "a.tsv", data));
