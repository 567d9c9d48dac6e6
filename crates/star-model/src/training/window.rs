//! Convolutions with a window: forward and input gradient by Winograd's tiles (small maps and strides: window by window; in bf16 with
//! registers of tiles: directly), weight gradient by tiles or tap by tap.

use super::linear::Input;
use super::memory::Floats;
use super::tile_gradient::{tile_gradient, tiles};
use super::weight_gradient::{SLICE, SLICES, added, pair_line};
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::kernels::gradients::Outer;
use crate::plan::memory::Buffer;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};
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

/// Pixels a kernel call of the weight gradient: what it reads stays in the first caches.
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
        if passes.bf16 && passes.kernels.has_tiles() {
            let inputs = vec![[depth, depth / 2]; self.taps()];
            Panels::pairs(bias, &inputs, lanes, |output, k| tap(output, k % depth, k / depth))
        } else if self.winograd(stride) {
            Panels::winograd_of(bias, depth, lanes, passes.bf16, tap)
        } else {
            Panels::gathered(bias, self.taps() * depth, lanes, |output, k| tap(output, k % depth, k / depth))
        }
    }

    /// Convolves one image of the input's size with `channels` floats a pixel.
    fn image(
        &self,
        machine: &mut Machine,
        (input, channels): (&[f32], usize),
        stride: usize,
        (panels, bf16): (&Panels, bool),
        out: &mut [f32],
    ) {
        let Maps { height, width, .. } = self.from;
        let (residual, activation, kernel) = (Residual::None, Activation::None, self.kernel);
        if bf16 && machine.kernels.has_tiles() {
            let window =
                Windows { input, height, width, channels, kernel, stride, panels, residual, activation };
            window.run_bf16(Stored::default(), machine, out);
        } else if self.winograd(stride) {
            Winograd { input, height, width, channels, panels, residual, activation, bf16 }.run(machine, out);
        } else {
            let windows =
                Windows { input, height, width, channels, kernel, stride, panels, residual, activation };
            windows.run(machine, out);
        }
    }

    /// The convolution of `x`, normed where it is, and `bias`.
    pub(super) fn forward(&self, passes: &Passes, x: &Input, bias: &[f32]) -> Floats {
        let panels = self.forward_panels(passes, x.stride, bias);
        let (image, target) = (self.from.image() * x.stride, self.to.image() * panels.channels);
        assert!(x.values.len() == self.from.images * image, "a convolution: sizes");
        let mut out = passes.memory.take(self.to.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let input = (x.image(passes, n, image, scratch), x.stride);
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| {
                    self.image(machine, input, self.stride, (&panels, passes.bf16), out)
                });
            }
        });
        out
    }

    /// From the gradient `d` at the output to that at the input, whose pixels are `pitch` floats apart.
    pub(super) fn input_gradient(&self, passes: &Passes, d: &[f32], pitch: usize) -> Floats {
        let depth = d.len() / self.to.pixels();
        let panels = self.back_panels(passes, depth);
        let (image, target) = (self.to.image() * depth, self.from.image() * pitch);
        assert_eq!(panels.channels, pitch, "a convolution's gradient: sizes");
        let mut out = passes.memory.take(self.from.images * target);
        let shared = Shared::new(&mut out);
        passes.each_image(self.from.images, |n, machine, scratch| {
            let d = &d[n * image..][..image];
            let input = if self.stride == 1 {
                d
            } else {
                spread((self.from, self.to), self.stride, d, depth, scratch)
            };
            #[expect(unsafe_code, reason = "parts are written by different threads")]
            // SAFETY: each is written by one task.
            unsafe {
                shared.with_part(n, target, |out| {
                    self.image(machine, (input, depth), 1, (&panels, passes.bf16), out)
                });
            }
        });
        out
    }

    /// From the gradient `d` at the output to that of the weights, `[outputs, inputs, kernel, kernel]`.
    pub(super) fn weight_gradient(&self, passes: &Passes, x: &Input, d: &[f32]) -> Vec<f32> {
        let depth = d.len() / self.to.pixels();
        let large = self.channels() >= GRADIENT_CHANNELS || tiles(self.from) >= GRADIENT_TILES;
        let total = if !passes.bf16 && self.winograd(self.stride) && large {
            tile_gradient(passes, self.from, x, (d, depth), self.outputs)
        } else {
            self.tap_gradient(passes, x, d)
        };
        let (taps, pitch) = (self.taps(), x.stride);
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
    pub(super) fn tap_gradient(&self, passes: &Passes, x: &Input, d: &[f32]) -> Floats {
        let (from, to, pitch, taps) = (self.from, self.to, x.stride, self.taps());
        let (depth, s) = (d.len() / to.pixels(), self.stride);
        let matrix = self.outputs * pitch;
        let size = taps * matrix;
        // Stretches of rows, as many as there are parts to sum; small batches cut their images up.
        let most = to.pixels().div_ceil(SLICE).clamp(1, SLICES);
        let cuts = most.div_ceil(to.images).min(to.height);
        let rows = to.height.div_ceil(cuts);
        let per_slice = (to.images * cuts).div_ceil(most);
        let slices = (to.images * cuts).div_ceil(per_slice);
        let mut parts = passes.memory.zeros(slices * size);
        {
            let parts = Shared::new(&mut parts);
            passes.memory.each(slices, |slice, scratch| {
                let out = parts.part(slice * size, size);
                for piece in slice * per_slice..((slice + 1) * per_slice).min(to.images * cuts) {
                    let (n, top) = (piece / cuts, piece % cuts * rows);
                    let end = (top + rows).min(to.height);
                    let image = &x.values[n * from.image() * pitch..][..from.image() * pitch];
                    let step = (PIXELS / to.width).max(1);
                    for row in (top..end.max(top)).step_by(step) {
                        let count = step.min(end - row);
                        let line = (from.width + 2 * (self.kernel / 2)) * pitch;
                        let lines = (count - 1) * s + self.kernel;
                        let bf16 = passes.bf16 && s == 1;
                        let half = to.width.div_ceil(2);
                        // Of each line the pairs that begin at even pixels, then those at odd ones, as many as the last tap reads.
                        let cells = half + self.kernel / 2;
                        let pairs = if bf16 { 2 * lines * cells * pitch + count * half * depth } else { 0 };
                        let all = scratch.take(lines * line + pairs);
                        let (halo, pairs) = all.split_at_mut(lines * line);
                        self.fill_halo(passes, image, x, row * s, line, halo);
                        let (of_x, of_d) = pairs.split_at_mut(if bf16 { 2 * lines * cells * pitch } else { 0 });
                        if bf16 {
                            let d = &d[(n * to.height + row) * to.width * depth..];
                            let d = &d[..count * to.width * depth];
                            pair_halo(passes, halo, line, pitch, of_x);
                            pair_rows(passes, d, to.width, depth, of_d);
                        }
                        for tap in 0..taps {
                            let (ky, kx) = (tap / self.kernel, tap % self.kernel);
                            let reach = (count - 1) * s * line + ((to.width - 1) * s + 1) * pitch;
                            let mut outer = Outer {
                                d: part(d, ((n * to.height + row) * to.width) * depth, count * to.width * depth),
                                d_stride: depth,
                                d_row: to.width * depth,
                                x: part(halo, ky * line + kx * pitch, reach),
                                x_stride: s * pitch,
                                x_row: s * line,
                                rows: count,
                                width: to.width,
                                outputs: self.outputs,
                                inputs: pitch,
                                #[expect(unsafe_code, reason = "a part of a part")]
                                // SAFETY: `out` holds a matrix for each tap.
                                out: unsafe { out.add(tap * matrix) },
                                out_stride: pitch,
                                scratch: std::ptr::null_mut(),
                            };
                            if bf16 {
                                let at = ((2 * ky + kx % 2) * cells + kx / 2) * pitch;
                                let reach = 2 * (count - 1) * cells * pitch + half * pitch;
                                (outer.x, outer.x_stride) = (part(of_x, at, reach), pitch);
                                outer.x_row = 2 * cells * pitch;
                                (outer.d, outer.d_row, outer.width) = (of_d.as_ptr(), half * depth, half);
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
                    }
                }
            });
        }
        added(passes, parts, size)
    }

    /// Rows of one image's activations from `kernel / 2` above `row` on in a frame of zeros, as many as `halo` holds.
    fn fill_halo(
        &self,
        passes: &Passes,
        image: &[f32],
        x: &Input,
        row: usize,
        line: usize,
        halo: &mut [f32],
    ) {
        let (border, pitch, Maps { height, width, .. }) = (self.kernel / 2, x.stride, self.from);
        for (i, to) in halo.chunks_exact_mut(line).enumerate() {
            let y = (row + i).wrapping_sub(border);
            if y >= height {
                to.fill(0.0);
                continue;
            }
            to[..border * pitch].fill(0.0);
            to[(border + width) * pitch..].fill(0.0);
            let (from, to) = (&image[y * width * pitch..][..width * pitch], &mut to[border * pitch..]);
            match x.norm {
                Some(norm) => activate(passes, from, norm, &mut to[..width * pitch]),
                None => to[..width * pitch].copy_from_slice(from),
            }
        }
    }
}

/// Of each line of `halo` the pairs in bf16 that begin at even pixels, then those that begin at odd ones, as many as `out` takes.
fn pair_halo(passes: &Passes, halo: &[f32], line: usize, pitch: usize, out: &mut [f32]) {
    let each = out.len() / (halo.len() / line);
    for (line, out) in halo.chunks_exact(line).zip(out.chunks_exact_mut(each)) {
        let (even, odd) = out.split_at_mut(each / 2);
        let count = line.len() / pitch;
        #[expect(unsafe_code, reason = "pixels by pointers")]
        // SAFETY: a line holds `count` pixels of `pitch` floats.
        unsafe {
            pair_line(passes, (line.as_ptr(), pitch, count), pitch, even);
            pair_line(passes, (line[pitch..].as_ptr(), pitch, count - 1), pitch, odd);
        }
    }
}

/// Rows of `width` pixels of `depth` floats as pairs in bf16.
fn pair_rows(passes: &Passes, rows: &[f32], width: usize, depth: usize, out: &mut [f32]) {
    let row = width * depth;
    for (row, out) in rows.chunks_exact(row).zip(out.chunks_exact_mut(width.div_ceil(2) * depth)) {
        #[expect(unsafe_code, reason = "pixels by pointers")]
        // SAFETY: a row holds its pixels.
        unsafe {
            pair_line(passes, (row.as_ptr(), depth, width), depth, out);
        }
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

/// `max(0, scale x + shift)` of whole pixels.
pub(super) fn activate(passes: &Passes, x: &[f32], norm: &ScaleRelu, out: &mut [f32]) {
    let channels = norm.scale.len();
    assert!(out.len() == x.len() && norm.shift.len() == channels, "a norm of other channels");
    #[expect(unsafe_code, reason = "call of a kernel")]
    // SAFETY: both hold the same number of whole pixels, the norm one value a channel.
    unsafe {
        let (scale, shift) = (norm.scale.as_ptr(), norm.shift.as_ptr());
        passes.kernels.scale_relu(x.as_ptr(), x.len() / channels, channels, scale, shift, out.as_mut_ptr());
    }
}
