//! Shape of an HRNet.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::HeatmapActivation;
use crate::input::{ChannelOrder, InputSpec, MAP_STRIDE, check_face_scale, check_maps, tight};

/// Resolutions that run side by side in the last stage.
pub(crate) const BRANCHES: usize = 4;

/// Channels and keypoints beyond every network there is: a description of one that would fill the memory is a mistake.
const LARGEST: usize = 1 << 12;

/// Modules and blocks beyond the same.
const MOST: usize = 64;

/// Mean of ImageNet's red, green and blue, in grey levels of 0 to 255: what every public HRNet was trained on.
const IMAGENET_MEAN: [f32; 3] = [0.485 * 255.0, 0.456 * 255.0, 0.406 * 255.0];

/// Standard deviation of the same.
const IMAGENET_STD: [f32; 3] = [0.229 * 255.0, 0.224 * 255.0, 0.225 * 255.0];

/// Shape of an HRNetV2 for landmarks (Sun et al. 2019, "High-Resolution Representations for Labeling Pixels and
/// Regions").
///
/// ```
/// use star_model::HrNetConfig;
///
/// let config = HrNetConfig::w18(98);
/// assert_eq!(config.channels(), [18, 36, 72, 144]);
/// assert_eq!((config.modules, config.blocks, config.map_size()), ([1, 4, 3], 4, 64));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HrNetConfig {
    /// Number of keypoints `K`.
    pub keypoints: usize,
    /// Channels of the highest resolution; each lower one has twice those of the one above. Published: 18, 32, 48.
    pub width: usize,
    /// Exchange modules of the second, third and fourth stage. Published: 1, 4, 3.
    pub modules: [usize; 3],
    /// Residual blocks of the first stage and of each branch of a module. Published: 4.
    pub blocks: usize,
    /// Channels of the stem, and inside the first stage's bottlenecks. Published: 64.
    pub stem: usize,
    /// Side of the square input in pixels, a multiple of 32.
    pub image_size: usize,
    /// How raw maps become masses.
    #[serde(default)]
    pub activation: HeatmapActivation,
    /// Share of the input's side that the longer side of the box around a face's landmarks takes up.
    #[serde(default = "tight")]
    pub face_scale: f32,
}

impl HrNetConfig {
    /// The published shape at another width, on 256x256 images cut tightly around the landmarks, as the hourglass's are.
    pub fn published(keypoints: usize, width: usize) -> Self {
        Self {
            keypoints,
            width,
            modules: [1, 4, 3],
            blocks: 4,
            stem: 64,
            image_size: 256,
            activation: HeatmapActivation::default(),
            face_scale: tight(),
        }
    }

    /// HRNetV2-W18, the one of the published face-landmark checkpoints.
    pub fn w18(keypoints: usize) -> Self {
        Self::published(keypoints, 18)
    }

    /// HRNetV2-W32.
    pub fn w32(keypoints: usize) -> Self {
        Self::published(keypoints, 32)
    }

    /// HRNetV2-W48.
    pub fn w48(keypoints: usize) -> Self {
        Self::published(keypoints, 48)
    }

    /// Channels of each resolution, highest first.
    pub fn channels(&self) -> [usize; BRANCHES] {
        std::array::from_fn(|branch| self.width << branch)
    }

    /// Side of the predicted maps.
    pub fn map_size(&self) -> usize {
        self.image_size / MAP_STRIDE
    }

    /// RGB with ImageNet's mean and deviation, cut as `face_scale` says.
    pub fn input(&self) -> InputSpec {
        InputSpec {
            image_size: self.image_size,
            map_size: self.map_size(),
            order: ChannelOrder::Rgb,
            mean: IMAGENET_MEAN,
            std: IMAGENET_STD,
            face_scale: self.face_scale,
        }
    }

    /// Checks that the numbers describe a network that can be built.
    ///
    /// # Errors
    /// Names the first field that is out of range and what it must be.
    pub fn validate(&self) -> Result<()> {
        let [second, third, fourth] = self.modules;
        for (name, value, most) in [
            ("keypoints", self.keypoints, LARGEST),
            ("width", self.width, LARGEST),
            ("modules[0]", second, MOST),
            ("modules[1]", third, MOST),
            ("modules[2]", fourth, MOST),
            ("blocks", self.blocks, MOST),
            ("stem", self.stem, LARGEST),
            ("image_size", self.image_size, LARGEST),
        ] {
            if value == 0 || value > most {
                bail!("{name}: expected 1 to {most}, got {value}")
            }
        }
        check_face_scale(self.face_scale)?;
        let step = MAP_STRIDE << (BRANCHES - 1);
        if !self.image_size.is_multiple_of(step) {
            bail!("image_size: expected a multiple of {step}, got {}", self.image_size)
        }
        check_maps("image_size, keypoints", self.keypoints, self.map_size())?;
        // The head sees the channels of all resolutions at once.
        check_maps("image_size, width", self.channels().iter().sum(), self.map_size())?;
        check_maps("image_size, stem", self.stem, self.image_size / 2)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_is_named() {
        let good = HrNetConfig::w18(98);
        good.validate().unwrap();
        let cases = [
            (HrNetConfig { keypoints: 0, ..good.clone() }, "keypoints"),
            (HrNetConfig { width: 0, ..good.clone() }, "width"),
            (HrNetConfig { blocks: usize::MAX, ..good.clone() }, "blocks: expected 1 to 64"),
            (HrNetConfig { modules: [1, 0, 3], ..good.clone() }, "modules[1]"),
            (HrNetConfig { face_scale: f32::NAN, ..good.clone() }, "face_scale"),
            (HrNetConfig { image_size: 240, ..good.clone() }, "image_size: expected a multiple of 32"),
            (HrNetConfig { image_size: 1 << 40, ..good.clone() }, "image_size: expected 1 to 4096"),
            (
                HrNetConfig { image_size: 4096, ..good.clone() },
                "image_size, width: expected at most 134217728",
            ),
            (HrNetConfig { width: 4096, ..good.clone() }, "image_size, width: expected at most 134217728"),
            (
                HrNetConfig { stem: 4096, image_size: 512, ..good.clone() },
                "image_size, stem: expected at most",
            ),
        ];
        for (config, field) in cases {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{field} missing in: {message}");
        }
    }
}
