//! Trainings beside the comparison, each against the first of its table.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use star_data::synthetic::Subject;
use star_eval::Interval;
use star_train::config::LossKind;

use super::design::{Planned, subject_name};
use super::phrase::{difference, percent};
use super::runs::{Runs, mean, over_seeds};
use crate::document::Section;
use crate::variant::{CONTROLS, LEARNING_RATES, Variant};

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

/// Losses without STAR's factors and STAR, each in the form that has the lowest error on validation pictures: neither is favoured, and
/// no test picture has a say.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) without: String,
    /// NME of the test pictures, as all below.
    pub(crate) without_nme: f64,
    pub(crate) star: String,
    pub(crate) star_nme: f64,
    /// STAR less the other, paired by seed; `None` for fewer than three.
    pub(crate) difference: Option<Interval>,
}

/// One training, means over seeds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) variant: String,
    pub(crate) nme: f64,
    pub(crate) failure_rate: f64,
    pub(crate) lopsided: f64,
    pub(crate) angle: f64,
    pub(crate) ratio: f64,
    /// NME less that of the table's first row, paired by seed; `None` for the first row and for one seed.
    pub(crate) difference: Option<Interval>,
    /// NME less that of plain regression with everything else the same, paired by seed; `None` where the table has none.
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
            // Two seeds say next to nothing of a third.
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
            lopsided: mean(of.iter().map(|run| run.lopsided)),
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
    /// NME of the validation pictures, mean over seeds.
    validation: f64,
    /// NME of the test pictures under each seed.
    nmes: Vec<f64>,
}

/// Each at its best; `None` where one of them is missing.
fn best(all: &[Tried<'_>]) -> Option<Best> {
    let of = |kinds: [LossKind; 2]| {
        let tried = all.iter().filter(|tried| tried.variant.kind().is_some_and(|kind| kinds.contains(&kind)));
        tried.min_by(|a, b| a.validation.total_cmp(&b.validation))
    };
    let without = of([LossKind::Plain, LossKind::StarUnscaled])?;
    let star = of([LossKind::StarPerAxis, LossKind::StarWhitened])?;
    let apart: Vec<f64> = without.nmes.iter().zip(&star.nmes).map(|(from, to)| to - from).collect();
    Some(Best {
        without: without.variant.name.clone(),
        without_nme: mean(without.nmes.iter().copied()),
        star: star.variant.name.clone(),
        star_nme: mean(star.nmes.iter().copied()),
        difference: over_seeds(&apart).filter(|_| apart.len() > 2),
    })
}

/// What tables of learning rates and controls say.
pub(crate) fn sentences(tables: &[AblationResult]) -> Vec<String> {
    let said = tables.iter().filter_map(|table| {
        let best = table.best.as_ref()?;
        Some(format!(
            "{}s at strength {}, each side as validation pictures choose it from the table \"{}\": NME {} % with {}, {} % with {}, {}.",
            subject_name(table.subject),
            table.strength,
            table.title,
            percent(best.star_nme, 2),
            best.star,
            percent(best.without_nme, 2),
            best.without,
            match best.difference {
                Some(_) => format!(
                    "a difference of {} points over {} paired seeds",
                    difference(best.difference, 100.0, 2),
                    table.seeds
                ),
                None => "with too few seeds for an interval".to_string(),
            }
        ))
    });
    said.collect()
}

/// The tables.
pub(crate) fn section(tables: &[AblationResult], left_out: &[String]) -> Section {
    let mut section = Section::new("ablations", "Ablations");
    if tables.is_empty() && left_out.is_empty() {
        section.text("Controls, learning rates, distances, restrictions, attention, stacks and backbones are trained by --thorough.");
        return section;
    }
    left_out.iter().for_each(|what| section.text(format!("Left out: {what}.")));
    if !tables.is_empty() {
        section.text(
            "Differences are over paired seeds: to the first row of each table, and to smooth-L1 (in the table of distances, the same \
             distance) with the same change beside it. Trainings of one seed have the same pictures and labels; order and weights at \
             the start are the same where networks are, but for the table that is about them.",
        );
    }
    sentences(tables).into_iter().for_each(|said| section.text(said));
    for table in tables {
        section.heading(format!(
            "{}: {}s, strength {}, {} seed{}",
            table.title,
            subject_name(table.subject),
            table.strength,
            table.seeds,
            if table.seeds == 1 { "" } else { "s" }
        ));
        let rows = table.rows.iter().map(|row| {
            vec![
                row.variant.clone(),
                percent(row.nme, 3),
                percent(row.failure_rate, 2),
                percent(row.lopsided, 3),
                format!("{:.1}", row.angle),
                format!("{:.2}", row.ratio),
                difference(row.difference, 100.0, 3),
                difference(row.to_plain, 100.0, 3),
            ]
        });
        section.table(
            &[
                "training",
                "NME %",
                "FR@0.10 %",
                "NME % of ambiguous keypoints",
                "axis off noise, degrees",
                "eigenvalue ratio",
                "NME points to the first row",
                "to plain, the same beside it",
            ],
            rows.collect(),
        );
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_pictures_choose_each_sides_form_and_test_pictures_score_it() {
        let table = crate::variant::learning_rates();
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
        let table = crate::variant::controls();
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
