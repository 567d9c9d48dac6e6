//! How a face looks, for knowing it again after a second: its aligned crop, tiny, in colours without brightness and contrast.

use anyhow::Result;
use image::RgbImage;
use star_data::Scheme;

use crate::align;

/// Side of the crop.
const SIDE: usize = 16;
/// Share of a new look in the one that is remembered, and the likeness below which it is not learnt: somebody may be before the face.
const LEARNT: f32 = 0.1;
const LIKE_ITSELF: f32 = 0.8;

/// A unit vector.
#[derive(Clone, Debug)]
pub(super) struct Appearance(Vec<f32>);

impl Appearance {
    /// Of the face with these landmarks; `None` where they cannot be aligned.
    pub(super) fn of(image: &RgbImage, scheme: &Scheme, points: &[[f32; 2]]) -> Result<Option<Self>> {
        let Some(crop) = align::crop(image, scheme, points, SIDE)? else { return Ok(None) };
        Ok(Self::unit(crop.as_raw().iter().map(|byte| f32::from(*byte)).collect()))
    }

    /// Correlation in `[-1, 1]`.
    pub(super) fn likeness(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum()
    }

    /// Mixes some of a new look in.
    pub(super) fn learn(&mut self, new: &Self) {
        if self.likeness(new) < LIKE_ITSELF {
            return;
        }
        let mixed = self.0.iter().zip(&new.0).map(|(a, b)| (1.0 - LEARNT) * a + LEARNT * b).collect();
        if let Some(mixed) = Self::unit(mixed) {
            *self = mixed;
        }
    }

    fn unit(mut values: Vec<f32>) -> Option<Self> {
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        values.iter_mut().for_each(|v| *v -= mean);
        let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
        values.iter_mut().for_each(|v| *v /= norm);
        (norm > 1e-3).then_some(Self(values))
    }
}
