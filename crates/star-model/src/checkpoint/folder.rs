//! This toolkit's own form of a trained network: a folder with `model.safetensors` and `config.json`.

use std::path::Path;

use candle_core::{DType, Device, Result, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::whole_file::write_renamed;
use super::{Tensors, Which, check, infer, read, safetensors, shape};
use crate::{InputSpec, LandmarkModel, StackedHourglass, StackedHourglassConfig};

/// Name of the weights inside a folder.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Name of the description inside a folder.
pub const CONFIG_FILE: &str = "config.json";

/// Version of `config.json`.
const FORMAT: u32 = 1;

/// A network's kind and shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Architecture {
    /// [`StackedHourglass`].
    StackedHourglass(StackedHourglassConfig),
}

impl Architecture {
    /// Builds the network on the tensors of `vb`.
    ///
    /// # Errors
    /// When a tensor is missing or misshapen.
    pub fn build(&self, vb: VarBuilder) -> Result<Box<dyn LandmarkModel>> {
        match self {
            Self::StackedHourglass(config) => Ok(Box::new(StackedHourglass::new(config, vb)?)),
        }
    }

    /// Number of keypoints.
    pub fn keypoints(&self) -> usize {
        match self {
            Self::StackedHourglass(config) => config.keypoints,
        }
    }

    /// What the network expects of its input.
    pub fn input(&self) -> InputSpec {
        match self {
            Self::StackedHourglass(config) => InputSpec::reference(config.image_size),
        }
    }

    /// Holds tensors against the network; see [`check`].
    ///
    /// # Errors
    /// Lists every tensor that does not fit.
    pub fn check(&self, tensors: &Tensors) -> Result<()> {
        match self {
            Self::StackedHourglass(config) => check(tensors, config),
        }
    }
}

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

/// The contents of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FolderConfig {
    /// Version of this file's layout.
    pub format: u32,
    /// The network.
    pub architecture: Architecture,
    /// Name of the keypoint scheme.
    pub scheme: String,
    /// What the network expects of its input.
    pub input: InputSpec,
    /// Where the weights came from.
    pub provenance: Provenance,
}

impl FolderConfig {
    /// A description of `architecture` for `scheme`.
    pub fn new(architecture: Architecture, scheme: &str, provenance: Provenance) -> Self {
        let input = architecture.input();
        Self { format: FORMAT, architecture, scheme: scheme.to_string(), input, provenance }
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
        let Architecture::StackedHourglass(network) = &config.architecture;
        let used = shape::expected(network)?;
        let mut tensors: Tensors = tensors.into_iter().filter(|(name, _)| used.contains_key(name)).collect();
        tensors.extend(shape::edge_to_point_tensors(network)?);
        Ok(Self { config, tensors })
    }

    /// Reads a foreign weights file and infers the network from it; `image_size` in pixels.
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
        let architecture = Architecture::StackedHourglass(infer(&tensors, image_size).map_err(with_path)?);
        let source = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let provenance =
            Provenance { source, which: which.key().to_string(), written_by: written_by.to_string() };
        Self::new(FolderConfig::new(architecture, scheme, provenance), tensors).map_err(with_path)
    }

    /// Reads a folder and checks its tensors against its description.
    ///
    /// # Errors
    /// Names the file and field that is wrong, or every tensor that does not fit.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG_FILE);
        let with_path =
            |path: &Path, error: String| candle_core::Error::msg(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| with_path(&path, error.to_string()))?;
        let config: FolderConfig =
            serde_json::from_str(&text).map_err(|error| with_path(&path, error.to_string()))?;
        if config.format != FORMAT {
            bail!("{}: format: expected {FORMAT}, got {}", path.display(), config.format)
        }
        if config.input != config.architecture.input() {
            bail!("{}: input: does not fit the architecture", path.display())
        }
        let weights = dir.join(WEIGHTS_FILE);
        let tensors = read(&weights, Which::Net)?;
        Self::new(config, tensors).map_err(|error| with_path(&weights, error.to_string()))
    }

    /// Writes the folder, each file to a temporary name first, the description last.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn save(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir)?;
        safetensors::save(&self.tensors, &dir.join(WEIGHTS_FILE))?;
        let text = serde_json::to_string_pretty(&self.config).map_err(candle_core::Error::wrap)?;
        write_renamed(&dir.join(CONFIG_FILE), |path| Ok(std::fs::write(path, text + "\n")?))
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
