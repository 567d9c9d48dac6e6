//! Faces of millions of images, packed in shards, as Parquet files; feature `bulk`.
//!
//! A shard of the input becomes a file of the output, which is written atomically. So any number of jobs can share the shards out
//! ([`Part`]), and a job that is started again passes over what is done.

mod cells;
mod item;
mod job;
mod locate;
mod pages;
mod part;
mod place;
mod rows;
#[cfg(feature = "object-store")]
mod store;
mod table;
mod tar;

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use star_data::Scheme;
use star_model::checkpoint::Folder;

use crate::Predictor;
use crate::confidence::ConfidenceModel;
use crate::detector::FaceDetector;
use crate::device::DeviceName;
use job::{Job, ShardError};
pub use part::Part;
use place::Place;

/// What the files of an output folder were made with. Readers of whole folders pass over names that begin so.
const ABOUT: &str = "_star.json";

/// What is predicted in, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkConfig {
    /// A tar shard or Parquet file, a folder of them, or a URL (`file://`; with the feature `object-store` also `s3://`, `gs://`,
    /// `az://`, `https://`).
    pub input: String,
    /// Folder, or URL, for a Parquet file of faces a shard of the input.
    pub output: String,
    /// Which of the shards.
    pub part: Part,
    /// Where the faces of an image are taken from.
    pub boxes: BoxSource,
    /// Of Parquet files, the column with the images: bytes, paths, or a struct of both. The first known name where it is `None`.
    pub image_column: Option<String>,
    /// Smallest score of the detector that counts as a face.
    pub min_score: f64,
    /// Faces that go through the network together.
    pub batch_size: usize,
    /// Where to compute.
    pub device: DeviceName,
}

impl BulkConfig {
    /// All shards of `input`, with the boxes that they hold.
    pub fn new(input: impl Into<String>, output: impl Into<String>) -> Self {
        Self {
            input: input.into(),
            output: output.into(),
            part: Part::default(),
            boxes: BoxSource::Input,
            image_column: None,
            min_score: FaceDetector::MIN_SCORE,
            batch_size: Predictor::BATCH_SIZE,
            device: DeviceName::Cpu,
        }
    }
}

/// Where the faces of an image are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxSource {
    /// From the input where it has boxes, from the detector elsewhere.
    Input,
    /// From the detector alone.
    Detector,
}

/// What was found in some images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Images that were looked at.
    pub images: usize,
    /// Faces in them.
    pub faces: usize,
    /// Images that could not be used; their rows hold the reason.
    pub unusable: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.images += other.images;
        self.faces += other.faces;
        self.unusable += other.unusable;
    }
}

/// What became of the shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Of the shards that were done now.
    pub counts: Counts,
    /// Shards that had results before.
    pub done_before: usize,
    /// Shards that could not be read to their end; they have no results.
    pub unreadable: usize,
}

/// Where reports of the work go, from the thread that [`Bulk::run`] was called on.
pub trait BulkProgress {
    /// This process does `own` of `all` shards.
    fn begin(&mut self, own: usize, all: usize);

    /// `images` images of `shard` are done.
    fn images(&mut self, shard: &str, images: usize);

    /// A shard could not be read to its end, and why; the next one follows.
    fn unreadable(&mut self, error: &anyhow::Error);

    /// A shard is over, whatever became of it.
    fn shard_over(&mut self);
}

/// What is run over the images.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    /// The weights.
    pub folder: &'a Folder,
    /// Of their keypoints.
    pub scheme: &'a Scheme,
    /// How sure a landmark is, where the weights were calibrated: see [`weights::confidence`](crate::weights::confidence).
    pub confidence: Option<&'a ConfidenceModel>,
}

/// Which columns the results have: one more whenever they change.
const COLUMNS: u32 = 2;

/// What must be one for all files of an output.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct About {
    /// [`COLUMNS`]; the first files did not say.
    #[serde(default)]
    columns: u32,
    scheme: String,
    /// SHA-256 over the weights' names and values.
    weights: String,
    /// SHA-256 of the confidence model, where there is one.
    #[serde(default)]
    confidence: Option<String>,
    /// Whether boxes of the input were used.
    boxes: bool,
    min_score: f64,
}

/// Reads the shard `path`, a tar file by its ending or else a Parquet file, to its end without a network or a decoder, and counts its
/// images; `column` as [`BulkConfig::image_column`].
///
/// # Errors
/// As a run says of a shard that it cannot read to its end.
pub fn count_images(path: &Path, column: Option<&str>) -> Result<usize> {
    let label = path.display().to_string();
    job::items(path, &label, &label, column)?.try_fold(0, |count, item| item.map(|_| count + 1))
}

/// Shards that were found, and where their results go.
pub struct Bulk<'a> {
    config: &'a BulkConfig,
    from: Box<dyn Place>,
    to: Box<dyn Place>,
    /// Each shard with the name of its results.
    shards: Vec<(String, String)>,
}

impl<'a> Bulk<'a> {
    /// Finds the shards; nothing is read or written yet, but for a folder that is made.
    ///
    /// # Errors
    /// When there are none, when input and output are one place, or this build cannot reach them.
    pub fn open(config: &'a BulkConfig) -> Result<Self> {
        let (from, names) = locate::input(&config.input)?;
        let to = locate::output(&config.output)?;
        ensure!(
            !locate::same(&config.input, &config.output),
            "expected another place for the output than the input, got {} for both",
            config.output
        );
        Ok(Self { config, from, to, shards: shards(names)? })
    }

