//! `star data pack`.

use std::path::PathBuf;

use clap::Args;

use super::SourceArgs;

/// Arguments of `star data pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// The data set.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Keypoint scheme by name or TOML file
    #[arg(long)]
    pub scheme: String,
    /// Folder for the shards; made if missing. The same command again goes on with a packing that was stopped
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Faces a shard
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub per_shard: usize,
    /// Keep only a square about each face, this many sides of its box wide; 2.5 holds what training can see [default: whole images]
    #[arg(long, value_name = "SIDES")]
    pub reach: Option<f64>,
    /// Make larger faces smaller, so that the box's longer side has this many pixels
    #[arg(long, value_name = "PIXELS", requires = "reach")]
    pub largest_face: Option<u32>,
    /// Write images that are not copied byte for byte as JPEG of this quality [default: PNG, without loss]
    #[arg(long, value_name = "1-100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub jpeg: Option<u8>,
    /// Shuffle the faces first: the frames of a video then lie in different shards
    #[arg(long, value_name = "SEED")]
    pub shuffle: Option<u64>,
    /// Leave out faces that cannot be read, and say which, instead of stopping at the first
    #[arg(long)]
    pub skip_unreadable: bool,
}
