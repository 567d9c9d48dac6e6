//! Shape of a light pyramid.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::HeatmapActivation;
use crate::input::{InputSpec, MAP_STRIDE, check_face_scale, check_maps, tight};
use crate::plan::kernels::depthwise::SIDES;

/// Channels and keypoints beyond every network there is: a description of one that would fill the memory is a mistake.
const LARGEST: usize = 1 << 12;

/// Blocks and factors beyond the same.
const MOST: usize = 64;

/// Resolutions beyond the same.
const MOST_LEVELS: usize = 8;

/// Shape of a light pyramid: MobileNetV2's inverted residuals (Sandler et al. 2018) down to low resolutions, and a way up as in feature
/// pyramids (Lin et al. 2017) to maps of a quarter of the input's side.
///
/// ```
/// use star_model::LightPyramidConfig;
///
/// let config = LightPyramidConfig::standard(98);
/// assert_eq!((config.image_size, config.map_size()), (256, 64));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightPyramidConfig {
    /// Number of keypoints `K`.
    pub keypoints: usize,
    /// Channels of the stem, at half the input's side.
    pub stem: usize,
    /// Channels of each resolution, from a quarter of the input's side on, each half the one before.
    pub levels: Vec<usize>,
    /// Blocks of each resolution.
    pub blocks: Vec<usize>,
    /// Channels inside a block over those of its input.
    pub expansion: usize,
    /// Side of the windows: 3, 5 or 7.
    pub kernel: usize,
    /// Channels of the way up.
    pub channels: usize,
    /// Side of the square input in pixels.
    pub image_size: usize,
    /// How raw maps become masses.
    #[serde(default)]
    pub activation: HeatmapActivation,
    /// Share of the input's side that the longer side of the box around a face's landmarks takes up.
    #[serde(default = "tight")]
    pub face_scale: f32,
}

impl LightPyramidConfig {
    /// 0.48 million parameters and 0.37 GMAC for 98 points: 4 ms an image on one core of an AMD EPYC (Zen 5).
    pub fn standard(keypoints: usize) -> Self {
        Self {
            keypoints,
            stem: 16,
            levels: vec![32, 48, 64, 96],
            blocks: vec![2, 3, 4, 3],
            expansion: 3,
            kernel: 5,
            channels: 64,
            image_size: 256,
            activation: HeatmapActivation::default(),
            face_scale: tight(),
        }
    }

    /// Side of the predicted maps.
    pub fn map_size(&self) -> usize {
        self.image_size / MAP_STRIDE
    }

    /// The reference's, cut as `face_scale` says.
    pub fn input(&self) -> InputSpec {
        InputSpec { face_scale: self.face_scale, ..InputSpec::reference(self.image_size) }
    }

    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range and what it must be.
    pub fn validate(&self) -> Result<()> {
        let (levels, blocks) = (self.levels.len(), self.blocks.len());
        if levels == 0 || levels > MOST_LEVELS {
            bail!("levels: expected 1 to {MOST_LEVELS} of them, got {levels}")
        }
        if blocks != levels {
            bail!("blocks: expected one number a level, {levels}, got {blocks}")
        }
        let named = |name: &'static str, values: &[usize], most: usize| {
            let named = |(i, &value): (usize, &usize)| (format!("{name}[{i}]"), value, most);
            values.iter().enumerate().map(named).collect::<Vec<_>>()
        };
        let single = [
            ("keypoints", self.keypoints, LARGEST),
            ("stem", self.stem, LARGEST),
            ("channels", self.channels, LARGEST),
            ("expansion", self.expansion, MOST),
            ("image_size", self.image_size, LARGEST),
        ];
        let single = single.map(|(name, value, most)| (name.to_string(), value, most));
        let lists = [named("levels", &self.levels, LARGEST), named("blocks", &self.blocks, MOST)].concat();
        for (name, value, most) in single.into_iter().chain(lists) {
            if value == 0 || value > most {
                bail!("{name}: expected 1 to {most}, got {value}")
            }
        }
        if !SIDES.contains(&self.kernel) {
            bail!("kernel: expected 3, 5 or 7, got {}", self.kernel)
        }
        check_face_scale(self.face_scale)?;
        let step = MAP_STRIDE << (levels - 1);
        if !self.image_size.is_multiple_of(step) {
            bail!("image_size: expected a multiple of {step}, got {}", self.image_size)
        }
        check_maps("image_size, keypoints", self.keypoints, self.map_size())?;
        check_maps("image_size, stem, expansion", self.stem * self.expansion, self.image_size / 2)?;
        let widest = self.levels.iter().chain([&self.channels]).max().copied().unwrap_or(0);
        check_maps("image_size, levels, channels, expansion", widest * self.expansion, self.map_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_is_named() {
        let good = LightPyramidConfig::standard(98);
        good.validate().unwrap();
        let cases = [
            (LightPyramidConfig { keypoints: 0, ..good.clone() }, "keypoints"),
            (LightPyramidConfig { levels: vec![], ..good.clone() }, "levels: expected 1 to 8"),
            (LightPyramidConfig { levels: vec![8, 8, 0, 8], ..good.clone() }, "levels[2]"),
            (
                LightPyramidConfig { blocks: vec![1], ..good.clone() },
                "blocks: expected one number a level, 4",
            ),
            (LightPyramidConfig { kernel: 4, ..good.clone() }, "kernel: expected 3, 5 or 7"),
            (LightPyramidConfig { expansion: 65, ..good.clone() }, "expansion: expected 1 to 64"),
            (LightPyramidConfig { face_scale: 0.0, ..good.clone() }, "face_scale"),
            (LightPyramidConfig { image_size: 240, ..good.clone() }, "image_size: expected a multiple of 32"),
            (
                LightPyramidConfig { stem: 4096, ..good.clone() },
                "image_size, stem, expansion: expected at most",
            ),
        ];
        for (config, field) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field} missing in: {message}");
        }
    }
}
