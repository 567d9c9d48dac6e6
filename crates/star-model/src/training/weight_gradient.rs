//! The gradients of a 1x1 convolution's weights and bias.

use std::ops::Range;

use rayon::prelude::*;

use super::Passes;
use super::linear::Input;
use super::memory::Floats;
use super::norm::{BLOCK, totals};
use super::parameters::cut;
use crate::plan::kernels::gradients::{Outer, outer_scratch};
use crate::plan::memory::Buffer;
use crate::plan::ops::shared::{Shared, part};

/// Pixels whose weight gradients are summed apart; at most [`SLICES`] times.
pub(super) const SLICE: usize = 512;

/// Most parts of a weight gradient: fixed, so that threads change nothing.
pub(super) const SLICES: usize = 8;

/// Gradients of a 1x1 convolution's weights and bias.
pub(super) struct WeightGradient {
    /// `[outputs, stride]`, the input's channels first.
    pub(super) weight: Floats,
    stride: usize,
    pub(super) bias: Vec<f32>,
}

/// From the gradient `d` (`[pixels, outputs]`) at the output of a convolution of `input`.
pub(super) fn weight_gradient(passes: &Passes, d: &[f32], outputs: usize, input: &Input) -> WeightGradient {
    let kernels = passes.kernels;
    let pixels = d.len() / outputs;
    let stride = input.len.next_multiple_of(kernels.lanes());
    assert!(stride <= input.stride && d.len() == pixels * outputs, "a weight gradient: sizes");
    let slices = pixels.div_ceil(SLICE).clamp(1, SLICES);
    let per_slice = pixels.div_ceil(slices).next_multiple_of(BLOCK);
    let (size, zeros) = (outputs * stride, vec![0.0; outputs]);
    let mut parts = passes.memory.zeros(slices * size);
    let mut sums = passes.memory.zeros(pixels.div_ceil(BLOCK) * outputs);
    let mut spare = passes.memory.take(slices * outputs);
    {
        let (parts, sums, spare) = (Shared::new(&mut parts), Shared::new(&mut sums), Shared::new(&mut spare));
        passes.memory.each(slices, |slice, scratch: &mut Buffer| {
            let end = ((slice + 1) * per_slice).min(pixels);
            for pixel in (slice * per_slice..end).step_by(BLOCK) {
                let count = BLOCK.min(end - pixel);
                let half = if passes.bf16 { count.div_ceil(2) } else { 0 };
                let width = if passes.bf16 { half } else { count };
                let copies = outer_scratch(width, outputs, kernels.lanes());
                let narrow = half * (stride + outputs);
                let scratch = scratch.take(narrow + copies + input.scratch(count, false));
                let (pairs, rest) = scratch.split_at_mut(narrow);
                let (copies, prepared) = rest.split_at_mut(copies);
                let x = input.pixels(passes, pixel, count, prepared);
                let d = part(d, pixel * outputs, count * outputs);
                let mut outer = Outer {
                    d,
                    d_stride: outputs,
                    d_row: 0,
                    x,
                    x_stride: input.stride,
                    x_row: 0,
                    rows: 1,
                    width,
                    outputs,
                    inputs: stride,
                    out: parts.part(slice * size, size),
                    out_stride: stride,
                    scratch: copies.as_mut_ptr(),
                };
                if passes.bf16 {
                    let (of_x, of_d) = pairs.split_at_mut(half * stride);
                    #[expect(unsafe_code, reason = "pixels by pointers")]
                    // SAFETY: `d` and `x` hold count pixels.
                    unsafe {
                        pair_line(passes, (d, outputs, count), outputs, of_d);
                        pair_line(passes, (x, input.stride, count), stride, of_x);
                    }
                    (outer.d, outer.x, outer.x_stride) = (of_d.as_ptr(), of_x.as_ptr(), stride);
                }
                #[expect(unsafe_code, reason = "calls of kernels")]
                // SAFETY: `d` and `x` hold count rows of at least `outputs` and `stride` values, each slice has a gradient of its own, each block its sums.
                unsafe {
                    if passes.bf16 {
                        kernels.outer_bf16(&outer);
                    } else {
                        kernels.outer(&outer);
                    }
                    let (first, second) =
                        (sums.part(pixel / BLOCK * outputs, outputs), spare.part(slice * outputs, outputs));
                    kernels.sums(d, outputs, count, outputs, zeros.as_ptr(), first, second);
                }
            }
        });
    }
    let bias = totals(&sums, outputs).into_iter().map(|sum| sum as f32).collect();
    WeightGradient { weight: added(passes, parts, size), stride, bias }
}

/// Pairs of neighbouring pixels in bf16, `channels` values each, until `out` is full: of a line of `count` pixels that are `stride` floats
/// apart, with zeros beyond its end.
///
/// # Safety
/// The line must hold its pixels.
#[expect(unsafe_code, reason = "pixels by pointers")]
pub(super) unsafe fn pair_line(
    passes: &Passes,
    (x, stride, count): (*const f32, usize, usize),
    channels: usize,
    out: &mut [f32],
) {
    const ZEROS: [f32; 64] = [0.0; 64];
    for (q, out) in out.chunks_exact_mut(channels).enumerate() {
        // SAFETY: a pixel before the end is inside the line; of zeros no more are read than there are; `out` takes the channels.
        unsafe {
            let pixel = |i: usize| (i < count).then(|| x.add(i * stride));
            match (pixel(2 * q), pixel(2 * q + 1)) {
                (Some(first), Some(second)) => {
                    passes.kernels.pair_pixels(first, second, channels, out.as_mut_ptr());
                }
                (first, _) => {
                    let step = passes.kernels.lanes();
                    for (i, out) in out.chunks_exact_mut(step).enumerate() {
                        let first = first.map_or(ZEROS.as_ptr(), |first| first.add(i * step));
                        passes.kernels.pair_pixels(first, ZEROS.as_ptr(), step, out.as_mut_ptr());
                    }
                }
            }
        }
    }
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
