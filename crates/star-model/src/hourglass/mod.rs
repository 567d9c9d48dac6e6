//! The stacked hourglass with coordinate channels and attention maps (ADNet, ICCV 2021), the network of the paper.

pub(crate) mod attention;
pub(crate) mod residual;

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::builder::Builder;
use crate::config::{InputSpec, StackedHourglassConfig};
use crate::coord_conv;
use crate::interpolate::{max_pool_2x2, upsample_add};
use crate::layers::{Conv2d, ConvNormRelu};
use crate::model::{LandmarkModel, Stage};
use crate::process_group::ProcessGroup;
use crate::training;

pub(crate) use attention::edge_to_point;
use attention::{HeadOutput, Heads};
use residual::Residual;

/// Channels behind the stem and behind its first block, whatever the hourglass width. Reference values.
const STEM: [usize; 2] = [64, 128];

/// A stacked hourglass; parameter names are the published checkpoints'.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use star_model::{LandmarkModel, Parameters, StackedHourglass, StackedHourglassConfig};
///
/// let config = StackedHourglassConfig {
///     stacks: 2, levels: 2, channels: 8, image_size: 32,
///     ..StackedHourglassConfig::reference(5, vec![vec![0, 1, 2]])
/// };
/// let vb = Parameters::new(1).var_builder(DType::F32, &Device::Cpu);
/// let model = StackedHourglass::new(&config, vb)?;
/// let stages = model.forward_t(&Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?, false)?;
/// assert_eq!(stages[1].heatmaps.dims(), [1, 5, 8, 8]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct StackedHourglass {
    config: StackedHourglassConfig,
    input: InputSpec,
    pub(crate) stem: ConvNormRelu,
    pub(crate) pre: [Residual; 3],
    pub(crate) stacks: Vec<Stack>,
    /// What a training step on the CPU leaves for the next one.
    pub(crate) memory: training::Memory,
    /// The ranks that the batch statistics are of in training; `None` for this process alone.
    pub(crate) group: Option<ProcessGroup>,
    /// Whether the backward pass recomputes the stacks instead of keeping their activations.
    pub(crate) recompute: bool,
}

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

    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
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

    fn forward(&self, trunk: &Tensor, features: &Tensor, out: &HeadOutput) -> Result<Tensor> {
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
    fn new(config: &StackedHourglassConfig, stack: usize, vb: &Builder) -> Result<Self> {
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

impl StackedHourglass {
    /// Builds the network on the tensors of `vb`, drawing those that a fresh builder does not have.
    ///
    /// # Errors
    /// When `config` is out of range or a tensor is missing or misshapen; to see all such tensors at once, ask
    /// [`crate::checkpoint::check`] first.
    pub fn new(config: &StackedHourglassConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb.into())
    }

    pub(crate) fn build(config: &StackedHourglassConfig, vb: &Builder) -> Result<Self> {
        config.validate()?;
        let pre = vb.pp("pre");
        let stem_inputs = if config.coord_conv { 6 } else { 3 };
        Ok(Self {
            config: config.clone(),
            input: InputSpec::reference(config.image_size),
            stem: ConvNormRelu::new(stem_inputs, STEM[0], 7, 2, pre.pp(0))?,
            // 2 is the pooling, which has no parameters
            pre: [
                Residual::new(STEM[0], STEM[1], pre.pp(1))?,
                Residual::new(STEM[1], STEM[1], pre.pp(3))?,
                Residual::new(STEM[1], config.channels, pre.pp(4))?,
            ],
            stacks: (0..config.stacks).map(|stack| Stack::new(config, stack, vb)).collect::<Result<_>>()?,
            memory: training::Memory::default(),
            group: vb.group().cloned(),
            recompute: false,
        })
    }

    /// With `recompute`, a training step keeps of each stack only its input and recomputes the rest in the backward pass: less
    /// memory, more time, the same bits. Where the network trains layer by layer, on a GPU, in `f64` or with channels
    /// that are no multiple of 32, it changes nothing.
    #[must_use]
    pub fn recompute(mut self, recompute: bool) -> Self {
        self.recompute = recompute;
        self
    }

    /// What the network was built from.
    pub fn config(&self) -> &StackedHourglassConfig {
        &self.config
    }

    /// Image to `[B, 64, S / 2, S / 2]`.
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
    pub(crate) fn layers(&self, x: &Tensor, train: bool) -> Result<Vec<Stage>> {
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

impl LandmarkModel for StackedHourglass {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        let size = self.input.image_size;
        match images.dims() {
            [_, 3, h, w] if *h == size && *w == size => {}
            _ => bail!("images: expected [B, 3, {size}, {size}], got {:?}", images.dims()),
        }
        if images.dim(0)? == 0 {
            bail!("images: expected at least one, got {:?}", images.dims())
        }
        let x = self.stem(images, train)?;
        if train && let Some(stages) = training::forward(self, &x)? {
            return Ok(stages);
        }
        self.layers(&x, train)
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }
}
