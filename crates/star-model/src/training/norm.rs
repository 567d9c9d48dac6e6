//! Batch norm with its ReLU: statistics from sums over blocks of pixels, and the gradient in two halves.
//!
//! What a norm does to `x` is `max(0, scale x + shift)` a channel. Its gradient needs two sums over the whole batch before a single
//! value of it is known: the first half leaves them behind, block by block, and the second applies them.

use rayon::prelude::*;

use super::Passes;
use super::memory::Floats;
use super::pixels::Pixels;
use crate::norm::{EPS, Statistics};
use crate::plan::kernels::gradients::{Masked, NormBackward};
use crate::plan::kernels::maps::Summed;
use crate::plan::ops::pointwise::ScaleRelu;
use crate::plan::ops::shared::{Shared, part};

/// Pixels of one partial sum: fixed, so that threads change nothing.
pub(super) const BLOCK: usize = 96;

/// A batch norm on the statistics of one batch.
pub(super) struct Norm {
    pub(super) affine: ScaleRelu,
    pub(super) mean: Vec<f32>,
    inverse_std: Vec<f64>,
    count: usize,
}

/// Two sums a channel of each block of [`BLOCK`] pixels.
pub(super) struct Sums {
    pub(super) first: Floats,
    pub(super) second: Floats,
}

/// The second half of the gradient: `d = by_d d + by_x x + offset`, a channel.
pub(super) struct InputGradient {
    by_d: Vec<f32>,
    by_x: Vec<f32>,
    offset: Vec<f32>,
}

impl Sums {
    pub(super) fn new(passes: &Passes, pixels: usize, channels: usize) -> Self {
        let len = pixels.div_ceil(BLOCK) * channels;
        Self { first: passes.memory.take(len), second: passes.memory.take(len) }
    }

    /// Of `x` about each block's first pixel.
    pub(super) fn of(passes: &Passes, x: Pixels) -> Self {
        Self::about(passes, x, None)
    }

