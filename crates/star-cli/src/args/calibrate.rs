//! `star calibrate`.

use std::path::PathBuf;

use clap::Args;

use super::{SourceArgs, WeightsArgs};

/// Arguments of `star calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Annotated images that the weights were not trained on; best of the kind that they will be used on.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Weights to calibrate.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// The error that counts as small, a fraction of the scheme's normalizer: a confidence is the probability to stay below it
    #[arg(long, default_value_t = star_predict::confidence::THRESHOLD, value_name = "T")]
    pub threshold: f64,
    /// Folder to write confidence.json into [default: the folder of the weights]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
