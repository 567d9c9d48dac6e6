//! `star quantize`.

use std::path::PathBuf;

use clap::Args;

use super::{SourceArgs, WeightsArgs};

/// What `--images` is here.
const IMAGES: &str = "Without --annotations, the folder of photographs, with those below it; else the folder that image paths start from";

/// Arguments of `star quantize`.
#[derive(Debug, Args)]
#[command(mut_arg("annotations", |arg| arg.required_unless_present("images")))]
#[command(mut_arg("images", |arg| arg.help(IMAGES)))]
pub struct QuantizeArgs {
    /// Annotated images or photographs, some hundred of the kind that the weights will be used on.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Weights to quantise.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Folder to write the weights into, which then know how to compute by star predict --precision int8; their tensors stay as they are
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}
