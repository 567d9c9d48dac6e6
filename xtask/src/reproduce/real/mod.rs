//! The profiles on photographs: the paper's tables from published weights or from scratch.

mod outcome;
mod plan;
mod sets;
mod stages;
pub(crate) mod words;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use star_cli::output;

use super::args::{Args, Origin, StageName};
use super::machine::Versions;
use super::overhead::{self, Overhead};
use super::stage::Stages;
use super::targets::Targets;
use crate::workspace::Workspace;
use outcome::{Cell, SetOutcome, Verdict};
use plan::RealPlan;
use sets::RealSet;

/// The plan that a folder's results belong to.
const PLAN_FILE: &str = "plan.json";
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
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let plan = RealPlan::new(args)?;
    let targets = Targets::read()?;
    let out =
        args.out.clone().unwrap_or_else(|| workspace.target.join("reproduce").join(args.profile.name()));
    if args.dry_run {
        print!("{}", told(&plan, &out)?);
        return Ok(());
    }
    let all = stages::candidates(&plan)?;
    prepare(&out, &plan, args.resume || !args.skip.is_empty())?;
    star_cli::memory::keep_freed();
    let stop = star_cli::stop_on_ctrl_c()?;
    let stages = Stages {
        out: out.clone(),
        profile: args.profile.name(),
        config: serde_json::to_value(&plan)?,
        seeds: (0..plan.seeds).collect(),
        device: plan.device.to_string(),
        versions: Versions::of(&workspace.root),
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
    stages.run(StageName::Train, |dir, _| match plan.from {
        Origin::Scratch => stages::trainings(&plan, &all, dir, &stop),
        Origin::Weights => {
            println!("nothing to train: weights are published");
            Ok(())
        }
    })?;
    stages.run(StageName::Eval, |dir, _| stages::scores(&plan, &all, &out, dir))?;
    let missed = stages.run(StageName::Table, |_, _| {
        let sets = stages::outcomes(&plan, &all, &out)?;
        let outcome = RealOutcome { plan: &plan, cells: outcome::cells(&targets, &plan, &sets), sets };
        let report = out.join("report");
        let overhead = overhead::of(args.overhead, &report)?;
        write(&outcome, &targets, overhead.as_ref(), &report)
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    match missed.unwrap_or_default() {
        (0, _) => Ok(()),
        (missed, checked) => bail!("{missed} of {checked} checked cells miss their target; see the report"),
    }
}

/// The whole outcome, for machines.
#[derive(Serialize)]
pub(crate) struct RealOutcome<'a> {
    pub(crate) plan: &'a RealPlan,
    pub(crate) cells: Vec<Cell>,
    pub(crate) sets: Vec<SetOutcome>,
}

/// Writes the report in its three forms, prints it, and says how many cells miss of how many that are measured.
fn write(
    outcome: &RealOutcome<'_>,
    targets: &Targets,
    overhead: Option<&Overhead>,
    dir: &Path,
) -> Result<(usize, usize)> {
    output::make_dir(dir)?;
    let mut document = words::document(outcome, targets)?;
    document.sections.push(overhead::section(overhead));
    let markdown = document.to_markdown();
    output::write_renamed(&dir.join("report.json"), serde_json::to_string(outcome)?.as_bytes())?;
    output::write_renamed(&dir.join("report.md"), markdown.as_bytes())?;
    output::write_renamed(&dir.join("index.html"), document.to_html()?.as_bytes())?;
    println!("\n{markdown}");
    let count =
        |wanted: &[Verdict]| outcome.cells.iter().filter(|cell| wanted.contains(&cell.verdict)).count();
    Ok((count(&[Verdict::Missed]), count(&[Verdict::Missed, Verdict::Reached])))
}

/// Starts a folder afresh, or checks that what it holds belongs to the same plan.
fn prepare(out: &Path, plan: &RealPlan, keep: bool) -> Result<()> {
    let path = out.join(PLAN_FILE);
    if keep && path.exists() {
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let earlier: RealPlan = serde_json::from_str(&text).with_context(|| {
            format!("{}: written by another version; choose another --out", path.display())
        })?;
        if earlier != *plan {
            bail!(
                "{}: the interrupted run had other options; give the same, or choose another --out",
                path.display()
            )
        }
        return Ok(());
    }
    for stage in ["check", "fetch", "train", "eval", "table", "report"] {
        let dir = out.join(stage);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        }
    }
    output::make_dir(out)?;
    output::write_renamed(&path, serde_json::to_string_pretty(plan)?.as_bytes())
}

/// What would be done, how long it takes and what it fills.
fn told(plan: &RealPlan, out: &Path) -> Result<String> {
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
                let weights = weights.map_or_else(
                    || "none are known: name some with --weights".to_string(),
                    |name| format!("`{name}`, about 180 MB to download where it was not before"),
                );
                text += &format!("  fetch {weights}\n  eval  {counted}\n");
                seconds += scoring;
                megabytes += 120.0;
            }
            Origin::Scratch => {
                let variants = plan.variants().len() as f64 * plan.seeds as f64;
                let train = set.published(star_data::formats::Split::Train, "full");
                let images = train.map_or(0.0, |faces| faces as f64 * 500.0);
                text += &format!(
                    "  train {variants} networks of 500 epochs of {}, unless --override says otherwise\n  eval  {counted} with each\n",
                    train.map_or("its frames".to_string(), |faces| format!("{faces} faces"))
                );
                seconds += variants * (images * SECONDS_TO_TRAIN + scoring);
                megabytes += variants * MEGABYTES_TO_TRAIN;
            }
        }
    }
    text += &format!(
        "about {} on two cores (docs/performance.md; a GPU was not at hand to measure), 300VW apart, and {megabytes:.0} MB\n",
        if seconds > 172_800.0 {
            format!("{:.0} days", seconds / 86_400.0)
        } else {
            format!("{:.1} hours", seconds / 3600.0)
        }
    );
    Ok(text)
}
