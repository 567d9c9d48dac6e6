//! Is what STAR gains owed to the direction of ambiguity? Against the same loss with one scale for both axes.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::design::{Design, subject_name};
use super::gain::slope;
use super::measure::Measured;
use super::phrase::{difference, percent};
use super::runs::{Runs, mean, over_seeds};
use crate::document::Section;
use crate::variant;

/// Plain, isotropic and STAR on one subject at one strength.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Control {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) seeds: u64,
    /// NME, mean over seeds.
    pub(crate) plain: f64,
    pub(crate) isotropic: f64,
    pub(crate) star: f64,
    /// Isotropic less plain, over seeds: what scale and restriction do together.
    pub(crate) scale: Option<Interval>,
    /// STAR less isotropic under each seed: what the direction adds.
    pub(crate) directions: Vec<f64>,
    pub(crate) direction: Option<Interval>,
    /// The same of keypoints that are ambiguous in one direction.
    pub(crate) lopsided: Option<Interval>,
}

/// Every comparison that the design has a control for.
///
/// # Errors
/// When a training is missing.
pub(crate) fn controls(runs: &Runs<'_>) -> Result<Vec<Control>> {
    let mut found = Vec::new();
    for subject in [Subject::Face, Subject::Hand] {
        let seeds = runs.design.control_seeds_of(subject);
        if seeds > 0 {
            for &strength in runs.design.strengths(subject) {
                found.push(control(runs, subject, strength, seeds)?);
            }
        }
    }
    Ok(found)
}

fn control(runs: &Runs<'_>, subject: Subject, strength: f64, seeds: u64) -> Result<Control> {
    let [plain, star] = runs.pair(subject, strength)?.map(|all| all[..seeds as usize].to_vec());
    let isotropic = runs.seeds(subject, strength, &variant::isotropic(), seeds)?;
    let apart = |from: &[&Measured], to: &[&Measured], figure: fn(&Measured) -> f64| -> Vec<f64> {
        from.iter().zip(to).map(|(from, to)| figure(to) - figure(from)).collect()
    };
    let nme = |runs: &[&Measured]| mean(runs.iter().map(|run| run.nme));
    let directions = apart(&isotropic, &star, |run| run.nme);
    Ok(Control {
        subject,
        strength,
        seeds,
        plain: nme(&plain),
        isotropic: nme(&isotropic),
        star: nme(&star),
        scale: over_seeds(&apart(&plain, &isotropic, |run| run.nme)),
        direction: over_seeds(&directions),
        lopsided: over_seeds(&apart(&isotropic, &star, |run| run.lopsided)),
        directions,
    })
}

/// What the direction does, by a difference in which less is better.
fn verdict(interval: Option<Interval>) -> &'static str {
    match interval {
        Some(i) if i.high < 0.0 => "the direction helps",
        Some(i) if i.low > 0.0 => "the direction harms",
        Some(_) => "the direction does nothing that can be told",
        None => "one seed: no interval",
    }
}

/// The answer; nothing where there is no control.
pub(crate) fn section(design: &Design, controls: &[Control]) -> Option<Section> {
    let seeds = controls.iter().map(|control| control.seeds).max()?;
    let mut section = Section::new("control", "Is the gain owed to the direction of ambiguity?");
    section.text(format!(
        "The isotropic control is STAR with the mean of both factors for both axes: the same prices along the same axes, the same \
         restriction, so that it lacks nothing of STAR but the direction. What it gains over smooth-L1 is owed to factor, restriction and prices along \
         two axes where smooth-L1 has one of the length; what STAR gains over it is owed to the direction. {seeds} paired seeds (hands {}).",
        design.control_seeds_of(Subject::Hand)
    ));
    sentences(controls).into_iter().for_each(|said| section.text(said));
    let rows = controls.iter().map(|control| {
        vec![
            format!("{}, strength {}", subject_name(control.subject), control.strength),
            percent(control.plain, 3),
            percent(control.isotropic, 3),
            percent(control.star, 3),
            difference(control.scale, 100.0, 3),
            difference(control.direction, 100.0, 3),
            difference(control.lopsided, 100.0, 3),
            verdict(control.direction).to_string(),
        ]
    });
    section.table(
        &[
            "pictures",
            "smooth-L1 NME %",
            "isotropic",
            "STAR",
            "isotropic less smooth-L1",
            "STAR less isotropic",
            "of ambiguous keypoints",
            "says",
        ],
        rows.collect(),
    );
    Some(section)
}

/// What the control says of each subject.
pub(crate) fn sentences(controls: &[Control]) -> Vec<String> {
    let of = |subject: Subject| -> Vec<&Control> {
        controls.iter().filter(|control| control.subject == subject).collect()
    };
    let subjects = [Subject::Face, Subject::Hand].into_iter();
    subjects.filter(|s| of(*s).len() > 1).map(|s| dose(s, &of(s))).collect()
}

/// How what the direction gains depends on the strength of ambiguity.
fn dose(subject: Subject, controls: &[&Control]) -> String {
    let gains: Vec<(f64, Vec<f64>)> =
        controls.iter().map(|c| (c.strength, c.directions.iter().map(|d| -d).collect())).collect();
    let slope = slope(&gains);
    let says = match slope {
        Some(i) if i.low > 0.0 => "grows with ambiguity",
        Some(i) if i.high < 0.0 => "shrinks with ambiguity",
        Some(_) => "cannot be said to depend on ambiguity",
        None => "has no interval (one seed)",
    };
    let at = controls
        .iter()
        .map(|c| format!("{} points of NME at strength {}", difference(c.direction, 100.0, 2), c.strength));
    format!(
        "{}s: STAR less the isotropic control, which lacks its direction alone, is {}; what the direction gains {says}: {} points per \
         unit of strength.",
        subject_name(subject),
        at.collect::<Vec<_>>().join(", "),
        difference(slope, 100.0, 3)
    )
}
