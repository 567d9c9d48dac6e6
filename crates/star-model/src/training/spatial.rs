//! 3x3 convolutions behind a norm: forward and input gradient by Winograd's tiles (small maps: window by window), weight gradient tap by tap.

use super::memory::Floats;
use super::weight_gradient::{SLICE, SLICES, added};
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::kernels::gradients::Outer;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};
use crate::plan::ops::shared::{Shared, part};
use crate::plan::ops::window::Window;
use crate::plan::ops::winograd::Winograd;

/// Taps of a window.
const TAPS: usize = 9;

/// Maps lower than this, or of fewer channels, are not worth Winograd's transforms.
const WINOGRAD_ROWS: usize = 8;
const WINOGRAD_CHANNELS: usize = 32;

/// Pixels a kernel call of the weight gradient: what it reads stays in the first caches.
const PIXELS: usize = 128;

/// Which way a convolution goes.
#[derive(Clone, Copy)]
enum Direction {
    Forward,
    /// From the gradient at the output to that at the input.
    Backward,
}

/// A 3x3 convolution that keeps size and number of maps, and what it works on.
pub(super) struct Spatial<'a> {
    pub(super) maps: Maps,
    pub(super) channels: usize,
    /// `[channels, channels, 3, 3]`
    pub(super) weight: &'a [f32],
}

impl Spatial<'_> {
    fn winograd(&self) -> bool {
        self.maps.height >= WINOGRAD_ROWS && self.channels >= WINOGRAD_CHANNELS
    }

    /// Packs weights `[outputs, inputs, taps]` of the convolution in one direction.
    fn panels(&self, lanes: usize, bias: &[f32], direction: Direction) -> Panels {
        let (c, w) = (self.channels, self.weight);
        let tap = |output: usize, input: usize, tap: usize| match direction {
            Direction::Forward => w[(output * c + input) * TAPS + tap],
            Direction::Backward => w[(input * c + output) * TAPS + TAPS - 1 - tap],
        };
        if self.winograd() {
            Panels::winograd_of(bias, c, lanes, tap)
        } else {
            Panels::gathered(bias, TAPS * c, lanes, |output, k| tap(output, k % c, k / c))
        }
    }

    /// Convolves `max(0, norm(x))`, or `x` itself, into `out`.
    fn convolve(
        &self,
        passes: &Passes,
        x: &[f32],
        norm: Option<&ScaleRelu>,
        panels: &Panels,
        out: &mut [f32],
    ) {
        let Maps { images, height, width } = self.maps;
        let image = height * width * self.channels;
        assert!(x.len() == images * image && out.len() == x.len(), "spatial: sizes");
        let out = Shared::new(out);
        passes.each_image(images, |n, machine, scratch| {
            let x = &x[n * image..][..image];
            let input = match norm {
                None => x,
                Some(norm) => {
                    activate(passes, x, norm, scratch.take(image));
                    scratch.get(image)
                }
            };
            #[expect(unsafe_code, reason = "images are written by different threads")]
            // SAFETY: `part` checked the length; each image is written by one task.
            let out = unsafe { std::slice::from_raw_parts_mut(out.part(n * image, image), image) };
            let (residual, activation) = (Residual::None, Activation::None);
            if self.winograd() {
                Winograd { input, height, width, panels, residual, activation }.run(machine, out);
            } else {
                let channels = self.channels;
                let window = Window {
                    input,
                    height,
                    width,
                    channels,
                    kernel: 3,
                    stride: 1,
                    panels,
                    residual,
                    activation,
                };
                window.run(machine, out);
            }
        });
    }

    /// The convolution of `max(0, norm(x))`, and `bias`.
    pub(super) fn forward(&self, passes: &Passes, x: &[f32], norm: &ScaleRelu, bias: &[f32]) -> Floats {
        let mut out = passes.memory.take(x.len());
        let panels = self.panels(passes.kernels.lanes(), bias, Direction::Forward);
        self.convolve(passes, x, Some(norm), &panels, &mut out);
        out
    }

    /// From the gradient `d` at the output to that of the activations.
    pub(super) fn input_gradient(&self, passes: &Passes, d: &[f32]) -> Floats {
        let mut out = passes.memory.take(d.len());
        let panels = self.panels(passes.kernels.lanes(), &vec![0.0; self.channels], Direction::Backward);
        self.convolve(passes, d, None, &panels, &mut out);
        out
    }

    /// From the gradient `d` at the output to that of the weights, `[channels, channels, 3, 3]`.
    pub(super) fn weight_gradient(
        &self,
        passes: &Passes,
        x: &[f32],
        norm: &ScaleRelu,
        d: &[f32],
    ) -> Vec<f32> {
        let Maps { images, height, width } = self.maps;
        let c = self.channels;
        let size = TAPS * c * c;
        // Stretches of rows, as many as there are parts to sum; small batches cut their images up.
        let most = (images * height * width).div_ceil(SLICE).clamp(1, SLICES);
        let cuts = most.div_ceil(images).min(height);
        let rows = height.div_ceil(cuts);
        let per_slice = (images * cuts).div_ceil(most);
        let slices = (images * cuts).div_ceil(per_slice);
        let mut parts = passes.memory.zeros(slices * size);
        {
            let parts = Shared::new(&mut parts);
            passes.memory.each(slices, |slice, scratch| {
                let out = parts.part(slice * size, size);
                for piece in slice * per_slice..((slice + 1) * per_slice).min(images * cuts) {
                    let (n, top) = (piece / cuts, piece % cuts * rows);
                    let end = (top + rows).min(height);
                    let image = n * height * width * c;
                    let step = (PIXELS / width).max(1);
                    for row in (top..end.max(top)).step_by(step) {
                        let count = step.min(end - row);
                        let padded = (width + 2) * c;
                        let halo = scratch.take((count + 2) * padded);
                        fill_halo(passes, &x[image..][..height * width * c], (height, width), row, norm, halo);
                        for tap in 0..TAPS {
                            let outer = Outer {
                                d: part(d, image + row * width * c, count * width * c),
                                d_stride: c,
                                d_row: width * c,
                                x: part(halo, tap / 3 * padded + tap % 3 * c, (count - 1) * padded + width * c),
                                x_stride: c,
                                x_row: padded,
                                rows: count,
                                width,
                                outputs: c,
                                inputs: c,
                                #[expect(unsafe_code, reason = "a part of a part")]
                                // SAFETY: `out` holds a matrix for each tap.
                                out: unsafe { out.add(tap * c * c) },
                                out_stride: c,
                            };
                            #[expect(unsafe_code, reason = "call of a kernel")]
                            // SAFETY: `d` and `x` were checked to hold the rows; each slice has a gradient of its own.
                            unsafe {
                                passes.kernels.outer(&outer);
                            }
                        }
                    }
                }
            });
        }
        let total = added(passes, parts, size);
        let mut weight = vec![0.0; size];
        for (tap, matrix) in total.chunks_exact(c * c).enumerate() {
            weight[tap..].iter_mut().step_by(TAPS).zip(matrix).for_each(|(to, &from)| *to = from);
        }
        weight
    }
}

