//! Does STAR lower the error against the clean truth, and does what it gains grow with ambiguity?

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::{Bootstrap, Interval, Paired, compare};

use super::measure::Measured;
use super::runs::{LEVEL, Runs, mean, means, over_seeds};

/// Both losses on one subject at one strength.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Gain {
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) seeds: u64,
    pub(crate) plain: Figures,
    pub(crate) star: Figures,
    /// STAR - plain under each seed, fractions; negative is better for STAR.
    pub(crate) nme_differences: Vec<f64>,
    /// Student's interval and test over seeds: of another training of the same recipe. `None` for one seed.
    pub(crate) nme: Option<Interval>,
    pub(crate) nme_p: Option<f64>,
    /// Corrected by Holm for all comparisons of the run.
    pub(crate) nme_p_holm: Option<f64>,
    pub(crate) failure_rate: Option<Interval>,
    /// NME of the keypoints that are ambiguous in one direction.
    pub(crate) ambiguous: Option<Interval>,
    pub(crate) others: Option<Interval>,
    /// Errors of each image, averaged over seeds: of other images, for these trainings.
    pub(crate) over_images: OverImages,
}

/// A comparison over images, conditional on the networks that were trained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OverImages {
    pub(crate) paired: Paired,
    /// Interval of the mean difference.
    pub(crate) difference: Interval,
}

/// Means over seeds, and the standard deviation of NME over them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) nme: f64,
    pub(crate) nme_deviation: Option<f64>,
    pub(crate) failure_rate: f64,
    pub(crate) auc: f64,
    pub(crate) ambiguous: f64,
    pub(crate) others: f64,
    pub(crate) along: f64,
    pub(crate) across: f64,
}

impl Figures {
    fn of(runs: &[&Measured]) -> Self {
        let over = |figure: fn(&Measured) -> f64| mean(runs.iter().map(|run| figure(run)));
        let nme = over(|run| run.nme);
        let squares: f64 = runs.iter().map(|run| (run.nme - nme).powi(2)).sum();
        Self {
            nme,
            nme_deviation: (runs.len() > 1).then(|| (squares / (runs.len() - 1) as f64).sqrt()),
            failure_rate: over(|run| run.failure_rate),
            auc: over(|run| run.auc),
            ambiguous: over(|run| run.ambiguous),
            others: over(|run| run.others),
            along: over(|run| run.along),
            across: over(|run| run.across),
        }
    }
}

/// Corrects the tests of all comparisons for their number.
pub(crate) fn correct(gains: &mut [Gain]) {
    let tested: Vec<usize> = (0..gains.len()).filter(|&i| gains[i].nme_p.is_some()).collect();
    let probabilities: Vec<f64> = tested.iter().filter_map(|&i| gains[i].nme_p).collect();
    for (&i, p) in tested.iter().zip(star_eval::paired::holm(&probabilities)) {
        gains[i].nme_p_holm = Some(p);
    }
}

/// The comparison at one strength.
///
/// # Errors
/// When a training is missing.
pub(crate) fn gain(runs: &Runs<'_>, subject: Subject, strength: f64) -> Result<Gain> {
    let [plain, star] = runs.pair(subject, strength)?;
    let differences = |figure: fn(&Measured) -> f64| -> Vec<f64> {
        plain.iter().zip(&star).map(|(plain, star)| figure(star) - figure(plain)).collect()
    };
    let nme_differences = differences(|run| run.nme);
    let errors = [&plain, &star].map(|runs| means(runs.iter().map(|run| &run.per_image)));
    let apart: Vec<f64> = errors[0].iter().zip(&errors[1]).map(|(plain, star)| star - plain).collect();
    Ok(Gain {
        subject,
        strength,
        seeds: runs.design.seeds_of(subject),
        plain: Figures::of(&plain),
        star: Figures::of(&star),
        nme: over_seeds(&nme_differences),
        nme_p_holm: None,
        nme_p: star_eval::runs::t_test(&nme_differences).ok(),
        nme_differences,
        failure_rate: over_seeds(&differences(|run| run.failure_rate)),
        ambiguous: over_seeds(&differences(|run| run.ambiguous)),
        others: over_seeds(&differences(|run| run.others)),
        over_images: OverImages {
            paired: compare(&errors[0], &errors[1])?,
            difference: Bootstrap { level: LEVEL, ..Default::default() }.mean(&apart)?,
        },
    })
}

/// How the gain (plain - STAR, so that more is better) depends on the strength of ambiguity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dose {
    pub(crate) subject: Subject,
    pub(crate) strengths: Vec<f64>,
    /// Growth of the gain per unit of strength, fractions of the normalizer; `None` for one seed.
    pub(crate) slope: Option<Interval>,
    /// The gain at the largest strength - that at none, paired by seed.
    pub(crate) strongest_minus_none: Option<Interval>,
}

/// `None` where a subject was trained at one strength only.
pub(crate) fn dose(gains: &[Gain], subject: Subject) -> Option<Dose> {
    let of: Vec<&Gain> = gains.iter().filter(|gain| gain.subject == subject).collect();
    let (first, last) = (of.first()?, of.last()?);
    if of.len() < 2 {
        return None;
    }
    let turned = |gain: &&Gain| (gain.strength, gain.nme_differences.iter().map(|d| -d).collect());
    let ends: Vec<f64> =
        first.nme_differences.iter().zip(&last.nme_differences).map(|(none, most)| none - most).collect();
    Some(Dose {
        subject,
        strengths: of.iter().map(|gain| gain.strength).collect(),
        slope: slope(&of.iter().map(turned).collect::<Vec<_>>()),
        strongest_minus_none: over_seeds(&ends),
    })
}

/// Growth per unit of strength of what is given for each strength and seed, with its interval over seeds; `None` for one seed.
pub(crate) fn slope(by_strength: &[(f64, Vec<f64>)]) -> Option<Interval> {
    let strengths: Vec<f64> = by_strength.iter().map(|(strength, _)| *strength).collect();
    let seeds = by_strength.first().map_or(0, |(_, values)| values.len());
    let of = |seed: usize| by_strength.iter().map(|(_, values)| values[seed]).collect();
    let by_seed: Vec<Vec<f64>> = (0..seeds).map(of).collect();
    star_eval::runs::slope(&strengths, &by_seed, LEVEL).ok()
}
