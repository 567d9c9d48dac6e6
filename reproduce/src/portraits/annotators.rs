//! Four detectors as annotators of one set of portraits, and their consensus.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Result, ensure};
use star_data::crop::CropRule;
use star_data::formats::{Format, tsv};
use star_data::{Annotation, Dataset, Scheme};
use star_eval::{Normalizer, nme};

use crate::default_model::sets::{self, SCHEME};
use crate::machine::sha256;

/// Who labelled the portraits: the attention mesh is the labels of `train.tsv` and `valid.tsv`, the others are files of their own.
pub(super) const ANNOTATORS: [(&str, Option<&str>); 4] = [
    ("MediaPipe attention mesh", None),
    ("MediaPipe mesh", Some("mesh")),
    ("face-api", Some("face-api")),
    ("face-api tiny", Some("face-api-tiny")),
];

/// A detector this far from the consensus has taken something else for the face: fraction of the inter-ocular distance, mean over the
/// landmarks. No annotator of people does that, so such an image is left out.
pub(super) const GROSS: f64 = 0.15;

/// Outer corners of the eyes in 68 points.
pub(super) const EYES: [usize; 2] = [36, 45];

/// Which portraits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Train,
    Valid,
}

impl Part {
    fn file(self) -> &'static str {
        match self {
            Self::Train => "train.tsv",
            Self::Valid => "valid.tsv",
        }
    }
}

/// One portrait with the landmarks of every annotator, pixels.
#[derive(Clone, Debug)]
pub(super) struct Portrait {
    /// What stands in the files; its image is relative to the folder of the portraits.
    pub(super) about: Annotation,
    /// In the order of [`ANNOTATORS`].
    pub(super) labels: Vec<Vec<[f32; 2]>>,
    /// Mean of the labels.
    pub(super) consensus: Vec<[f32; 2]>,
}

/// Portraits that all annotators labelled, and how many were left out.
#[derive(Clone, Debug)]
pub(super) struct Portraits {
    pub(super) kept: Vec<Portrait>,
    /// Not found by every detector.
    pub(super) unfound: usize,
    /// Grossly mistaken by one of them.
    pub(super) gross: usize,
}

/// The portraits of a part of `data`.
///
/// # Errors
/// Names the file that cannot be read, or that labels no portrait of the part.
pub(super) fn portraits(data: &Path, part: Part) -> Result<Portraits> {
    let files: Vec<BTreeMap<String, Annotation>> =
        ANNOTATORS.iter().map(|(_, name)| read(data, part, *name)).collect::<Result<_>>()?;
    let mut found = Portraits { kept: Vec::new(), unfound: 0, gross: 0 };
    for (image, about) in &files[0] {
        let labels: Vec<Vec<[f32; 2]>> =
            files.iter().filter_map(|file| Some(file.get(image)?.points.clone())).collect();
        if labels.len() < ANNOTATORS.len() {
            found.unfound += 1;
            continue;
        }
        let consensus = mean(&labels);
        if labels.iter().any(|points| distance(points, &consensus).is_none_or(|distance| distance > GROSS)) {
            found.gross += 1;
            continue;
        }
        found.kept.push(Portrait { about: about.clone(), labels, consensus });
    }
    ensure!(
        !found.kept.is_empty(),
        "{}: no portrait of {} that all detectors labelled",
        data.display(),
        part.file()
    );
    Ok(found)
}

fn read(data: &Path, part: Part, annotator: Option<&str>) -> Result<BTreeMap<String, Annotation>> {
    let path = match annotator {
        Some(name) => data.join("annotators").join(format!("{name}-{}", part.file())),
        None => data.join(part.file()),
    };
    let set = sets::open(Format::Tsv, &path, data)?;
    let row = |index: usize| -> Result<(String, Annotation)> {
        let about = set.annotation(index)?;
        Ok((about.image.to_string_lossy().into_owned(), about))
    };
    (0..set.len()).map(row).collect()
}

/// SHA-256 of every file of labels, by its name.
///
/// # Errors
/// Names the file that cannot be read.
pub(super) fn hashes(data: &Path) -> Result<BTreeMap<String, String>> {
    let mut files: BTreeSet<String> = BTreeSet::from(["human68.json".to_owned()]);
    for part in [Part::Train, Part::Valid] {
        files.extend(ANNOTATORS.iter().map(|(_, name)| match name {
            Some(name) => format!("annotators/{name}-{}", part.file()),
            None => part.file().to_owned(),
        }));
    }
    files.into_iter().map(|file| Ok((file.clone(), sha256(&data.join(&file))?))).collect()
}

