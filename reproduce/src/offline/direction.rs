//! Does the long axis of what is predicted lie along the annotator's noise?

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::subject_name;
use super::measure::{BINS, Measured};
use super::phrase::{difference, place};
use super::runs::{Runs, mean, means, over_seeds};
use crate::document::{Figure, Section};

/// Axes of both losses at one strength, over keypoints whose label scatters in one direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Direction {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) plain: Axes,
    pub(crate) star: Axes,
    /// Mean angle of STAR less plain's, degrees, over seeds.
    pub(crate) difference: Option<Interval>,
}

/// Axes of one loss.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Axes {
    /// Mean angle in degrees, and its interval over seeds; 45 where axes point anywhere.
    pub(crate) angle: f64,
    pub(crate) interval: Option<Interval>,
    /// The mean angle less that under exact labels, same loss and seed; `None` for one seed and where these were not trained.
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

/// What label noise does to the axes.
fn turns(direction: &Direction) -> &'static str {
    match direction.star.from_none {
        _ if direction.strength == 0.0 => "-",
        Some(i) if i.high < 0.0 => "turn towards the noise",
        Some(i) if i.low > 0.0 => "turn away from it",
        Some(_) => "cannot be said to turn",
        None => "nothing to compare with",
    }
}

/// The answer.
pub(crate) fn section(found: &[Direction]) -> Section {
    let mut section =
        Section::new("direction", "Does the first eigenvector lie along the annotator's noise?");
    section.text(
        "Mean angle between the long axis of the predicted distribution and the direction in which the label scatters, over keypoints \
         that scatter at least 1.5 times as far one way as the other. 45 degrees is chance. Edges in the pictures alone turn axes too, so \
         that an angle below 45 says little: what says something is how the angle changes with the noise, from exact labels of the same \
         seed and loss.",
    );
    let rows = found.iter().map(|d| {
        let angle = |axes: &Axes| match axes.interval {
            Some(i) => format!("{:.1} ({:.1} to {:.1})", axes.angle, i.low, i.high),
            None => format!("{:.1}", axes.angle),
        };
        vec![
            format!("{}, strength {}", subject_name(d.subject), d.strength),
            angle(&d.plain),
            angle(&d.star),
            difference(d.difference, 1.0, 1),
            difference(d.plain.from_none, 1.0, 1),
            difference(d.star.from_none, 1.0, 1),
            turns(d).to_string(),
            format!("{:.2} / {:.2}", d.plain.ratio, d.plain.other_ratio),
            format!("{:.2} / {:.2}", d.star.ratio, d.star.other_ratio),
        ]
    });
    section.table(
        &[
            "pictures",
            "smooth-L1, degrees",
            "STAR, degrees",
            "STAR less smooth-L1",
            "smooth-L1 less the same at strength 0",
            "STAR less the same at strength 0",
            "STAR's axes",
            "smooth-L1: eigenvalue ratio of ambiguous / other keypoints",
            "STAR: the same",
        ],
        rows.collect(),
    );
    let shares = |angles: &[f64]| -> Vec<(f64, f64)> {
        angles
            .iter()
            .enumerate()
            .map(|(i, share)| ((i as f64 + 0.5) * 90.0 / BINS as f64, 100.0 * share))
            .collect()
    };
    let mut series = Vec::new();
    for d in found.iter().filter(|d| d.subject == Subject::Face && d.strength == 1.0) {
        series.push(("smooth-L1".to_string(), shares(&d.plain.angles)));
        series.push(("STAR".to_string(), shares(&d.star.angles)));
        series.push(("chance".to_string(), shares(&[1.0 / BINS as f64; BINS])));
    }
    if !series.is_empty() {
        section.figure(
            format!(
                "Share of axes by angle to the noise, in steps of ten degrees, strength 1: {}.",
                place(Subject::Face)
            ),
            Figure::Curves { axes: ["angle, degrees", "share of axes, %"], series },
        );
    }
    section
}
