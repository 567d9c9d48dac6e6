//! Random changes to training images, as the published models were trained with, and some beyond.
//!
//! Geometry (flip, similarity) is composed with the crop into one map, so pixels are sampled once and points go through the same
//! arithmetic. What changes pixels in place comes after, in the reference's order: occlusion, blur, gamma, noise, grey. Side light,
//! occluders, low resolution, motion blur, colour, JPEG artefacts and cut-outs are no part of the reference and off by default; they
//! take their places where they would occur: what stands before the camera first, motion with the blur, colour with the gamma,
//! compression after the sensor's noise, patches last.

mod blur;
mod cut_out;
mod flip;
mod geometric;
mod jpeg;
mod light;
mod noise;
mod occluder;
mod occlusion;
mod resolution;
mod tone;

use image::RgbImage;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use blur::{Blur, MotionBlur};
pub use cut_out::{CutOut, Fill};
pub use flip::{flip_points, mirrored};
pub use geometric::{Flip, Similarity};
pub use jpeg::Jpeg;
pub use light::SideLight;
pub use noise::Noise;
pub use occluder::Occluder;
pub use occlusion::Occlusion;
pub use resolution::LowResolution;
pub use tone::{Colour, Gamma, Grey};

use crate::{Error, Result};

/// Everything that may happen to a training image. The default is the reference's recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// Mirror.
    pub flip: Flip,
    /// Shift, rotation and scale about the crop's centre.
    pub similarity: Similarity,
    /// Black rectangle.
    pub occlusion: Occlusion,
    /// Box blur.
    pub blur: Blur,
    /// Brighter or darker by a power.
    pub gamma: Gamma,
    /// Blend with uniform noise.
    pub noise: Noise,
    /// All colour gone.
    pub grey: Grey,
    /// Blur along a line; off by default.
    pub motion_blur: MotionBlur,
    /// Brightness, contrast, saturation and hue; off by default.
    pub colour: Colour,
    /// JPEG artefacts; off by default.
    pub jpeg: Jpeg,
    /// Patches cut out; off by default.
    pub cut_out: CutOut,
    /// A coloured shape in front of the face; off by default.
    pub occluder: Occluder,
    /// Strong light from one side; off by default.
    pub side_light: SideLight,
    /// Fewer pixels than the network's input has; off by default.
    pub low_resolution: LowResolution,
}

impl Augmentation {
    /// Nothing happens: for evaluation.
    pub fn none() -> Self {
        Self {
            flip: Flip { probability: 0.0 },
            similarity: Similarity { probability: 0.0, ..Default::default() },
            occlusion: Occlusion { probability: 0.0, ..Default::default() },
            blur: Blur { probability: 0.0, ..Default::default() },
            gamma: Gamma { probability: 0.0, ..Default::default() },
            noise: Noise { probability: 0.0, ..Default::default() },
            grey: Grey { probability: 0.0 },
            motion_blur: MotionBlur::default(),
            colour: Colour::default(),
            jpeg: Jpeg::default(),
            cut_out: CutOut::default(),
            occluder: Occluder::default(),
            side_light: SideLight::default(),
            low_resolution: LowResolution::default(),
        }
    }

