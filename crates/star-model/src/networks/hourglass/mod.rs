//! The stacked hourglass with coordinate channels and attention maps (ADNet, ICCV 2021), the network of the paper.

pub(crate) mod config;
pub(crate) mod graph;
pub(crate) mod names;

use candle_core::Result;
use candle_nn::VarBuilder;

use super::network::{Network, offers};
use crate::builder::Builder;

use config::{SlimHourglassConfig, StackedHourglassConfig};

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
    pub(crate) network: Network,
}

impl StackedHourglass {
    /// Builds the network on the tensors of `vb`, drawing those that a fresh builder does not have.
    ///
    /// # Errors
    /// When `config` is out of range or a tensor is missing or misshapen; to see all such tensors at once, ask
    /// [`crate::checkpoint::check`] first.
    pub fn new(config: &StackedHourglassConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(&config.clone().into(), &vb.into())
    }

    /// Builds a network of another stem and input than the published.
    ///
    /// # Errors
    /// As [`StackedHourglass::new`].
    pub fn slim(config: &SlimHourglassConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb.into())
    }

    pub(crate) fn build(config: &SlimHourglassConfig, vb: &Builder) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            config: config.hourglass.clone(),
            network: Network::new(graph::graph(config), config.input(), vb)?,
        })
    }

    /// What the network behind its stem was built from.
    pub fn config(&self) -> &StackedHourglassConfig {
        &self.config
    }
}

offers!(StackedHourglass);
