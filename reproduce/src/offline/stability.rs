//! How far trainings of one recipe disagree about a keypoint, on other data and on the same: the paper's stability figure.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;
use star_train::config::LossKind;

use super::measure::Measured;
use super::runs::{LEVEL, Runs, mean, over_seeds};
use crate::variant::tables::STARTS;

/// Disagreement of the seeds at one strength, fractions of the normalizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stability {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    /// Standard deviation of each keypoint over the seeds, mean over images.
    pub(crate) plain: Vec<f64>,
    pub(crate) star: Vec<f64>,
    /// Means over keypoints.
    pub(crate) plain_mean: f64,
    pub(crate) star_mean: f64,
    /// STAR - plain, by the jackknife over seeds; `None` for fewer than three.
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

/// Disagreement from run to run: the same images and labels, other weights at the start and another order. Fractions of the normalizer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rerun {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    /// Trainings on the same images, and sets of images.
    pub(crate) starts: usize,
    pub(crate) sets: u64,
    /// Means over sets, keypoints and images.
    pub(crate) plain: f64,
    pub(crate) star: f64,
    /// STAR - plain, over sets; `None` for fewer than three.
    pub(crate) difference: Option<Interval>,
}

/// `None` where nothing was trained twice on the same images.
///
/// # Errors
/// Never in practice: trainings that are missing leave their set out.
pub(crate) fn reruns(runs: &Runs<'_>) -> Result<Option<Rerun>> {
    let design = runs.design;
    let Some(planned) = design.ablations.iter().find(|planned| planned.table.id == STARTS) else {
        return Ok(None);
    };
    let (subject, strength) = (planned.subject, planned.strength);
    let mut means: [Vec<f64>; 2] = Default::default();
    let kinds = [LossKind::Plain, LossKind::StarPerAxis];
    let mut starts = 0;
    for set in 0..design.ablation_seeds {
        let of = |kind: LossKind| -> Option<Vec<&Measured>> {
            let variants =
                planned.table.variants.iter().filter(|variant| variant.loss() == Some(kind.into()));
            variants.map(|variant| runs.of(subject, strength, variant, set).ok()).collect()
        };
        let Some((plain, star)) = of(kinds[0]).zip(of(kinds[1])) else { continue };
        starts = plain.len();
        means[0].push(whole(&spread(&plain)?));
        means[1].push(whole(&spread(&star)?));
    }
    let [plain, star] = &means;
    let apart: Vec<f64> = plain.iter().zip(star).map(|(plain, star)| star - plain).collect();
    Ok((!plain.is_empty()).then(|| Rerun {
        subject,
        strength,
        starts,
        sets: plain.len() as u64,
        plain: mean(plain.iter().copied()),
        star: mean(star.iter().copied()),
        difference: over_seeds(&apart).filter(|_| apart.len() > 2),
    }))
}

fn whole(spread: &[f64]) -> f64 {
    mean(spread.iter().copied())
}

/// Standard deviation of each keypoint over trainings, of which there are two at least.
fn spread(runs: &[&Measured]) -> Result<Vec<f64>> {
    let images = runs.first().map_or(0, |run| run.predicted.len());
    let predicted = |image: usize| runs.iter().map(|run| run.predicted[image].as_slice()).collect();
    crate::spread::spread((0..images).map(predicted))?.context("one training has no spread")
}