    /// Checks every probability and magnitude.
    ///
    /// # Errors
    /// [`Error::Config`] with the first field out of range.
    pub fn validate(&self) -> Result<()> {
        let probabilities = [
            ("flip.probability", self.flip.probability),
            ("similarity.probability", self.similarity.probability),
            ("occlusion.probability", self.occlusion.probability),
            ("blur.probability", self.blur.probability),
            ("gamma.probability", self.gamma.probability),
            ("noise.probability", self.noise.probability),
            ("grey.probability", self.grey.probability),
            ("motion_blur.probability", self.motion_blur.probability),
            ("colour.probability", self.colour.probability),
            ("jpeg.probability", self.jpeg.probability),
            ("cut_out.probability", self.cut_out.probability),
            ("occluder.probability", self.occluder.probability),
            ("side_light.probability", self.side_light.probability),
            ("low_resolution.probability", self.low_resolution.probability),
        ];
        let (one, any) = (0.0..=1.0, 0.0..=f64::MAX);
        let spread = "a spread from 0 to 1";
        let magnitudes = [
            ("similarity.shift", self.similarity.shift, any.clone(), "a spread of at least 0"),
            ("similarity.rotation", self.similarity.rotation, any.clone(), "degrees of at least 0"),
            ("similarity.scale", self.similarity.scale, any, "a spread of at least 0"),
            ("occlusion.size", self.occlusion.size.1, 0.0..=2.0, "at most 2, the whole crop"),
            ("occlusion.spread", self.occlusion.spread, 0.0..=2.0, "a share from 0 to 2"),
            ("blur.kernel", self.blur.kernel, one.clone(), "a share from 0 to 1"),
            ("gamma.power", self.gamma.power, 1.0..=100.0, "a power from 1 to 100"),
            ("noise.alpha", self.noise.alpha, one.clone(), "a share from 0 to 1"),
            ("motion_blur.length", self.motion_blur.length.1, one.clone(), "a share from 0 to 1"),
            ("colour.brightness", self.colour.brightness, one.clone(), spread),
            ("colour.contrast", self.colour.contrast, one.clone(), spread),
            ("colour.saturation", self.colour.saturation, one.clone(), spread),
            ("colour.hue", self.colour.hue, 0.0..=180.0, "degrees from 0 to 180"),
            ("jpeg.quality", f64::from(self.jpeg.quality.1), 1.0..=100.0, "a quality from 1 to 100"),
            ("cut_out.size", self.cut_out.size.1, one.clone(), "a share from 0 to 1"),
            ("cut_out.patches", self.cut_out.patches.1 as f64, 0.0..=1000.0, "0 to 1000 patches"),
            ("occluder.size", self.occluder.size.1, one.clone(), "a share from 0 to 1"),
            ("side_light.stops", self.side_light.stops.1, 0.0..=16.0, "stops from 0 to 16"),
            ("side_light.shadow", self.side_light.shadow.1, one.clone(), "a share from 0 to 1"),
            ("low_resolution.side", self.low_resolution.side.1, 1.0..=65536.0, "a side of at least 1 pixel"),
        ];
        let lowest = [
            ("occlusion.size", self.occlusion.size),
            ("motion_blur.length", self.motion_blur.length),
            ("jpeg.quality", (f64::from(self.jpeg.quality.0) - 1.0, f64::from(self.jpeg.quality.1) - 1.0)),
            ("cut_out.size", self.cut_out.size),
            ("cut_out.patches", (self.cut_out.patches.0 as f64, self.cut_out.patches.1 as f64)),
            ("occluder.size", self.occluder.size),
            ("side_light.stops", self.side_light.stops),
            ("side_light.shadow", self.side_light.shadow),
            ("low_resolution.side", (self.low_resolution.side.0 - 1.0, self.low_resolution.side.1 - 1.0)),
        ];
        let probabilities =
            probabilities.map(|(field, value)| (field, value, one.clone(), "a probability from 0 to 1"));
        let lowest = lowest.map(|(field, (low, high))| (field, low, 0.0..=high, "smallest before largest"));
        let mut all = probabilities.into_iter().chain(magnitudes).chain(lowest);
        match all.find(|(_, value, range, _)| !range.contains(value)) {
            None => Ok(()),
            Some((field, value, _, expected)) => {
                Err(Error::Config { field, expected: expected.into(), got: value.to_string() })
            }
        }
    }

    /// Applies all that changes pixels in place, in the order above.
    ///
    /// Every change has random numbers of its own, so that switching one on, off or up leaves the others as they were.
    pub fn apply_photometric(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        // One seed a change, in the order in which the changes came into this program.
        let seeds: [u64; 12] = rng.random();
        let own = |i: usize| ChaCha8Rng::seed_from_u64(seeds[i]);
        self.side_light.apply(image, &mut own(10));
        self.occluder.apply(image, &mut own(9));
        self.low_resolution.apply(image, &mut own(11));
        self.occlusion.apply(image, &mut own(0));
        self.blur.apply(image, &mut own(1));
        self.motion_blur.apply(image, &mut own(5));
        self.gamma.apply(image, &mut own(2));
        self.colour.apply(image, &mut own(6));
        self.noise.apply(image, &mut own(3));
        self.grey.apply(image, &mut own(4));
        self.jpeg.apply(image, &mut own(7));
        self.cut_out.apply(image, &mut own(8));
    }
}

