//! Annotated images: where they lie and how they are written down.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use star_data::crop::CropRule;
use star_data::formats::{Compat, Format};
use star_data::scheme_map::Detail;
use star_data::synthetic::SyntheticConfig;

/// What a data set is: annotations on disk in a format, or images that are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataFormat {
    /// Annotations on disk.
    Files(Format),
    /// Drawn faces or hands.
    Synthetic,
}

/// Name of the format of images that are drawn.
const SYNTHETIC: &str = "synthetic";

/// The formats by name, each with its line of help.
fn formats() -> impl TypedValueParser<Value = DataFormat> {
    let value = |format: &Format| PossibleValue::new(format.name()).help(format.about());
    let drawn =
        PossibleValue::new(SYNTHETIC).help("faces or hands that are drawn, see --synthetic; no file is read");
    PossibleValuesParser::new(Format::ALL.iter().map(value).chain([drawn])).try_map(|name| {
        match name.as_str() {
            SYNTHETIC => Ok(DataFormat::Synthetic),
            name => name.parse::<Format>().map(DataFormat::Files),
        }
    })
}

/// The formats that need annotations.
fn of_files() -> Vec<(&'static str, &'static str)> {
    Format::ALL.iter().map(|format| ("format", format.name())).collect()
}

/// Settings of synthetic images as `key=value,key=value`, values as in a training file, words without quotes.
///
/// # Errors
/// Says what is wrong with the text.
fn parse_synthetic(text: &str) -> Result<SyntheticConfig, String> {
    let mut table = toml::Table::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(format!("`{pair}`: expected key=value"))?;
        let (key, value) = (key.trim(), value.trim());
        let read = toml::from_str::<toml::Table>(&format!("value = {value}")).ok();
        let read = read.and_then(|mut table| table.remove("value"));
        table.insert(
            key.to_string(),
            read.unwrap_or_else(|| toml::Value::String(value.trim_matches('"').into())),
        );
    }
    let config = SyntheticConfig::deserialize(table).map_err(|error| error.to_string().trim().to_string())?;
    config.validate().map_err(|error| error.to_string())?;
    Ok(config)
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
    #[arg(long, value_parser = formats(), default_value = Format::Tsv.name())]
    pub format: DataFormat,
    /// Annotation file, or the folder of a data set as it was unpacked
    #[arg(long, value_name = "PATH", required_unless_present = "format", required_if_eq_any = of_files())]
    pub annotations: Option<PathBuf>,
    /// With --format synthetic, what is drawn, as in a training file: subject (face, hand, leaf), count, seed, image_size, strength, labels
    /// (annotated, exact), marks (none, ticks), noise (tangent, slide), such as `count=200,seed=9` [default:
    /// subject=face,count=1000,seed=0,image_size=160,strength=1,labels=annotated,marks=none,noise=tangent]
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = parse_synthetic)]
    pub synthetic: Option<SyntheticConfig>,
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

impl SourceArgs {
    /// The annotations, or a name for those that are drawn.
    #[must_use]
    pub fn place(&self) -> &Path {
        self.annotations.as_deref().unwrap_or(Path::new(SYNTHETIC))
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::{Labels, Subject};

    use super::*;

    #[test]
    fn settings_of_synthetic_images_are_those_of_a_training_file() {
        let config = parse_synthetic("count=20, seed = 9,labels=exact,subject=hand,strength=0.5").unwrap();
        assert_eq!((config.count, config.seed, config.strength), (20, 9, 0.5));
        assert_eq!((config.labels, config.subject), (Labels::Exact, Subject::Hand));
        assert_eq!(parse_synthetic("").unwrap(), SyntheticConfig::default());
        for (bad, hint) in [
            ("cuont=3", "count"),
            ("count", "key=value"),
            ("labels=true_ones", "exact"),
            ("image_size=3", "32 to"),
        ] {
            let message = parse_synthetic(bad).unwrap_err();
            assert!(message.contains(hint), "{bad}: {message}");
        }
    }
}
