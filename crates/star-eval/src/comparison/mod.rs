//! Two or more runs on the same images: figures side by side, paired tests, images that moved most, agreement of the runs.

mod agreement;
mod keys;
mod markdown;
mod pair;

use serde::{Deserialize, Serialize};

use crate::paired::holm;
use crate::study::Outline;
use crate::{Error, Report, Result, Results};

pub use pair::{Moved, Pair};

/// Several runs on one data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The runs in the order given; the first is what the others are compared with.
    pub runs: Vec<Run>,
    /// Each later run against the first.
    pub pairs: Vec<Pair>,
    /// Disagreement of the runs per keypoint, a fraction of the normalizer, averaged over the images that all have found; `None` where the
    /// files hold no predictions.
    pub keypoint_spreads: Option<Vec<f64>>,
    /// Images that this was averaged over.
    pub spread_images: usize,
    /// The mean shape with its curves, for drawing.
    pub outline: Outline,
}

/// One run: its name and its figures on the whole set under the first normalizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name, such as the file's.
    pub name: String,
    /// Its figures.
    pub report: Report,
}

impl Comparison {
    /// Compares named results; images are matched by name, the n-th of a name with the n-th.
    ///
    /// # Errors
    /// [`Error::Range`] for fewer than two runs, [`Error::Incomparable`] for runs under different normalizers or without images in common.
    pub fn new(runs: &[(String, Results)]) -> Result<Self> {
        let [(first_name, first), others @ ..] = runs else {
            return Err(Error::Range { what: "number of runs", expected: "at least 2", value: 0.0 });
        };
        if others.is_empty() {
            return Err(Error::Range { what: "number of runs", expected: "at least 2", value: 1.0 });
        }
        let mut pairs = Vec::with_capacity(others.len());
        for (name, other) in others {
            pairs.push(Pair::new((first_name, first.main()?), (name, other.main()?))?);
        }
        let tested: Vec<usize> = (0..pairs.len()).filter(|&i| pairs[i].paired.wilcoxon.is_some()).collect();
        let raw: Vec<f64> = tested.iter().filter_map(|&i| pairs[i].paired.wilcoxon.map(|w| w.p)).collect();
        for (&i, p) in tested.iter().zip(holm(&raw)) {
            pairs[i].wilcoxon_corrected_p = Some(p);
        }
        let (keypoint_spreads, spread_images) = agreement::spreads(runs)?;
        let figures = |(name, results): &(String, Results)| -> Result<Run> {
            Ok(Run { name: name.clone(), report: results.main()?.clone() })
        };
        Ok(Self {
            runs: runs.iter().map(figures).collect::<Result<_>>()?,
            pairs,
            keypoint_spreads,
            spread_images,
            outline: first.outline.clone(),
        })
    }

    /// As indented JSON.
    pub fn to_json(&self) -> String {
        // Strings, integers and finite or absent floats only: there is nothing in it that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Case, MetricSet, Normalizer};

    fn results(offsets: &[(&str, Option<f32>)], normalizer: Normalizer) -> Results {
        let truth = vec![[0.0, 0.0], [100.0, 0.0]];
        let cases: Vec<Case> = offsets
            .iter()
            .map(|(name, offset)| Case {
                name: (*name).to_owned(),
                predicted: offset.map(|d| truth.iter().map(|[x, y]| [*x, *y + d]).collect()),
                truth: truth.clone(),
                ..Default::default()
            })
            .collect();
        let metrics = MetricSet {
            dataset: "toy".into(),
            whole: "full".into(),
            normalizers: vec![("ends".into(), normalizer)],
            thresholds: vec![0.1],
            ..Default::default()
        };
        Results::new(&metrics, &cases).unwrap()
    }

    fn ends() -> Normalizer {
        Normalizer::Between(vec![0], vec![1])
    }

    #[test]
    fn images_are_matched_by_name_and_occurrence_in_any_order() {
        let a = results(&[("x", Some(2.0)), ("x", Some(4.0)), ("y", Some(1.0)), ("z", None)], ends());
        let b = results(
            &[("y", Some(3.0)), ("x", Some(2.0)), ("x", Some(1.0)), ("z", Some(5.0)), ("w", None)],
            ends(),
        );
        let found = Comparison::new(&[("a".into(), a), ("b".into(), b)]).unwrap();
        let pair = &found.pairs[0];
        assert_eq!((pair.paired.better, pair.paired.worse, pair.paired.ties), (2, 1, 1));
        assert_eq!(pair.unmatched, [0, 1]);
        // The largest gain is the image the first run missed, then 4 -> 1.
        assert_eq!((pair.improved[0].image.as_str(), pair.improved[0].first_fraction), ("z", None));
        assert!((pair.improved[1].second_fraction.unwrap() - 0.01).abs() < 1e-9);
        assert_eq!(pair.worsened.len(), 1);
        assert_eq!(found.spread_images, 3);
        // Half of 0, 3 and 2 px on average, over 100 px.
        assert!((found.keypoint_spreads.unwrap()[0] - 5.0 / 6.0 / 100.0).abs() < 1e-6);
    }

    #[test]
    fn other_normalizers_other_images_and_single_runs_are_refused() {
        let a = || results(&[("x", Some(2.0))], ends());
        let named = |b| Comparison::new(&[("a".into(), a()), ("b".into(), b)]).unwrap_err().to_string();
        assert!(named(results(&[("x", Some(1.0))], Normalizer::default())).contains("--normalize-by"));
        assert!(named(results(&[("q", Some(1.0))], ends())).contains("no image in common"));
        assert!(matches!(Comparison::new(&[("a".into(), a())]), Err(Error::Range { .. })));
    }

    #[test]
    fn bare_reports_compare_without_spreads() {
        let bare = |d| Results::from(results(&[("x", Some(d)), ("y", Some(1.0))], ends()).reports[0].clone());
        let found = Comparison::new(&[("a".into(), bare(1.0)), ("b".into(), bare(2.0))]).unwrap();
        assert_eq!((found.keypoint_spreads, found.spread_images), (None, 0));
        assert_eq!(found.pairs[0].paired.worse, 1);
    }
}