/// Whether something of this probability happens this time.
fn happens(probability: f64, rng: &mut impl Rng) -> bool {
    rng.random::<f64>() < probability
}

/// A uniform number from `low` to `high`.
fn between((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn test_image() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| Rgb([(x * 6) as u8, (y * 8) as u8, 90]))
    }

    fn changed(config: &Augmentation, seed: u64) -> RgbImage {
        let mut image = test_image();
        config.apply_photometric(&mut image, &mut ChaCha8Rng::seed_from_u64(seed));
        image
    }

    #[test]
    fn the_reference_and_no_change_at_all_are_in_range() {
        Augmentation::default().validate().unwrap();
        Augmentation::none().validate().unwrap();
        assert!((0..20).all(|seed| changed(&Augmentation::none(), seed) == test_image()));
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let mut bad: [Augmentation; 10] = Default::default();
        bad[0].flip.probability = 1.5;
        bad[1].similarity.rotation = f64::NAN;
        bad[2].gamma.power = 0.5;
        bad[3].occlusion.size = (0.8, 0.2);
        bad[4].noise.alpha = -0.1;
        bad[5].jpeg.quality = (0, 50);
        bad[6].cut_out.patches = (5, 2);
        bad[7].colour.hue = 400.0;
        bad[8].motion_blur.length = (0.1, f64::INFINITY);
        bad[9].similarity.probability = -0.5;
        let fields = [
            "flip.probability",
            "similarity.rotation",
            "gamma.power",
            "occlusion.size",
            "noise.alpha",
            "jpeg.quality",
            "cut_out.patches",
            "colour.hue",
            "motion_blur.length",
            "similarity.probability",
        ];
        for (config, field) in bad.iter().zip(fields) {
            let message = config.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }

    #[test]
    fn each_change_happens_on_its_own_as_often_as_its_probability_says() {
        type Set = fn(&mut Augmentation, f64);
        let only: [(&str, Set); 12] = [
            ("occlusion", |a, p| a.occlusion = Occlusion { probability: p, ..Default::default() }),
            // A kernel of one pixel is no blur: give every draw more.
            ("blur", |a, p| a.blur = Blur { probability: p, kernel: 1.0 }),
            ("gamma", |a, p| a.gamma = Gamma { probability: p, ..Default::default() }),
            ("noise", |a, p| a.noise = Noise { probability: p, ..Default::default() }),
            ("grey", |a, p| a.grey = Grey { probability: p }),
            ("motion blur", |a, p| a.motion_blur = MotionBlur { probability: p, length: (0.1, 0.2) }),
            ("colour", |a, p| a.colour = Colour { probability: p, ..Default::default() }),
            ("jpeg", |a, p| a.jpeg = Jpeg { probability: p, ..Default::default() }),
            ("cut-out", |a, p| a.cut_out = CutOut { probability: p, ..Default::default() }),
            ("occluder", |a, p| a.occluder = Occluder { probability: p, ..Default::default() }),
            ("side light", |a, p| a.side_light = SideLight { probability: p, ..Default::default() }),
            ("low resolution", |a, p| a.low_resolution = LowResolution { probability: p, side: (8.0, 16.0) }),
        ];
        const DRAWS: u64 = 400;
        for (name, set) in only {
            let mut config = Augmentation::none();
            set(&mut config, 0.5);
            let happened = (0..DRAWS).filter(|&seed| changed(&config, seed) != test_image()).count();
            // Four standard errors of a share of 400 draws are 0.1; a few changes are too small to be seen.
            let share = happened as f64 / DRAWS as f64;
            assert!((0.37..0.6).contains(&share), "{name}: {share}");
        }
    }

    #[test]
    fn switching_one_change_on_leaves_the_others_as_they_were() {
        let (mut with, mut without) = (Augmentation::none(), Augmentation::none());
        for config in [&mut with, &mut without] {
            config.grey.probability = 0.5;
        }
        with.blur.probability = 1.0;
        let grey = |image: &RgbImage| image.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]);
        assert!((0..50).all(|seed| grey(&changed(&with, seed)) == grey(&changed(&without, seed))));
    }
}
