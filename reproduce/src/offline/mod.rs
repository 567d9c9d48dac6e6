//! The offline profile: the paper's claim on synthetic ambiguity, with statistics.

mod ablation;
mod control;
mod data;
mod design;
mod direction;
mod gain;
mod measure;
pub(crate) mod outcome;
mod plan;
mod restriction;
mod runs;
mod stability;
mod work;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::args::{Args, StageName};
use crate::machine::Versions;
use crate::network::{self, NetworkSize};
use crate::place;
use crate::report::Report;
use crate::runner;
use crate::stage::{Existing, Stages, prepare};
use crate::step_cost::{self, StepCost};
use crate::stop;
use crate::targets::Targets;
use design::{Design, Job};
use outcome::Outcome;
use work::{Scope, Work};

/// Runs the profile.
///
/// # Errors
/// Says what is wrong, or that it was stopped and how to go on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let design = Design::new(args.thorough, args.seeds, args.epochs);
    let jobs = design.jobs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = args.jobs.unwrap_or(cores).min(jobs.len());
    let usual = || place::target().join("reproduce").join(if args.thorough { "thorough" } else { "offline" });
    let out = args.out.clone().unwrap_or_else(usual);
    if args.dry_run {
        let done = |job: &Job| args.resume && runner::is_done(&out.join("train").join(job.id()));
        print!("{}", plan::text(&design, &jobs, at_once, &out, done)?);
        return Ok(());
    }
    one_thread()?;
    let existing = match (args.resume || !args.skip.is_empty(), design.thorough) {
        (true, _) => Existing::GoOn,
        (false, true) => Existing::RemoveAllButTrainings,
        (false, false) => Existing::Remove,
    };
    prepare(&out, &design, existing, |earlier| design.is_but_for_seeds(earlier))?;
    star_train::memory::keep_freed();
    let stop = stop::on_ctrl_c()?;
    let stages = Stages {
        out: out.clone(),
        profile: "offline",
        config: serde_json::to_value(&design)?,
        seeds: (0..design.seeds).collect(),
        device: format!("cpu, {at_once} trainings of one thread at a time"),
        versions: Versions::of(&place::root()),
        skip: args.skip.clone(),
    };
    let start = Instant::now();
    println!("offline profile: {} trainings, {at_once} at a time; results in {}", jobs.len(), out.display());
    stages.run(StageName::Check, |_, hashes| {
        hashes.extend(data::hashes(&design)?);
        Ok(())
    })?;
    stages.run(StageName::Fetch, |_, _| {
        println!("nothing to fetch: images are synthetic, networks are trained");
        Ok(())
    })?;
    let work = Work { design: &design, jobs: &jobs, out: out.clone(), at_once, stop: &stop };
    stages.run(StageName::Train, |_, _| work.train())?;
    // Without training, what is there is scored: an interrupted thorough run has its comparison long before its ablations.
    let scope = if args.skip.contains(&StageName::Train) { Scope::Done } else { Scope::Design };
    stages.run(StageName::Eval, |_, _| work.score(scope))?;
    stages.run(StageName::Table, |_, _| {
        let outcome = work.outcome(scope)?;
        let report = out.join("report");
        let overhead = step_cost::of(args.overhead, &report)?;
        self::report(&outcome, overhead.as_ref())?.write(&outcome, &report)
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    Ok(())
}

/// What candle and rayon ask for how many threads they may start.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Starts this program again with one thread for all there is but the trainings themselves. candle asks once and for all how many
/// threads it may use for every matrix product, and a second one that waits for its turn costs as much time as one that works.
pub(crate) fn one_thread() -> Result<()> {
    if std::env::var(THREADS).is_ok_and(|set| set == "1") {
        return Ok(());
    }
    let mut again = Command::new(std::env::current_exe().context("the path of this program")?);
    again.args(std::env::args_os().skip(1)).env(THREADS, "1");
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        Err(again.exec()).context("starting this program again with one thread")
    }
    #[cfg(not(unix))]
    {
        let status = again.status().context("starting this program again with one thread")?;
        std::process::exit(status.code().unwrap_or(1))
    }
}

/// The report of an outcome.
///
/// # Errors
/// Never in practice: the targets and templates are built in.
pub(crate) fn report(outcome: &Outcome, overhead: Option<&StepCost>) -> Result<Report> {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(flatten)]
        outcome: &'a Outcome,
        overhead: Option<&'a StepCost>,
        networks: Vec<NetworkSize>,
    }
    let networks = network::sizes(&Targets::read()?)?;
    Report::new("offline/report.md", &Data { outcome, overhead, networks })
}
