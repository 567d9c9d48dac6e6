//! The profiles on published data sets: the paper's tables from published weights or from scratch.

mod cells;
mod check;
mod fetch;
mod networks;
mod outcome;
pub(crate) mod plan;
mod preview;
mod score;
mod scores;
pub(crate) mod sets;
mod tables;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use crate::args::{Args, Origin, StageName};
use crate::machine::Versions;
use crate::network::{self, NetworkSize};
use crate::place;
use crate::report::Report;
use crate::stage::{Existing, Stages, prepare};
use crate::step_cost::{self, StepCost};
use crate::stop;
use crate::targets::Targets;
use cells::{Cell, Verdict};
use plan::RealPlan;
use scores::SetOutcome;

/// Runs the profile.
///
/// # Errors
/// Says what is wrong; when a checked cell misses its target, after the report is written.
pub(crate) fn run(args: &Args) -> Result<()> {
    let plan = RealPlan::new(args)?;
    let targets = Targets::read()?;
    // Not below target: trainings of days are not for `cargo clean` to delete.
    let out = args.out.clone().unwrap_or_else(|| place::root().join("runs").join(args.profile.name()));
    if args.dry_run {
        print!("{}", preview::text(&plan, &out, args.resume)?);
        return Ok(());
    }
    let reads = [StageName::Check, StageName::Train, StageName::Eval];
    let all = check::candidates(&plan, reads.iter().any(|stage| !args.skip.contains(stage)))?;
    let existing = match args.resume || !args.skip.is_empty() {
        true => Existing::GoOn,
        false => Existing::RemoveAllButTrainings,
    };
    prepare(&out, &plan, existing, |earlier| plan.is_but_for_seeds(earlier))?;
    star_train::memory::keep_freed();
    let stop = stop::on_ctrl_c()?;
    let stages = Stages {
        out: out.clone(),
        profile: args.profile.name(),
        config: serde_json::to_value(&plan)?,
        seeds: (0..plan.seeds).collect(),
        device: plan.device.to_string(),
        versions: Versions::of(&place::root()),
        skip: args.skip.clone(),
    };
    let start = Instant::now();
    stages.run(StageName::Check, |dir, hashes| check::check(&plan, &all, dir, hashes))?;
    stages.run(StageName::Fetch, |dir, hashes| match plan.from {
        Origin::Weights => fetch::fetch(&plan, &all, dir, hashes),
        Origin::Scratch => {
            println!("nothing to fetch: networks are trained from scratch");
            Ok(())
        }
    })?;
    stages.run(StageName::Train, |dir, hashes| match plan.from {
        Origin::Scratch => networks::train(&plan, &all, dir, hashes, &stop),
        Origin::Weights => {
            println!("nothing to train: weights are published");
            Ok(())
        }
    })?;
    stages.run(StageName::Eval, |dir, hashes| networks::scores(&plan, &all, [&out, dir], hashes, &stop))?;
    let cells = stages.run(StageName::Table, |_, _| {
        let sets = outcome::outcomes(&plan, &all, &out)?;
        let outcome = RealOutcome { plan: &plan, cells: cells::cells(&targets, &plan, &sets), sets };
        let report = out.join("report");
        let overhead = step_cost::of(args.overhead, &report)?;
        write(&outcome, &targets, overhead.as_ref(), &report)?;
        Ok(outcome.cells)
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    cells.map_or(Ok(()), |cells| held_to_targets(&cells))
}

/// That no measured cell misses its target, and that one is measured where there are such cells.
fn held_to_targets(cells: &[Cell]) -> Result<()> {
    let count = |wanted: &[Verdict]| cells.iter().filter(|cell| wanted.contains(&cell.verdict)).count();
    let missed = count(&[Verdict::Missed]);
    let measured = missed + count(&[Verdict::Reached]);
    if missed > 0 {
        bail!("{missed} of {measured} checked cells miss their target; see the report")
    }
    let known = measured + count(&[Verdict::NotMeasured]);
    if measured == 0 && known > 0 {
        bail!("none of the {known} cells with a target was measured; the report says why")
    }
    Ok(())
}

/// The whole outcome, for machines.
#[derive(Serialize)]
pub(crate) struct RealOutcome<'a> {
    plan: &'a RealPlan,
    cells: Vec<Cell>,
    sets: Vec<SetOutcome>,
}

/// Writes the report and prints it.
fn write(
    outcome: &RealOutcome<'_>,
    targets: &Targets,
    overhead: Option<&StepCost>,
    dir: &Path,
) -> Result<()> {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(flatten)]
        outcome: &'a RealOutcome<'a>,
        /// As they are written.
        overrides: Option<String>,
        overhead: Option<&'a StepCost>,
        networks: Vec<NetworkSize>,
        methods: Vec<tables::Method>,
        subsets: Vec<tables::Subsets>,
        ablations: Vec<tables::AblationTable>,
        /// What of these sets could not be recovered.
        unknown: Vec<&'a str>,
    }
    let is_here = |key: &str| outcome.sets.iter().any(|set| set.key == key);
    let settings = |table: &toml::Table| table.to_string().trim().replace('\n', "; ");
    let data = Data {
        outcome,
        overrides: outcome.plan.overrides.as_ref().map(settings),
        overhead,
        networks: network::sizes(targets)?,
        methods: tables::methods(outcome, targets),
        subsets: tables::subsets(outcome, targets),
        ablations: tables::ablations(outcome),
        unknown: targets.unknown.iter().filter(|u| is_here(&u.set)).map(|u| u.what.as_str()).collect(),
    };
    Report::new("real/report.md", &data)?.write(outcome, dir)
}
