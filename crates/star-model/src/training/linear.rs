//! 1x1 convolutions of all pixels of a batch, forward and back to their input.

use super::Passes;
use super::norm::{BLOCK, Norm, Sums};
use super::window::activate;
use crate::activation::Activation;
use crate::plan::kernels::gemm::{Run, Strip};
use crate::plan::kernels::gradients::Masked;
use crate::plan::kernels::pixels::Narrowed;
use crate::plan::memory::Buffer;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};
use crate::plan::ops::shared::{Shared, part};

/// Most inputs of one product.
const INPUTS: usize = 6;

/// The first `len` channels of pixels that are `stride` floats apart, normed first where there is a norm.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
    pub(super) len: usize,
    pub(super) norm: Option<&'a ScaleRelu>,
}

impl<'a> Input<'a> {
    /// All channels.
    pub(super) fn all(values: &'a [f32], channels: usize) -> Self {
        Self { values, stride: channels, len: channels, norm: None }
    }

    /// Floats of a pixel as a product reads them: pairs where it is in bf16.
    fn cells(&self, bf16: bool) -> usize {
        if bf16 { self.len.div_ceil(2) } else { self.len }
    }

    /// Writes `count` pixels from `pixel` on as pairs, normed first where there is a norm.
    fn pairs(&self, passes: &Passes, pixel: usize, count: usize, out: &mut [f32]) {
        let span = (count - 1) * self.stride + self.len;
        let x = part(self.values, pixel * self.stride, span);
        let (scale, shift) = self.norm.map_or((std::ptr::null(), std::ptr::null()), |norm| {
            assert!(norm.scale.len() >= self.len && norm.shift.len() >= self.len, "a norm of other channels");
            (norm.scale.as_ptr(), norm.shift.as_ptr())
        });
        assert!(out.len() >= count * self.cells(true), "scratch memory is too small");
        let (stride, channels, out) = (self.stride, self.len, out.as_mut_ptr());
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: `x` was checked to hold the pixels, the norm the channels and `out` the pairs.
        unsafe {
            let (pixels, cells) = (count, self.cells(true));
            passes.kernels.pairs(&Narrowed {
                x,
                paired: false,
                stride,
                pixels,
                channels,
                scale,
                shift,
                out,
                cells,
            });
        }
    }

    /// Scratch floats for `pixels` pixels.
    pub(super) fn scratch(&self, pixels: usize, bf16: bool) -> usize {
        if bf16 {
            return pixels * self.cells(true);
        }
        if self.norm.is_some() { pixels * self.stride } else { 0 }
    }

    /// Image `n` of `floats` floats, activated in `scratch` where there is a norm.
    pub(super) fn image<'s>(
        &'s self,
        passes: &Passes,
        n: usize,
        floats: usize,
        scratch: &'s mut Buffer,
    ) -> &'s [f32] {
        let values = &self.values[n * floats..][..floats];
        match self.norm {
            None => values,
            Some(norm) => {
                activate(passes, values, norm, scratch.take(floats));
                scratch.get(floats)
            }
        }
    }

    /// Where `count` pixels from `pixel` on are found, prepared in `scratch` where there is a norm.
    pub(super) fn pixels(
        &self,
        passes: &Passes,
        pixel: usize,
        count: usize,
        scratch: &mut [f32],
    ) -> *const f32 {
        let x = part(self.values, pixel * self.stride, count * self.stride);
        let Some(norm) = self.norm else { return x };
        assert!(
            norm.scale.len() == self.stride && norm.shift.len() == self.stride,
            "a norm of other channels"
        );
        assert!(scratch.len() >= count * self.stride, "scratch memory is too small");
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: `x` and scratch hold count rows, the norm a row, all checked just above.
        unsafe {
            let (scale, shift) = (norm.scale.as_ptr(), norm.shift.as_ptr());
            passes.kernels.scale_relu(x, count, self.stride, scale, shift, scratch.as_mut_ptr());
        }
        scratch.as_ptr()
    }
}

/// What becomes of the products of a block while they are at hand.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    Nothing,
    /// Summed for the norm behind them.
    Sums,
    /// They are the gradient of the activations of `x`: cut where the ReLU did, and summed for the norm's gradient.
    Mask {
        x: &'a [f32],
        norm: &'a Norm,
    },
}

