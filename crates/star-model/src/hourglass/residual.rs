//! The pre-activation bottleneck block that the whole network is made of.

use candle_core::{Result, Tensor};

use crate::activation::Activation;
use crate::builder::Builder;
use crate::layers::Conv2d;
use crate::norm::BatchNorm;

/// `x + conv3(relu(bn3(conv2(relu(bn2(conv1(relu(bn1(x)))))))))`, `[B, I, H, W] -> [B, O, H, W]`.
///
/// The identity goes through a 1x1 `skip_layer` where input and output widths differ. Published checkpoints hold
/// one everywhere; where the widths agree it is never used and not built here.
pub(crate) struct Residual {
    pub(crate) bn1: BatchNorm,
    pub(crate) conv1: Conv2d,
    pub(crate) bn2: BatchNorm,
    pub(crate) conv2: Conv2d,
    pub(crate) bn3: BatchNorm,
    pub(crate) conv3: Conv2d,
    pub(crate) skip: Option<Conv2d>,
}

impl Residual {
    pub(super) fn new(input: usize, output: usize, vb: Builder) -> Result<Self> {
        let half = output / 2;
        let skip = if input == output {
            None
        } else {
            Some(Conv2d::new(input, output, 1, 1, vb.pp("skip_layer").pp("conv"))?)
        };
        Ok(Self {
            bn1: BatchNorm::new(input, vb.pp("bn1"))?,
            conv1: Conv2d::new(input, half, 1, 1, vb.pp("conv1").pp("conv"))?,
            bn2: BatchNorm::new(half, vb.pp("bn2"))?,
            conv2: Conv2d::new(half, half, 3, 1, vb.pp("conv2").pp("conv"))?,
            bn3: BatchNorm::new(half, vb.pp("bn3"))?,
            conv3: Conv2d::new(half, output, 1, 1, vb.pp("conv3").pp("conv"))?,
            skip,
        })
    }

    pub(super) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let y = self.conv1.forward(&self.bn1.forward_t(x, train, Activation::Relu)?)?;
        let y = self.conv2.forward(&self.bn2.forward_t(&y, train, Activation::Relu)?)?;
        let y = self.conv3.forward(&self.bn3.forward_t(&y, train, Activation::Relu)?)?;
        match &self.skip {
            Some(skip) => y + skip.forward(x)?,
            None => y + x,
        }
    }
}
