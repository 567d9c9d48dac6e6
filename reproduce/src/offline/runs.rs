//! The records of a run, findable, and figures over seeds.

use anyhow::Result;
use star_eval::Interval;

use super::design::{Cell, Question};
use super::measure::Record;
use crate::spread::spread;
use crate::variant::Variant;

/// Share of intervals that would hold the truth.
pub(crate) const LEVEL: f64 = 0.95;

/// The records of a run, findable.
pub(super) struct Runs<'a>(pub(super) &'a [Record]);

impl<'a> Runs<'a> {
    /// The trainings of a loss on one kind of images and labels, by seed.
    pub(super) fn of(&self, cell: &Cell, variant: &Variant) -> Vec<&'a Record> {
        let is = |record: &&Record| record.job.cell == *cell && record.job.variant == *variant;
        let mut found: Vec<&Record> = self.0.iter().filter(is).collect();
        found.sort_by_key(|record| record.job.seed);
        found
    }

    /// One of them.
    pub(super) fn one(&self, cell: &Cell, variant: &Variant, seed: u64) -> Option<&'a Record> {
        self.of(cell, variant).into_iter().find(|record| record.job.seed == seed)
    }

    /// What a question's terms sum to under each seed that all of them were trained under.
    pub(super) fn answer(&self, question: &Question, figure: impl Fn(&Record) -> f64) -> Vec<f64> {
        let seeds = self.0.iter().map(|record| record.job.seed + 1).max().unwrap_or(0);
        let of = |seed: u64| -> Option<f64> {
            let term = |term: &super::design::Term| {
                Some(term.factor * figure(self.one(&term.cell, &term.variant, seed)?))
            };
            question.terms.iter().map(term).sum()
        };
        (0..seeds).filter_map(of).collect()
    }
}

/// Interval of a mean over seeds; `None` for fewer than three, of which nobody should conclude anything.
pub(super) fn over_seeds(values: &[f64]) -> Option<Interval> {
    if values.len() < 3 { None } else { star_eval::runs::mean(values, LEVEL).ok() }
}

/// Mean of what is given; `None` of nothing.
pub(super) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// How far trainings disagree: standard deviation of a keypoint over them, mean over images and those keypoints that records keep, in per
/// cent of the normalizer; `None` for one training.
///
/// # Errors
/// When they keep different numbers of keypoints.
pub(super) fn scatter(records: &[&Record]) -> Result<Option<f64>> {
    let points = |record: &Record| -> Vec<Vec<[f32; 2]>> {
        let of = |image: &Vec<i32>| image.chunks_exact(2).map(|p| [p[0] as f32, p[1] as f32]).collect();
        record.predicted.iter().map(of).collect()
    };
    let all: Vec<Vec<Vec<[f32; 2]>>> = records.iter().map(|record| points(record)).collect();
    let images = all.first().map_or(0, Vec::len);
    let image = |i: usize| all.iter().map(|record| record[i].as_slice()).collect();
    let found = spread((0..images).map(image))?;
    // Of hundredths of a per cent.
    Ok(found.and_then(|keypoints| mean(keypoints.into_iter().map(|v| v / 100.0))))
}
