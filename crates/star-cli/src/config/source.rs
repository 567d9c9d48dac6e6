//! Where the faces of a training are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use star_data::crop::CropRule;
use star_data::dataset::Cached;
use star_data::formats::{Compat, Format, Source, Split};
use star_data::scheme_map::Detail;
use star_data::shards::ShardSet;
use star_data::synthetic::{self, SyntheticConfig};
use star_data::{Dataset, Scheme};

use crate::source;

/// One set of annotated faces, by its `format`. Relative paths start from the folder of the training file.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSection {
    /// Annotations on disk, in any format that star-data reads.
    Files(Format, FilesSection),
    /// Shards written by `star data pack`, or by another program that writes WebDataset shards: `shards`.
    Shards(ShardsSection),
    /// Generated faces: `synthetic`.
    Synthetic(SyntheticConfig),
}

/// Packed faces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardsSection {
    /// Folder of the shards.
    pub folder: PathBuf,
}

const SHARDS: &str = "shards";
const SYNTHETIC: &str = "synthetic";

impl Serialize for SourceSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tagged<'a, T> {
            format: &'a str,
            #[serde(flatten)]
            settings: &'a T,
        }
        match self {
            Self::Files(format, settings) => Tagged { format: format.name(), settings }.serialize(serializer),
            Self::Shards(settings) => Tagged { format: SHARDS, settings }.serialize(serializer),
            Self::Synthetic(settings) => Tagged { format: SYNTHETIC, settings }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SourceSection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut settings = serde_json::Map::deserialize(deserializer)?;
        let format = match settings.remove("format") {
            Some(Value::String(format)) => format,
            Some(other) => {
                return Err(D::Error::invalid_type(Unexpected::Other(&other.to_string()), &"a format"));
            }
            None => return Err(D::Error::missing_field("format")),
        };
        let settings = Value::Object(settings);
        let section = match format.as_str() {
            SHARDS => ShardsSection::deserialize(settings).map(Self::Shards),
            SYNTHETIC => SyntheticConfig::deserialize(settings).map(Self::Synthetic),
            name => {
                let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
                let format = name.parse::<Format>().map_err(|_| {
                    let known = known.join(", ");
                    D::Error::custom(format!(
                        "format: expected {known}, {SHARDS} or {SYNTHETIC}, got `{name}`"
                    ))
                })?;
                FilesSection::deserialize(settings).map(|files| Self::Files(format, files))
            }
        };
        section.map_err(D::Error::custom)
    }
}

/// Annotations on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSection {
    /// The annotation file, or the folder of a data set as it was unpacked.
    pub annotations: PathBuf,
    /// Folder that image paths start from; default: as the format has it, else the folder of the annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Split; default: `train` to train on, `test` to validate on; for own data every row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Subset of the split; for formats without published ones a tag that faces must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Category of COCO annotations; default: the only one with keypoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// How a face's box is made; default: as the published models were trained on this format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<CropRule>,
    /// Make 68 points of annotations with 98.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_98_to_68: Option<Detail>,
    /// Repeat faults of the reference's data reading.
    #[serde(default, skip_serializing_if = "is_default")]
    pub compat: Compat,
    /// Leave out rows that cannot be used instead of stopping; always on for 300VW.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lenient: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SourceSection {
    /// Opens the faces; relative paths start from `base`, and where the section names no split of a format that has some it is `split`.
    ///
    /// # Errors
    /// When they cannot be read or are none.
    pub fn open(&self, base: &Path, scheme: &Scheme, split: Split) -> Result<Arc<dyn Dataset>> {
        let (format, files) = match self {
            Self::Files(format, files) => (*format, files),
            Self::Shards(shards) => {
                return Ok(Arc::new(ShardSet::open(&base.join(&shards.folder), scheme.clone())?));
            }
            Self::Synthetic(config) => return synthetic(config, scheme),
        };
        let (named, own_split) = source::split(format, files.split.as_deref())?;
        let opened = Source {
            images: files.images.as_ref().map(|images| base.join(images)),
            split: named.or_else(|| (!format.splits().is_empty()).then_some(split)),
            own_split,
            subset: files.subset.clone(),
            category: files.category.clone(),
            scheme: Some(scheme.clone()),
            map: files.map_98_to_68,
            crop: files.crop,
            compat: files.compat,
            ..Source::new(format, base.join(&files.annotations))
        }
        .open()?;
        for note in &opened.notes {
            eprintln!("{format}: {note}");
        }
        Ok(source::usable(opened, files.lenient || format == Format::Face300vw)?.dataset)
    }
}

fn synthetic(config: &SyntheticConfig, scheme: &Scheme) -> Result<Arc<dyn Dataset>> {
    let wanted = config.subject.scheme();
    ensure!(
        wanted == scheme.name,
        "data: synthetic images of this subject follow scheme `{wanted}`, the run `{}`",
        scheme.name
    );
    let drawn = synthetic::open(config.clone())?;
    // Every epoch sees the same images, and they take longer to draw than to keep.
    Ok(Arc::new(Cached::new(drawn)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<SourceSection, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn every_form_is_named_and_unknown_settings_are_refused() {
        for format in Format::ALL {
            let text =
                format!("format = \"{format}\"\nannotations = \"a\"\nsubset = \"blur\"\ncrop = \"stated\"\n");
            let section = section(&text).unwrap();
            assert_eq!(toml::to_string(&section).unwrap(), text);
        }
        let message =
            section("format = \"wflw\"\nannotations = \"a\"\nsplitt = \"test\"").unwrap_err().to_string();
        assert!(message.contains("splitt"), "{message}");
        assert!(section("format = \"synthetic\"\ncount = 3").is_ok());
        let message = section("format = \"xml\"\nannotations = \"a\"").unwrap_err().to_string();
        assert!(message.contains("300vw, coco, own") && message.contains("`xml`"), "{message}");
    }
}
