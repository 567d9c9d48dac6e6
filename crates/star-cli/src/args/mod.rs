//! The command line: what a person types, before any of it is looked at; one file a group of commands.

mod bench;
#[cfg(feature = "bulk")]
mod bulk;
mod calibrate;
mod data;
mod data_command;
mod eval;
#[cfg(feature = "hub")]
mod fetch;
mod pack;
mod predict;
mod quantize;
mod report;
#[cfg(feature = "serve")]
mod serve;
mod train;
mod weights;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub use bench::*;
#[cfg(feature = "bulk")]
pub use bulk::*;
pub use calibrate::*;
pub use data::*;
pub use data_command::*;
pub use eval::*;
#[cfg(feature = "hub")]
pub use fetch::*;
pub use pack::*;
pub use predict::*;
pub use quantize::*;
pub use report::*;
#[cfg(feature = "serve")]
pub use serve::*;
pub use train::*;
pub use weights::*;

/// How points of one's own are written down.
pub(crate) const OWN_DATA: &str = include_str!("own_data.txt");

/// Keypoint localisation around the STAR loss: convert weights, find landmarks, score, train.
///
/// Landmarks from a photograph:
///
///   star predict face.jpg --out drawn
#[derive(Debug, Parser)]
#[command(name = "star", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Replace results that are there already; inputs are never replaced
    #[arg(long, global = true)]
    pub overwrite: bool,
}

/// The subcommands of `star`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert a published checkpoint (.pkl, .pth, .safetensors) into a folder that every other command takes
    Convert(ConvertArgs),
    /// Download published weights, verify and convert them once; `--weights NAME` does the same on the way
    #[cfg(feature = "hub")]
    Fetch(FetchArgs),
    /// Print what weights hold and what their network costs: architecture, scheme, parameters, MACs a stage
    Inspect(InspectArgs),
    /// Write a network as an ONNX file for other runtimes, on request with 68 points made of 98
    Export(ExportArgs),
    /// Find the landmarks of every face in photographs or in a video, and write, draw or cut them out
    ///
    /// Writes JSON or a table: landmarks, how sure they are, ellipses, head pose. Draws them into copies of the images, or of the video,
    /// through which faces keep their numbers. Cuts faces out upright. Without an image it draws the one in the program.
    Predict(PredictArgs),
    /// Show landmarks live in a browser, and answer requests over HTTP
    #[cfg(feature = "serve")]
    Serve(ServeArgs),
    /// Run weights over an annotated data set and print NME, FR and AUC; write predictions and a report with figures
    ///
    /// The report (--report) is a page, Markdown and JSON: figures by subset, normalizer and keypoint, error curves, calibration, the best
    /// and worst images. Data may be synthetic: --format synthetic.
    Eval(EvalArgs),
    /// Score a file of predictions, of any program, against the truth, without a model; the report is that of eval
    Score(ScoreArgs),
    /// Learn from annotated images how sure landmarks are, and keep it beside the weights: confidences of `star predict`
    Calibrate(CalibrateArgs),
    /// Measure on images which convolutions may be products of bytes, for star predict --precision int8
    ///
    /// On annotated images the NME may grow by 1 % of itself. Photographs without annotations do too (--images DIR alone): faces are looked
    /// for, and landmarks may move by 0.3 % of the normalizer on average from where they are in f32. Some hundred faces of the kind that the
    /// weights will be used on are enough.
    Quantize(QuantizeArgs),
    /// Compare two or more results image by image: what got better, what got worse, and whether it could be chance
    Compare(CompareArgs),
    /// Train a network on annotated faces or any other keypoints; --example prints every setting, --resume goes on
    ///
    /// Leaves the best and the last weights, a state to go on from, metrics.jsonl, curves and, where asked for, TensorBoard events in its
    /// folder. Ctrl-C saves and stops. Started by mpirun, several processes share every batch.
    #[command(after_long_help = OWN_DATA)]
    Train(TrainArgs),
    /// Check data sets, draw them onto contact sheets, write them in other formats, pack them into shards
    #[command(after_long_help = OWN_DATA)]
    Data {
        /// What to do with the data set.
        #[command(subcommand)]
        command: DataCommand,
    },
    /// Time a network on this machine: latency, throughput, memory, and where the time goes
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell, such as bash, zsh or fish.
        shell: clap_complete::Shell,
    },
    /// Write manual pages into a folder
    Man {
        /// Folder for the pages; made if missing.
        dir: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
