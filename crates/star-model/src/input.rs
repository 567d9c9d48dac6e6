//! What a network expects of its images.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

/// Image pixels from one heatmap pixel to the next: maps are `image_size / MAP_STRIDE` wide.
pub const MAP_STRIDE: usize = 4;

/// Numbers in the maps of one layer, or of all heads, beyond every network there is: 512 MiB in f32, 64 times what the published one has.
const MOST_IN_MAPS: usize = 1 << 27;

/// Order of the colour channels of a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelOrder {
    /// Blue, green, red: what OpenCV reads and the reference hourglass was trained on.
    Bgr,
    /// Red, green, blue.
    Rgb,
}

/// What a network expects of its input, and the size of its maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// Side of the predicted maps.
    pub map_size: usize,
    /// Order of the three input channels.
    pub order: ChannelOrder,
    /// Subtracted from each channel, in grey levels of 0 to 255, in the order of `order`.
    pub mean: [f32; 3],
    /// What the difference is then divided by.
    pub std: [f32; 3],
    /// Share of the input's side that the longer side of the box around a face's landmarks takes up.
    #[serde(default = "tight")]
    pub face_scale: f32,
}

/// The box fills the input: the reference's.
pub(crate) fn tight() -> f32 {
    1.0
}

impl InputSpec {
    /// The reference's input: BGR, `(v - 127.5) / 127.5`, cut tightly around the landmarks.
    pub fn reference(image_size: usize) -> Self {
        Self {
            image_size,
            map_size: image_size / MAP_STRIDE,
            order: ChannelOrder::Bgr,
            mean: [127.5; 3],
            std: [127.5; 3],
            face_scale: tight(),
        }
    }
}

pub(crate) fn check_face_scale(share: f32) -> Result<()> {
    if !(share > 0.0 && share <= 1.0) {
        bail!("face_scale: expected a share above 0 and at most 1, got {share}")
    }
    Ok(())
}

/// Checks that so many maps of `side` pixels fit the memory; `fields` are what their number follows from.
pub(crate) fn check_maps(fields: &str, maps: usize, side: usize) -> Result<()> {
    if maps.saturating_mul(side).saturating_mul(side) > MOST_IN_MAPS {
        bail!(
            "{fields}: expected at most {MOST_IN_MAPS} numbers in the maps of a layer, got {maps} maps of {side}x{side} pixels"
        )
    }
    Ok(())
}
