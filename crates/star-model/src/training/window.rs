//! Convolutions with a window: forward and input gradient by Winograd's tiles (small maps and strides: window by window; in bf16 with
//! registers of tiles: directly), weight gradient by tiles or tap by tap.

use super::linear::Input;
use super::memory::Floats;
use super::pixels::{Pixels, floats_of};
use super::tile_gradient::{tile_gradient, tiles};
use super::weight_gradient::{PIXELS_BF16, SLICE, SLICES, added};
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::kernels::gradients::Outer;
use crate::plan::memory::Buffer;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::Residual;
use crate::plan::ops::shared::{Shared, part};
use crate::plan::ops::window::Window as Windows;
use crate::plan::ops::winograd::Winograd;
use crate::plan::ops::{Machine, Stored};

/// Maps lower than this, or of fewer channels, are not worth Winograd's transforms.
const WINOGRAD_ROWS: usize = 8;
const WINOGRAD_CHANNELS: usize = 16;

/// Where Winograd is used, in `f32`, from so many channels or tiles on the weight gradient goes by tiles, too. Of 32 channels over 128
/// tiles nothing was gained; trainings of `docs/results` lie below, so that they can be repeated to the bit.
const GRADIENT_CHANNELS: usize = 64;
const GRADIENT_TILES: usize = 512;

/// Pixels a kernel call of the weight gradient in `f32`: what it reads stays in the first caches.
const PIXELS: usize = 128;

/// A convolution with "same" padding and what it works on; maps are channels-last, channels padded to whole registers.
pub(super) struct Window<'a> {
    /// Size of the input.
    pub(super) from: Maps,
    /// Size of the output.
    pub(super) to: Maps,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    /// `[outputs, inputs, kernel, kernel]`
    pub(super) weight: &'a [f32],
}

