//! The offline profile: does STAR reduce ambiguity? On synthetic images that are ambiguous or not, with statistics.

mod answer;
mod data;
pub(crate) mod design;
mod figures;
mod gates;
mod images;
mod longer;
pub(crate) mod measure;
pub(crate) mod outcome;
mod pace;
mod plan;
mod quintile;
pub(crate) mod records;
mod runs;
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
use crate::stage::{Existing, Stages, prepare};
use crate::step_cost::{self, StepCost};
use crate::stop;
use crate::targets::Targets;
use design::{Design, Kind};
use measure::Record;
use outcome::Outcome;
use pace::Pace;
use work::Work;

/// Runs the profile.
///
/// # Errors
/// Says what is wrong, or that it was stopped and how to go on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let kind = match (args.thorough, args.confirm, args.pilot) {
        (true, ..) => Kind::Thorough,
        (_, true, _) => Kind::Confirm,
        (_, _, true) => Kind::Pilot,
        _ => Kind::Default,
    };
    let design = Design::new(kind, args.seeds, args.epochs);
    let jobs = design.jobs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = args.jobs.unwrap_or(cores).min(jobs.len());
    let usual = || place::target().join("reproduce").join(kind.slug());
    let out = args.out.clone().unwrap_or_else(usual);
    one_thread()?;
    star_train::memory::keep_freed();
    let stop = stop::on_ctrl_c()?;
    let work = Work { design: &design, jobs: &jobs, out: out.clone(), at_once, stop: &stop };
    if args.dry_run {
        let left = if args.resume { work.left()? } else { jobs.iter().collect() };
        let seconds =
            Pace::measure(&design, &jobs[0], at_once)?.seconds(&design, left.iter().copied(), at_once);
        print!("{}", plan::text(&design, &left, at_once, &out, seconds)?);
        return Ok(());
    }
    let existing = match (args.resume || !args.skip.is_empty(), kind) {
        (true, _) => Existing::GoOn,
        (false, Kind::Thorough | Kind::Confirm) => Existing::RemoveAllButTrainings,
        (false, Kind::Default | Kind::Pilot) => Existing::Remove,
    };
    prepare(&out, &design, existing, |earlier| design.is_but_for_seeds(earlier))?;
    if let Some(file) = &args.records {
        println!("{} trainings taken over from {}", work.records().take(file)?, file.display());
    }
    let left = work.left()?;
    let stages = Stages {
        out: out.clone(),
        profile: "offline",
        config: serde_json::to_value(&design)?,
        seeds: (0..design.blocks.iter().map(|block| block.seeds).max().unwrap_or(0)).collect(),
        device: format!("cpu, {at_once} trainings of one thread at a time"),
        versions: Versions::of(&place::root()),
        skip: args.skip.clone(),
    };
    let start = Instant::now();
    println!(
        "offline, {} run: {} of {} trainings left, {at_once} at a time; results in {}",
        kind.slug(),
        left.len(),
        jobs.len(),
        out.display()
    );
    if !args.skip.contains(&StageName::Train)
        && let Some(first) = left.first()
    {
        let pace = Pace::measure(&design, first, at_once)?;
        let seconds = pace.seconds(&design, left.iter().copied(), at_once);
        println!(
            "{} on this machine as it is now: {:.1} ms an image of training, {:.1} ms an image of scoring, measured",
            plan::minutes(seconds),
            1e3 * pace.train,
            1e3 * pace.score
        );
    }
    stages.run(StageName::Check, |_, hashes| {
        hashes.extend(data::hashes(&design)?);
        Ok(())
    })?;
    stages.run(StageName::Train, |_, _| work.train())?;
    stages.run(StageName::Table, |_, _| {
        let records = work.records().all(&jobs)?;
        let outcome = work.outcome()?;
        let report = out.join("report");
        let overhead = step_cost::of(args.overhead, &report)?;
        self::report(&outcome, &records, overhead.as_ref())?.write(&outcome, &report)?;
        Ok(star_data::atomic::write(&report.join(records::LINES), records::lines(&records)?.as_bytes())?)
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
/// When an image cannot be drawn; the targets and templates are built in.
pub(crate) fn report(outcome: &Outcome, records: &[Record], overhead: Option<&StepCost>) -> Result<Report> {
    #[derive(Serialize)]
    struct Data<'a> {
        #[serde(flatten)]
        outcome: &'a Outcome,
        overhead: Option<&'a StepCost>,
        networks: Vec<NetworkSize>,
    }
    let networks = network::sizes(&Targets::read()?)?;
    let mut drawn = figures::plots(outcome);
    drawn.extend(images::drawings(&outcome.design, records)?);
    Report::with("offline/report.md", &Data { outcome, overhead, networks }, drawn)
}
