//! HRNetV2 for landmarks: four resolutions side by side, exchanged again and again, joined in one head.
//!
//! Parameter names are those of the public HRNet-Facial-Landmark-Detection checkpoints; `names` maps
//! mmpose's and timm's onto them. The batch norms use PyTorch's momentum of 0.1, as mmpose and timm do (the first code: 0.01).

pub(crate) mod config;
pub(crate) mod graph;
pub(crate) mod names;

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::network::{Network, offers};
use crate::builder::Builder;

use config::HrNetConfig;

/// An HRNet with the landmark head of the public checkpoints.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use star_model::{HrNet, HrNetConfig, LandmarkModel, Parameters};
///
/// let config = HrNetConfig { width: 4, modules: [1, 1, 1], blocks: 1, stem: 8, image_size: 64, ..HrNetConfig::w18(5) };
/// let model = HrNet::new(&config, Parameters::new(1).var_builder(DType::F32, &Device::Cpu))?;
/// let stages = model.forward_t(&Tensor::zeros((1, 3, 64, 64), DType::F32, &Device::Cpu)?, false)?;
/// assert_eq!((stages.len(), stages[0].heatmaps.dims()), (1, &[1, 5, 16, 16][..]));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct HrNet {
    network: Network,
}

impl HrNet {
    /// Builds the network on the tensors of `vb`, drawing those that a fresh builder does not have.
    ///
    /// # Errors
    /// When `config` is out of range or a tensor is missing or misshapen.
    pub fn new(config: &HrNetConfig, vb: VarBuilder) -> Result<Self> {
        Self::build(config, &vb.into())
    }

    pub(crate) fn build(config: &HrNetConfig, vb: &Builder) -> Result<Self> {
        config.validate()?;
        Ok(Self { network: Network::new(graph::graph(config), config.input(), vb)? })
    }

    /// The head's maps before the activation: `[B, 3, S, S] -> [B, K, S / 4, S / 4]`, of either sign.
    ///
    /// # Errors
    /// When the shape, dtype or device of `images` does not fit the network.
    pub fn raw_maps(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let graph = &self.network.graph;
        let raw = graph.nodes[graph.last_heatmaps()].inputs[0];
        // Maps have the type of the parameters, whatever that of the images.
        self.network.value(raw, images, train)?.to_dtype(self.network.layers.dtype)
    }
}

offers!(HrNet);
