//! The profiles on photographs: the paper's tables from published weights or from scratch.

mod outcome;
pub(crate) mod plan;
mod sets;
mod stages;
pub(crate) mod words;

use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};
use serde::Serialize;

use super::args::{Args, Origin, StageName};
use super::machine::Versions;
use super::overhead::{self, Overhead};
use super::place;
use super::stage::{Stages, prepare};
use super::targets::Targets;
use outcome::{Cell, SetOutcome, Verdict};
use plan::RealPlan;
use sets::RealSet;

/// Seconds that the published network takes for a face on two cores with AVX-512 (docs/performance.md): scored in batches, trained.
const SECONDS_TO_SCORE: f64 = 0.058;
/// Likewise; measured on batches of four.
const SECONDS_TO_TRAIN: f64 = 0.27;
/// Megabytes of a training's weights, average and two states, and of one set's scores.
const MEGABYTES_TO_TRAIN: f64 = 620.0;

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
        print!("{}", told(&plan, &out, args.resume)?);
        return Ok(());
    }
    let reads = [StageName::Check, StageName::Train, StageName::Eval];
    let all = stages::candidates(&plan, reads.iter().any(|stage| !args.skip.contains(stage)))?;
    prepare(&out, &plan, args.resume || !args.skip.is_empty(), true, |earlier| {
        plan.is_but_for_seeds(earlier)
    })?;
    star_train::memory::keep_freed();
    let stop = star_cli::stop_on_ctrl_c()?;
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
    stages.run(StageName::Check, |dir, hashes| stages::check(&plan, &all, dir, hashes))?;
    stages.run(StageName::Fetch, |dir, hashes| match plan.from {
        Origin::Weights => stages::fetch(&plan, &all, dir, hashes),
        Origin::Scratch => {
            println!("nothing to fetch: networks are trained from scratch");
            Ok(())
        }
    })?;
    stages.run(StageName::Train, |dir, hashes| match plan.from {
        Origin::Scratch => stages::trainings(&plan, &all, dir, hashes, &stop),
        Origin::Weights => {
            println!("nothing to train: weights are published");
            Ok(())
        }
    })?;
    stages.run(StageName::Eval, |dir, hashes| stages::scores(&plan, &all, [&out, dir], hashes, &stop))?;
    let missed = stages.run(StageName::Table, |_, _| {
        let sets = stages::outcomes(&plan, &all, &out)?;
        let outcome = RealOutcome { plan: &plan, cells: outcome::cells(&targets, &plan, &sets), sets };
        let report = out.join("report");
        let overhead = overhead::of(args.overhead, &report)?;
        write(&outcome, &targets, overhead.as_ref(), &report)
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    match missed {
        Some((0, 0, cells)) if cells > 0 => {
            bail!("none of the {cells} cells with a target was measured; the report says why")
        }
        None | Some((0, ..)) => Ok(()),
        Some((missed, checked, _)) => {
            bail!("{missed} of {checked} checked cells miss their target; see the report")
        }
    }
}

/// The whole outcome, for machines.
#[derive(Serialize)]
pub(crate) struct RealOutcome<'a> {
    pub(crate) plan: &'a RealPlan,
    pub(crate) cells: Vec<Cell>,
    pub(crate) sets: Vec<SetOutcome>,
}

/// Writes the report in its three formats, prints it, and says how many cells miss, how many are measured and how many there are.
fn write(
    outcome: &RealOutcome<'_>,
    targets: &Targets,
    overhead: Option<&Overhead>,
    dir: &Path,
) -> Result<(usize, usize, usize)> {
    let mut document = words::document(outcome, targets)?;
    document.sections.push(overhead::section(overhead));
    document.write(outcome, dir)?;
    let count =
        |wanted: &[Verdict]| outcome.cells.iter().filter(|cell| wanted.contains(&cell.verdict)).count();
    let measured = count(&[Verdict::Missed, Verdict::Reached]);
    Ok((count(&[Verdict::Missed]), measured, measured + count(&[Verdict::NotMeasured])))
}

/// What would be done, how long it takes and what it fills; with `resume` without what is done.
fn told(plan: &RealPlan, out: &Path, resume: bool) -> Result<String> {
    let mut text = format!("profile {}: results in {}\n", plan.profile.name(), out.display());
    let (mut seconds, mut megabytes) = (0.0, 0.0);
    for set in RealSet::of(plan.profile) {
        let faces = set.published(star_data::formats::Split::Test, "full");
        match set.locate(plan.data(), plan.compat) {
            Some(found) => text += &format!("{}: {}\n", set.name, found.dir.display()),
            None => text += &format!("{}\n", set.missing(plan.data())),
        }
        // Of 300VW's frames the number was not published.
        let counted = faces.map_or("its frames".to_string(), |faces| format!("{faces} faces"));
        let scoring = faces.unwrap_or(0) as f64 * SECONDS_TO_SCORE;
        match plan.from {
            Origin::Weights => {
                let weights = plan.weights(set);
                let weights_known = weights.is_some();
                let weights = weights.map_or_else(
                    || "none are known: name some with --weights".to_string(),
                    |name| format!("`{name}`, about 180 MB to download where it was not before"),
                );
                text += &format!("  fetch {weights}\n  eval  {counted}\n");
                seconds += scoring;
                megabytes += 120.0 + if weights_known { 180.0 } else { 0.0 };
            }
            Origin::Scratch => {
                let (all, done) = (plan.trainings(set), |slug: &String| resume && stages::is_done(out, slug));
                let variants = all.iter().filter(|slug| !done(slug)).count() as f64;
                let train = set.published(star_data::formats::Split::Train, "full");
                let images = train.map_or(0.0, |faces| faces as f64 * 500.0);
                text += &format!(
                    "  train {variants} networks{} of 500 epochs of {}, unless --override says otherwise\n  eval  {counted} with each\n",
                    if variants < all.len() as f64 { format!(" (of {})", all.len()) } else { String::new() },
                    train.map_or("its frames".to_string(), |faces| format!("{faces} faces"))
                );
                seconds += variants * (images * SECONDS_TO_TRAIN + scoring);
                megabytes += variants * MEGABYTES_TO_TRAIN;
            }
        }
    }
    text += &format!(
        "about {} on two cores (docs/performance.md; a GPU was not at hand to measure), each network as the paper's, 300VW apart, and \
         {megabytes:.0} MB\n",
        if seconds > 172_800.0 {
            format!("{:.0} days", seconds / 86_400.0)
        } else {
            format!("{:.1} hours", seconds / 3600.0)
        }
    );
    Ok(text)
}
