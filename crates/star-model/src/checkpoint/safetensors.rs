//! Safetensors files: read whole, written to a temporary name and renamed.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Result, bail};

use super::Tensors;

pub(super) fn read(path: &Path) -> Result<Tensors> {
    let bytes = std::fs::read(path)?;
    // The crate's own message for a cut file is about offsets; say what happened.
    let header = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length));
    if header.is_none_or(|length| length > (bytes.len() as u64).saturating_sub(8)) {
        bail!("truncated safetensors file: its header is longer than the file ({} bytes)", bytes.len())
    }
    match candle_core::safetensors::load_buffer(&bytes, &Device::Cpu) {
        Ok(tensors) => Ok(tensors.into_iter().collect()),
        Err(error) => bail!("not a whole safetensors file ({} bytes, {error}); truncated?", bytes.len()),
    }
}

/// Writes tensors to `path` by way of a temporary file beside it, so that a reader never sees half a file.
///
/// # Errors
/// When the folder cannot be written to; an earlier file at `path` is then left as it was.
pub fn save(tensors: &Tensors, path: &Path) -> Result<()> {
    let tensors: HashMap<String, _> =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    super::whole_file::write_renamed(path, |temporary| candle_core::safetensors::save(&tensors, temporary))
}
