//! Two or more runs on the same images: figures side by side, paired tests, images that moved most, agreement of the runs.

mod markdown;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::paired::holm;
use crate::study::Outline;
use crate::{Bootstrap, Error, Paired, Report, Result, Results, compare, spread_over_models};

/// Images listed as most improved and as most worsened.
const MOVED: usize = 10;

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

/// A run against the first one, on the images that both scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pair {
    /// Name of the run.
    pub name: String,
    /// Errors image by image, the first run's then this run's.
    pub paired: Paired,
    /// 95 % confidence interval of the mean difference (this minus the first) over images both found; `None` for fewer than two.
    pub difference_interval: Option<[f64; 2]>,
    /// Probability of the signed-rank test, corrected for the number of runs (Holm); `None` where no image differs.
    pub wilcoxon_corrected_p: Option<f64>,
    /// Images that only the first, and only this run scored; they are left out.
    pub unmatched: [usize; 2],
    /// Largest improvements, best first.
    pub improved: Vec<Moved>,
    /// Largest losses, worst first.
    pub worsened: Vec<Moved>,
    /// Error of the first and of this run on each image, `None` where missing; in the order of the first run.
    pub errors: Vec<[Option<f64>; 2]>,
    /// Mean error of each keypoint, this minus the first, a fraction; `None` where either has none.
    pub keypoint_differences: Vec<Option<f64>>,
}

/// An image whose error changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moved {
    /// The image.
    pub image: String,
    /// Its NME with the first run; `None` where missing.
    pub first_fraction: Option<f64>,
    /// Its NME with the other run; `None` where missing.
    pub second_fraction: Option<f64>,
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
            pairs.push(pair((first_name, first.main()?), (name, other.main()?))?);
        }
        let known: Vec<usize> = (0..pairs.len()).filter(|&i| pairs[i].paired.wilcoxon.is_some()).collect();
        let raw: Vec<f64> = known.iter().filter_map(|&i| pairs[i].paired.wilcoxon.map(|w| w.p)).collect();
        for (&i, p) in known.iter().zip(holm(&raw)) {
            pairs[i].wilcoxon_corrected_p = Some(p);
        }
        let (keypoint_spreads, spread_images) = spreads(runs)?;
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

/// Names with the number of the occurrence, so that several samples of one image stay apart.
fn keys<'a>(report: &'a Report) -> Vec<(&'a str, usize)> {
    let mut seen: HashMap<&'a str, usize> = HashMap::new();
    let number = |image: &'a str| {
        let count = seen.entry(image).or_default();
        *count += 1;
        (image, *count)
    };
    report.per_image.iter().map(|image| image.name.as_str()).map(number).collect()
}

fn pair((first_name, first): (&str, &Report), (name, other): (&str, &Report)) -> Result<Pair> {
    let refuse = |reason: String| {
        Err(Error::Incomparable { first: first_name.to_owned(), second: name.to_owned(), reason })
    };
    if first.normalizer_definition != other.normalizer_definition {
        return refuse(format!(
            "the normalizers are {} and {}; score both with one --normalize-by",
            first.normalizer_definition, other.normalizer_definition
        ));
    }
    let places: HashMap<(&str, usize), usize> = keys(other).into_iter().zip(0..).collect();
    let matched: Vec<(usize, usize)> =
        keys(first).iter().enumerate().filter_map(|(i, key)| Some((i, *places.get(key)?))).collect();
    if matched.is_empty() {
        return refuse("they have no image in common; score both on one data set".to_owned());
    }
    let errors: Vec<[Option<f64>; 2]> = matched
        .iter()
        .map(|&(i, j)| [first.per_image[i].nme_fraction, other.per_image[j].nme_fraction])
        .collect();
    let column =
        |which: usize| errors.iter().map(|e| e[which].unwrap_or(f64::INFINITY)).collect::<Vec<f64>>();
    let paired = compare(&column(0), &column(1))?;
    let differences: Vec<f64> = errors.iter().filter_map(|[a, b]| Some((*b)? - (*a)?)).collect();
    let mut order: Vec<(f64, usize)> = column(0)
        .iter()
        .zip(column(1))
        .map(|(a, b)| if *a == b { 0.0 } else { b - a })
        .zip(0..)
        .filter(|(change, _)| *change != 0.0)
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let moved = |&(_, at): &(f64, usize)| Moved {
        image: first.per_image[matched[at].0].name.clone(),
        first_fraction: errors[at][0],
        second_fraction: errors[at][1],
    };
    let keypoints = first.keypoint_error_fractions.iter().zip(&other.keypoint_error_fractions);
    Ok(Pair {
        name: name.to_owned(),
        difference_interval: Bootstrap::default().mean(&differences).ok().map(|i| [i.low, i.high]),
        wilcoxon_corrected_p: None,
        unmatched: [first.per_image.len() - matched.len(), other.per_image.len() - matched.len()],
        improved: order.iter().take_while(|(change, _)| *change < 0.0).take(MOVED).map(moved).collect(),
        worsened: order.iter().rev().take_while(|(change, _)| *change > 0.0).take(MOVED).map(moved).collect(),
        keypoint_differences: keypoints.map(|(a, b)| Some((*b)? - (*a)?)).collect(),
        errors,
        paired,
    })
}

/// Mean spread over the runs per keypoint, and the number of images it is of.
fn spreads(runs: &[(String, Results)]) -> Result<(Option<Vec<f64>>, usize)> {
    let mut tables = Vec::with_capacity(runs.len());
    for (_, results) in runs {
        if results.samples.len() != results.main()?.per_image.len() {
            return Ok((None, 0));
        }
        tables.push(keys(results.main()?).into_iter().zip(&results.samples).collect::<HashMap<_, _>>());
    }
    let mut sums: Vec<f64> = Vec::new();
    let mut images = 0;
    for (key, sample) in keys(runs[0].1.main()?).into_iter().zip(&runs[0].1.samples) {
        let found: Option<Vec<&[[f32; 2]]>> =
            tables.iter().map(|table| table.get(&key)?.points.as_deref()).collect();
        let Some(found) = found else { continue };
        let spread = spread_over_models(&found, sample.length)?;
        sums.resize(spread.len(), 0.0);
        sums.iter_mut().zip(spread).for_each(|(sum, s)| *sum += s);
        images += 1;
    }
    let means = (images > 0).then(|| sums.into_iter().map(|s| s / images as f64).collect());
    Ok((means, images))
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
