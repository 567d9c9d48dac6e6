//! Does STAR gain most where distributions are most elongated? Keypoints in five groups by smooth-L1's eigenvalue ratio.

use serde::Serialize;
use star_eval::Interval;

use super::design::{Design, Kind};
use super::measure::Record;
use super::runs::{Runs, mean, over_seeds};
use crate::variant::Variant;

/// A fifth of the ambiguous keypoints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Quintile {
    /// Mean eigenvalue ratio of smooth-L1.
    pub(crate) ratio: f64,
    pub(crate) keypoints: usize,
    /// Root mean square error across: STAR - what it is compared with, over seeds.
    pub(crate) restricted: Option<Interval>,
    pub(crate) isotropic: Option<Interval>,
}

/// The quintiles in the main cell; none without smooth-L1 there.
pub(super) fn quintiles(design: &Design, runs: &Runs<'_>) -> Vec<Quintile> {
    let cell = design.main_cell();
    let losses = design.losses(cell.subject);
    let plain = runs.of(&cell, &Variant::plain());
    let ([_, restricted, isotropic, star], Some(first)) = (losses.as_slice(), plain.first()) else {
        return Vec::new();
    };
    if design.kind == Kind::Pilot {
        return Vec::new();
    }
    let ratio = |k: usize| mean(plain.iter().map(|record| record.keypoints[k][0])).unwrap_or(f64::NAN);
    let mut order: Vec<(usize, f64)> = (0..first.keypoints.len()).map(|k| (k, ratio(k))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let count = order.len();
    let fifth = |i: usize| &order[i * count / 5..(i + 1) * count / 5];
    let of = |i: usize| {
        let group = fifth(i);
        let apart = |other: &Variant| {
            let pairs = runs.of(&cell, &star.clone()).into_iter().filter_map(|star| {
                let others = runs.of(&cell, other);
                let other = others.into_iter().find(|other| other.job.seed == star.job.seed)?;
                Some(across(star, group) - across(other, group))
            });
            over_seeds(&pairs.collect::<Vec<_>>())
        };
        Quintile {
            ratio: mean(group.iter().map(|(_, ratio)| *ratio)).unwrap_or(f64::NAN),
            keypoints: group.len(),
            restricted: apart(restricted),
            isotropic: apart(isotropic),
        }
    };
    (0..5).map(of).collect()
}

/// Root mean square error across of some keypoints.
fn across(record: &Record, group: &[(usize, f64)]) -> f64 {
    let squares = group.iter().map(|(k, _)| record.keypoints[*k][1].powi(2));
    mean(squares).unwrap_or(f64::NAN).sqrt()
}
