//! Products of bytes: the ranges of what they read, sampled on images and kept with the weights.

use std::collections::BTreeMap;

use candle_core::{Result, Tensor, bail};
use serde::{Deserialize, Serialize};

use super::CompiledModel;
use super::kernels::pixels::Bytes;
use super::memory::Buffer;
use super::program::{Op, Step};

/// Values that are kept of what a product reads of one image.
const KEPT: usize = 2048;

/// Steps that the largest value seen is lowered by in search of the best range.
const CLIPS: usize = 24;

/// Which 1x1 convolutions of a network are products of bytes, and how their inputs become bytes: what `star quantize` writes into
/// `config.json`. Weights have a scale for each output, inputs one for each tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantization {
    /// By the name of its step, the range `[lowest, highest]` of each tensor that a convolution reads; those without stay as they are.
    pub ranges: BTreeMap<String, Vec<[f32; 2]>>,
    /// What it was measured on.
    pub fitted_on: String,
    /// Mean distance from the landmarks' labels before and after, as a fraction of the normalizer; `None` where there were no labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nme_fractions: Option<[f64; 2]>,
    /// Mean distance of the landmarks from those in `f32`, as a fraction of the normalizer.
    pub shift_fraction: f64,
}

/// What the products of a network read, sampled on images.
#[derive(Clone, Debug, Default)]
pub struct QuantizationSamples {
    values: BTreeMap<String, Vec<Vec<f32>>>,
    images: usize,
}

/// What the steps of a program are in, besides `f32`.
#[derive(Clone, Copy)]
pub(super) struct Narrow<'a> {
    pub(super) bf16: bool,
    /// Whether windows in bf16 are done directly.
    pub(super) tiles: bool,
    pub(super) int8: Option<&'a Quantization>,
}

impl Narrow<'_> {
    /// How the `sources` of the convolution `name` become bytes, where it is a product of those.
    pub(super) fn bytes(&self, name: &str, sources: usize) -> Result<Option<Vec<Bytes>>> {
        let Some(ranges) = self.int8.and_then(|int8| int8.ranges.get(name)) else { return Ok(None) };
        if ranges.len() != sources {
            bail!("quantization: {name}: expected {sources} ranges, got {}", ranges.len())
        }
        ranges.iter().map(|&range| bytes(name, range)).collect::<Result<_>>().map(Some)
    }
}

/// How values of a range become bytes: all 256 for what is never below 0, else 127 to each side of 128.
fn bytes(name: &str, [low, high]: [f32; 2]) -> Result<Bytes> {
    let most = if low < 0.0 { high.max(-low) } else { high };
    if !(low.is_finite() && high.is_finite() && low <= high && most >= 0.0) {
        bail!("quantization: {name}: expected a range [lowest, highest], got [{low}, {high}]")
    }
    let most = most.max(f32::MIN_POSITIVE * 1e6);
    Ok(if low < 0.0 {
        Bytes { inverse: 127.0 / most, zero: 128.0 }
    } else {
        Bytes { inverse: 255.0 / most, zero: 0.0 }
    })
}

impl CompiledModel {
    /// Adds what the 1x1 convolutions read of `images`, `[B, 3, S, S]`, to `samples`; for a network compiled in `f32`.
    ///
    /// # Errors
    /// As [`CompiledModel::moments`].
    pub fn sample(&self, images: &Tensor, samples: &mut QuantizationSamples) -> Result<()> {
        self.with_images(images, |pixels, b| {
            for image in pixels.chunks_exact((pixels.len() / b.max(1)).max(1)) {
                samples.images += 1;
                let number = samples.images;
                self.watch(image, &mut |step, slots| samples.step(step, slots, number));
            }
            Ok(())
        })
    }
}

impl QuantizationSamples {
    fn step(&mut self, step: &Step, slots: &[Buffer], number: usize) {
        let Op::Pointwise { sources, prepare, pixels, .. } = &step.op else { return };
        let kept = self.values.entry(step.name.clone()).or_insert_with(|| vec![Vec::new(); sources.len()]);
        for (i, (source, kept)) in sources.iter().zip(kept).enumerate() {
            let values = slots[source.slot].get(source.floats);
            let prepare = prepare.as_ref().filter(|_| i == 0);
            let all = pixels * source.len;
            // An odd stride, so that every channel comes up; each image begins elsewhere.
            let stride = (all / KEPT).max(1) | 1;
            kept.extend((number % stride..all).step_by(stride).map(|n| {
                let (pixel, c) = (n / source.len, n % source.len);
                let x = values[pixel * source.stride + c];
                prepare.map_or(x, |prepare| (x * prepare.scale[c] + prepare.shift[c]).max(0.0))
            }));
        }
    }

    /// The convolutions by name, each with the ranges under which its sampled inputs lose least, in mean squares, by becoming bytes.
    pub fn ranges(&self) -> BTreeMap<String, Vec<[f32; 2]>> {
        let ranges = |values: &Vec<Vec<f32>>| values.iter().map(|values| best_range(values)).collect();
        self.values.iter().map(|(name, values)| (name.clone(), ranges(values))).collect()
    }
}

fn best_range(values: &[f32]) -> [f32; 2] {
    let low = values.iter().copied().fold(0.0f32, f32::min);
    let high = values.iter().copied().fold(0.0f32, f32::max);
    let clipped =
        (0..CLIPS).map(|i| 1.0 - 0.8 * i as f32 / CLIPS as f32).map(|share| [low * share, high * share]);
    let loss = |range: &[f32; 2]| {
        let Ok(Bytes { inverse, zero }) = bytes("", *range) else { return f64::INFINITY };
        let off = |x: f32| x - ((x * inverse + zero).round_ties_even().clamp(0.0, 255.0) - zero) / inverse;
        values.iter().map(|&x| f64::from(off(x)).powi(2)).sum()
    };
    clipped
        .map(|range| (loss(&range), range))
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map_or([low, high], |best| best.1)
}