/// The row of a training file: the portrait under `points`, in the box of the consensus, so that labels change no crop.
///
/// # Errors
/// When the consensus has no extent.
pub(super) fn row(portrait: &Portrait, points: &[[f32; 2]]) -> Result<String> {
    let stated = Some(CropRule::LandmarkTight.face(&portrait.consensus)?);
    let about = Annotation { points: points.to_vec(), stated, ..portrait.about.clone() };
    Ok(tsv::format_annotation(&about, &Scheme::named(SCHEME)?, CropRule::Stated)?)
}

/// Landmark by landmark the mean of several labels.
fn mean(labels: &[Vec<[f32; 2]>]) -> Vec<[f32; 2]> {
    let count = labels.len() as f32;
    let at = |k: usize| [0, 1].map(|axis| labels.iter().map(|points| points[k][axis]).sum::<f32>() / count);
    (0..labels.first().map_or(0, Vec::len)).map(at).collect()
}

/// Mean distance of two labels, fraction of the inter-ocular distance of the second; `None` where that is 0.
fn distance(points: &[[f32; 2]], other: &[[f32; 2]]) -> Option<f64> {
    let length = Normalizer::Between(vec![EYES[0]], vec![EYES[1]]).length(other).ok()?;
    nme(points, other, None, length).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A face of 68 points about `centre`, inter-ocular distance 40.
    pub(in super::super) fn face(centre: [f32; 2]) -> Vec<[f32; 2]> {
        let mut points: Vec<[f32; 2]> = (0..68)
            .map(|k| {
                let angle = k as f32 * 0.7;
                [centre[0] + 30.0 * angle.cos(), centre[1] + 30.0 * angle.sin()]
            })
            .collect();
        points[EYES[0]] = [centre[0] - 20.0, centre[1]];
        points[EYES[1]] = [centre[0] + 20.0, centre[1]];
        points
    }

    fn write(path: &Path, rows: &[(&str, Vec<[f32; 2]>)]) {
        let text: Vec<String> = rows
            .iter()
            .map(|(image, points)| tsv::format_row(Path::new(image), &[[1.0; 2]; 5], points, &[]).unwrap())
            .collect();
        std::fs::write(path, text.join("\n") + "\n").unwrap();
    }

    /// Three portraits: one all found, one that the mesh did not find, one that the tiny network mistakes.
    pub(in super::super) fn folder(dir: &Path) {
        std::fs::create_dir(dir.join("annotators")).unwrap();
        let at = |x: f32| face([x, 50.0]);
        for part in ["train.tsv", "valid.tsv"] {
            write(&dir.join(part), &[("a.jpg", at(50.0)), ("b.jpg", at(50.0)), ("c.jpg", at(50.0))]);
            let of = |name: &str| dir.join("annotators").join(format!("{name}-{part}"));
            write(&of("mesh"), &[("a.jpg", at(52.0)), ("c.jpg", at(50.0))]);
            write(&of("face-api"), &[("a.jpg", at(54.0)), ("b.jpg", at(50.0)), ("c.jpg", at(50.0))]);
            write(&of("face-api-tiny"), &[("a.jpg", at(48.0)), ("b.jpg", at(50.0)), ("c.jpg", at(70.0))]);
        }
    }

    #[test]
    fn portraits_that_a_detector_missed_or_mistook_are_left_out_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let found = portraits(dir.path(), Part::Train).unwrap();
        assert_eq!((found.kept.len(), found.unfound, found.gross), (1, 1, 1));
        // The mean of 50, 52, 54 and 48.
        assert!((found.kept[0].consensus[EYES[0]][0] - (51.0 - 20.0)).abs() < 1e-4);
        assert_eq!(found.kept[0].labels[2], face([54.0, 50.0]));
    }

    #[test]
    fn a_row_has_the_labels_points_in_the_box_of_the_consensus() {
        let dir = tempfile::tempdir().unwrap();
        folder(dir.path());
        let portrait = portraits(dir.path(), Part::Train).unwrap().kept.remove(0);
        let rows = [0, 2].map(|annotator| row(&portrait, &portrait.labels[annotator]).unwrap());
        let column = |row: &String, i: usize| row.split('\t').nth(i).unwrap().to_owned();
        assert_ne!(column(&rows[0], 2), column(&rows[1], 2));
        for i in [0, 3, 4, 5] {
            assert_eq!(column(&rows[0], i), column(&rows[1], i));
        }
        let message = hashes(dir.path()).unwrap_err().to_string();
        assert!(message.contains("human68.json"), "{message}");
    }
}
