//! One residual block: `y = s(x) + W3 r3(W2 * r2(W1 r1(x)))`, `r` being a batch norm with its ReLU, `*` the 3x3 convolution and `s` the
//! identity or a 1x1 convolution.
//!
//! Kept for the backward pass are the outputs of the first two convolutions and the norms; activations are recomputed, a block
//! of pixels at a time. Biases in front of a norm change nothing: their gradients are exactly 0.

use super::linear::{Finish, Input, Linear};
use super::memory::Floats;
use super::norm::{Norm, Sums};
use super::parameters::{ConvAt, Gradients, NormAt};
use super::spatial::Spatial;
use super::weight_gradient::weight_gradient;
use super::{Maps, Passes};
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::Residual;

/// Where the parameters of a block are.
pub(super) struct Block {
    pub(super) norms: [NormAt; 3],
    pub(super) convs: [ConvAt; 3],
    pub(super) skip: Option<ConvAt>,
}

/// What a forward pass leaves for its backward pass.
pub(super) struct Kept {
    norms: [Norm; 3],
    first: Floats,
    second: Floats,
}

impl Block {
    fn spatial<'a>(&self, passes: &Passes<'a>, maps: Maps) -> Spatial<'a> {
        let conv = self.convs[1];
        Spatial { maps, channels: conv.outputs, weight: passes.values[conv.weight] }
    }

    /// `x` is `[pixels, inputs]`, the result `[pixels, outputs]`.
    pub(super) fn forward(&self, passes: &Passes, maps: Maps, x: &[f32]) -> (Floats, Kept) {
        let pixels = maps.pixels();
        let [conv1, conv2, conv3] = self.convs;
        let lanes = passes.kernels.lanes();

        let norm1 = passes.norm(self.norms[0], x, &Sums::of(passes, x, conv1.inputs));
        let mut first = passes.memory.take(pixels * conv1.outputs);
        let linear = Linear {
            pixels,
            inputs: &[Input::normed(x, &norm1.affine)],
            panels: &Panels::pack(
                passes.values[conv1.weight],
                passes.values[conv1.bias],
                conv1.inputs,
                lanes,
            ),
            add: Residual::None,
            finish: Finish::Sums,
        };
        let sums = linear.run(passes, &mut first);
        let norm2 = passes.norm(self.norms[1], &first, &sums);

        let second =
            self.spatial(passes, maps).forward(passes, &first, &norm2.affine, passes.values[conv2.bias]);
        let norm3 = passes.norm(self.norms[2], &second, &Sums::of(passes, &second, conv2.outputs));

        let mut y = passes.memory.take(pixels * conv3.outputs);
        let last = Input::normed(&second, &norm3.affine);
        let (weight, bias) = (passes.values[conv3.weight], passes.values[conv3.bias]);
        if let Some(skip) = self.skip {
            let rows =
                weight.chunks_exact(conv3.inputs).zip(passes.values[skip.weight].chunks_exact(skip.inputs));
            let weights: Vec<f32> = rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
            let bias: Vec<f32> = bias.iter().zip(passes.values[skip.bias]).map(|(a, b)| a + b).collect();
            let panels = &Panels::pack(&weights, &bias, conv3.inputs + skip.inputs, lanes);
            let inputs = &[last, Input::all(x, skip.inputs)];
            Linear { pixels, inputs, panels, add: Residual::None, finish: Finish::Nothing }
                .run(passes, &mut y);
        } else {
            let panels = &Panels::pack(weight, bias, conv3.inputs, lanes);
            let inputs = &[last];
            Linear { pixels, inputs, panels, add: Residual::Other(x), finish: Finish::Nothing }
                .run(passes, &mut y);
        }
        (y, Kept { norms: [norm1, norm2, norm3], first, second })
    }

    /// From the gradient `dy` at the output to that at the input; parameters' gradients go to `gradients`.
    pub(super) fn backward(
        &self,
        passes: &Passes,
        maps: Maps,
        x: &[f32],
        kept: Kept,
        dy: Floats,
        gradients: &mut Gradients,
    ) -> Floats {
        let pixels = maps.pixels();
        let [conv1, conv2, conv3] = self.convs;
        let Kept { norms: [norm1, norm2, norm3], first, second } = kept;

        let third = weight_gradient(passes, &dy, conv3.outputs, &Input::normed(&second, &norm3.affine));
        gradients.conv(conv3, third.whole());
        if let Some(skip) = self.skip {
            gradients
                .conv(skip, weight_gradient(passes, &dy, skip.outputs, &Input::all(x, skip.inputs)).whole());
        }
        let mut d = passes.memory.take(pixels * conv3.inputs);
        let sums = passes.back(conv3, &dy, Finish::Mask { x: &second, norm: &norm3 }, Residual::None, &mut d);
        gradients.norm(passes, self.norms[2], &norm3, &sums).apply(passes, &second, &mut d, None);
        drop(second);

        let spatial = self.spatial(passes, maps);
        gradients.unbiased(conv2, spatial.weight_gradient(passes, &first, &norm2.affine, &d));
        let mut e = spatial.input_gradient(passes, &d);
        drop(d);
        let sums = norm2.mask(passes, &first, &mut e);
        gradients.norm(passes, self.norms[1], &norm2, &sums).apply(passes, &first, &mut e, None);
        drop(first);

        gradients.unbiased(
            conv1,
            weight_gradient(passes, &e, conv1.outputs, &Input::normed(x, &norm1.affine)).whole().0,
        );
        let mut dx = passes.memory.take(pixels * conv1.inputs);
        let sums = passes.back(conv1, &e, Finish::Mask { x, norm: &norm1 }, Residual::None, &mut dx);
        drop(e);
        let around = if self.skip.is_none() { Some(&*dy) } else { None };
        gradients.norm(passes, self.norms[0], &norm1, &sums).apply(passes, x, &mut dx, around);
        if let Some(skip) = self.skip {
            passes.back(skip, &dy, Finish::Nothing, Residual::InPlace, &mut dx);
        }
        dx
    }
}
