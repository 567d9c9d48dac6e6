//! One run against the first one, image by image.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::keys::keys;
use crate::report::markdown::probability;
use crate::{Bootstrap, Error, Paired, Report, Result, compare};

/// Images listed as most improved and as most worsened.
const MOVED: usize = 10;

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

/// Probability of a signed-rank test below which a difference counts.
const SIGNIFICANT: f64 = 0.05;

impl Pair {
    /// Whether this run has less error than the first one, `first`, in a sentence.
    pub(crate) fn verdict(&self, first: &str) -> String {
        let name = &self.name;
        let Some(difference) = self.paired.mean_difference else {
            return format!("{name} and {first} have no image that both found.");
        };
        let interval = self.difference_interval.map_or_else(String::new, |ends| {
            let [low, high] = ends.map(|v| 100.0 * v);
            format!(" (95 % interval {low:+.3} to {high:+.3})")
        });
        let points = format!("{:+.3} points of NME{interval}", 100.0 * difference);
        let test = match (self.wilcoxon_corrected_p, self.paired.wilcoxon) {
            (Some(p), Some(found)) => Some((p, found.effect)),
            _ => None,
        };
        let told = test.map_or_else(String::new, |(p, _)| format!(", signed-rank test p {}", probability(p)));
        match test {
            // Where ranks and mean disagree there is no word for which is better.
            Some((p, effect)) if p < SIGNIFICANT && effect * difference > 0.0 => {
                let less = if difference < 0.0 { "lower" } else { "higher" };
                format!("{name} has a significantly {less} error than {first}: {points}{told}.")
            }
            _ => format!("No significant difference between {name} and {first}: {points}{told}."),
        }
    }

    /// Compares a run with the first one, each a name and its figures.
    ///
    /// # Errors
    /// [`Error::Incomparable`] for runs under different normalizers or without images in common.
    pub(super) fn new((first_name, first): (&str, &Report), (name, other): (&str, &Report)) -> Result<Self> {
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
        Ok(Self {
            name: name.to_owned(),
            difference_interval: Bootstrap::default().mean(&differences).ok().map(|i| [i.low, i.high]),
            wilcoxon_corrected_p: None,
            unmatched: [first.per_image.len() - matched.len(), other.per_image.len() - matched.len()],
            improved: order.iter().take_while(|(change, _)| *change < 0.0).take(MOVED).map(moved).collect(),
            worsened: order
                .iter()
                .rev()
                .take_while(|(change, _)| *change > 0.0)
                .take(MOVED)
                .map(moved)
                .collect(),
            keypoint_differences: keypoints.map(|(a, b)| Some((*b)? - (*a)?)).collect(),
            errors,
            paired,
        })
    }
}
