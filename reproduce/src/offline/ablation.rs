//! Trainings beside the comparison, each against the first of its table.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;
use star_train::config::LossKind;

use super::design::Planned;
use super::runs::{Runs, mean, over_seeds};
use crate::controls::Control;
use crate::variant::tables::{CONTROLS, LEARNING_RATES};
use crate::variant::{LossName, Variant};

/// A table of trainings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AblationResult {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) subject: Subject,
    pub(crate) strength: f64,
    pub(crate) seeds: u64,
    pub(crate) rows: Vec<Row>,
    /// Of learning rates and controls: STAR and what it is compared with, each at its best.
    pub(crate) best: Option<Best>,
}

/// Losses without STAR's factors and STAR, each in the variant that has the lowest error on validation images: neither is favoured, and
/// no test image has a say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) without: String,
    /// NME of the test images, as all below.
    pub(crate) without_nme: f64,
    pub(crate) star: String,
    pub(crate) star_nme: f64,
    /// STAR - the other, paired by seed; `None` for fewer than three.
    pub(crate) difference: Option<Interval>,
}

/// One training, means over seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) variant: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) ambiguous: f64,
    pub(crate) angle: f64,
    pub(crate) ratio: f64,
    /// NME - that of the table's first row, paired by seed; `None` for the first row and for one seed.
    pub(crate) difference: Option<Interval>,
    /// NME - that of plain regression with everything else the same, paired by seed; `None` where the table has none.
    pub(crate) to_plain: Option<Interval>,
}

/// The table of an ablation.
///
/// # Errors
/// When a training is missing.
pub(crate) fn ablation(runs: &Runs<'_>, wanted: &Planned) -> Result<AblationResult> {
    let Planned { subject, strength, table } = wanted;
    let whole = |seed: &u64| {
        let has = |variant| runs.of(*subject, *strength, variant, *seed).is_ok();
        table.variants.iter().all(has)
    };
    // Of an unfinished run the seeds that are complete.
    let seeds = (0..runs.design.ablation_seeds).take_while(whole).count().max(1) as u64;
    let mut rows: Vec<Row> = Vec::new();
    let mut first: Vec<f64> = Vec::new();
    let mut all: Vec<Tried<'_>> = Vec::new();
    for variant in &table.variants {
        let of = runs.seeds(*subject, *strength, variant, seeds)?;
        let nmes: Vec<f64> = of.iter().map(|run| run.nme).collect();
        let apart = |from: &[f64]| -> Option<Interval> {
            // Two seeds tell next to nothing of a third.
            let apart: Vec<f64> = from.iter().zip(&nmes).map(|(from, nme)| nme - from).collect();
            over_seeds(&apart).filter(|_| apart.len() > 2)
        };
        let partner = table.variants.iter().find(|other| variant.is_plain_of(other));
        let partner = partner.map(|plain| runs.seeds(*subject, *strength, plain, seeds)).transpose()?;
        let partner: Option<Vec<f64>> = partner.map(|runs| runs.iter().map(|run| run.nme).collect());
        rows.push(Row {
            variant: variant.name.clone(),
            nme: mean(nmes.iter().copied()),
            failure_rate: mean(of.iter().map(|run| run.failure_rate)),
            ambiguous: mean(of.iter().map(|run| run.ambiguous)),
            angle: mean(of.iter().map(|run| run.angle)),
            ratio: mean(of.iter().map(|run| run.ratio)),
            difference: apart(&first),
            to_plain: partner.and_then(|plain| apart(&plain)),
        });
        if first.is_empty() {
            first = nmes.clone();
        }
        all.push(Tried { variant, validation: mean(of.iter().map(|run| run.validation())), nmes });
    }
    Ok(AblationResult {
        id: table.id.clone(),
        title: table.title.clone(),
        subject: *subject,
        strength: *strength,
        seeds,
        best: best(&all).filter(|_| [LEARNING_RATES, CONTROLS].contains(&table.id.as_str())),
        rows,
    })
}

/// A training under several seeds.
struct Tried<'a> {
    variant: &'a Variant,
    /// NME of the validation images, mean over seeds.
    validation: f64,
    /// NME of the test images under each seed.
    nmes: Vec<f64>,
}

/// Each at its best; `None` where one of them is missing.
fn best(all: &[Tried<'_>]) -> Option<Best> {
    let of = |losses: [LossName; 2]| {
        let tried =
            all.iter().filter(|tried| tried.variant.loss().is_some_and(|loss| losses.contains(&loss)));
        tried.min_by(|a, b| a.validation.total_cmp(&b.validation))
    };
    let without = of([LossKind::Plain.into(), LossName::Control(Control::StarUnscaled)])?;
    let star = of([LossKind::StarPerAxis, LossKind::StarWhitened].map(LossName::from))?;
    let apart: Vec<f64> = without.nmes.iter().zip(&star.nmes).map(|(from, to)| to - from).collect();
    Some(Best {
        without: without.variant.name.clone(),
        without_nme: mean(without.nmes.iter().copied()),
        star: star.variant.name.clone(),
        star_nme: mean(star.nmes.iter().copied()),
        difference: over_seeds(&apart).filter(|_| apart.len() > 2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_pictures_choose_each_sides_form_and_test_pictures_score_it() {
        let table = crate::variant::tables::learning_rates();
        // In the order of the table: at the base's rate, a third and three times it, plain before STAR.
        let validations = [5.0, 4.0, 4.4, 5.1, 6.0, 5.5];
        // The first on validation is not the first on the test.
        let nmes = [[4.1, 4.2, 4.3], [4.0, 4.3, 4.4], [4.5, 4.6, 4.4], [3.0; 3], [6.0; 3], [5.5; 3]];
        let all: Vec<Tried<'_>> = table
            .variants
            .iter()
            .zip(validations.into_iter().zip(nmes))
            .map(|(variant, (validation, nmes))| Tried { variant, validation, nmes: nmes.to_vec() })
            .collect();
        let found = best(&all).unwrap();
        assert_eq!(
            (found.without.as_str(), found.star.as_str()),
            ("smooth-L1, learning rate / 3", "STAR (smooth-L1)")
        );
        // -0.5, -0.3 and 0.0.
        let interval = found.difference.unwrap();
        assert!((interval.estimate + 0.8 / 3.0).abs() < 1e-9 && interval.high > 0.0, "{interval:?}");
        assert!(best(&all[..1]).is_none());
    }

    #[test]
    fn restriction_alone_counts_as_without_stars_factors_and_the_isotropic_form_as_neither() {
        let table = crate::variant::tables::controls();
        let all: Vec<Tried<'_>> = table
            .variants
            .iter()
            .enumerate()
            .map(|(i, variant)| Tried { variant, validation: 9.0 - i as f64, nmes: vec![1.0; 3] })
            .collect();
        let found = best(&all).unwrap();
        assert!(found.without.contains("value restriction, weight 3"), "{}", found.without);
        assert_eq!(found.star, "STAR (smooth-L1), value, weight 10");
    }
}