    /// Of `x` about the pixel `reference`, or about each block's first one.
    fn about(passes: &Passes, x: Pixels, reference: Option<&[f32]>) -> Self {
        assert!(reference.is_none_or(|reference| reference.len() == x.stride()), "sums: sizes");
        let (pixels, channels) = (x.count(), x.channels);
        let mut sums = Self::new(passes, pixels, channels);
        let (first, second) = (Shared::new(&mut sums.first), Shared::new(&mut sums.second));
        passes.memory.each(pixels.div_ceil(BLOCK), |block, _| {
            let count = BLOCK.min(pixels - block * BLOCK);
            let (stride, pairs) = (x.stride(), x.pairs);
            let x = x.part(block * BLOCK, count);
            let (first, second) =
                (first.part(block * channels, channels), second.part(block * channels, channels));
            let reference = reference.map_or(x, <[f32]>::as_ptr);
            let summed = Summed { x, stride, pairs, pixels: count, channels, reference, first, second };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` holds count rows, both sums a row, each block its own.
            unsafe {
                passes.kernels.sums(&summed);
            }
        });
        sums
    }

    /// Mean and variance of `x`, whose blocks were summed about their first pixels (Chan, Golub and LeVeque 1983).
    pub(super) fn statistics(&self, passes: &Passes, x: Pixels) -> Statistics {
        let (pixels, channels) = (x.count(), x.channels);
        let (mut mean, mut deviations) = (vec![0.0; channels], vec![0.0; channels]);
        let mut reference = vec![0.0; channels];
        let blocks = self.first.chunks_exact(channels).zip(self.second.chunks_exact(channels));
        for (block, (first, second)) in blocks.enumerate() {
            let (before, count) = ((block * BLOCK) as f64, BLOCK.min(pixels - block * BLOCK) as f64);
            let share = count / (before + count);
            x.range(block * BLOCK, 1).to_floats(passes, None, &mut reference);
            let sums = first.iter().zip(second).zip(&reference);
            for ((mean, deviations), ((&first, &second), &reference)) in
                mean.iter_mut().zip(&mut deviations).zip(sums)
            {
                let (first, second) = (f64::from(first), f64::from(second));
                let offset = first / count;
                let delta = f64::from(reference) + offset - *mean;
                *mean += delta * share;
                *deviations += (second - first * offset).max(0.0) + delta * delta * before * share;
            }
        }
        let variance = deviations.iter().map(|sum| sum / pixels as f64).collect();
        Statistics { mean, variance, count: pixels }
    }

    /// Both sums over all blocks.
    fn totals(&self, channels: usize) -> (Vec<f64>, Vec<f64>) {
        (totals(&self.first, channels), totals(&self.second, channels))
    }
}

/// Sums of each channel over all pixels.
pub(super) fn column_sums(passes: &Passes, x: Pixels) -> Vec<f64> {
    if !x.pairs {
        // Each channel by itself, so that the number of threads changes nothing.
        const CHANNELS: usize = 64;
        let mut sums = vec![0.0; x.channels];
        sums.par_chunks_mut(CHANNELS).enumerate().for_each(|(part, sums)| {
            for pixel in x.values.chunks_exact(x.channels) {
                let some = &pixel[part * CHANNELS..][..sums.len()];
                sums.iter_mut().zip(some).for_each(|(sum, &value)| *sum += f64::from(value));
            }
        });
        return sums;
    }
    let zeros = vec![0.0; x.stride()];
    totals(&Sums::about(passes, x, Some(&zeros)).first, x.channels)
}

/// Sums over rows of `channels` values.
pub(super) fn totals(rows: &[f32], channels: usize) -> Vec<f64> {
    let mut all = vec![0.0; channels];
    for row in rows.chunks_exact(channels) {
        all.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
    }
    all
}

fn floats(values: impl IntoIterator<Item = f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

impl Norm {
    /// With the learned `weight` and `bias`, which are 0 for the channels that fill the last register.
    pub(super) fn new(statistics: &Statistics, weight: &[f32], bias: &[f32]) -> Self {
        let learned = |values: &[f32], channel: usize| values.get(channel).map_or(0.0, |&v| f64::from(v));
        let inverse_std: Vec<f64> = statistics.variance.iter().map(|v| 1.0 / (v + EPS).sqrt()).collect();
        let scale: Vec<f64> = inverse_std.iter().enumerate().map(|(c, s)| learned(weight, c) * s).collect();
        let shift = scale.iter().zip(&statistics.mean).enumerate();
        let shift = shift.map(|(c, (s, mean))| learned(bias, c) - s * mean);
        Self {
            affine: ScaleRelu { shift: floats(shift), scale: floats(scale.iter().copied()) },
            mean: floats(statistics.mean.iter().copied()),
            inverse_std,
            count: statistics.count,
        }
    }

    /// Cuts the gradient `d`, stored like `x`, of the activations of `x` where the ReLU did, and sums what is left.
    pub(super) fn mask(&self, passes: &Passes, x: Pixels, d: &mut [f32]) -> Sums {
        let channels = self.mean.len();
        assert!(x.values.len() == d.len() && x.channels == channels, "a norm's gradient: sizes");
        let (pixels, stride) = (x.count(), x.stride());
        let mut sums = Sums::new(passes, pixels, channels);
        let (first, second, d) =
            (Shared::new(&mut sums.first), Shared::new(&mut sums.second), Shared::new(d));
        passes.memory.each(pixels.div_ceil(BLOCK), |block, _| {
            let count = BLOCK.min(pixels - block * BLOCK);
            let masked = Masked {
                x: x.part(block * BLOCK, count),
                d: d.part(block * BLOCK * stride, count * stride),
                pairs: x.pairs,
                pixels: count,
                channels,
                scale: self.affine.scale.as_ptr(),
                shift: self.affine.shift.as_ptr(),
                mean: self.mean.as_ptr(),
                first: first.part(block * channels, channels),
                second: second.part(block * channels, channels),
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: both parts hold count rows, the vectors a row; blocks are disjoint, each has sums of its own.
            unsafe {
                passes.kernels.mask(&masked);
            }
        });
        sums
    }

    /// From the sums of `d` and `d (x - mean)` to the gradients of weight and bias, and the second half of that by `x`.
    ///
    /// In a process group the latter is over all ranks; the gradients stay this rank's part until the trainer adds them up.
    pub(super) fn gradients(&self, passes: &Passes, sums: &Sums) -> (Vec<f32>, Vec<f32>, InputGradient) {
        let (bias, mut weight) = sums.totals(self.mean.len());
        weight.iter_mut().zip(&self.inverse_std).for_each(|(weight, inverse)| *weight *= inverse);
        let own = (floats(weight.iter().copied()), floats(bias.iter().copied()));
        let mut both = [weight, bias].concat();
        passes.all_reduce(&mut both);
        let (weight, bias) = both.split_at(self.mean.len());
        let count = self.count as f64;
        let scale = self.affine.scale.iter().map(|&scale| f64::from(scale));
        let by_x: Vec<f64> =
            scale.clone().zip(&self.inverse_std).zip(weight).map(|((s, i), w)| -s / count * i * w).collect();
        let offset = scale.zip(bias).zip(by_x.iter().zip(&self.mean));
        let offset =
            floats(offset.map(|((scale, b), (by_x, &mean))| -scale / count * b - by_x * f64::from(mean)));
        let input = InputGradient { by_d: self.affine.scale.clone(), by_x: floats(by_x), offset };
        (own.0, own.1, input)
    }
}

impl InputGradient {
    /// Turns the gradient `d`, stored like `x`, by the activations into that by the norm's input `x`, in place, and adds `add`.
    pub(super) fn apply(&self, passes: &Passes, x: Pixels, d: &mut [f32], add: Option<&[f32]>) {
        let channels = self.by_d.len();
        assert!(
            x.values.len() == d.len() && x.channels == channels && add.is_none_or(|add| add.len() == d.len()),
            "a norm's gradient: sizes"
        );
        let (pixels, stride) = (x.count(), x.stride());
        let d = Shared::new(d);
        passes.memory.each(pixels.div_ceil(BLOCK), |block, _| {
            let count = BLOCK.min(pixels - block * BLOCK);
            let (at, span) = (block * BLOCK * stride, count * stride);
            let backward = NormBackward {
                x: x.part(block * BLOCK, count),
                d: d.part(at, span),
                add: add.map_or(std::ptr::null(), |add| part(add, at, span)),
                pairs: x.pairs,
                pixels: count,
                channels,
                by_d: self.by_d.as_ptr(),
                by_x: self.by_x.as_ptr(),
                offset: self.offset.as_ptr(),
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: all parts hold count rows, the vectors a row; blocks are disjoint.
            unsafe {
                passes.kernels.norm_backward(&backward);
            }
        });
    }
}
