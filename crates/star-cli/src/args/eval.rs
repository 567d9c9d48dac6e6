//! `star eval` and `star score`: normalizers, thresholds, names.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use star_train::evaluate::metric_set;

use super::{MapName, ReportArgs, SourceArgs, TargetName, WeightsArgs};

/// Length that errors are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NormalizerName {
    /// Between the outer eye corners
    InterOcular,
    /// Between the eye centres
    InterPupil,
    /// Diagonal of the box around the true landmarks
    BoxDiagonal,
    /// Geometric mean of the sides of that box
    BoxMean,
    /// 0.6 of that diagonal: the head's size as MPII defines it for PCKh
    HeadSize,
    /// Diagonal of the box that the annotations state; the default for one keypoint
    StatedBoxDiagonal,
}

impl From<NormalizerName> for metric_set::NormalizerName {
    fn from(name: NormalizerName) -> Self {
        match name {
            NormalizerName::InterOcular => Self::InterOcular,
            NormalizerName::InterPupil => Self::InterPupil,
            NormalizerName::BoxDiagonal => Self::BoxDiagonal,
            NormalizerName::BoxMean => Self::BoxMean,
            NormalizerName::HeadSize => Self::HeadSize,
            NormalizerName::StatedBoxDiagonal => Self::StatedBoxDiagonal,
        }
    }
}

/// The two ends of a normalizer of your own: groups of keypoints whose means are measured between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends(pub Vec<usize>, pub Vec<usize>);

fn parse_ends(text: &str) -> Result<Ends, String> {
    let group = |text: &str| -> Result<Vec<usize>, String> {
        let number =
            |v: &str| v.trim().parse().map_err(|_| format!("`{v}` is no keypoint; expected 0, 1, 2 ..."));
        text.split(',').map(number).collect()
    };
    let (first, second) =
        text.split_once(':').ok_or("expected two groups of keypoints, such as 60:72 or 36,39:42,45")?;
    Ok(Ends(group(first)?, group(second)?))
}

/// What errors are divided by and which errors count as failures.
#[derive(Debug, Args)]
pub struct MetricArgs {
    /// Length that errors are divided by [default: the scheme's]
    #[arg(long, value_enum)]
    pub normalize_by: Option<NormalizerName>,
    /// Normalizer of your own: the distance between the means of two groups of keypoints, 0-based
    #[arg(long, value_name = "A,B:C,D", value_parser = parse_ends, conflicts_with = "normalize_by")]
    pub between: Option<Ends>,
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
    /// Report to write.
    #[command(flatten)]
    pub report: ReportArgs,
    /// Score N faces, evenly chosen, with the detector's crop and with crops moved and scaled, too [default N: 64]
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "64")]
    pub box_sensitivity: Option<usize>,
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
    /// Make 68 points of annotations and of predictions with 98
    #[arg(long = "map-98-to-68", value_enum)]
    pub map: Option<MapName>,
    /// Score in another markup, of which annotations and predictions are made where they have not its points already
    #[arg(long = "as", value_enum, value_name = "NAME", conflicts_with = "map")]
    pub target: Option<TargetName>,
    /// Metrics to print.
    #[command(flatten)]
    pub metrics: MetricArgs,
    /// Folder that image paths start from, for the images of the report [default: the folder of the annotations]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Report to write.
    #[command(flatten)]
    pub report: ReportArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_normalizer_of_your_own_is_two_groups_of_keypoints() {
        assert_eq!(parse_ends("36,39:42, 45").unwrap(), Ends(vec![36, 39], vec![42, 45]));
        for (bad, hint) in [("60", "60:72"), ("1:x", "`x`"), ("1:", "``"), ("-1:2", "`-1`")] {
            assert!(parse_ends(bad).unwrap_err().contains(hint), "{bad}");
        }
    }
}