impl Window<'_> {
    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    fn channels(&self) -> usize {
        self.inputs.min(self.outputs)
    }

    fn winograd(&self, stride: usize) -> bool {
        let large = self.from.height >= WINOGRAD_ROWS && self.channels() >= WINOGRAD_CHANNELS;
        self.kernel == 3 && stride == 1 && large
    }

    /// Weights of the convolution forward: `depth` floats a pixel are read.
    fn forward_panels(&self, passes: &Passes, depth: usize, bias: &[f32]) -> Panels {
        let (taps, inputs, outputs, w) = (self.taps(), self.inputs, self.outputs, self.weight);
        let tap = |output: usize, input: usize, tap: usize| {
            if output < outputs && input < inputs { w[(output * inputs + input) * taps + tap] } else { 0.0 }
        };
        self.panels(passes, depth, bias, self.stride, tap)
    }

    /// Weights of the convolution from the gradient at the output to that at the input.
    fn back_panels(&self, passes: &Passes, depth: usize) -> Panels {
        let (taps, inputs, outputs, w) = (self.taps(), self.inputs, self.outputs, self.weight);
        let tap = |to: usize, from: usize, tap: usize| {
            if to < inputs && from < outputs { w[(from * inputs + to) * taps + taps - 1 - tap] } else { 0.0 }
        };
        self.panels(passes, depth, &vec![0.0; inputs], 1, tap)
    }

    fn panels(
        &self,
        passes: &Passes,
        depth: usize,
        bias: &[f32],
        stride: usize,
        tap: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Panels {
        let lanes = passes.kernels.lanes();
        if passes.has_tiles() {
            let inputs = vec![[depth, depth / 2]; self.taps()];
            Panels::pairs(bias, &inputs, lanes, |output, k| tap(output, k % depth, k / depth))
        } else if self.winograd(stride) {
            Panels::winograd_of(bias, depth, lanes, passes.bf16, tap)
        } else {
            Panels::gathered(bias, self.taps() * depth, lanes, |output, k| tap(output, k % depth, k / depth))
        }
    }

    /// Convolves one image of the input's size, into one of `pairs` or of floats. Without tiles `x` must be of floats and without a norm.
    fn image(
        &self,
        (passes, machine): (&Passes, &mut Machine),
        x: &Input,
        stride: usize,
        (panels, pairs): (&Panels, bool),
        out: &mut [f32],
    ) {
        let Maps { height, width, .. } = self.from;
        let (residual, activation, kernel) = (Residual::None, Activation::None, self.kernel);
        let (channels, input) = (x.x.channels, x.x.values);
        if passes.has_tiles() {
            let window =
                Windows { input, height, width, channels, kernel, stride, panels, residual, activation };
            let stored = Stored { input: x.x.pairs, output: pairs };
            window.run_bf16(stored, x.norm, machine, out);
            return;
        }
        assert!(!pairs && !x.x.pairs && x.norm.is_none(), "a convolution of pairs without tiles");
        if self.winograd(stride) {
            let bf16 = passes.bf16;
            Winograd { input, height, width, channels, panels, residual, activation, bf16 }.run(machine, out);
        } else {
            let windows =
                Windows { input, height, width, channels, kernel, stride, panels, residual, activation };
            windows.run(machine, out);
        }
    }

    /// The convolution of `x`, normed where it is, and `bias`, as `pairs` or as floats.
    pub(super) fn forward(&self, passes: &Passes, x: &Input, bias: &[f32], pairs: bool) -> Floats {
        let panels = self.forward_panels(passes, x.x.channels, bias);
        let (image, target) = (self.from.image(), self.to.image() * floats_of(panels.channels, pairs));
        assert_eq!(x.x.count(), self.from.pixels(), "a convolution: sizes");
        let mut out = passes.memory.take(self.to.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let mut x = x.range(n * image, image);
            let ready = scratch.take(if passes.has_tiles() { 0 } else { x.scratch(image, false) });
            if !ready.is_empty() {
                x.x.to_floats(passes, x.norm, ready);
                x = Input::all(Pixels::floats(ready, x.x.channels));
            }
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| {
                    self.image((passes, machine), &x, self.stride, (&panels, pairs), out)
                });
            }
        });
        out
    }

    /// From the gradient `d` at the output to that at the input of `channels` values a pixel, as `pairs` or as floats.
    pub(super) fn input_gradient(
        &self,
        passes: &Passes,
        d: Pixels,
        (channels, pairs): (usize, bool),
    ) -> Floats {
        let panels = self.back_panels(passes, d.channels);
        let target = self.from.image() * floats_of(channels, pairs);
        assert_eq!(panels.channels, channels, "a convolution's gradient: sizes");
        let mut out = passes.memory.take(self.from.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let mut d = d.range(n * self.to.image(), self.to.image());
            if self.stride != 1 {
                d.values = spread((self.from, self.to), self.stride, d.values, d.stride(), scratch);
            }
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| {
                    self.image((passes, machine), &Input::all(d), 1, (&panels, pairs), out)
                });
            }
        });
        out
    }

    /// From the gradient `d` at the output to that of the weights, `[outputs, inputs, kernel, kernel]`.
    pub(super) fn weight_gradient(&self, passes: &Passes, x: &Input, d: Pixels) -> Vec<f32> {
        let large = self.channels() >= GRADIENT_CHANNELS || tiles(self.from) >= GRADIENT_TILES;
        let total = if !passes.bf16 && self.winograd(self.stride) && large {
            tile_gradient(passes, self.from, x, d, self.outputs)
        } else {
            self.tap_gradient(passes, x, d)
        };
        let (taps, pitch) = (self.taps(), x.x.channels);
        let mut weight = vec![0.0; self.outputs * self.inputs * taps];
        for (tap, matrix) in total.chunks_exact((self.outputs * pitch).max(1)).enumerate() {
            for (output, row) in matrix.chunks_exact(pitch).enumerate() {
                let to = weight[output * self.inputs * taps + tap..].iter_mut().step_by(taps);
                to.zip(&row[..self.inputs]).for_each(|(to, &from)| *to = from);
            }
        }
        weight
    }

    /// The weights' gradient tap by tap, `[taps, outputs, pitch]`.
    pub(super) fn tap_gradient(&self, passes: &Passes, x: &Input, d: Pixels) -> Floats {
        let (from, to, pitch, taps) = (self.from, self.to, x.x.channels, self.taps());
        let (depth, s) = (d.channels, self.stride);
        let matrix = self.outputs * pitch;
        let size = taps * matrix;
        // Stretches of rows, as many as there are parts to sum; small batches cut their images up.
        let most = to.pixels().div_ceil(SLICE).clamp(1, SLICES);
        let cuts = most.div_ceil(to.images).min(to.height);
        let rows = to.height.div_ceil(cuts);
        let per_slice = (to.images * cuts).div_ceil(most);
        let slices = (to.images * cuts).div_ceil(per_slice);
        let mut parts = passes.memory.take(slices * size);
        {
            let parts = Shared::new(&mut parts);
            passes.memory.each(slices, |slice, scratch| {
                let out = parts.part(slice * size, size);
                let mut fresh = true;
                for piece in slice * per_slice..((slice + 1) * per_slice).min(to.images * cuts) {
                    let (n, top) = (piece / cuts, piece % cuts * rows);
                    let end = (top + rows).min(to.height);
                    let image = x.range(n * from.image(), from.image());
                    let bf16 = passes.bf16 && s == 1;
                    let most = if bf16 { PIXELS_BF16 } else { PIXELS };
                    let step = (most / to.width).max(1);
                    for row in (top..end.max(top)).step_by(step) {
                        let count = step.min(end - row);
                        let line = (from.width + 2 * (self.kernel / 2)) * pitch;
                        let lines = (count - 1) * s + self.kernel;
                        let half = to.width.div_ceil(2);
                        // Of each line the pairs that begin at even pixels, then those at odd ones, as many as the last tap reads.
                        let cells = half + self.kernel / 2;
                        let d = d.range((n * to.height + row) * to.width, count * to.width);
                        let width_of_d = if bf16 { half } else { to.width };
                        let of_d = if bf16 || d.pairs { count * width_of_d * depth } else { 0 };
                        let of_x = if bf16 { 2 * lines * cells * pitch } else { 0 };
                        let (halo, pairs) =
                            scratch.take(lines * line + of_x + of_d).split_at_mut(lines * line);
                        let (of_x, of_d) = pairs.split_at_mut(of_x);
                        self.fill_halo(passes, &image, row * s, line, halo);
                        if bf16 {
                            pair_halo(passes, halo, line, pitch, of_x);
                            for (y, of_d) in of_d.chunks_exact_mut(half * depth).enumerate() {
                                let row = d.range(y * to.width, to.width);
                                row.to_pairs_of_pixels(passes, None, depth, of_d);
                            }
                        } else if d.pairs {
                            d.to_floats(passes, None, of_d);
                        }
                        let from_d = if of_d.is_empty() { d.values } else { &*of_d };
                        for tap in 0..taps {
                            let (ky, kx) = (tap / self.kernel, tap % self.kernel);
                            let reach = (count - 1) * s * line + ((to.width - 1) * s + 1) * pitch;
                            let mut outer = Outer {
                                d: part(from_d, 0, count * width_of_d * depth),
                                d_stride: depth,
                                d_row: width_of_d * depth,
                                x: part(halo, ky * line + kx * pitch, reach),
                                x_stride: s * pitch,
                                x_row: s * line,
                                rows: count,
                                width: width_of_d,
                                outputs: self.outputs,
                                inputs: pitch,
                                #[expect(unsafe_code, reason = "a part of a part")]
                                // SAFETY: `out` holds a matrix for each tap.
                                out: unsafe { out.add(tap * matrix) },
                                out_stride: pitch,
                                fresh,
                                scratch: std::ptr::null_mut(),
                            };
                            if bf16 {
                                let at = ((2 * ky + kx % 2) * cells + kx / 2) * pitch;
                                let reach = 2 * (count - 1) * cells * pitch + half * pitch;
                                (outer.x, outer.x_stride) = (part(of_x, at, reach), pitch);
                                outer.x_row = 2 * cells * pitch;
                            }
                            #[expect(unsafe_code, reason = "call of a kernel")]
                            // SAFETY: `d` and `x` were checked to hold the rows; each slice has a gradient of its own.
                            unsafe {
                                if bf16 {
                                    passes.kernels.outer_bf16(&outer);
                                } else {
                                    passes.kernels.outer(&outer);
                                }
                            }
                        }
                        fresh = false;
                    }
                }
                if fresh {
                    #[expect(unsafe_code, reason = "parts are written by different threads")]
                    // SAFETY: each is written by one task.
                    unsafe {
                        parts.with_part(slice, size, |part| part.fill(0.0));
                    }
                }
            });
        }
        added(passes, parts, size)
    }

    /// Rows of one image's activations from `kernel / 2` above `row` on in a frame of zeros, as many as `halo` holds.
    fn fill_halo(&self, passes: &Passes, image: &Input, row: usize, line: usize, halo: &mut [f32]) {
        let (pitch, Maps { height, width, .. }) = (image.x.channels, self.from);
        let border = self.kernel / 2;
        for (i, to) in halo.chunks_exact_mut(line).enumerate() {
            let y = (row + i).wrapping_sub(border);
            if y >= height {
                to.fill(0.0);
                continue;
            }
            to[..border * pitch].fill(0.0);
            to[(border + width) * pitch..].fill(0.0);
            image.x.range(y * width, width).to_floats(passes, image.norm, &mut to[border * pitch..]);
        }
    }
}

