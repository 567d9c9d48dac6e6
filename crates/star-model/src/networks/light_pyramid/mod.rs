//! A small network for CPUs: inverted residuals down to low resolutions, and a way up to maps of a quarter of the input's side.

pub(crate) mod config;
mod graph;
pub(crate) mod names;

use candle_core::Result;
use candle_nn::VarBuilder;

use super::network::{Network, offers};
use crate::builder::Builder;

use config::LightPyramidConfig;

/// A light pyramid.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use star_model::{LandmarkModel, LightPyramid, LightPyramidConfig, Parameters};
///
/// let config = LightPyramidConfig { image_size: 64, ..LightPyramidConfig::standard(5) };
/// let model = LightPyramid::new(&config, Parameters::new(1).var_builder(DType::F32, &Device::Cpu))?;
/// let stages = model.forward_t(&Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?, false)?;
/// assert_eq!((stages.len(), stages[0].heatmaps.dims()), (1, &[1, 5, 16, 16][..]));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct LightPyramid {
    network: Network,
}

impl LightPyramid {
    /// Builds the network on the tensors of `vb`, drawing those that a fresh builder does not have.
    ///
    /// # Errors
    /// When `config` is out of range or a tensor is missing or misshapen.
    pub fn new(config: &LightPyramidConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb.into())
    }

    pub(crate) fn build(config: &LightPyramidConfig, vb: &Builder) -> Result<Self> {
        config.validate()?;
        Ok(Self { network: Network::new(graph::graph(config), config.input(), vb)? })
    }
}

offers!(LightPyramid);
