//! Frames with a time each, in the form of an unfinished Matroska file: what ffmpeg reads from a pipe without losing the times.

use std::io::{Result, Write};

use image::RgbImage;

/// Ticks a second of the times.
pub(super) const TICKS: f64 = 10_000.0;
/// Nanoseconds of a tick.
const TICK: u64 = 100_000;

/// What stands in front of the frames of `width` x `height` pixels.
pub(super) fn header(to: &mut impl Write, width: u32, height: u32) -> Result<()> {
    let number = |id: u32, value: u64| element(id, &value.to_be_bytes());
    let head = [element(0x4282, b"matroska"), number(0x4287, 4), number(0x4285, 2)].concat();
    to.write_all(&element(0x1a45_dfa3, &head))?;
    // Segment, of no known length
    to.write_all(&[0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])?;
    let info = [number(0x2a_d7b1, TICK), element(0x4d80, b"star"), element(0x5741, b"star")].concat();
    to.write_all(&element(0x1549_a966, &info))?;
    // The four letters that ffmpeg knows three bytes a pixel by.
    let picture = [number(0xb0, width.into()), number(0xba, height.into()), element(0x2e_b524, b"RGB\x18")];
    let track = [
        number(0xd7, 1),
        number(0x73c5, 1),
        number(0x83, 1),
        element(0x86, b"V_UNCOMPRESSED"),
        element(0xe0, &picture.concat()),
    ];
    to.write_all(&element(0x1654_ae6b, &element(0xae, &track.concat())))
}

/// A frame shown from `seconds` on: a cluster of its own.
pub(super) fn frame(to: &mut impl Write, image: &RgbImage, seconds: f64) -> Result<()> {
    let time = element(0xe7, &((seconds.max(0.0) * TICKS).round() as u64).to_be_bytes());
    // Track 1, at the cluster's time, a key frame
    let block = [0x81, 0, 0, 0x80];
    let pixels = image.as_raw();
    let inner = begin(0xa3, block.len() + pixels.len());
    to.write_all(&begin(0x1f43_b675, time.len() + inner.len() + block.len() + pixels.len()))?;
    to.write_all(&[&time[..], &inner, &block].concat())?;
    to.write_all(pixels)
}

fn element(id: u32, content: &[u8]) -> Vec<u8> {
    [&begin(id, content.len()), content].concat()
}

/// An element's name and its length in eight bytes.
fn begin(id: u32, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    let mut length = (length as u64).to_be_bytes();
    length[0] = 0x01;
    bytes.extend(length);
    bytes
}