/// Of each line of `halo` the pairs in bf16 that begin at even pixels, then those that begin at odd ones, as many as `out` takes.
fn pair_halo(passes: &Passes, halo: &[f32], line: usize, pitch: usize, out: &mut [f32]) {
    let each = out.len() / (halo.len() / line);
    for (line, out) in halo.chunks_exact(line).zip(out.chunks_exact_mut(each)) {
        let (even, odd) = out.split_at_mut(each / 2);
        // As many pixels as there is room for.
        let first = |line, out: &mut [f32]| {
            let pixels = Pixels::floats(line, pitch);
            let count = pixels.count().min(out.len() / pitch * 2);
            pixels.range(0, count).to_pairs_of_pixels(passes, None, pitch, out);
        };
        first(line, even);
        first(&line[pitch..], odd);
    }
}

/// The gradient `d` by an image of size `to` among zeros in one of size `from`: between the outputs of a convolution with a stride lie
/// those that it left out.
pub(super) fn spread<'a>(
    (from, to): (Maps, Maps),
    stride: usize,
    d: &[f32],
    depth: usize,
    scratch: &'a mut Buffer,
) -> &'a [f32] {
    let all = scratch.take(from.image() * depth);
    all.fill(0.0);
    for (y, row) in d.chunks_exact(to.width * depth).enumerate() {
        let line = &mut all[y * stride * from.width * depth..];
        for (to, pixel) in line.chunks_mut(stride * depth).zip(row.chunks_exact(depth)) {
            to[..depth].copy_from_slice(pixel);
        }
    }
    scratch.get(from.image() * depth)
}
