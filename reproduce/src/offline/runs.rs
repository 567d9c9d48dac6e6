//! The measured trainings, findable, and means over them.

use anyhow::{Context, Result};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::{Design, Job};
use super::measure::Measured;
use crate::variant::Variant;

/// Share of intervals that would hold the truth.
pub(crate) const LEVEL: f64 = 0.95;

/// The measured trainings, findable.
pub(crate) struct Runs<'a> {
    pub(crate) design: &'a Design,
    all: &'a [Measured],
}

impl<'a> Runs<'a> {
    pub(crate) fn new(design: &'a Design, all: &'a [Measured]) -> Self {
        Self { design, all }
    }

    /// The training of a job.
    ///
    /// # Errors
    /// When it was not measured.
    pub(crate) fn of(
        &self,
        subject: Subject,
        strength: f64,
        variant: &Variant,
        seed: u64,
    ) -> Result<&'a Measured> {
        let wanted = Job { subject, strength, variant: variant.clone(), seed };
        let found = self.all.iter().find(|measured| measured.job == wanted);
        found.with_context(|| format!("{} is not among the trainings", wanted.title()))
    }

    /// The trainings of the first `seeds` seeds.
    ///
    /// # Errors
    /// As [`Runs::of`].
    pub(crate) fn seeds(
        &self,
        subject: Subject,
        strength: f64,
        variant: &Variant,
        seeds: u64,
    ) -> Result<Vec<&'a Measured>> {
        (0..seeds).map(|seed| self.of(subject, strength, variant, seed)).collect()
    }

    /// Plain and STAR, all seeds of the comparison.
    ///
    /// # Errors
    /// As [`Runs::of`].
    pub(crate) fn pair(&self, subject: Subject, strength: f64) -> Result<[Vec<&'a Measured>; 2]> {
        let of = |variant: Variant| self.seeds(subject, strength, &variant, self.design.seeds_of(subject));
        Ok([of(Variant::plain())?, of(Variant::star())?])
    }
}

/// Interval of a mean over seeds; `None` for one seed.
pub(crate) fn over_seeds(values: &[f64]) -> Option<Interval> {
    star_eval::runs::mean(values, LEVEL).ok()
}

/// Mean of what is given, NaN of nothing.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.into_iter().collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// Element-wise mean of lists.
pub(crate) fn means<'a>(lists: impl IntoIterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    let lists: Vec<&Vec<f64>> = lists.into_iter().collect();
    let length = lists.first().map_or(0, |list| list.len());
    (0..length).map(|i| mean(lists.iter().map(|list| list[i]))).collect()
}
