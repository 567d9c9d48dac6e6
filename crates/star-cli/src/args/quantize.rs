//! `star quantize`.

use std::path::PathBuf;

use clap::Args;

use super::{SourceArgs, WeightsArgs};

/// Arguments of `star quantize`.
#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// Annotated images, some hundred of the kind that the weights will be used on.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Weights to quantise.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Folder to write the weights into, which then know how to compute by star predict --precision int8; their tensors stay as they are
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
