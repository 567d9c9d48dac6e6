//! Batch norm with ReLU inside a block: statistics image by image, activations on demand, the gradient in two halves.

use super::super::batch_norm::{Statistics, masked_sums, sums};
use super::super::slices::Real;
use super::parts::Affine;

/// `max(x * scale + shift, 0)` per channel, and where the numbers come from.
pub(super) struct Norm<T> {
    pub(super) statistics: Statistics,
    scale: Vec<T>,
    shift: Vec<T>,
    mean: Vec<T>,
    inverse_std: Vec<f64>,
}

/// Mean and sum of squared deviations of each channel of one image.
pub(super) type ImageSums = Vec<(f64, f64)>;

/// Of an image `[C, pixels]`.
pub(super) fn image_sums<T: Real>(image: &[T], pixels: usize) -> ImageSums {
    let of = |plane: &[T]| {
        // Centred on one value of the plane: a large common offset must not cancel the deviations away.
        let centre = plane[0];
        let (sum, squares) = sums(plane, centre);
        let shift = sum / pixels as f64;
        (centre.to_f64() + shift, (squares - sum * shift).max(0.0))
    };
    image.chunks_exact(pixels).map(of).collect()
}

/// Statistics of the batch from those of its images, in their order (Chan, Golub and LeVeque 1983).
fn merged(images: &[ImageSums], pixels: usize) -> Statistics {
    let channels = images.first().map_or(0, Vec::len);
    let count = images.len() * pixels;
    let (mean, variance) = (0..channels)
        .map(|channel| {
            let (mut mean, mut deviations) = (0.0, 0.0);
            for (i, image) in images.iter().enumerate() {
                let (image_mean, image_deviations) = image[channel];
                let (before, delta) = ((i * pixels) as f64, image_mean - mean);
                let total = before + pixels as f64;
                mean += delta * pixels as f64 / total;
                deviations += image_deviations + delta * delta * before * pixels as f64 / total;
            }
            (mean, deviations / count as f64)
        })
        .unzip();
    Statistics { mean, variance, count }
}

impl<T: Real> Norm<T> {
    pub(super) fn new(images: &[ImageSums], pixels: usize, affine: &Affine<T>, eps: f64) -> Self {
        let statistics = merged(images, pixels);
        let inverse_std: Vec<f64> = statistics.variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        let scale: Vec<f64> = affine.weight.iter().zip(&inverse_std).map(|(w, s)| w.to_f64() * s).collect();
        let shift = affine.bias.iter().zip(&scale).zip(&statistics.mean);
        Self {
            shift: shift.map(|((b, scale), mean)| T::from_f64(b.to_f64() - scale * mean)).collect(),
            scale: scale.into_iter().map(T::from_f64).collect(),
            mean: statistics.mean.iter().map(|&m| T::from_f64(m)).collect(),
            inverse_std,
            statistics,
        }
    }

    /// Activations of pixels `range` of an image `[C, pixels]`, into `[C, range]`.
    pub(super) fn activate(&self, image: &[T], pixels: usize, range: std::ops::Range<usize>, out: &mut [T]) {
        let planes = image.chunks_exact(pixels).zip(out.chunks_exact_mut(range.len()));
        for ((plane, out), (&scale, &shift)) in planes.zip(self.scale.iter().zip(&self.shift)) {
            for (y, &x) in out.iter_mut().zip(&plane[range.clone()]) {
                let value = x * scale + shift;
                *y = if value <= T::zero() { T::zero() } else { value };
            }
        }
    }

    /// Cuts the gradient `d` of the activations of `image` (`[C, pixels]` both) where the ReLU did, and returns per channel
    /// `(sum d, sum d (x - mean))`.
    pub(super) fn mask(&self, image: &[T], d: &mut [T], pixels: usize) -> ImageSums {
        let planes = image.chunks_exact(pixels).zip(d.chunks_exact_mut(pixels)).enumerate();
        planes
            .map(|(channel, (x, d))| {
                let (scale, shift) = (self.scale[channel], self.shift[channel]);
                for (d, &x) in d.iter_mut().zip(x) {
                    *d = if x * scale + shift <= T::zero() { T::zero() } else { *d };
                }
                masked_sums(d, x, d, self.mean[channel], false)
            })
            .collect()
    }

    /// From the sums of all images to the gradients of weight and bias, and what [`Slopes::apply`] needs.
    pub(super) fn slopes(&self, images: &[ImageSums]) -> (Vec<T>, Vec<T>, Slopes<T>) {
        let count = self.statistics.count as f64;
        let total = |channel: usize, part: fn(&(f64, f64)) -> f64| -> f64 {
            images.iter().map(|image| part(&image[channel])).sum()
        };
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        let mut slopes = Slopes {
            scale: self.scale.clone(),
            slope: Vec::new(),
            offset: Vec::new(),
            mean: self.mean.clone(),
        };
        for (channel, &inverse) in self.inverse_std.iter().enumerate() {
            let (db, dw) = (total(channel, |s| s.0), total(channel, |s| s.1) * inverse);
            let scale = self.scale[channel].to_f64();
            slopes.slope.push(T::from_f64(-scale / count * inverse * dw));
            slopes.offset.push(T::from_f64(-scale / count * db));
            weight.push(T::from_f64(dw));
            bias.push(T::from_f64(db));
        }
        (weight, bias, slopes)
    }
}

/// `dx = scale d + slope (x - mean) + offset` per channel.
pub(super) struct Slopes<T> {
    scale: Vec<T>,
    slope: Vec<T>,
    offset: Vec<T>,
    mean: Vec<T>,
}

impl<T: Real> Slopes<T> {
    /// Turns the gradient by the activations into that by the norm's input, in place; `[C, pixels]` both.
    pub(super) fn apply(&self, image: &[T], d: &mut [T], pixels: usize) {
        for (channel, (x, d)) in image.chunks_exact(pixels).zip(d.chunks_exact_mut(pixels)).enumerate() {
            let (scale, slope) = (self.scale[channel], self.slope[channel]);
            let (offset, mean) = (self.offset[channel], self.mean[channel]);
            for (d, &x) in d.iter_mut().zip(x) {
                *d = scale * *d + slope * (x - mean) + offset;
            }
        }
    }
}
