//! How far trainings of one recipe disagree about a keypoint: the paper's stability figure.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::{Interval, spread_over_models};

use super::measure::Measured;
use super::outcome::{LEVEL, Runs, mean};

/// Disagreement of the seeds at one strength, fractions of the ruler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stability {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    /// Standard deviation of each keypoint over the seeds, mean over pictures.
    pub(crate) plain: Vec<f64>,
    pub(crate) star: Vec<f64>,
    /// Means over keypoints.
    pub(crate) plain_mean: f64,
    pub(crate) star_mean: f64,
    /// STAR less plain, by the jackknife over seeds; `None` for fewer than three.
    pub(crate) difference: Option<Interval>,
}

/// `None` for one seed, which disagrees with nobody.
///
/// # Errors
/// When a training is missing.
pub(crate) fn stability(runs: &Runs<'_>, subject: Subject, strength: f64) -> Result<Option<Stability>> {
    let [plain, star] = runs.pair(subject, strength)?;
    if plain.len() < 2 {
        return Ok(None);
    }
    let (plain_spread, star_spread) = (spread(&plain)?, spread(&star)?);
    let (plain_mean, star_mean) = (whole(&plain_spread), whole(&star_spread));
    let left_out: Vec<f64> = if plain.len() < 3 {
        Vec::new()
    } else {
        let without = |runs: &[&Measured], out: usize| -> Result<f64> {
            let rest: Vec<&Measured> =
                runs.iter().enumerate().filter(|(i, _)| *i != out).map(|(_, run)| *run).collect();
            Ok(whole(&spread(&rest)?))
        };
        (0..plain.len()).map(|out| Ok(without(&star, out)? - without(&plain, out)?)).collect::<Result<_>>()?
    };
    Ok(Some(Stability {
        subject,
        strength,
        difference: star_eval::runs::jackknife(star_mean - plain_mean, &left_out, LEVEL).ok(),
        plain: plain_spread,
        star: star_spread,
        plain_mean,
        star_mean,
    }))
}

fn whole(spread: &[f64]) -> f64 {
    mean(spread.iter().copied())
}

/// Standard deviation of each keypoint over trainings (divisor: their number less 1, so that few are not flattered), mean over
/// pictures.
fn spread(runs: &[&Measured]) -> Result<Vec<f64>> {
    let pictures = runs.first().map_or(0, |run| run.predicted.len());
    let count = runs.len() as f64;
    let unbiased = (count / (count - 1.0)).sqrt();
    let mut sums: Vec<f64> = Vec::new();
    for picture in 0..pictures {
        let predicted: Vec<&[[f32; 2]]> = runs.iter().map(|run| run.predicted[picture].as_slice()).collect();
        // Positions are in units of the ruler already.
        let here = spread_over_models(&predicted, 1.0)?;
        sums.resize(here.len(), 0.0);
        sums.iter_mut().zip(here).for_each(|(sum, value)| *sum += unbiased * value);
    }
    Ok(sums.into_iter().map(|sum| sum / pictures as f64).collect())
}
