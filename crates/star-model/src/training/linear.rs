//! 1x1 convolutions of all pixels of a batch, forward and back to their input.

use super::Passes;
use super::norm::{BLOCK, Norm, Sums};
use super::pixels::{Pixels, floats_of};
use crate::activation::Activation;
use crate::plan::kernels::gemm::{Run, Strip};
use crate::plan::kernels::gradients::Masked;
use crate::plan::kernels::maps::Summed;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};
use crate::plan::ops::shared::Shared;

/// Most inputs of one product.
const INPUTS: usize = 6;

/// The first `len` channels of pixels, normed first where there is a norm.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) x: Pixels<'a>,
    pub(super) len: usize,
    pub(super) norm: Option<&'a ScaleRelu>,
}

impl<'a> Input<'a> {
    /// All channels.
    pub(super) fn all(x: Pixels<'a>) -> Self {
        Self { x, len: x.channels, norm: None }
    }

    /// `count` pixels from `first` on.
    pub(super) fn range(&self, first: usize, count: usize) -> Self {
        Self { x: self.x.range(first, count), ..*self }
    }

    /// Floats of a pixel as a product reads them: pairs where it is in bf16.
    fn cells(&self, bf16: bool) -> usize {
        if bf16 { self.len.div_ceil(2) } else { self.len }
    }

    /// Scratch floats for `pixels` pixels.
    pub(super) fn scratch(&self, pixels: usize, bf16: bool) -> usize {
        match (bf16, self.norm) {
            (true, None) if self.x.pairs => 0,
            (true, _) => pixels * self.cells(true),
            (false, None) if !self.x.pairs => 0,
            (false, _) => pixels * self.x.channels,
        }
    }

    /// All pixels as a product reads them: as they lie, or made ready in `scratch`.
    fn run(&self, passes: &Passes, bf16: bool, scratch: &mut [f32]) -> Run {
        let len = self.cells(bf16);
        if self.scratch(1, bf16) == 0 {
            return Run { x: self.x.part(0, self.x.count()), stride: self.x.stride(), len };
        }
        let stride = if bf16 {
            self.x.to_pairs(passes, self.norm, self.len, scratch);
            len
        } else {
            self.x.to_floats(passes, self.norm, scratch);
            self.x.channels
        };
        Run { x: scratch.as_ptr(), stride, len }
    }

    /// All pixels as floats: as they lie, or made ready in `scratch`.
    pub(super) fn ready<'s>(&'s self, passes: &Passes, scratch: &'s mut [f32]) -> &'s [f32] {
        if self.scratch(1, false) == 0 {
            return self.x.values;
        }
        self.x.to_floats(passes, self.norm, scratch);
        scratch
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
        x: Pixels<'a>,
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
    /// Whether `out`, what is added and what it is cut by are of pairs in bf16.
    pub(super) pairs: bool,
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
        let stride = floats_of(channels, self.pairs);
        assert!(out.len() == self.pixels * stride && self.inputs.len() <= INPUTS, "linear: sizes");
        assert!(passes.bf16 || !self.pairs, "linear: pairs of a product of floats");
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
                *run = input.range(pixel, count).run(passes, passes.bf16, mine);
                rest = others;
            }
            let (at, span) = (pixel * stride, count * stride);
            let target = out.part(at, span);
            let (weights, bias) = panels.pointers(&(0..panels.count()));
            let strip = Strip {
                pairs: self.pairs,
                runs: &runs[..self.inputs.len()],
                pixels: count,
                weights,
                bias,
                channels,
                out: target,
                out_stride: stride,
                residual: self.add.pointer(target, at, span),
                residual_stride: stride,
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
                    let (x, reference, pairs) = (target.cast_const(), target.cast_const(), self.pairs);
                    let summed =
                        Summed { x, stride, pairs, pixels: count, channels, reference, first, second };
                    #[expect(unsafe_code, reason = "call of a kernel")]
                    // SAFETY: the block was just written; each block has sums of its own.
                    unsafe {
                        kernels.sums(&summed);
                    }
                }
                Finish::Mask { x, norm } => {
                    let fits = [norm.mean.len(), x.channels] == [channels; 2] && x.pairs == self.pairs;
                    assert!(fits, "linear: a norm of other channels");
                    let masked = Masked {
                        x: x.part(pixel, count),
                        d: target,
                        pairs: self.pairs,
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
