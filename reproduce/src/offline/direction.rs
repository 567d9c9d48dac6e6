//! Does the long axis of what is predicted lie along the annotator's noise?

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::measure::Measured;
use super::runs::{Runs, mean, means, over_seeds};

/// Axes of both losses at one strength, over keypoints whose label scatters in one direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Direction {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) plain: Axes,
    pub(crate) star: Axes,
    /// Mean angle of STAR - plain's, degrees, over seeds.
    pub(crate) difference: Option<Interval>,
}

/// Axes of one loss.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Axes {
    /// Mean angle in degrees, and its interval over seeds; 45 where axes point anywhere.
    pub(crate) angle: f64,
    pub(crate) interval: Option<Interval>,
    /// The mean angle - that under exact labels, same loss and seed; `None` for one seed and where these were not trained.
    pub(crate) from_none: Option<Interval>,
    /// Share of angles in each ten degrees.
    pub(crate) angles: Vec<f64>,
    /// Mean eigenvalue ratio of these keypoints, and of the others.
    pub(crate) ratio: f64,
    pub(crate) other_ratio: f64,
}

/// The axes at one strength.
///
/// # Errors
/// When a training is missing.
pub(crate) fn direction(runs: &Runs<'_>, subject: Subject, strength: f64) -> Result<Direction> {
    let [plain, star] = runs.pair(subject, strength)?;
    let apart = |from: &[&Measured], to: &[&Measured]| {
        let apart: Vec<f64> = from.iter().zip(to).map(|(from, to)| to.angle - from.angle).collect();
        over_seeds(&apart)
    };
    let none = runs.pair(subject, 0.0).ok().filter(|_| strength > 0.0);
    let [plain_none, star_none] = none.map_or([None, None], |pair| pair.map(Some));
    Ok(Direction {
        subject,
        strength,
        plain: Axes { from_none: plain_none.and_then(|none| apart(&none, &plain)), ..axes(&plain) },
        star: Axes { from_none: star_none.and_then(|none| apart(&none, &star)), ..axes(&star) },
        difference: apart(&plain, &star),
    })
}

fn axes(runs: &[&Measured]) -> Axes {
    let angles: Vec<f64> = runs.iter().map(|run| run.angle).collect();
    Axes {
        angle: mean(angles.iter().copied()),
        interval: over_seeds(&angles),
        from_none: None,
        angles: means(runs.iter().map(|run| &run.angles)),
        ratio: mean(runs.iter().map(|run| run.ratio)),
        other_ratio: mean(runs.iter().map(|run| run.other_ratio)),
    }
}