/// `max(0, scale x + shift)` of whole pixels.
fn activate(passes: &Passes, x: &[f32], norm: &ScaleRelu, out: &mut [f32]) {
    let channels = norm.scale.len();
    assert!(out.len() == x.len() && norm.shift.len() == channels, "a norm of other channels");
    #[expect(unsafe_code, reason = "call of a kernel")]
    // SAFETY: both hold the same number of whole pixels, the norm one value a channel.
    unsafe {
        let (scale, shift) = (norm.scale.as_ptr(), norm.shift.as_ptr());
        passes.kernels.scale_relu(x.as_ptr(), x.len() / channels, channels, scale, shift, out.as_mut_ptr());
    }
}

/// Activations of the rows from `row - 1` on in a frame of zeros, as many as `halo` holds.
fn fill_halo(
    passes: &Passes,
    image: &[f32],
    (height, width): (usize, usize),
    row: usize,
    norm: &ScaleRelu,
    halo: &mut [f32],
) {
    let c = norm.scale.len();
    for (i, line) in halo.chunks_exact_mut((width + 2) * c).enumerate() {
        let y = (row + i).wrapping_sub(1);
        if y >= height {
            line.fill(0.0);
            continue;
        }
        line[..c].fill(0.0);
        line[(width + 1) * c..].fill(0.0);
        activate(passes, &image[y * width * c..][..width * c], norm, &mut line[c..(width + 1) * c]);
    }
}
