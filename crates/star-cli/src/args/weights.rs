//! Weights: converting them, and naming those that a command runs.

use std::path::PathBuf;

use clap::Args;

use crate::device::DeviceName;

/// Arguments of `star convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Weights file: PyTorch zip checkpoint or safetensors, told apart by content
    pub input: PathBuf,
    /// Folder for model.safetensors and config.json; made if missing
    pub out_dir: PathBuf,
    /// Keypoint scheme: a name such as wflw98, 300w68, cofw29, or a TOML file [default: by number of keypoints]
    #[arg(long)]
    pub scheme: Option<String>,
    /// Side in pixels of the images the network was trained on
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub image_size: usize,
    /// Take the moving average of the weights instead of the weights
    #[arg(long)]
    pub ema: bool,
}

/// Which weights to run, and on what.
#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// Folder written by `star convert` or `star train`, or a weights file
    #[arg(long, value_name = "DIR|FILE")]
    pub weights: PathBuf,
    /// Keypoint scheme by name or TOML file [default: what the weights say]
    #[arg(long)]
    pub scheme: Option<String>,
    /// Side in pixels of the network's input; for weights files only, folders know theirs [default: 256]
    #[arg(long, value_name = "N")]
    pub image_size: Option<usize>,
    /// Of a weights file, take the moving average
    #[arg(long)]
    pub ema: bool,
    /// Where to compute: cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceName::Cpu, value_name = "NAME")]
    pub device: DeviceName,
    /// Faces that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
}
