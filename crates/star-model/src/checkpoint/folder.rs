//! This toolkit's own format of a trained network: a folder with `model.safetensors` and `config.json`.

use std::path::Path;

use candle_core::{DType, Device, Result, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Architecture, Tensors, Which, atomic, read, safetensors};
use crate::{InputSpec, LandmarkModel, Quantization};

/// Name of the weights inside a folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Name of the description inside a folder.
pub const CONFIG_FILE: &str = "config.json";

/// Version of `config.json`.
const FORMAT: u32 = 1;

/// Where weights came from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// File name, or what made them.
    pub source: String,
    /// Which weights of a training checkpoint: `net` or `net_ema`.
    pub which: String,
    /// Program and version that wrote the folder.
    pub written_by: String,
}

/// What predicted spreads are multiplied by so that they match the errors seen on images that were not trained on: the spread of a heatmap
/// is what the loss made of it, not a probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpreadCalibration {
    /// Factor on the standard deviations of each keypoint, positive.
    pub keypoint_scales: Vec<f32>,
    /// What it was fitted on.
    pub fitted_on: String,
}

impl SpreadCalibration {
    fn validate(&self, keypoints: usize) -> Result<()> {
        let scales = &self.keypoint_scales;
        if scales.len() != keypoints || !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) {
            bail!("calibration: keypoint_scales: expected {keypoints} positive numbers")
        }
        Ok(())
    }
}

/// The contents of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FolderConfig {
    /// Version of this file's layout.
    pub format: u32,
    /// The network.
    pub architecture: Architecture,
    /// Name of the keypoint scheme.
    pub scheme: String,
    /// The scheme itself as JSON, so that weights of a scheme of one's own need no file beside them; kept here, read by star-predict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keypoint_scheme: Option<serde_json::Value>,
    /// What the network expects of its input.
    pub input: InputSpec,
    /// Where the weights came from.
    pub provenance: Provenance,
    /// How its spreads are calibrated, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<SpreadCalibration>,
    /// What its products are of in [`Precision::Int8`](crate::Precision::Int8), where that was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
}

impl FolderConfig {
    /// A description of `architecture` for `scheme`.
    pub fn new(architecture: Architecture, scheme: &str, provenance: Provenance) -> Self {
        let input = architecture.input();
        Self {
            format: FORMAT,
            architecture,
            scheme: scheme.to_string(),
            keypoint_scheme: None,
            input,
            provenance,
            calibration: None,
            quantization: None,
        }
    }

    /// Reads `config.json` and checks it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(text).map_err(candle_core::Error::wrap)?;
        if config.format != FORMAT {
            bail!("format: expected {FORMAT}, got {}", config.format)
        }
        config.architecture.validate()?;
        if config.input != config.architecture.input() {
            bail!("input: does not fit the architecture")
        }
        if let Some(calibration) = &config.calibration {
            calibration.validate(config.architecture.keypoints())?;
        }
        Ok(config)
    }
}

/// A checkpoint in memory: its description and its tensors, which fit each other.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The contents of `config.json`.
    pub config: FolderConfig,
    /// The tensors that the network uses, and the fixed ones that the reference expects.
    pub tensors: Tensors,
}

impl Folder {
    /// Takes tensors that fit `config`'s network, dropping what the network does not use and adding the fixed
    /// edge-to-point tensors that the reference's loader expects.
    ///
    /// # Errors
    /// Lists every tensor that does not fit.
    pub fn new(config: FolderConfig, tensors: Tensors) -> Result<Self> {
        config.architecture.check(&tensors)?;
        let used = config.architecture.expected()?;
        let mut tensors: Tensors = tensors.into_iter().filter(|(name, _)| used.contains_key(name)).collect();
        tensors.extend(config.architecture.fixed_tensors()?);
        Ok(Self { config, tensors })
    }

    /// Reads an external weights file and infers the network from it; `image_size` in pixels.
    ///
    /// # Errors
    /// When the file cannot be read or holds another kind of network.
    pub fn import(
        path: &Path,
        which: Which,
        scheme: &str,
        image_size: usize,
        written_by: &str,
    ) -> Result<Self> {
        let tensors = read(path, which)?;
        let with_path =
            |error: candle_core::Error| candle_core::Error::msg(format!("{}: {error}", path.display()));
        let (architecture, tensors) = Architecture::infer(tensors, image_size).map_err(with_path)?;
        let source = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let provenance =
            Provenance { source, which: which.key().to_string(), written_by: written_by.to_string() };
        Self::new(FolderConfig::new(architecture, scheme, provenance), tensors).map_err(with_path)
    }

    /// The same weights stored as `dtype`: `f16` and `bf16` halve the file. Running statistics stay in `f32`, and networks
    /// are built in the type that [`Folder::model`] is asked for, whatever the storage.
    ///
    /// # Errors
    /// Names a weight that `dtype` cannot hold.
    pub fn stored_as(mut self, dtype: DType) -> Result<Self> {
        for (name, tensor) in &mut self.tensors {
            if name.ends_with("running_mean") || name.ends_with("running_var") || !tensor.dtype().is_float() {
                continue;
            }
            let stored = tensor.to_dtype(dtype)?;
            let sum = stored.to_dtype(DType::F64)?.abs()?.sum_all()?.to_scalar::<f64>()?;
            if !sum.is_finite() {
                bail!("{name}: a value that {dtype:?} cannot hold; store these weights as f32 or bf16")
            }
            *tensor = stored;
        }
        Ok(self)
    }

    /// Reads a folder and checks its tensors against its description.
    ///
    /// # Errors
    /// Names the file and field that is wrong, or every tensor that does not fit.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG_FILE);
        let with_path =
            |path: &Path, error: String| candle_core::Error::msg(format!("{}: {error}", path.display()));
        let text = std::fs::read(&path).map_err(|error| with_path(&path, error.to_string()))?;
        let config = FolderConfig::parse(&text).map_err(|error| with_path(&path, error.to_string()))?;
        let weights = dir.join(WEIGHTS_FILE);
        let tensors = read(&weights, Which::Net)?;
        Self::new(config, tensors).map_err(|error| with_path(&weights, error.to_string()))
    }

    /// A folder from the bytes of its two files.
    ///
    /// # Errors
    /// As [`Folder::load`].
    pub fn from_bytes(config: &[u8], weights: &[u8]) -> Result<Self> {
        let named = |file: &str| {
            let file = file.to_string();
            move |error: candle_core::Error| candle_core::Error::msg(format!("{file}: {error}"))
        };
        let config = FolderConfig::parse(config).map_err(named(CONFIG_FILE))?;
        let tensors = candle_core::safetensors::load_buffer(weights, &Device::Cpu);
        Self::new(config, tensors.map_err(named(WEIGHTS_FILE))?.into_iter().collect())
    }

    /// Writes the folder, each file to a temporary name first, the description last.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        safetensors::save(&self.tensors, &dir.join(WEIGHTS_FILE))?;
        let text = serde_json::to_string_pretty(&self.config).map_err(candle_core::Error::wrap)?;
        atomic::write(&dir.join(CONFIG_FILE), |path| Ok(std::fs::write(path, text + "\n")?))
    }

    /// Builds the network for inference: its tensors are constants, so no gradient graph is kept.
    ///
    /// # Errors
    /// When the tensors cannot be brought to `dtype` or `device`.
    pub fn model(&self, dtype: DType, device: &Device) -> Result<Box<dyn LandmarkModel>> {
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        self.config.architecture.build(VarBuilder::from_tensors(tensors, dtype, device))
    }
}
