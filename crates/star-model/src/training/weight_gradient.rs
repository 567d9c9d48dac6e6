//! The gradients of a 1x1 convolution's weights and bias.

use std::ops::Range;

use rayon::prelude::*;

use super::Passes;
use super::linear::Input;
use super::memory::Floats;
use super::norm::{BLOCK, totals};
use super::parameters::cut;
use super::pixels::Pixels;
use crate::plan::kernels::gradients::{Outer, outer_scratch};
use crate::plan::kernels::maps::Summed;
use crate::plan::memory::Buffer;
use crate::plan::ops::shared::{Shared, part};

/// Pixels whose weight gradients are summed apart; at most [`SLICES`] times.
pub(super) const SLICE: usize = 512;

/// Pixels of one outer product, whole blocks of sums: so many that reading and writing the gradient takes little beside it, and in `f32` no
/// more than stay in the first-level cache with two registers of inputs.
const PIXELS: usize = 2 * BLOCK;
pub(super) const PIXELS_BF16: usize = 4 * BLOCK;

/// Most parts of a weight gradient: fixed, so that threads change nothing.
pub(super) const SLICES: usize = 8;

/// Gradients of a 1x1 convolution's weights and bias.
pub(super) struct WeightGradient {
    /// `[outputs, stride]`, the input's channels first.
    pub(super) weight: Floats,
    stride: usize,
    pub(super) bias: Vec<f32>,
}

/// From the gradient `d` at the output of a convolution of `input`.
pub(super) fn weight_gradient(passes: &Passes, d: Pixels, input: &Input) -> WeightGradient {
    let kernels = passes.kernels;
    let (pixels, outputs) = (d.count(), d.channels);
    let stride = input.len.next_multiple_of(kernels.lanes());
    assert!(stride <= input.x.channels && input.x.count() == pixels, "a weight gradient: sizes");
    let most = if passes.bf16 { PIXELS_BF16 } else { PIXELS };
    let slices = pixels.div_ceil(SLICE).clamp(1, SLICES);
    let per_slice = pixels.div_ceil(slices).next_multiple_of(BLOCK);
    let (size, zeros) = (outputs * stride, vec![0.0; outputs]);
    let mut parts = passes.memory.take(slices * size);
    let mut sums = passes.memory.take(pixels.div_ceil(BLOCK) * outputs);
    let mut spare = passes.memory.take(slices * outputs);
    {
        let (parts, sums, spare) = (Shared::new(&mut parts), Shared::new(&mut sums), Shared::new(&mut spare));
        passes.memory.each(slices, |slice, scratch: &mut Buffer| {
            let (start, end) = (slice * per_slice, ((slice + 1) * per_slice).min(pixels));
            if start >= end {
                #[expect(unsafe_code, reason = "parts are written by different threads")]
                // SAFETY: each is written by one task.
                unsafe {
                    parts.with_part(slice, size, |part| part.fill(0.0));
                }
            }
            for pixel in (start..end).step_by(most) {
                let count = most.min(end - pixel);
                let (d, input) = (d.range(pixel, count), input.range(pixel, count));
                let half = if passes.bf16 { count.div_ceil(2) } else { 0 };
                let width = if passes.bf16 { half } else { count };
                let copies = outer_scratch(width, outputs, kernels.lanes());
                let narrow = half * (stride + outputs);
                let prepared = if passes.bf16 { 0 } else { input.scratch(count, false) };
                let scratch = scratch.take(narrow + copies + prepared);
                let (pairs, rest) = scratch.split_at_mut(narrow);
                let (copies, prepared) = rest.split_at_mut(copies);
                let (of_x, of_d) = pairs.split_at_mut(half * stride);
                // As they lie; what is made ready for the product takes their place below.
                let mut outer = Outer {
                    d: d.part(0, count),
                    d_stride: outputs,
                    d_row: 0,
                    x: d.part(0, count),
                    x_stride: stride,
                    x_row: 0,
                    rows: 1,
                    width,
                    outputs,
                    inputs: stride,
                    out: parts.part(slice * size, size),
                    out_stride: stride,
                    fresh: pixel == start,
                    scratch: copies.as_mut_ptr(),
                };
                if passes.bf16 {
                    d.to_pairs_of_pixels(passes, None, outputs, of_d);
                    input.x.to_pairs_of_pixels(passes, input.norm, stride, of_x);
                    (outer.d, outer.x) = (of_d.as_ptr(), of_x.as_ptr());
                } else {
                    let x = input.ready(passes, prepared);
                    (outer.x, outer.x_stride) = (part(x, 0, count * input.x.channels), input.x.channels);
                }
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: `d` and `x` hold count rows of at least `outputs` and `stride` values, each slice has a gradient of its own.
                unsafe {
                    if passes.bf16 {
                        kernels.outer_bf16(&outer);
                    } else {
                        kernels.outer(&outer);
                    }
                }
                for first in (0..count).step_by(BLOCK) {
                    let at = (pixel + first) / BLOCK * outputs;
                    let block = d.range(first, BLOCK.min(count - first));
                    let summed = Summed {
                        x: block.part(0, block.count()),
                        stride: block.stride(),
                        pairs: block.pairs,
                        pixels: block.count(),
                        channels: outputs,
                        reference: zeros.as_ptr(),
                        first: sums.part(at, outputs),
                        second: spare.part(slice * outputs, outputs),
                    };
                    #[expect(unsafe_code, reason = "call of a kernel")]
                    // SAFETY: the block was just checked to hold its pixels; each block has sums of its own.
                    unsafe {
                        kernels.sums(&summed);
                    }
                }
            }
        });
    }
    let bias = totals(&sums, outputs).into_iter().map(|sum| sum as f32).collect();
    WeightGradient { weight: added(passes, parts, size), stride, bias }
}

/// The sum of parts of `size` floats, in their order.
pub(super) fn added(passes: &Passes, parts: Floats, size: usize) -> Floats {
    if parts.len() == size {
        return parts;
    }
    const CHUNK: usize = 16 * 1024;
    let mut total = passes.memory.take(size);
    total.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, total)| {
        let (mut all, len) = (parts.chunks_exact(size), total.len());
        if let Some(first) = all.next() {
            total.copy_from_slice(&first[chunk * CHUNK..][..len]);
        }
        for part in all {
            total.iter_mut().zip(&part[chunk * CHUNK..][..len]).for_each(|(sum, &value)| *sum += value);
        }
    });
    total
}

impl WeightGradient {
    /// Gradients of the weights of some outputs and inputs, and of the biases of those outputs.
    pub(super) fn part(&self, outputs: Range<usize>, inputs: Range<usize>) -> (Vec<f32>, Vec<f32>) {
        (cut(&self.weight, self.stride, outputs.clone(), inputs), self.bias[outputs].to_vec())
    }
}
