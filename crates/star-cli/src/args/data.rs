//! Annotated images: where they lie and how they are written down.

use std::path::PathBuf;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use star_data::crop::CropRule;
use star_data::formats::{Compat, Format};
use star_data::scheme_map::Detail;

/// The formats by name, each with its line of help.
fn formats() -> impl TypedValueParser<Value = Format> {
    let value = |format: &Format| PossibleValue::new(format.name()).help(format.about());
    PossibleValuesParser::new(Format::ALL.iter().map(value)).try_map(|name| name.parse::<Format>())
}

/// How a face's box is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CropName {
    /// Square around the landmarks, bounds rounded outwards: the published 300W and COFW rows
    LandmarkTight,
    /// 1.05 times the shorter side around the landmarks: the reference's demonstration
    ReferenceDemo,
    /// The box that the annotations themselves state
    Stated,
}

impl CropName {
    /// The rule.
    pub fn rule(self) -> CropRule {
        match self {
            Self::LandmarkTight => CropRule::LandmarkTight,
            Self::ReferenceDemo => CropRule::ReferenceDemo,
            Self::Stated => CropRule::Stated,
        }
    }
}

/// How 68 points are made of 98.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MapName {
    /// Each is one of the 98
    Pick,
    /// Brows from the middle of their rows, eyelid points moved to thirds of the lid
    Blend,
}

impl MapName {
    /// The map.
    pub fn detail(self) -> Detail {
        match self {
            Self::Pick => Detail::Pick,
            Self::Blend => Detail::Blend,
        }
    }
}

/// Keypoints that predictions are wanted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetName {
    /// The 68 points of iBUG's markup: made of the 98 of WFLW as by `--map-98-to-68 blend`; 68 stay as they are
    Ibug68,
}

/// Whether faults of the reference's data reading are repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompatName {
    /// They are not
    None,
    /// The first row of a TSV file is dropped, COFW's points stay 1-based
    Reference,
}

impl CompatName {
    /// The setting.
    pub fn compat(self) -> Compat {
        match self {
            Self::None => Compat::None,
            Self::Reference => Compat::Reference,
        }
    }
}

/// Where annotations and images lie.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// Format of the annotations
    #[arg(long, value_parser = formats(), default_value_t = Format::Tsv)]
    pub format: Format,
    /// Annotation file, or the folder of a data set as it was unpacked
    #[arg(long, value_name = "PATH")]
    pub annotations: PathBuf,
    /// Folder that image paths start from [default: as the format has it, else the folder of the annotations]
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Split: train, test or (300w) private; for own any word of its split column [default: test]
    #[arg(long, value_name = "NAME")]
    pub split: Option<String>,
    /// Category of coco annotations [default: the only one with keypoints]
    #[arg(long, value_name = "NAME")]
    pub category: Option<String>,
    /// How a face's box is made [default: as the published models were trained on this format]
    #[arg(long, value_enum)]
    pub crop: Option<CropName>,
    /// Make 68 points of annotations with 98
    #[arg(long = "map-98-to-68", value_enum)]
    pub map: Option<MapName>,
    /// Repeat faults of the reference's data reading, to match published figures
    #[arg(long, value_enum, default_value_t = CompatName::None)]
    pub compat: CompatName,
    /// Leave out rows that cannot be used, saying so, instead of stopping; always on for 300vw
    #[arg(long)]
    pub lenient: bool,
    /// Cut this from the beginning of images' paths, such as the folder of another machine
    #[arg(long, value_name = "PREFIX")]
    pub strip_prefix: Option<String>,
    /// Of images' paths only the file name counts
    #[arg(long, conflicts_with = "strip_prefix")]
    pub basename: bool,
}
