//! Confidence intervals by resampling images: Efron's bias-corrected and accelerated bootstrap (BCa).

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::{Error, Result};

/// How a confidence interval is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// How often the images are drawn again, with replacement.
    pub resamples: usize,
    /// Share of intervals that would hold the truth, in `(0, 1)`.
    pub level: f64,
    /// Seed of the draws: the same seed gives the same interval.
    pub seed: u64,
}

impl Default for Bootstrap {
    /// 2,000 resamples, 95 %.
    fn default() -> Self {
        Self { resamples: 2000, level: 0.95, seed: 0 }
    }
}

/// A figure with its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The figure of the images as they are.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Share of intervals that would hold the truth.
    pub level: f64,
}

impl Bootstrap {
    /// Interval of the mean of `values`, such as the errors of images; for failure rates and areas hand in each image's share of
    /// them (0 or 1; `max(0, 1 - error / t)`).
    ///
    /// # Errors
    /// [`Error::Range`] for settings out of range, [`Error::Empty`] for fewer than two values, [`Error::ImageError`] for a value that
    /// is not finite.
    pub fn mean(&self, values: &[f64]) -> Result<Interval> {
        let sum: f64 = values.iter().sum();
        let others = (values.len() as f64) - 1.0;
        let left_out: Vec<f64> = values.iter().map(|v| (sum - v) / others).collect();
        self.with(
            values,
            |indices| indices.iter().map(|&i| values[i]).sum::<f64>() / indices.len() as f64,
            left_out,
        )
    }

    /// Interval of any `statistic` of a list of values, such as a quantile. It is called once per resample and once per value.
    ///
    /// # Errors
    /// As [`Bootstrap::mean`].
    pub fn of(&self, values: &[f64], statistic: impl Fn(&[f64]) -> f64) -> Result<Interval> {
        let chosen = |indices: &[usize]| statistic(&indices.iter().map(|&i| values[i]).collect::<Vec<_>>());
        let left_out = |out: usize| {
            let rest: Vec<f64> =
                values.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, v)| *v).collect();
            statistic(&rest)
        };
        let left_out = if values.len() > 1 { (0..values.len()).map(left_out).collect() } else { Vec::new() };
        self.with(values, chosen, left_out)
    }

    fn with(
        &self,
        values: &[f64],
        statistic: impl Fn(&[usize]) -> f64,
        left_out: Vec<f64>,
    ) -> Result<Interval> {
        if self.resamples < 2 {
            let value = self.resamples as f64;
            return Err(Error::Range { what: "number of resamples", expected: "at least 2", value });
        }
        if values.len() < 2 {
            return Err(Error::Empty {
                what: "list to resample",
                hint: "an interval needs at least two values",
            });
        }
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::ImageError { index, value: values[index] });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let mut indices: Vec<usize> = (0..values.len()).collect();
        let estimate = statistic(&indices);
        let mut draw = || {
            indices.iter_mut().for_each(|i| *i = rng.random_range(0..values.len()));
            statistic(&indices)
        };
        let distribution = (0..self.resamples).map(|_| draw()).collect();
        bca(estimate, distribution, &left_out, self.level)
    }
}

/// The BCa interval from a figure, its bootstrap distribution, and its values with each image left out in turn.
///
/// # Errors
/// [`Error::Range`] for a level outside `(0, 1)`, [`Error::Empty`] for empty lists.
pub fn bca(estimate: f64, mut distribution: Vec<f64>, left_out: &[f64], level: f64) -> Result<Interval> {
    if !(level > 0.0 && level < 1.0) {
        return Err(Error::Range {
            what: "confidence level",
            expected: "a share between 0 and 1",
            value: level,
        });
    }
    if distribution.is_empty() || left_out.is_empty() {
        return Err(Error::Empty { what: "bootstrap distribution", hint: "draw at least one resample" });
    }
    distribution.sort_unstable_by(f64::total_cmp);
    let count = distribution.len() as f64;
    let below = distribution.partition_point(|v| *v < estimate) as f64;
    let up_to = distribution.partition_point(|v| *v <= estimate) as f64;
    let normal = Normal::standard();
    let bias = normal.inverse_cdf((below + up_to) / (2.0 * count));
    let acceleration = acceleration(left_out);
    let end = |q: f64| {
        let z = bias + normal.inverse_cdf(q);
        let share = normal.cdf(bias + z / (1.0 - acceleration * z));
        // All resamples on one side of the estimate: nothing to correct by.
        quantile(&distribution, if share.is_nan() { q } else { share })
    };
    let tail = (1.0 - level) / 2.0;
    Ok(Interval { estimate, low: end(tail), high: end(1.0 - tail), level })
}

/// A sixth of the skewness of the left-out values: how fast the standard error changes with the figure. 0 where they are all equal.
fn acceleration(left_out: &[f64]) -> f64 {
    let count = left_out.len() as f64;
    let mean = left_out.iter().sum::<f64>() / count;
    let moment = |power: i32| left_out.iter().map(|v| ((count - 1.0) * (mean - v)).powi(power)).sum::<f64>();
    let spread = moment(2) / (count * count);
    if spread > 0.0 { moment(3) / count.powi(3) / spread.powf(1.5) / 6.0 } else { 0.0 }
}

/// With linear interpolation, of ascending values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let position = q * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    low + position.fract() * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<f64> {
        (0..200).map(|i| 0.03 + 0.01 * (f64::from(i) * 0.7).sin() + f64::from(i % 7) * 0.002).collect()
    }

    #[test]
    fn the_interval_of_a_mean_is_about_two_standard_errors_wide_on_each_side() {
        let values = values();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let half = 1.96 * (variance / n).sqrt();
        let found = Bootstrap::default().mean(&values).unwrap();
        assert!((found.estimate - mean).abs() < 1e-12);
        // 2,000 resamples place an end to about 5 % of the half width.
        assert!(((found.high - mean) / half - 1.0).abs() < 0.15, "{found:?} {half}");
        assert!(((mean - found.low) / half - 1.0).abs() < 0.15, "{found:?} {half}");
    }

    #[test]
    fn one_seed_gives_one_interval_and_the_mean_is_a_statistic_like_any_other() {
        let values = values();
        let settings = Bootstrap { resamples: 300, ..Default::default() };
        let short = settings.mean(&values).unwrap();
        let long = settings.of(&values, |v| v.iter().sum::<f64>() / v.len() as f64).unwrap();
        assert!((short.low - long.low).abs() < 1e-12 && (short.high - long.high).abs() < 1e-12);
        assert_ne!(Bootstrap { seed: 1, ..settings }.mean(&values).unwrap(), short);
    }

    #[test]
    fn values_that_are_all_equal_have_an_interval_without_width() {
        let found = Bootstrap::default().mean(&[0.04; 30]).unwrap();
        assert!((found.low - 0.04).abs() < 1e-12 && (found.high - 0.04).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn settings_and_values_without_meaning_are_refused() {
        let settings = Bootstrap::default();
        assert!(matches!(settings.mean(&[1.0]), Err(Error::Empty { .. })));
        assert!(matches!(settings.mean(&[1.0, f64::INFINITY]), Err(Error::ImageError { index: 1, .. })));
        assert!(matches!(Bootstrap { level: 1.0, ..settings }.mean(&[1.0, 2.0]), Err(Error::Range { .. })));
        assert!(matches!(Bootstrap { resamples: 0, ..settings }.mean(&[1.0, 2.0]), Err(Error::Range { .. })));
    }
}
