//! The weights in the program: what they are trained by, packed from, measured on.

mod ablations;
mod boxes;
mod confidence;
mod detection;
mod heads;
mod measured;
mod pack;
mod picture;
mod pose;
mod scores;
pub(crate) mod sets;
mod shrunk;
mod speed;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args as ClapArgs, Subcommand};
use serde::de::DeserializeOwned;

/// Measure the default model and write docs/results/default-model; or train its ablations, draw heads to train on, pack weights
#[derive(ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(flatten)]
    measure: measured::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Train the recipe's ablations, two seeds each, and write their table into docs/results/default-model
    Ablations(ablations::Args),
    /// Compare the detector's squares with landmark-tight boxes
    Boxes(boxes::Args),
    /// Fit how sure landmarks are, and write what it is worth into docs/results/default-model
    Confidence(confidence::Args),
    /// Count the faces that are found, and what is none, on images of many kinds; and what turning tilted crops upright gives
    Detection(detection::Args),
    /// Draw heads with exact landmarks and poses, for faces turned further than a detector can label
    Heads(heads::Args),
    /// Make crates/star-predict/models/default-68 of what the recipe has trained
    Pack(pack::Args),
    /// Write report and confidence in docs/results/default-model anew from the figures that are there
    Page,
    /// Measure head poses on rendered heads, into docs/results/default-model
    Pose(pose::Args),
    /// Fit the probability that what the detector finds is a face
    Scores(detection::Args),
    /// Draw the picture of the front page
    Picture(picture::Args),
}

/// Does what is asked for.
///
/// # Errors
/// Names the file that cannot be used.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        None => measured::run(&args.measure),
        Some(Command::Ablations(args)) => ablations::run(args),
        Some(Command::Boxes(args)) => boxes::run(args),
        Some(Command::Confidence(args)) => confidence::run(args),
        Some(Command::Detection(args)) => detection::run(args),
        Some(Command::Heads(args)) => heads::run(args),
        Some(Command::Pack(args)) => pack::run(args),
        Some(Command::Page) => [measured::page, confidence::page]
            .into_iter()
            .try_for_each(|page| page(&results()).map(|text| println!("{text}"))),
        Some(Command::Pose(args)) => pose::run(args),
        Some(Command::Scores(args)) => scores::run(args),
        Some(Command::Picture(args)) => picture::run(args),
    }
}

/// A record of what was measured.
///
/// # Errors
/// Names the file that cannot be read.
fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Where the results are committed.
fn results() -> PathBuf {
    crate::place::root().join("docs/results/default-model")
}
