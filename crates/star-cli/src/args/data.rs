//! Annotated pictures: where they lie, and `star data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::PackArgs;

/// How annotations are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Rows of image, 5 points, all points, scale and centre, as the method's reference reads them
    Tsv,
    /// iBUG .pts files beside their images
    Pts,
}

/// Where annotations and images lie.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Form of the annotations
    #[arg(long, value_enum, default_value_t = Format::Tsv)]
    pub format: Format,
    /// Annotation file, or for pts the folder
    #[arg(long, value_name = "PATH")]
    pub annotations: PathBuf,
    /// Folder that image paths start from [default: the folder of the annotations]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
}

/// The subcommands of `star data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read a whole data set and report what is wrong with it, row by row
    Check(CheckArgs),
    /// Pack a data set into shards that stream from a disk or from object storage: for sets too big for a folder
    Pack(PackArgs),
}

/// Arguments of `star data check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The data set.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Keypoint scheme by name or TOML file
    #[arg(long)]
    pub scheme: String,
}
