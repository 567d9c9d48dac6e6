//! Safetensors files: mapped into memory, written to a temporary name and renamed.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{Device, Result, bail};

use super::Tensors;

/// Reads a file through a mapping of it into memory: each tensor is copied once, and the file is never held as a whole.
pub(super) fn read(path: &Path) -> Result<Tensors> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    // The crate's own message for a cut file is about offsets; say what happened.
    let mut header = [0; 8];
    let cut = file.read_exact(&mut header).is_err() || u64::from_le_bytes(header) > length.saturating_sub(8);
    if cut {
        bail!("truncated safetensors file: its header is longer than the file ({length} bytes)")
    }
    #[expect(
        unsafe_code,
        reason = "a mapping is sound while nobody shortens the file in place: files here are renamed"
    )]
    let mapped = unsafe { MmapedSafetensors::new(path) };
    let wrong = |error| {
        candle_core::Error::msg(format!("not a whole safetensors file ({length} bytes, {error}); truncated?"))
    };
    let mapped = mapped.map_err(wrong)?;
    let names = mapped.tensors().into_iter().map(|(name, _)| name);
    names.map(|name| Ok((name.clone(), mapped.load(&name, &Device::Cpu)?))).collect()
}

/// Writes tensors to `path` by way of a temporary file beside it, so that a reader never sees half a file.
///
/// # Errors
/// When the folder cannot be written to; an earlier file at `path` is then left as it was.
pub fn save(tensors: &Tensors, path: &Path) -> Result<()> {
    let tensors: HashMap<String, _> =
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
    super::atomic::write(path, |temporary| candle_core::safetensors::save(&tensors, temporary))
}
