//! Weights: converting them, and naming those that a command runs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use star_model::onnx::ExportOptions;
use star_predict::device::DeviceName;
use star_predict::weights::BUILTIN;

use super::{MapName, TargetName};

/// Arguments of `star convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Weights file: PyTorch checkpoint or safetensors, distinguished by content; a name of `star fetch --list`, or an
    /// address `hf:owner/repo[@revision]/file`
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
    /// Number type of the stored weights; 16 bits halve the file
    #[arg(long, value_enum, default_value_t = StorageType::F32)]
    pub dtype: StorageType,
}

/// Number type that weights are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StorageType {
    /// 32 bits
    F32,
    /// 16 bits, eleven of them the number's digits
    F16,
    /// 16 bits with the range of f32, eight of them the number's digits
    Bf16,
}

/// Arguments of `star inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder, weights file, `builtin`, name of `star fetch --list`, or `hf:owner/repo[@revision]/file`
    #[arg(value_name = "WEIGHTS")]
    pub weights: PathBuf,
    /// What the file does not say.
    #[command(flatten)]
    pub hints: HintArgs,
}

/// Arguments of `star export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder, weights file, `builtin`, name of `star fetch --list`, or `hf:owner/repo[@revision]/file`
    #[arg(value_name = "WEIGHTS")]
    pub weights: PathBuf,
    /// ONNX file to write: images in, landmarks and heatmaps out, any number of images
    ///
    /// OpenVINO computes in bf16 on CPUs that have it unless its inference precision is set to f32. How to prepare images and what comes out:
    /// docs/onnx.md.
    #[arg(long, value_name = "OUT")]
    pub onnx: PathBuf,
    /// Exactly so many images at a time, for runtimes that want a fixed shape [default: any number]
    #[arg(long, value_name = "N")]
    pub images: Option<usize>,
    /// Version of ONNX's operators, 11 to 24: the newest that the runtime can read, or an old one for old converters
    #[arg(long, value_name = "N", default_value_t = ExportOptions::OPSET)]
    pub opset: i64,
    /// Make 68 landmarks of faces with 98; heatmaps stay those of the 98
    #[arg(long = "map-98-to-68", value_enum)]
    pub map: Option<MapName>,
    /// Give the landmarks of another markup; heatmaps stay the network's own
    #[arg(long = "as", value_enum, value_name = "NAME", conflicts_with = "map")]
    pub target: Option<TargetName>,
    /// What the file does not say.
    #[command(flatten)]
    pub hints: HintArgs,
}

/// What weights files do not say of themselves.
#[derive(Clone, Debug, Default, Args)]
pub struct HintArgs {
    /// Keypoint scheme by name or TOML file [default: what the weights say]
    #[arg(long)]
    pub scheme: Option<String>,
    /// Side in pixels of the network's input; for weights files only, folders know theirs [default: 256]
    #[arg(long, value_name = "N")]
    pub image_size: Option<usize>,
    /// Of a weights file, take the moving average
    #[arg(long)]
    pub ema: bool,
}

/// Which weights to run, and on what.
#[derive(Debug, Args)]
pub struct WeightsArgs {
    /// Folder written by `star convert` or `star train`, a weights file, `builtin` (this program's own, 68 landmarks), a name of
    /// `star fetch --list`, or an address `hf:owner/repo[@revision]/file`
    #[arg(long, value_name = "DIR|FILE|NAME|hf:...", default_value = BUILTIN)]
    pub weights: PathBuf,
    /// What the file does not say.
    #[command(flatten)]
    pub hints: HintArgs,
    /// Where to compute: cpu, cuda, cuda:N or metal
    #[arg(long, default_value_t = DeviceName::Cpu, value_name = "NAME")]
    pub device: DeviceName,
    /// Faces that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
}
