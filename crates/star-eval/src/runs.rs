//! A few independent runs of one recipe: means with Student's intervals, slopes, jackknife.
//!
//! Images of one run share its weights, so an interval over images does not cover another training. These take one figure a run.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Error, Interval, Result};

/// Mean of one figure a run with Student's interval at `level` (a share, such as 0.95).
///
/// ```
/// // Differences under four paired seeds: mean -0.3, standard error 0.0408, t of 3 degrees of freedom 3.182.
/// let interval = star_eval::runs::mean(&[-0.2, -0.3, -0.3, -0.4], 0.95)?;
/// assert!((interval.estimate + 0.3).abs() < 1e-12);
/// assert!((interval.high - (-0.3 + 3.182 * 0.0408)).abs() < 1e-3);
/// # Ok::<(), star_eval::Error>(())
/// ```
///
/// # Errors
/// [`Error::Empty`] for fewer than two values, [`Error::Range`] for a value that is not finite or a level outside `(0, 1)`.
pub fn mean(values: &[f64], level: f64) -> Result<Interval> {
    check(values, level)?;
    let (mean, error) = mean_and_error(values);
    around(mean, error, values.len() - 1, level)
}

/// Two-sided probability of a mean at least as far from 0 by chance (Student's one-sample test); 0 where all values are equal and
/// not 0, 1 where all are 0.
///
/// # Errors
/// As [`mean`].
pub fn t_test(values: &[f64]) -> Result<f64> {
    check(values, 0.5)?;
    let (mean, error) = mean_and_error(values);
    if error == 0.0 {
        return Ok(if mean == 0.0 { 1.0 } else { 0.0 });
    }
    let t = student(values.len() - 1)?;
    Ok(2.0 * t.cdf(-(mean / error).abs()))
}

/// Slope of `y` on `x` by least squares within each run, then as [`mean`] over runs: how a figure changes with a dose that every
/// run was given at several strengths.
///
/// # Errors
/// As [`mean`]; [`Error::Length`] for a run with another number of values than `x`, [`Error::Range`] where all `x` are one.
pub fn slope(x: &[f64], runs: &[Vec<f64>], level: f64) -> Result<Interval> {
    let centre = x.iter().sum::<f64>() / x.len() as f64;
    let spread: f64 = x.iter().map(|v| (v - centre).powi(2)).sum();
    if !(spread > 0.0 && spread.is_finite()) {
        return Err(Error::Range {
            what: "strengths",
            expected: "at least two different ones",
            value: centre,
        });
    }
    let of = |run: &Vec<f64>| -> Result<f64> {
        if run.len() != x.len() {
            return Err(Error::Length { what: "figures of a run", expected: x.len(), got: run.len() });
        }
        Ok(x.iter().zip(run).map(|(x, y)| (x - centre) * y).sum::<f64>() / spread)
    };
    mean(&runs.iter().map(of).collect::<Result<Vec<f64>>>()?, level)
}

/// Interval of a figure that needs several runs at once, such as their disagreement: Tukey's jackknife from the figure of all runs
/// and those with each run left out in turn.
///
/// # Errors
/// As [`mean`], for the figures with one run left out.
pub fn jackknife(all: f64, left_out: &[f64], level: f64) -> Result<Interval> {
    check(left_out, level)?;
    let count = left_out.len() as f64;
    let pseudo: Vec<f64> = left_out.iter().map(|v| count * all - (count - 1.0) * v).collect();
    let (_, error) = mean_and_error(&pseudo);
    around(all, error, left_out.len() - 1, level)
}

fn check(values: &[f64], level: f64) -> Result<()> {
    if !(level > 0.0 && level < 1.0) {
        let expected = "a share between 0 and 1";
        return Err(Error::Range { what: "confidence level", expected, value: level });
    }
    if values.len() < 2 {
        return Err(Error::Empty { what: "list of runs", hint: "an interval needs at least two" });
    }
    match values.iter().find(|v| !v.is_finite()) {
        Some(&value) => Err(Error::Range { what: "figure of a run", expected: "a finite number", value }),
        None => Ok(()),
    }
}

/// Mean and its standard error.
fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0) / count).sqrt())
}

fn student(freedom: usize) -> Result<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom as f64).map_err(|_| Error::Range {
        what: "degrees of freedom",
        expected: "at least 1",
        value: freedom as f64,
    })
}

fn around(estimate: f64, error: f64, freedom: usize, level: f64) -> Result<Interval> {
    let half = student(freedom)?.inverse_cdf(0.5 + level / 2.0) * error;
    Ok(Interval { estimate, low: estimate - half, high: estimate + half, level })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-9;

    #[test]
    fn students_interval_and_test_agree_with_tables() {
        // 1, 2, 3, 4, 5: mean 3, standard error sqrt(2.5 / 5); t(4) at 97.5 % is 2.7764451.
        let values = [1.0, 2.0, 3.0, 4.0, 5.0];
        let found = mean(&values, 0.95).unwrap();
        assert!((found.estimate - 3.0).abs() < TOLERANCE);
        assert!((found.high - 3.0 - 2.776_445_105 * 0.5f64.sqrt()).abs() < 1e-6, "{found:?}");
        // t = 3 / 0.7071 = 4.2426; two-sided p with 4 degrees of freedom 0.013236 (SciPy's ttest_1samp).
        assert!((t_test(&values).unwrap() - 0.013_236).abs() < 1e-5);
        assert_eq!((t_test(&[2.0, 2.0]).unwrap(), t_test(&[0.0, 0.0]).unwrap()), (0.0, 1.0));
    }

    #[test]
    fn a_slope_is_that_of_the_line_through_each_run() {
        // Slopes 2 and 4 over 0, 1, 2.
        let found = slope(&[0.0, 1.0, 2.0], &[vec![1.0, 3.0, 5.0], vec![0.0, 4.0, 8.0]], 0.9).unwrap();
        assert!((found.estimate - 3.0).abs() < TOLERANCE);
        assert!(slope(&[1.0, 1.0], &[vec![0.0, 0.0], vec![0.0, 0.0]], 0.9).is_err());
        assert!(matches!(slope(&[0.0, 1.0], &[vec![0.0], vec![0.0]], 0.9), Err(Error::Length { .. })));
    }

    #[test]
    fn the_jackknife_of_a_mean_is_students_interval() {
        let values = [3.0, 1.0, 4.0, 1.5];
        let all = values.iter().sum::<f64>() / 4.0;
        let left_out: Vec<f64> = values.iter().map(|v| (4.0 * all - v) / 3.0).collect();
        let (a, b) = (jackknife(all, &left_out, 0.95).unwrap(), mean(&values, 0.95).unwrap());
        assert!((a.low - b.low).abs() < TOLERANCE && (a.high - b.high).abs() < TOLERANCE);
    }

    #[test]
    fn one_run_has_no_interval() {
        assert!(matches!(mean(&[1.0], 0.95), Err(Error::Empty { .. })));
        assert!(matches!(mean(&[1.0, f64::NAN], 0.95), Err(Error::Range { .. })));
        assert!(matches!(mean(&[1.0, 2.0], 1.0), Err(Error::Range { .. })));
    }
}
