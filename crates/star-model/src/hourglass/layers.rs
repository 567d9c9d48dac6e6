//! The layers of a stacked hourglass, and the way through them one by one.

use candle_core::{Result, Tensor};

use super::residual::Residual;
use super::stack::Stack;
use crate::builder::Builder;
use crate::config::StackedHourglassConfig;
use crate::coord_conv;
use crate::interpolate::max_pool_2x2;
use crate::layers::ConvNormRelu;
use crate::model::Stage;

/// Stem, trunk and stacks.
pub(crate) struct Layers {
    pub(crate) config: StackedHourglassConfig,
    pub(crate) stem: ConvNormRelu,
    pub(crate) pre: [Residual; 3],
    pub(crate) stacks: Vec<Stack>,
}

impl Layers {
    /// With `stem` channels in the stem.
    pub(super) fn new(config: &StackedHourglassConfig, stem: usize, vb: &Builder) -> Result<Self> {
        config.validate()?;
        let pre = vb.pp("pre");
        let blocks = 2 * stem;
        let stem_inputs = if config.coord_conv { 6 } else { 3 };
        Ok(Self {
            config: config.clone(),
            stem: ConvNormRelu::new(stem_inputs, stem, 7, 2, pre.pp(0))?,
            // 2 is the pooling, which has no parameters
            pre: [
                Residual::new(stem, blocks, pre.pp(1))?,
                Residual::new(blocks, blocks, pre.pp(3))?,
                Residual::new(blocks, config.channels, pre.pp(4))?,
            ],
            stacks: (0..config.stacks).map(|stack| Stack::new(config, stack, vb)).collect::<Result<_>>()?,
        })
    }

    /// Channels of the stem.
    pub(crate) fn stem_channels(&self) -> Result<usize> {
        self.stem.conv.parameters()[1].dim(0)
    }

    /// Image to `[B, stem, S / 2, S / 2]`.
    pub(crate) fn stem(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let x = if self.config.coord_conv { coord_conv::append(images, None)? } else { images.clone() };
        self.stem.forward_t(&x, train)
    }

    /// The stem's activations to `[B, C, M, M]`.
    fn trunk(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let x = max_pool_2x2(&self.pre[0].forward_t(x, train)?)?;
        self.pre[2].forward_t(&self.pre[1].forward_t(&x, train)?, train)
    }

    /// From the stem's activations to the stages, layer by layer.
    pub(crate) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Vec<Stage>> {
        let mut trunk = self.trunk(x, train)?;
        let mut stages = Vec::with_capacity(self.stacks.len());
        let mut boundary: Option<Tensor> = None;
        for stack in &self.stacks {
            let entered = match &stack.entry {
                Some(entry) => entry.forward(&coord_conv::append(&trunk, boundary.as_ref())?)?,
                None => trunk.clone(),
            };
            let features =
                stack.feature_block.forward_t(&stack.hourglass.forward_t(&entered, train)?, train)?;
            let features = stack.feature_conv.forward_t(&features, train)?;
            let out = stack.heads.forward(&features)?;
            if let Some(merge) = &stack.merge {
                trunk = merge.forward(&trunk, &features, &out)?;
                let last = out.heatmaps.dim(1)? - 1;
                boundary = Some(out.heatmaps.narrow(1, last, 1)?);
            }
            stages.push(out.stage);
        }
        Ok(stages)
    }
}
