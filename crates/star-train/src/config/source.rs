//! Where the samples of a training are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use star_data::crop::CropRule;
use star_data::dataset::Cached;
use star_data::formats::{Compat, Format, Opened, Source, Split, coco, own};
use star_data::scheme_map::Detail;
use star_data::shards::ShardSet;
use star_data::synthetic::{self, SyntheticConfig};
use star_data::{Dataset, Scheme};

/// Problems that are named one by one where rows are left out.
const SHOWN: usize = 5;

/// One set of annotated samples, by its `format`. Relative paths start from the folder of the training file.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceSection {
    /// Annotations on disk, in any format that star-data reads.
    Files(Format, FilesSection),
    /// Shards written by `star data pack`, or by another program that writes WebDataset shards: `shards`.
    Shards(ShardsSection),
    /// Synthetic samples: `synthetic`.
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
    /// Subset of the split; for formats without published ones a tag that samples must have.
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
    /// Cut this from the beginning of images' paths, such as the folder of another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip_prefix: Option<String>,
    /// Of images' paths only the file name counts.
    #[serde(default, skip_serializing_if = "is_default")]
    pub basename: bool,
    /// Leave out rows that cannot be used instead of stopping; always on for 300VW.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lenient: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl SourceSection {
    /// The scheme that the annotations themselves hold; relative paths start from `base`.
    ///
    /// # Errors
    /// When they cannot be read, or hold none.
    pub fn scheme(&self, base: &Path) -> Result<Scheme> {
        match self {
            Self::Files(Format::Own, files) => Ok(own::scheme(&base.join(&files.annotations))?),
            Self::Files(Format::Coco, files) => {
                Ok(coco::scheme(&base.join(&files.annotations), files.category.as_deref())?)
            }
            Self::Synthetic(config) => Ok(Scheme::named(config.subject.scheme())?),
            Self::Files(format, _) => match format.scheme() {
                Some(name) => Ok(Scheme::named(name)?),
                None => bail!("annotations of format {format} hold no scheme: name one, or a TOML file"),
            },
            Self::Shards(_) => bail!("shards hold no scheme: name one, or a TOML file"),
        }
    }

    /// Opens the samples; relative paths start from `base`, and where the section names no split of a format that has some it is
    /// `split`. Calls `note` with what a person should know of them.
    ///
    /// # Errors
    /// When they cannot be read or are none.
    pub fn open(
        &self,
        base: &Path,
        scheme: &Scheme,
        split: Split,
        note: &mut dyn FnMut(&str),
    ) -> Result<Arc<dyn Dataset>> {
        let (format, files) = match self {
            Self::Files(format, files) => (*format, files),
            Self::Shards(shards) => {
                return Ok(Arc::new(ShardSet::open(&base.join(&shards.folder), scheme.clone())?));
            }
            Self::Synthetic(config) => return synthetic(config, scheme),
        };
        let (named, own_split) = self::split(format, files.split.as_deref())?;
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
            strip_prefix: files.strip_prefix.clone(),
            basename: files.basename,
            ..Source::new(format, base.join(&files.annotations))
        }
        .open()?;
        opened.notes.iter().for_each(|text| note(&format!("{format}: {text}")));
        let problems = match files.lenient || format == Format::Face300vw {
            true => Problems::LeaveOut,
            false => Problems::Refuse,
        };
        Ok(usable(opened, problems, note)?.dataset)
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

/// A split by name: a published one, or for one's own data any word.
///
/// # Errors
/// For a name that the format does not have.
pub fn split(format: Format, name: Option<&str>) -> Result<(Option<Split>, Option<String>)> {
    let Some(name) = name else { return Ok((None, None)) };
    if format == Format::Own {
        return Ok((None, Some(name.to_string())));
    }
    let splits = format.splits();
    let found = splits.iter().find(|split| split.to_string().eq_ignore_ascii_case(name));
    let Some(found) = found else {
        let known: Vec<String> = splits.iter().map(ToString::to_string).collect();
        match known.is_empty() {
            true => bail!("split: format {format} has no splits, got `{name}`"),
            false => bail!("split: expected {} for format {format}, got `{name}`", known.join(", ")),
        }
    };
    Ok((Some(*found), None))
}

/// What becomes of annotations with rows that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problems {
    /// They are not used at all.
    Refuse,
    /// Such rows are left out, and it is said which.
    LeaveOut,
}

/// The samples, if nothing is wrong with their annotations or that may be; calls `note` with what is left out.
///
/// # Errors
/// The first problem, where none may be.
pub fn usable(mut opened: Opened, problems: Problems, note: &mut dyn FnMut(&str)) -> Result<Opened> {
    if opened.problems.is_empty() {
        return Ok(opened);
    }
    if problems == Problems::Refuse {
        let more = opened.problems.len() - 1;
        let first = opened.problems.swap_remove(0);
        return Err(match more {
            0 => first.into(),
            _ => anyhow::Error::from(first)
                .context(format!("{} rows cannot be used (--lenient leaves them out), the first", more + 1)),
        });
    }
    let count = opened.problems.len();
    for problem in opened.problems.iter().take(SHOWN) {
        note(&format!("left out: {problem}"));
    }
    if count > SHOWN {
        note(&format!("left out: {} more; `star data check` names them all", count - SHOWN));
    }
    opened.notes.push(format!("{count} rows that cannot be used are left out"));
    opened.problems.clear();
    Ok(opened)
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
        assert!(
            message.contains("300vw, coco, hrnet, imglab, ljson, own") && message.contains("`xml`"),
            "{message}"
        );
    }
}
