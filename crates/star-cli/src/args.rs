//! The command line: what a person types, before any of it is looked at.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keypoint localisation around the STAR loss: convert weights, find landmarks, score, train.
///
/// Landmarks from a photograph, with weights converted once:
///
///   star convert WFLW.pkl weights/wflw
///   star predict face.jpg --weights weights/wflw --out drawn
#[derive(Debug, Parser)]
#[command(name = "star", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands of `star`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Convert a published checkpoint (.pkl, .pth, .safetensors) into a folder that every other command takes
    Convert(ConvertArgs),
    /// Find the landmarks of every face in photographs
    Predict(PredictArgs),
    /// Run weights over an annotated data set and print NME, FR and AUC
    Eval(EvalArgs),
    /// Score a file of predictions against the truth, without a model
    Score(ScoreArgs),
    /// Train a network on annotated faces or any other keypoints
    Train(TrainArgs),
    /// Look at data sets
    Data {
        /// What to do with the data set.
        #[command(subcommand)]
        command: DataCommand,
    },
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
    /// Faces that go through the network together
    #[arg(long, default_value_t = 8, value_name = "N")]
    pub batch_size: usize,
}

/// Arguments of `star predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// Photographs: JPEG, PNG, PPM or PGM
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Weights to run.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// A face's box in pixels instead of the detector, landmark-tight; may be given several times
    #[arg(long = "box", value_name = "X,Y,W,H", value_parser = parse_box, allow_hyphen_values = true)]
    pub boxes: Vec<[f32; 4]>,
    /// Folder for the pictures with points and ellipses drawn in; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// File for the JSON, `-` for standard output [default: standard output unless --out is given]
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Smallest detection score that counts as a face: lower finds more faces and more that are none
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    pub min_score: f64,
}

fn parse_box(text: &str) -> Result<[f32; 4], String> {
    let values: Vec<f32> = text
        .split(',')
        .map(|v| {
            v.trim().parse().map_err(|_| format!("`{v}` is no number; expected x,y,width,height in pixels"))
        })
        .collect::<Result<_, _>>()?;
    let values: [f32; 4] = values
        .try_into()
        .map_err(|v: Vec<f32>| format!("expected four numbers x,y,width,height, got {}", v.len()))?;
    if values.iter().all(|v| v.is_finite()) && values[2] > 0.0 && values[3] > 0.0 {
        Ok(values)
    } else {
        Err("width and height must be positive, all four numbers finite".to_string())
    }
}

/// How annotations are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Rows of image, 5 points, all points, scale and centre, as the method's reference reads them
    Tsv,
    /// iBUG .pts files beside their images
    Pts,
}

/// Length that errors are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RulerName {
    /// Between the outer eye corners
    InterOcular,
    /// Between the eye centres
    InterPupil,
    /// Diagonal of the box around the true landmarks
    BoxDiagonal,
    /// Geometric mean of the sides of that box
    BoxMean,
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

/// What errors are divided by and which errors count as failures.
#[derive(Debug, Args)]
pub struct MetricArgs {
    /// Length that errors are divided by [default: the scheme's]
    #[arg(long, value_enum)]
    pub ruler: Option<RulerName>,
    /// NME above which an image counts as failed, a fraction; may be given several times [default: the scheme's]
    #[arg(long = "threshold", value_name = "T")]
    pub thresholds: Vec<f64>,
    /// Name of the data set to print beside the figures [default: the annotation file's name]
    #[arg(long, value_name = "NAME")]
    pub dataset: Option<String>,
    /// Name of the subset to print beside the figures
    #[arg(long, default_value = "full", value_name = "NAME")]
    pub subset: String,
    /// File for the whole report as JSON, `-` for standard output instead of the table
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}

/// Arguments of `star eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The annotated images.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Weights to run.
    #[command(flatten)]
    pub weights: WeightsArgs,
    /// Metrics to print.
    #[command(flatten)]
    pub metrics: MetricArgs,
    /// File for the predictions, as `star predict --json` writes them
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
}

/// Arguments of `star score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Annotations with the truth, TSV
    #[arg(long, value_name = "TSV")]
    pub truth: PathBuf,
    /// Predictions as `star predict --json` or `star eval --predictions` writes them
    #[arg(long, value_name = "JSON")]
    pub predictions: PathBuf,
    /// Keypoint scheme by name or TOML file
    #[arg(long)]
    pub scheme: String,
    /// Metrics to print.
    #[command(flatten)]
    pub metrics: MetricArgs,
}

/// Arguments of `star train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Training configuration, TOML; `star train --example` prints one with every setting
    #[arg(long, value_name = "FILE", required_unless_present = "example")]
    pub config: Option<PathBuf>,
    /// Folder for checkpoints, metrics and state; made if missing
    #[arg(long, value_name = "DIR", required_unless_present = "example")]
    pub out: Option<PathBuf>,
    /// Go on from the newest state in the folder
    #[arg(long)]
    pub resume: bool,
    /// Print a configuration with every setting at its default and stop
    #[arg(long)]
    pub example: bool,
}

/// The subcommands of `star data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Read a whole data set and report what is wrong with it, row by row
    Check(CheckArgs),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_box_is_four_numbers_with_a_positive_size() {
        assert_eq!(parse_box("-3, 4.5,10,20").unwrap(), [-3.0, 4.5, 10.0, 20.0]);
        for (bad, hint) in
            [("1,2,3", "four numbers"), ("1,2,x,4", "`x`"), ("1,2,0,4", "positive"), ("nan,0,1,1", "finite")]
        {
            assert!(parse_box(bad).unwrap_err().contains(hint), "{bad}");
        }
    }
}