/// Weights `weight(output, input)` of inputs side by side, so many each, in the order in which [`Linear`] reads them.
pub(super) fn panels(
    passes: &Passes,
    bias: &[f32],
    inputs: &[usize],
    weight: impl Fn(usize, usize) -> f32 + Sync,
) -> Panels {
    let lanes = passes.kernels.lanes();
    if passes.bf16 {
        let inputs: Vec<[usize; 2]> = inputs.iter().map(|&len| [len, len.div_ceil(2)]).collect();
        Panels::pairs(bias, &inputs, lanes, weight)
    } else {
        Panels::gathered(bias, inputs.iter().sum(), lanes, weight)
    }
}

/// `out = panels [inputs] + bias + add`.
pub(super) struct Linear<'a> {
    pub(super) pixels: usize,
    pub(super) inputs: &'a [Input<'a>],
    pub(super) panels: &'a Panels,
    pub(super) add: Residual<'a>,
    pub(super) finish: Finish<'a>,
}

impl Linear<'_> {
    /// Runs it into `out` `[pixels, panels.channels]`; the sums that `finish` asks for, or none.
    pub(super) fn run(&self, passes: &Passes, out: &mut [f32]) -> Sums {
        let (kernels, panels, channels) = (passes.kernels, self.panels, self.panels.channels);
        assert_eq!(
            self.inputs.iter().map(|input| input.cells(passes.bf16)).sum::<usize>(),
            panels.depth,
            "linear: inputs and weights differ in depth"
        );
        assert!(out.len() == self.pixels * channels && self.inputs.len() <= INPUTS, "linear: sizes");
        let summed = if matches!(self.finish, Finish::Nothing) { 0 } else { self.pixels };
        let mut sums = Sums::new(passes, summed, channels);
        let partial = (Shared::new(&mut sums.first), Shared::new(&mut sums.second));
        let out = Shared::new(out);
        passes.memory.each(self.pixels.div_ceil(BLOCK), |block, scratch| {
            let (pixel, count) = (block * BLOCK, BLOCK.min(self.pixels - block * BLOCK));
            let mut runs = [Run { x: std::ptr::null(), stride: 0, len: 0 }; INPUTS];
            let needed: usize = self.inputs.iter().map(|input| input.scratch(count, passes.bf16)).sum();
            let mut rest = scratch.take(needed);
            for (run, input) in runs.iter_mut().zip(self.inputs) {
                let (mine, others) = rest.split_at_mut(input.scratch(count, passes.bf16));
                *run = if passes.bf16 {
                    input.pairs(passes, pixel, count, mine);
                    let cells = input.cells(true);
                    Run { x: mine.as_ptr(), stride: cells, len: cells }
                } else {
                    Run { x: input.pixels(passes, pixel, count, mine), stride: input.stride, len: input.len }
                };
                rest = others;
            }
            let (at, span) = (pixel * channels, count * channels);
            let target = out.part(at, span);
            let (weights, bias) = panels.pointers(&(0..panels.count()));
            let strip = Strip {
                pairs: false,
                runs: &runs[..self.inputs.len()],
                pixels: count,
                weights,
                bias,
                channels,
                out: target,
                out_stride: channels,
                residual: self.add.pointer(target, at, span),
                residual_stride: channels,
                activation: Activation::None,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: every run, the panels, the output and what is added were checked to hold what the strip reads or writes;
            // blocks have disjoint pixels.
            unsafe {
                if passes.bf16 {
                    kernels.strip_bf16(&strip);
                } else {
                    kernels.strip(&strip);
                }
            }
            if summed == 0 {
                return;
            }
            let (first, second) =
                (partial.0.part(block * channels, channels), partial.1.part(block * channels, channels));
            match self.finish {
                Finish::Nothing => {}
                Finish::Sums => {
                    #[expect(unsafe_code, reason = "call of a kernel")]
                    // SAFETY: the block was just written; each block has sums of its own.
                    unsafe {
                        kernels.sums(target, channels, count, channels, target, first, second);
                    }
                }
                Finish::Mask { x, norm } => {
                    assert_eq!(norm.mean.len(), channels, "linear: a norm of other channels");
                    let masked = Masked {
                        x: part(x, at, span),
                        d: target,
                        pixels: count,
                        channels,
                        scale: norm.affine.scale.as_ptr(),
                        shift: norm.affine.shift.as_ptr(),
                        mean: norm.mean.as_ptr(),
                        first,
                        second,
                    };
                    #[expect(unsafe_code, reason = "call of a kernel")]
                    // SAFETY: `x` and the block hold count rows, the norm a row; each block has sums of its own.
                    unsafe {
                        kernels.mask(&masked);
                    }
                }
            }
        });
        sums
    }
}
