//! The stacked hourglass with coordinate channels and attention maps (ADNet, ICCV 2021), the network of the paper.

pub(crate) mod attention;
pub(crate) mod layers;
pub(crate) mod residual;
pub(crate) mod stack;

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::builder::Builder;
use crate::config::{InputSpec, PUBLISHED_STEM, SlimHourglassConfig, StackedHourglassConfig};
use crate::model::{LandmarkModel, Stage};
use crate::training;

use layers::Layers;

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
    input: InputSpec,
    pub(crate) layers: Layers,
    pub(crate) training: training::Settings,
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

    /// Builds a network of another stem and input than the published.
    ///
    /// # Errors
    /// As [`StackedHourglass::new`].
    pub fn slim(config: &SlimHourglassConfig, vb: VarBuilder) -> Result<Self> {
        Self::build_slim(config, &vb.into())
    }

    pub(crate) fn build(config: &StackedHourglassConfig, vb: &Builder) -> Result<Self> {
        Self::with(config, PUBLISHED_STEM, InputSpec::reference(config.image_size), vb)
    }

    pub(crate) fn build_slim(config: &SlimHourglassConfig, vb: &Builder) -> Result<Self> {
        config.validate()?;
        Self::with(&config.hourglass, config.stem, config.input(), vb)
    }

    fn with(config: &StackedHourglassConfig, stem: usize, input: InputSpec, vb: &Builder) -> Result<Self> {
        let layers = Layers::new(config, stem, vb)?;
        Ok(Self { layers, input, training: training::Settings::new(vb.group().cloned()) })
    }

    /// With `recompute`, a training step keeps of each stack only its input and recomputes the rest in the backward pass: less
    /// memory, more time, the same bits. Where the network trains layer by layer, on a GPU, in `f64` or with channels
    /// that are no multiple of 32, it changes nothing.
    #[must_use]
    pub fn recompute(mut self, recompute: bool) -> Self {
        self.training.recompute = recompute;
        self
    }

    /// What the network behind its stem was built from.
    pub fn config(&self) -> &StackedHourglassConfig {
        &self.layers.config
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
        let x = self.layers.stem(images, train)?;
        if train && let Some(stages) = training::forward(&self.layers, &self.training, &x)? {
            return Ok(stages);
        }
        self.layers.forward_t(&x, train)
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }
}
