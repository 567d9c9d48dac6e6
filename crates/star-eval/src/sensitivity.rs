//! How much the figures depend on where the crop comes from.

use serde::{Deserialize, Serialize};

use crate::{Ced, Error, Result};

/// The same images scored with crops from several sources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxSensitivity {
    /// Name of the data set.
    pub dataset: String,
    /// Which of its samples were scored, in words.
    pub subset: String,
    /// Name of the normalizer.
    pub normalizer: String,
    /// Threshold of the failure rates, a fraction.
    pub threshold_fraction: f64,
    /// One row per source of crops; the first is the one others are compared with.
    pub rows: Vec<BoxRow>,
    /// Crops moved by a share of their side, in a direction of their own: the shares, ascending.
    pub shifts: Vec<f64>,
    /// Crops whose side was multiplied: the factors, ascending.
    pub scales: Vec<f64>,
    /// Mean NME, a fraction, of each scale (rows) at each shift (columns); `None` where a prediction is missing.
    pub grid: Vec<Vec<Option<f64>>>,
}

/// Figures under one source of crops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxRow {
    /// Where the crops come from, such as `detector`.
    pub crops: String,
    /// Number of samples.
    pub samples: usize,
    /// Samples without a prediction: the source had no crop for them.
    pub missing: usize,
    /// Mean NME of the samples that have one, a fraction; `None` where none has.
    pub nme_of_found_fraction: Option<f64>,
    /// Median NME of all samples, a fraction; `None` where it is infinite.
    pub nme_median_fraction: Option<f64>,
    /// Share of all samples above the threshold, missing ones among them.
    pub failure_rate_fraction: f64,
    /// The largest NME of a sample that has a prediction, a fraction; `None` where none has.
    #[serde(default)]
    pub nme_worst_of_found_fraction: Option<f64>,
}

impl BoxRow {
    /// Figures from errors, one per sample, infinity where there is no prediction.
    ///
    /// # Errors
    /// As [`Ced::new`].
    pub fn new(crops: impl Into<String>, errors: Vec<f64>, threshold: f64) -> Result<Self> {
        let worst = errors.iter().copied().filter(|error| error.is_finite()).max_by(f64::total_cmp);
        let ced = Ced::new(errors)?;
        let median = ced.median();
        Ok(Self {
            crops: crops.into(),
            samples: ced.images(),
            missing: ced.missing(),
            nme_of_found_fraction: ced.mean_of_found(),
            nme_median_fraction: median.is_finite().then_some(median),
            failure_rate_fraction: ced.failure_rate(threshold),
            nme_worst_of_found_fraction: worst,
        })
    }
}

impl BoxSensitivity {
    /// Checks that the grid is as large as its axes.
    ///
    /// # Errors
    /// [`Error::Length`] where it is not, [`Error::Empty`] without rows.
    pub fn validate(&self) -> Result<()> {
        if self.rows.is_empty() {
            return Err(Error::Empty { what: "list of sources of crops", hint: "score at least one" });
        }
        if self.grid.len() != self.scales.len() {
            let (expected, got) = (self.scales.len(), self.grid.len());
            return Err(Error::Length { what: "rows of the grid", expected, got });
        }
        match self.grid.iter().find(|row| row.len() != self.shifts.len()) {
            Some(row) => Err(Error::Length {
                what: "columns of the grid",
                expected: self.shifts.len(),
                got: row.len(),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_without_a_crop_are_failures_and_not_in_the_mean() {
        let row = BoxRow::new("detector", vec![0.02, 0.04, 0.2, f64::INFINITY], 0.1).unwrap();
        assert_eq!((row.samples, row.missing, row.failure_rate_fraction), (4, 1, 0.5));
        assert!((row.nme_of_found_fraction.unwrap() - 0.26 / 3.0).abs() < 1e-12);
        assert!((row.nme_median_fraction.unwrap() - 0.12).abs() < 1e-12);
        assert_eq!(row.nme_worst_of_found_fraction, Some(0.2));
    }

    #[test]
    fn a_grid_of_another_size_is_refused() {
        let row = BoxRow::new("truth", vec![0.1], 0.1).unwrap();
        let good = BoxSensitivity {
            dataset: "d".into(),
            subset: "full".into(),
            normalizer: "r".into(),
            threshold_fraction: 0.1,
            rows: vec![row],
            shifts: vec![0.0, 0.1],
            scales: vec![1.0],
            grid: vec![vec![Some(0.1), None]],
        };
        good.validate().unwrap();
        let short = BoxSensitivity { grid: vec![vec![None]], ..good.clone() };
        assert!(matches!(short.validate(), Err(Error::Length { what: "columns of the grid", .. })));
        assert!(BoxSensitivity { scales: vec![], ..good.clone() }.validate().is_err());
        assert!(BoxSensitivity { rows: vec![], ..good }.validate().is_err());
    }
}
