//! HRNetV2 for landmarks: four resolutions side by side, exchanged again and again, joined in one head.
//!
//! Parameter names are those of the public HRNet-Facial-Landmark-Detection checkpoints; `checkpoint::external_keys` maps
//! mmpose's and timm's onto them. The batch norms use PyTorch's momentum of 0.1, as mmpose and timm do (the first code: 0.01).

pub(crate) mod block;
mod config;
pub(crate) mod fuse;
pub(crate) mod stage;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::InputSpec;
use crate::activation::Activation;
use crate::builder::Builder;
use crate::heatmap_activation::HeatmapActivation;
use crate::interpolate::upsample_bilinear;
use crate::layers::{Conv2d, ConvNorm};
use crate::model::{LandmarkModel, Stage as Output};

use block::{Bottleneck, EXPANSION};
pub use config::HrNetConfig;
use stage::Stage;

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
    input: InputSpec,
    pub(crate) activation: HeatmapActivation,
    /// Two 3x3 of stride 2.
    pub(crate) stem: [ConvNorm; 2],
    /// Bottlenecks at the maps' resolution.
    pub(crate) first: Vec<Bottleneck>,
    /// The second, third and fourth stage.
    pub(crate) stages: [Stage; 3],
    pub(crate) head: Head,
    dtype: DType,
}

/// 1x1, batch norm, ReLU, 1x1 to one map a keypoint, over all resolutions brought to the highest.
pub(crate) struct Head {
    pub(crate) mix: ConvNorm,
    pub(crate) maps: Conv2d,
}

impl Head {
    fn new(config: &HrNetConfig, vb: &Builder) -> Result<Self> {
        let channels = config.channels().iter().sum();
        Ok(Self {
            mix: ConvNorm::with_bias(channels, channels, 1, 1, vb.pp(0), vb.pp(1))?,
            maps: Conv2d::new(channels, config.keypoints, 1, 1, vb.pp(3))?,
        })
    }

    fn forward_t(&self, branches: &[Tensor], train: bool) -> Result<Tensor> {
        let parts = branches.iter().enumerate().map(|(branch, x)| upsample_bilinear(x, 1 << branch));
        let joined = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 1)?;
        self.maps.forward(&self.mix.forward_t(&joined, train, Activation::Relu)?)
    }
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
        let stem = |n: usize, input: usize| {
            ConvNorm::new(input, config.stem, 3, 2, vb.pp(format!("conv{n}")), vb.pp(format!("bn{n}")))
        };
        let wide = EXPANSION * config.stem;
        let first = |block: usize| {
            let input = if block == 0 { config.stem } else { wide };
            Bottleneck::new(input, config.stem, &vb.pp("layer1").pp(block))
        };
        let channels = config.channels();
        let stage = |number: usize, before: &[usize]| {
            let size = (config.modules[number - 2], config.blocks);
            Stage::new(number, before, &channels[..number], size, vb)
        };
        Ok(Self {
            input: config.input(),
            activation: config.activation,
            stem: [stem(1, 3)?, stem(2, config.stem)?],
            first: (0..config.blocks).map(first).collect::<Result<_>>()?,
            stages: [stage(2, &[wide])?, stage(3, &channels[..2])?, stage(4, &channels[..3])?],
            head: Head::new(config, &vb.pp("head"))?,
            dtype: vb.dtype(),
        })
    }

    /// The head's maps before the activation: `[B, 3, S, S] -> [B, K, S / 4, S / 4]`, of either sign.
    ///
    /// # Errors
    /// When the shape, dtype or device of `images` does not fit the network.
    pub fn raw_maps(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let size = self.input.image_size;
        match images.dims() {
            [_, 3, h, w] if *h == size && *w == size => {}
            _ => bail!("images: expected [B, 3, {size}, {size}], got {:?}", images.dims()),
        }
        let stem = |x: Tensor, conv: &ConvNorm| conv.forward_t(&x, train, Activation::Relu);
        let x = self.stem.iter().try_fold(images.clone(), stem)?;
        let x = self.first.iter().try_fold(x, |x, block| block.forward_t(&x, train))?;
        let branches = self.stages.iter().try_fold(vec![x], |xs, stage| stage.forward_t(&xs, train))?;
        // Maps have the type of the parameters, whatever that of the images.
        self.head.forward_t(&branches, train)?.to_dtype(self.dtype)
    }
}

impl LandmarkModel for HrNet {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Output>> {
        let heatmaps = self.activation.apply(&self.raw_maps(images, train)?)?;
        Ok(vec![Output { heatmaps, aux: None }])
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }
}
