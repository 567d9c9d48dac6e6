//! Everything that a run found: what the report, its figures and the front page are made of. Nothing in it depends on how long anything
//! took, or in which order it was done.

use anyhow::Result;
use serde::Serialize;
use star_data::synthetic::Subject;
use star_eval::Interval;

use super::answer::{Answer, answers, verdicts};
use super::design::{Cell, Design, Kind, Question};
use super::gates::{Gate, gates, tested};
use super::longer::{Longer, Restarts, longer, restarts};
use super::measure::Record;
use super::quintile::{Quintile, quintiles};
use super::runs::{Runs, mean, over_seeds, scatter};
use crate::variant::Variant;

/// The whole outcome; lengths are per cent of the normalizer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) kind: Kind,
    pub(crate) design: Design,
    /// Trainings that are done, of those planned.
    pub(crate) trainings: [usize; 2],
    /// Where they were done, with how many.
    pub(crate) machines: Vec<(String, usize)>,
    /// Empty where the run has none.
    pub(crate) gates: Vec<Gate>,
    /// Whether all gates are passed; `None` where none failed and one is not measured.
    pub(crate) tested: Option<bool>,
    pub(crate) primaries: Vec<Answer>,
    /// Asked beside the primary ones, without correction.
    pub(crate) secondaries: Vec<Answer>,
    /// The table of the main cell.
    pub(crate) main: Table,
    /// Those of all cells, that one too.
    pub(crate) tables: Vec<Table>,
    /// What STAR gains in each cell of the main subject.
    pub(crate) gains: Vec<Gain>,
    pub(crate) quintiles: Vec<Quintile>,
    /// Validation error over steps in the main cell.
    pub(crate) curves: Vec<Curve>,
    pub(crate) longer: Vec<Longer>,
    pub(crate) restarts: Vec<Restarts>,
}

/// Losses on one kind of images and labels.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) subjects: String,
    pub(crate) name: String,
    pub(crate) rows: Vec<Row>,
}

/// Means over seeds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) loss: String,
    pub(crate) seeds: usize,
    pub(crate) nme: Option<f64>,
    pub(crate) across: Option<f64>,
    pub(crate) along: Option<f64>,
    pub(crate) scatter: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) angle: Option<f64>,
    pub(crate) failures: Option<f64>,
    /// NME of the validation images, which weights were chosen by.
    pub(crate) validation: Option<f64>,
}

/// STAR minus what it is compared with in one cell.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Gain {
    pub(crate) cell: String,
    pub(crate) than: String,
    pub(crate) across: Option<Interval>,
    pub(crate) along: Option<Interval>,
}

/// Validation error of a loss, mean over seeds, by training step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Curve {
    pub(crate) loss: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Outcome {
    /// Answers every question from the records that there are.
    ///
    /// # Errors
    /// When records do not fit each other.
    pub(crate) fn new(design: &Design, records: &[Record]) -> Result<Self> {
        let runs = Runs(records);
        let gates = gates(design, &runs);
        let tested = tested(&gates);
        let tables = tables(design, &runs)?;
        let main = table(design, &runs, &design.main_cell())?;
        let mut machines: Vec<(String, usize)> = Vec::new();
        for record in records {
            match machines.iter_mut().find(|(name, _)| *name == record.machine) {
                Some((_, count)) => *count += 1,
                None => machines.push((record.machine.clone(), 1)),
            }
        }
        machines.sort();
        let primaries = if design.kind == Kind::Pilot { Vec::new() } else { design.primaries() };
        Ok(Self {
            kind: design.kind,
            design: design.clone(),
            trainings: [records.len(), design.jobs().len()],
            machines,
            tested,
            primaries: verdicts(answers(&runs, &primaries), tested),
            secondaries: answers(&runs, &secondaries(design)),
            gates,
            main,
            tables,
            gains: gains(design, &runs),
            quintiles: quintiles(design, &runs),
            curves: curves(design, &runs),
            longer: longer(design, &runs),
            restarts: restarts(design, &runs)?,
        })
    }
}

