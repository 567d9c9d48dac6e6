//! XML files of dlib's imglab.

#![no_main]

use star_data::formats::Format;

libfuzzer_sys::fuzz_target!(|data: &[u8]| star_fuzz::annotations(Format::Imglab, "a.xml", data));
