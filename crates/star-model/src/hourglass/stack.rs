//! One stack: an hourglass with its features, its heads and the way into the next stack.

use candle_core::{Result, Tensor};

use super::attention::{HeadOutput, Heads};
use super::residual::Residual;
use crate::builder::Builder;
use crate::config::StackedHourglassConfig;
use crate::interpolate::{max_pool_2x2, upsample_add};
use crate::layers::{Conv2d, ConvNormRelu};

/// One hourglass with its features, heads and way into the next.
pub(crate) struct Stack {
    pub(crate) entry: Option<Conv2d>,
    pub(crate) hourglass: Hourglass,
    pub(crate) feature_block: Residual,
    pub(crate) feature_conv: ConvNormRelu,
    pub(crate) heads: Heads,
    pub(crate) merge: Option<Merge>,
}

/// One level: the branch at full resolution, and the branch at half resolution that goes through the next level.
pub(crate) struct Hourglass {
    pub(crate) up1: Residual,
    pub(crate) low1: Residual,
    pub(crate) low2: Inner,
    pub(crate) low3: Residual,
}

pub(crate) enum Inner {
    Level(Box<Hourglass>),
    Bottom(Box<Residual>),
}

/// What a stack hands to the next: 1x1 convolutions of its features and maps, added to the trunk.
pub(crate) struct Merge {
    pub(crate) features: Conv2d,
    pub(crate) heatmaps: Conv2d,
    pub(crate) aux: Option<(Conv2d, Conv2d)>,
}

impl Hourglass {
    fn new(levels: usize, channels: usize, vb: &Builder) -> Result<Self> {
        let block = |name: &str| Residual::new(channels, channels, vb.pp(name));
        let low2 = if levels > 1 {
            Inner::Level(Box::new(Self::new(levels - 1, channels, &vb.pp("low2"))?))
        } else {
            Inner::Bottom(Box::new(block("low2")?))
        };
        Ok(Self { up1: block("up1")?, low1: block("low1")?, low2, low3: block("low3")? })
    }

    pub(super) fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let up = self.up1.forward_t(x, train)?;
        let low = self.low1.forward_t(&max_pool_2x2(x)?, train)?;
        let low = match &self.low2 {
            Inner::Level(level) => level.forward_t(&low, train)?,
            Inner::Bottom(block) => block.forward_t(&low, train)?,
        };
        upsample_add(&up, &self.low3.forward_t(&low, train)?)
    }
}

impl Merge {
    fn new(config: &StackedHourglassConfig, stack: usize, vb: &Builder) -> Result<Self> {
        let conv = |name: &str, maps: usize| {
            Conv2d::new(maps, config.channels, 1, 1, vb.pp(name).pp(stack).pp("conv"))
        };
        let aux = if config.attention {
            Some((conv("merge_pointmaps", config.keypoints)?, conv("merge_edgemaps", config.edges.len())?))
        } else {
            None
        };
        Ok(Self {
            features: conv("merge_features", config.channels)?,
            heatmaps: conv("merge_heatmaps", config.keypoints)?,
            aux,
        })
    }

    pub(super) fn forward(&self, trunk: &Tensor, features: &Tensor, out: &HeadOutput) -> Result<Tensor> {
        let of = |conv: &Conv2d, maps: &Tensor| conv.forward(&maps.to_dtype(trunk.dtype())?);
        let mut next = (trunk + self.features.forward(features)?)?;
        next = (next + of(&self.heatmaps, &out.heatmaps)?)?;
        if let (Some((points, edges)), Some(aux)) = (&self.aux, &out.stage.aux) {
            next = ((next + of(points, &aux.pointmaps)?)? + of(edges, &aux.edgemaps)?)?;
        }
        Ok(next)
    }
}

impl Stack {
    pub(super) fn new(config: &StackedHourglassConfig, stack: usize, vb: &Builder) -> Result<Self> {
        let channels = config.channels;
        let hg = vb.pp("hgs").pp(stack);
        let entry = if config.coord_conv {
            // rows, columns, radius; from the second stack on also rows and columns on the boundary
            let coordinates = if stack == 0 { 3 } else { 5 };
            Some(Conv2d::new(channels + coordinates, channels, 1, 1, hg.pp("coordconv").pp("conv"))?)
        } else {
            None
        };
        let merge = if stack + 1 < config.stacks { Some(Merge::new(config, stack, vb)?) } else { None };
        let features = vb.pp("features").pp(stack);
        Ok(Self {
            entry,
            hourglass: Hourglass::new(config.levels, channels, &hg)?,
            feature_block: Residual::new(channels, channels, features.pp(0))?,
            feature_conv: ConvNormRelu::new(channels, channels, 1, 1, features.pp(1))?,
            heads: Heads::new(config, stack, vb)?,
            merge,
        })
    }
}
