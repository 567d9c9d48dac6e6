//! Shapes of a stacked hourglass.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::InputSpec;
use crate::input::{MAP_STRIDE, check_face_scale, check_maps, tight};

/// Sizes beyond every network there is: a description of one that would fill the memory is a mistake.
const LARGEST: usize = 1 << 12;

/// Stacks beyond the same.
const MOST_STACKS: usize = 64;

/// Levels beyond which not even the largest image has a pixel left.
const MOST_LEVELS: usize = 10;

/// Shape of a stacked hourglass (STAR, CVPR 2023, built on ADNet, ICCV 2021).
///
/// ```
/// use star_model::StackedHourglassConfig;
///
/// let config = StackedHourglassConfig::reference(98, vec![vec![0, 1, 2]]);
/// assert_eq!((config.stacks, config.levels, config.channels), (4, 4, 256));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackedHourglassConfig {
    /// Number of keypoints `K`.
    pub keypoints: usize,
    /// Keypoint indices on each edge; the attention branch has one edge map each. May be empty without attention.
    pub edges: Vec<Vec<usize>>,
    /// Number of hourglasses, each with heads of its own.
    pub stacks: usize,
    /// Halvings inside an hourglass.
    pub levels: usize,
    /// Feature channels inside the hourglasses, even.
    pub channels: usize,
    /// Side of the square input in pixels, a multiple of `4 * 2^levels`.
    pub image_size: usize,
    /// Whether the stem and the hourglass entries see coordinate channels.
    pub coord_conv: bool,
    /// Whether point and edge maps are predicted and gate the heatmaps.
    pub attention: bool,
}

impl StackedHourglassConfig {
    /// The published shape: 4 stacks of 4 levels with 256 channels on 256x256 images.
    pub fn reference(keypoints: usize, edges: Vec<Vec<usize>>) -> Self {
        Self {
            keypoints,
            edges,
            stacks: 4,
            levels: 4,
            channels: 256,
            image_size: 256,
            coord_conv: true,
            attention: true,
        }
    }

    /// A smaller one that trains on the CPU of a laptop: 2 stacks of 4 levels with 128 channels on 256x256 images, a
    /// fifth of the published one's arithmetic.
    pub fn lite(keypoints: usize, edges: Vec<Vec<usize>>) -> Self {
        Self { stacks: 2, channels: 128, ..Self::reference(keypoints, edges) }
    }

    /// A very small one for trials: 1 stack of 3 levels with 64 channels on 128x128 images.
    pub fn tiny(keypoints: usize, edges: Vec<Vec<usize>>) -> Self {
        Self { stacks: 1, levels: 3, channels: 64, image_size: 128, ..Self::reference(keypoints, edges) }
    }

    /// Side of the predicted maps.
    pub fn map_size(&self) -> usize {
        self.image_size / MAP_STRIDE
    }

    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range and what it must be.
    pub fn validate(&self) -> Result<()> {
        for (name, value, most) in [
            ("keypoints", self.keypoints, LARGEST),
            ("stacks", self.stacks, MOST_STACKS),
            ("levels", self.levels, MOST_LEVELS),
            ("image_size", self.image_size, LARGEST),
        ] {
            if value == 0 || value > most {
                bail!("{name}: expected 1 to {most}, got {value}")
            }
        }
        even_channels("channels", self.channels)?;
        if !self.image_size.is_multiple_of(MAP_STRIDE << self.levels) {
            bail!(
                "image_size: expected a multiple of {MAP_STRIDE} * 2^levels (levels = {}), got {}",
                self.levels,
                self.image_size
            )
        }
        if self.attention && self.edges.is_empty() {
            bail!(
                "edges: the attention branch needs at least one edge, got none (set attention = false to go without)"
            )
        }
        if self.edges.len() > LARGEST {
            bail!("edges: expected at most {LARGEST}, got {}", self.edges.len())
        }
        let heads = self.stacks * (self.keypoints + self.edges.len());
        check_maps("image_size, stacks, keypoints, edges", heads, self.map_size())?;
        check_maps("image_size, channels", self.channels, self.map_size())?;
        check_maps("image_size", 2 * PUBLISHED_STEM, self.image_size / 2)?;
        for (e, edge) in self.edges.iter().enumerate() {
            if let Some(&point) = edge.iter().find(|&&point| point >= self.keypoints) {
                bail!("edges[{e}]: expected keypoints below {}, got {point}", self.keypoints)
            }
        }
        Ok(())
    }
}

