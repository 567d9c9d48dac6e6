//! From weights to a compiled network in one step, without keeping the weights.

use std::path::Path;

use candle_core::{DType, Device, Result};
use candle_nn::VarBuilder;

use super::{CompileOptions, CompiledModel};
use crate::checkpoint::{CONFIG_FILE, Folder, FolderConfig, WEIGHTS_FILE};

impl CompiledModel {
    /// Compiles the network of a checkpoint in memory.
    ///
    /// # Errors
    /// When the CPU does not have the instruction set asked for.
    pub fn from_folder(folder: &Folder, options: &CompileOptions) -> Result<Self> {
        let tensors = folder.tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        build(&folder.config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu), options)
    }

    /// Maps the weights of a folder that [`Folder::save`] wrote into memory and compiles them: the fastest start, and
    /// the one that needs least memory. The file must not be changed meanwhile; those of [`Folder::save`] never are,
    /// they are replaced.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(dir: &Path, options: &CompileOptions) -> Result<Self> {
        let named =
            |path: &Path, error: String| candle_core::Error::msg(format!("{}: {error}", path.display()));
        let path = dir.join(CONFIG_FILE);
        let text = std::fs::read(&path).map_err(|error| named(&path, error.to_string()))?;
        let config = FolderConfig::parse(&text).map_err(|error| named(&path, error.to_string()))?;
        let weights = dir.join(WEIGHTS_FILE);
        #[expect(unsafe_code, reason = "mapping a file into memory")]
        // SAFETY: the map is dropped before this function returns; that nobody writes into the file meanwhile is
        // asked of the caller.
        let vb = unsafe { VarBuilder::from_mmaped_safetensors(&[&weights], DType::F32, &Device::Cpu) };
        vb.and_then(|vb| build(&config, vb, options)).map_err(|error| named(&weights, error.to_string()))
    }
}

fn build(config: &FolderConfig, vb: VarBuilder, options: &CompileOptions) -> Result<CompiledModel> {
    CompiledModel::new(&config.architecture.network(vb)?, options, config.quantization.as_ref())
}
