//! Weights on disk: reading external files, checking them against a network, and this toolkit's own folder.
//!
//! An external file (`.safetensors`, or PyTorch's zip format or the one before it, whatever the ending) goes through [`read`],
//! [`Architecture::infer`] and [`Architecture::check`]; [`Folder`] is `model.safetensors` beside a `config.json` that describes it.

mod atomic;
pub(crate) mod fit;
mod folder;
mod pickle;
mod pickle_build;
mod pickle_bytes;
mod pickle_legacy;
mod pickle_scan;
mod pickle_tensor;
mod safetensors;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use candle_core::{Result, Tensor, bail};

pub use crate::networks::Architecture;
pub use crate::networks::hourglass::names::{check, expected, infer};
pub use folder::{CONFIG_FILE, Folder, FolderConfig, Provenance, SpreadCalibration, WEIGHTS_FILE};
pub use safetensors::save as save_safetensors;

/// Tensors by name, sorted.
pub type Tensors = BTreeMap<String, Tensor>;

/// Which weights of a training checkpoint: the network's own, or their moving average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// Key `net`.
    #[default]
    Net,
    /// Key `net_ema`.
    Ema,
}

impl Which {
    /// The key in the checkpoint's top-level dictionary.
    pub fn key(self) -> &'static str {
        match self {
            Self::Net => "net",
            Self::Ema => "net_ema",
        }
    }
}

/// Reads the tensors of a weights file, whose format is recognised by its content: safetensors, or a PyTorch checkpoint.
///
/// Nothing in a pickle is executed. What else than tensors and plain containers lies beside the tensors, such as a training program's
/// arguments, is passed over; a file without tensors that names such things is refused.
///
/// # Errors
/// Names the file and what is wrong with it: not there, truncated, of another format, hostile.
pub fn read(path: &Path, which: Which) -> Result<Tensors> {
    let mut magic = [0; 9];
    let count = std::fs::File::open(path)
        .and_then(|mut file| read_up_to(&mut file, &mut magic))
        .map_err(|error| candle_core::Error::msg(format!("{}: {error}", path.display())))?;
    let tensors = match &magic[..count] {
        [] => bail!("{}: the file is empty", path.display()),
        [b'P', b'K', 3, 4, ..] => pickle::read(path, which),
        [_, _, _, _, _, _, _, _, b'{'] => safetensors::read(path),
        [0x80, 2..=5, ..] => pickle_legacy::read(path, which),
        _ => bail!("{}: neither a safetensors file nor a PyTorch checkpoint", path.display()),
    };
    let tensors = tensors.map_err(|error| candle_core::Error::msg(format!("{}: {error}", path.display())))?;
    Ok(without_common_prefix(tensors, "module."))
}

/// Fills as much of `buffer` as the file has.
fn read_up_to(file: &mut std::fs::File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut count = 0;
    while count < buffer.len() {
        match file.read(&mut buffer[count..])? {
            0 => break,
            n => count += n,
        }
    }
    Ok(count)
}

/// Drops the prefix that PyTorch's data-parallel wrappers put before every name.
fn without_common_prefix(tensors: Tensors, prefix: &str) -> Tensors {
    if !tensors.is_empty() && tensors.keys().all(|name| name.starts_with(prefix)) {
        tensors.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)).collect()
    } else {
        tensors
    }
}