/// Channels of the published hourglass's stem, whatever the width of its hourglasses; its blocks have twice as many.
pub(crate) const PUBLISHED_STEM: usize = 64;

/// Shape of a stacked hourglass for a small budget: a stem of its own width, which is two thirds of a small network's arithmetic as
/// published, and an input that shows more than the landmarks.
///
/// ```
/// use star_model::{SlimHourglassConfig, StackedHourglassConfig};
///
/// let hourglass = StackedHourglassConfig { attention: false, ..StackedHourglassConfig::tiny(21, vec![]) };
/// SlimHourglassConfig { hourglass, stem: 32, face_scale: 0.8 }.validate()?;
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlimHourglassConfig {
    /// Everything behind the stem.
    pub hourglass: StackedHourglassConfig,
    /// Channels of the stem, even; its blocks have twice as many.
    pub stem: usize,
    /// Share of the input's side that the longer side of the box around a face's landmarks takes up, in `(0, 1]`.
    #[serde(default = "tight")]
    pub face_scale: f32,
}

impl From<StackedHourglassConfig> for SlimHourglassConfig {
    /// With the published stem and input.
    fn from(hourglass: StackedHourglassConfig) -> Self {
        Self { hourglass, stem: PUBLISHED_STEM, face_scale: tight() }
    }
}

impl SlimHourglassConfig {
    /// What the network expects of its input.
    pub fn input(&self) -> InputSpec {
        InputSpec { face_scale: self.face_scale, ..InputSpec::reference(self.hourglass.image_size) }
    }

    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range and what it must be.
    pub fn validate(&self) -> Result<()> {
        self.hourglass.validate()?;
        even_channels("stem", self.stem)?;
        check_maps("image_size, stem", 2 * self.stem, self.hourglass.image_size / 2)?;
        check_face_scale(self.face_scale)
    }
}

fn even_channels(name: &str, channels: usize) -> Result<()> {
    if !(2..=LARGEST).contains(&channels) || !channels.is_multiple_of(2) {
        bail!("{name}: expected an even number from 2 to {LARGEST}, got {channels}")
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_shape_is_valid_and_has_64x64_maps() {
        let config = StackedHourglassConfig::reference(29, vec![vec![0, 4, 2, 5]]);
        config.validate().unwrap();
        assert_eq!(config.map_size(), 64);
    }

    #[test]
    fn each_bad_field_is_named() {
        let good = StackedHourglassConfig::reference(29, vec![vec![0]]);
        let cases = [
            (StackedHourglassConfig { keypoints: 0, ..good.clone() }, "keypoints"),
            (StackedHourglassConfig { stacks: usize::MAX, ..good.clone() }, "stacks: expected 1 to 64"),
            (StackedHourglassConfig { channels: 7, ..good.clone() }, "channels"),
            (StackedHourglassConfig { image_size: 100, ..good.clone() }, "image_size"),
            (StackedHourglassConfig { levels: 70, ..good.clone() }, "levels: expected 1 to 10"),
            (StackedHourglassConfig { levels: 9, ..good.clone() }, "image_size"),
            (StackedHourglassConfig { edges: vec![], ..good.clone() }, "edges"),
            (StackedHourglassConfig { edges: vec![vec![29]], ..good.clone() }, "edges[0]"),
            (
                StackedHourglassConfig { edges: vec![vec![0]; 5000], ..good.clone() },
                "edges: expected at most 4096",
            ),
            (
                StackedHourglassConfig { image_size: 4096, ..good.clone() },
                "image_size, channels: expected at most 134217728",
            ),
            (
                StackedHourglassConfig { image_size: 4096, channels: 64, ..good.clone() },
                "image_size: expected at most",
            ),
            (
                StackedHourglassConfig { keypoints: 4096, stacks: 64, ..good.clone() },
                "image_size, stacks, keypoints, edges: expected at most",
            ),
        ];
        for (config, field) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field} missing in: {message}");
        }
        let slim = |stem, face_scale| SlimHourglassConfig { hourglass: good.clone(), stem, face_scale };
        slim(32, 0.8).validate().unwrap();
        let hourglass = StackedHourglassConfig { image_size: 512, ..good.clone() };
        let wide = SlimHourglassConfig { hourglass, ..slim(4096, 0.8) };
        for (config, field) in
            [(slim(33, 0.8), "stem"), (slim(32, 0.0), "face_scale"), (wide, "image_size, stem: ")]
        {
            assert!(config.validate().unwrap_err().to_string().contains(field));
        }
    }
}
