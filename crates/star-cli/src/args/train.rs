//! `star train`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `star train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Training configuration, TOML; `star train --example` prints one with every setting
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    pub config: Option<PathBuf>,
    /// Folder for checkpoints, metrics and state; made if missing
    #[arg(long, value_name = "DIR", required_unless_present_any = ["example", "dry_run"])]
    pub out: Option<PathBuf>,
    /// Go on from the newest state in the folder
    #[arg(long)]
    pub resume: bool,
    /// Take a few steps, print what the whole run would need in memory, disk and time, and keep nothing
    #[arg(long, conflicts_with = "resume")]
    pub dry_run: bool,
    /// Print a configuration with every setting at its default and stop
    #[arg(long)]
    pub example: bool,
}