    /// Does this part's shards that have no results yet, with `network`.
    ///
    /// # Errors
    /// When the network cannot be built, the output holds results of other weights or settings, or results cannot be written: what is
    /// wrong with one shard is reported to `progress` alone.
    pub fn run(&self, network: &Network, progress: &mut dyn BulkProgress) -> Result<Summary> {
        let about = About {
            columns: COLUMNS,
            scheme: network.scheme.name.clone(),
            weights: digest(network.folder)?,
            confidence: network.confidence.map(digest_of).transpose()?,
            boxes: self.config.boxes == BoxSource::Input,
            min_score: self.config.min_score,
        };
        agree(self.to.as_ref(), &about)?;
        let job = Job::new(self.config, network, &about)?;
        let own = || self.shards.iter().enumerate().filter(|(i, _)| self.config.part.has(*i));
        progress.begin(own().count(), self.shards.len());
        let mut summary = Summary::default();
        for (_, (name, result)) in own() {
            if self.to.contains(result)? {
                summary.done_before += 1;
            } else {
                match job.shard(self.from.as_ref(), name, self.to.as_ref(), result, progress) {
                    Ok(counts) => summary.counts += counts,
                    // A full disk will be full for the next shard too; a damaged shard is that shard's trouble.
                    Err(ShardError::Output(error)) => return Err(error),
                    Err(ShardError::Input(error)) => {
                        summary.unreadable += 1;
                        progress.unreadable(&error);
                    }
                }
            }
            progress.shard_over();
        }
        Ok(summary)
    }
}

/// Each shard with the name of its results: its own with the ending `.parquet`.
fn shards(names: Vec<String>) -> Result<Vec<(String, String)>> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut shards = Vec::with_capacity(names.len());
    for name in names {
        let stem = name.strip_suffix(".tar").or_else(|| name.strip_suffix(".parquet")).unwrap_or(&name);
        let result = format!("{stem}.parquet");
        if let Some(other) = taken.insert(result.clone(), name.clone()) {
            bail!(
                "the results of {other} and {name} would both be {result}: rename one, or give them one by one"
            )
        }
        shards.push((name, result));
    }
    Ok(shards)
}

/// Refuses an output that holds results of other weights or settings; says in an empty one what its results are made with.
fn agree(to: &dyn Place, about: &About) -> Result<()> {
    if to.contains(ABOUT)? {
        let label = to.label(ABOUT);
        let there: About = serde_json::from_slice(&to.read(ABOUT)?).with_context(|| label.clone())?;
        ensure!(
            there == *about,
            "{label}: the results there were made with other weights or settings ({there:?}, here {about:?}): choose another output"
        );
        return Ok(());
    }
    let mut file = to.begin()?;
    serde_json::to_writer_pretty(&mut file, about)?;
    to.put(ABOUT, file)
}

fn digest(folder: &Folder) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(serde_json::to_vec(&folder.config.architecture)?);
    for (name, tensor) in &folder.tensors {
        hash.update(name);
        let values = tensor.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        values.iter().for_each(|value| hash.update(value.to_le_bytes()));
    }
    Ok(hex(hash))
}

fn digest_of(model: &ConfidenceModel) -> Result<String> {
    Ok(hex(Sha256::new_with_prefix(serde_json::to_vec(model)?)))
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_called_as_their_shards_and_two_of_one_name_are_refused() {
        let names = |names: &[&str]| shards(names.iter().map(|name| name.to_string()).collect());
        let found = names(&["a.parquet", "b.tar"]).unwrap();
        assert_eq!(found[1], ("b.tar".to_string(), "b.parquet".to_string()));
        let message = names(&["a.parquet", "a.tar"]).unwrap_err().to_string();
        assert!(message.contains("a.parquet and a.tar"), "{message}");
    }

    #[test]
    fn an_output_of_other_weights_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let to = place::Folder(dir.path().to_path_buf());
        let about = |weights: &str| About {
            columns: COLUMNS,
            scheme: "wflw98".into(),
            weights: weights.into(),
            confidence: None,
            boxes: true,
            min_score: 0.1,
        };
        agree(&to, &about("a")).unwrap();
        agree(&to, &about("a")).unwrap();
        let message = agree(&to, &about("b")).unwrap_err().to_string();
        assert!(message.contains("_star.json") && message.contains("another output"), "{message}");
        // Of a time before the columns were counted.
        let old = br#"{"scheme": "wflw98", "weights": "a", "boxes": true, "min_score": 0.1}"#;
        std::fs::write(dir.path().join(ABOUT), old).unwrap();
        assert!(agree(&to, &about("a")).unwrap_err().to_string().contains("columns: 0"));
    }

    #[test]
    fn the_images_of_a_shard_are_counted_to_its_end_and_a_cut_one_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let mut builder = ::tar::Builder::new(Vec::new());
        for name in ["0.jpg", "0.json", "1.png"] {
            let mut header = ::tar::Header::new_ustar();
            header.set_size(700);
            header.set_cksum();
            builder.append_data(&mut header, name, &[7; 700][..]).unwrap();
        }
        let whole = builder.into_inner().unwrap();
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(count_images(&path, None).unwrap(), 2);
        std::fs::write(&path, &whole[..4000]).unwrap();
        let message = format!("{:#}", count_images(&path, None).unwrap_err());
        assert!(message.contains("a.tar: expected a whole tar file"), "{message}");
    }
}
