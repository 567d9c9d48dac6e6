//! The residual blocks of an HRNet: two 3x3 convolutions, or a bottleneck in the first stage.

use candle_core::{Result, Tensor};

use crate::activation::{Activation, relu};
use crate::builder::Builder;
use crate::layers::ConvNorm;

/// Output channels of a bottleneck over its inner ones.
pub(crate) const EXPANSION: usize = 4;

/// `relu(x + bn2(conv2(relu(bn1(conv1(x))))))`, 3x3 both, `[B, C, H, W] -> [B, C, H, W]`.
pub(crate) struct Basic {
    pub(crate) first: ConvNorm,
    pub(crate) second: ConvNorm,
}

impl Basic {
    pub(super) fn new(channels: usize, vb: &Builder) -> Result<Self> {
        let conv = |n: usize| {
            ConvNorm::new(channels, channels, 3, 1, vb.pp(format!("conv{n}")), vb.pp(format!("bn{n}")))
        };
        Ok(Self { first: conv(1)?, second: conv(2)? })
    }

    pub(super) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.first.forward_t(x, train, Activation::Relu)?;
        relu(&(self.second.forward_t(&y, train, Activation::None)? + x)?)
    }
}

/// 1x1 to `inner` channels, 3x3, 1x1 to `4 inner`, added to the input (through a 1x1 where the widths differ), ReLU.
pub(crate) struct Bottleneck {
    pub(crate) convs: [ConvNorm; 3],
    pub(crate) downsample: Option<ConvNorm>,
}

impl Bottleneck {
    pub(super) fn new(input: usize, inner: usize, vb: &Builder) -> Result<Self> {
        let output = EXPANSION * inner;
        let conv = |n: usize, input: usize, output: usize, kernel: usize| {
            ConvNorm::new(input, output, kernel, 1, vb.pp(format!("conv{n}")), vb.pp(format!("bn{n}")))
        };
        let downsample = if input == output {
            None
        } else {
            let vb = vb.pp("downsample");
            Some(ConvNorm::new(input, output, 1, 1, vb.pp(0), vb.pp(1))?)
        };
        let convs = [conv(1, input, inner, 1)?, conv(2, inner, inner, 3)?, conv(3, inner, output, 1)?];
        Ok(Self { convs, downsample })
    }

    pub(super) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let [first, second, third] = &self.convs;
        let y = second.forward_t(&first.forward_t(x, train, Activation::Relu)?, train, Activation::Relu)?;
        let y = third.forward_t(&y, train, Activation::None)?;
        match &self.downsample {
            Some(downsample) => relu(&(y + downsample.forward_t(x, train, Activation::None)?)?),
            None => relu(&(y + x)?),
        }
    }
}