fn tables(design: &Design, runs: &Runs<'_>) -> Result<Vec<Table>> {
    let mut all = Vec::new();
    for subject in design.subjects() {
        for cell in design.cells(subject) {
            all.push(table(design, runs, &cell)?);
        }
    }
    Ok(all)
}

fn table(design: &Design, runs: &Runs<'_>, cell: &Cell) -> Result<Table> {
    let mut rows = Vec::new();
    let variants: Vec<Variant> = match design.kind {
        Kind::Pilot => {
            design.blocks.iter().filter(|b| b.cell == *cell).flat_map(|b| b.variants.clone()).collect()
        }
        _ => design.losses(cell.subject),
    };
    for variant in variants {
        let of = runs.of(cell, &variant);
        if !of.is_empty() {
            rows.push(row(&variant, &of)?);
        }
    }
    Ok(Table { subjects: cell.subjects().into(), name: cell.name(), rows })
}

fn row(variant: &Variant, of: &[&Record]) -> Result<Row> {
    let over = |figure: fn(&Record) -> f64| mean(of.iter().map(|record| figure(record)));
    Ok(Row {
        loss: variant.labelled(),
        seeds: of.len(),
        nme: over(|record| record.nme),
        across: over(|record| record.across),
        along: over(|record| record.along),
        scatter: scatter(of)?,
        ratio: over(|record| record.ratio),
        angle: over(|record| record.angle),
        failures: over(|record| record.failures),
        validation: over(|record| record.validation),
    })
}

/// STAR against each other loss in each cell of each subject.
fn pairs(design: &Design, subject: Subject) -> Vec<(Cell, Variant, Variant)> {
    let losses = design.losses(subject);
    let Some((star, others)) = losses.split_last() else { return Vec::new() };
    let cells = design.cells(subject).into_iter();
    cells.flat_map(|cell| others.iter().map(move |other| (cell, star.clone(), other.clone()))).collect()
}

fn secondaries(design: &Design) -> Vec<Question> {
    if design.kind == Kind::Pilot {
        return Vec::new();
    }
    let of = |(cell, star, other): (Cell, Variant, Variant)| {
        let what = format!("{}, {}: STAR - {}", cell.subjects(), cell.name(), other.name);
        Question::difference("", "", &what, &[cell], [&star, &other])
    };
    design.subjects().into_iter().flat_map(|subject| pairs(design, subject)).map(of).collect()
}

fn gains(design: &Design, runs: &Runs<'_>) -> Vec<Gain> {
    if design.kind == Kind::Pilot {
        return Vec::new();
    }
    let of = |(cell, star, other): (Cell, Variant, Variant)| {
        let question = Question::difference("", "", "", &[cell], [&star, &other]);
        let figure = |figure: fn(&Record) -> f64| over_seeds(&runs.answer(&question, figure));
        Gain {
            cell: cell.name(),
            than: other.name.clone(),
            across: figure(|record| record.across),
            along: figure(|record| record.along),
        }
    };
    pairs(design, design.subjects()[0]).into_iter().map(of).filter(|gain| gain.across.is_some()).collect()
}

fn curves(design: &Design, runs: &Runs<'_>) -> Vec<Curve> {
    let cell = design.main_cell();
    let losses = if design.kind == Kind::Pilot { Vec::new() } else { design.losses(cell.subject) };
    let of = |variant: Variant| {
        let records = runs.of(&cell, &variant);
        let epochs = records.iter().map(|record| record.epochs.len()).min()?;
        let point = |i: usize| {
            let nme = mean(records.iter().map(|record| record.epochs[i].1))?;
            Some((records[0].epochs[i].0 as f64, nme))
        };
        Some(Curve { loss: variant.name, points: (0..epochs).filter_map(point).collect() })
    };
    losses.into_iter().filter_map(of).collect()
}
