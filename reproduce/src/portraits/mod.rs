//! The portraits profile: detectors as annotators of photographs, STAR against its controls, and whether covariances say where they differ.

mod annotators;
mod design;
mod figures;
mod labels;
mod measure;
mod outcome;
mod spread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::args::{Args, StageName};
use crate::machine::{Versions, sha256};
use crate::offline::one_thread;
use crate::pool::Workers;
use crate::report::{self, Report};
use crate::runner::{self, Detail, Network, Runner, Training};
use crate::stage::{Existing, Stages, prepare};
use crate::{place, stop};
use design::{Design, Job, Use, file};
use measure::{Measured, Sets};
use outcome::Outcome;

/// Runs the profile.
///
/// # Errors
/// Says what is wrong, or that it was stopped and how to go on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let data =
        args.data.as_deref().context("--profile portraits: name the folder of the portraits by --data")?;
    let data = data.canonicalize().with_context(|| format!("--data {}", data.display()))?;
    let design = Design::new(args.pilot, args.seeds, args.epochs);
    let jobs = design.jobs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = args.jobs.unwrap_or(cores).min(jobs.len());
    let out = args.out.clone().unwrap_or_else(|| place::target().join("reproduce").join("portraits"));
    let work = |stop: Arc<AtomicBool>| Work {
        design: &design,
        jobs: &jobs,
        out: out.clone(),
        data: data.clone(),
        at_once,
        stop,
    };
    // It starts the program again, which would print all of this twice.
    if !args.dry_run {
        one_thread()?;
    }
    let done = |job: &Job| args.resume && runner::is_done(&out.join("train").join(job.id()));
    print!("{}", plan(&design, &jobs, at_once, &out, done)?);
    if args.dry_run {
        return Ok(());
    }
    let existing =
        if args.resume || !args.skip.is_empty() { Existing::GoOn } else { Existing::RemoveAllButTrainings };
    prepare(&out, &design, existing, |earlier| design.is_but_for_seeds(earlier))?;
    // Training files name their labels from the root.
    let out = out.canonicalize().with_context(|| out.display().to_string())?;
    star_train::memory::keep_freed();
    let work = Work { out: out.clone(), ..work(stop::on_ctrl_c()?) };
    let stages = Stages {
        out: out.clone(),
        profile: "portraits",
        config: serde_json::to_value(&design)?,
        seeds: design.drawn(),
        device: format!("cpu, {at_once} trainings of one thread at a time"),
        versions: Versions::of(&place::root()),
        skip: args.skip.clone(),
    };
    let start = Instant::now();
    stages.run(StageName::Check, |_, hashes| {
        hashes.extend(annotators::hashes(&data)?);
        hashes.extend(labels::write(&design, &data, &work.labels())?);
        Ok(())
    })?;
    stages.run(StageName::Fetch, |_, _| {
        println!("nothing to fetch: portraits and labels are below --data, networks are trained");
        Ok(())
    })?;
    stages.run(StageName::Train, |_, _| work.train())?;
    stages.run(StageName::Eval, |_, _| work.score())?;
    stages.run(StageName::Table, |_, _| {
        let outcome = work.outcome()?;
        self::report(&outcome)?.write(&outcome, &out.join("report"))
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    Ok(())
}

/// What a run would do, but for trainings that are `done`.
///
/// # Errors
/// Never in practice: the template is built in.
fn plan(
    design: &Design,
    jobs: &[Job],
    at_once: usize,
    out: &Path,
    done: impl Fn(&Job) -> bool,
) -> Result<String> {
    let left = jobs.iter().filter(|job| !done(job)).count();
    report::text(
        "portraits/plan.txt",
        &serde_json::json!({
            "design": design,
            "out": out,
            "jobs": jobs.len(),
            "left": left,
            "at_once": at_once,
        }),
    )
}

/// The report of an outcome.
///
/// # Errors
/// Never in practice: the templates are built in.
fn report(outcome: &Outcome) -> Result<Report> {
    Report::with("portraits/report.md", outcome, figures::plots(outcome))
}

/// The report of a `report.json`.
///
/// # Errors
/// When it is none.
pub(crate) fn report_of(text: &str) -> Result<Report> {
    report(&serde_json::from_str(text)?)
}

/// The trainings of a design in a folder.
struct Work<'a> {
    design: &'a Design,
    jobs: &'a [Job],
    out: PathBuf,
    data: PathBuf,
    at_once: usize,
    stop: Arc<AtomicBool>,
}

impl Work<'_> {
    fn runner(&self) -> Runner<'_> {
        Runner { workers: Workers::OneThreadEach(self.at_once), stop: &self.stop, detail: Detail::Trainings }
    }

    /// The folder of drawn labels: of the stage that writes them.
    fn labels(&self) -> PathBuf {
        self.out.join("check").join("labels")
    }

    fn trained(&self, job: &Job) -> PathBuf {
        self.out.join("train").join(job.id())
    }

    /// Trains all.
    ///
    /// # Errors
    /// When one fails, or when it is stopped.
    fn train(&self) -> Result<()> {
        let training = |job: &Job| -> Result<Training> {
            let hash = |of: Use| sha256(&self.labels().join(file(job.seed, job.labels, of)));
            let data = format!("{} {}", hash(Use::Train)?, hash(Use::Validation)?);
            Ok(Training { slug: job.id(), title: job.title(), data })
        };
        let trainings: Vec<Training> = self.jobs.iter().map(training).collect::<Result<_>>()?;
        self.runner().train(&trainings, &self.out.join("train"), |i| {
            Ok(self.design.recipe(&self.jobs[i], &self.labels(), &self.data))
        })
    }

    /// Scores the trainings that are done.
    ///
    /// # Errors
    /// When one cannot be scored, or when it is stopped.
    fn score(&self) -> Result<()> {
        let done: Vec<&Job> = self.jobs.iter().filter(|job| runner::is_done(&self.trained(job))).collect();
        ensure!(!done.is_empty(), "nothing is trained; run without --skip train (and with --resume)");
        println!("{} of {} trainings are done", done.len(), self.jobs.len());
        let network = |job: &&Job| Network {
            slug: job.id(),
            title: job.title(),
            weights: self.trained(job).join("best"),
        };
        let networks: Vec<Network> = done.iter().map(network).collect();
        let sets = Sets::open(&self.data, &self.labels())?;
        self.runner().score(
            &networks,
            &self.out.join("eval"),
            |i, scores: &Measured, hash| {
                scores.job == *done[i] && scores.weights == hash && scores.scored == sets.hash
            },
            |i, hash| sets.measure(self.design, done[i], &self.trained(done[i]), hash),
        )
    }

    /// The answers from the scores that are there.
    ///
    /// # Errors
    /// When scores of fewer than two seeds are there.
    fn outcome(&self) -> Result<Outcome> {
        let sets = Sets::open(&self.data, &self.labels())?;
        let path = |job: &Job| self.out.join("eval").join(format!("{}.json", job.id()));
        let scored = self.jobs.iter().map(path).filter(|path| path.exists());
        let measured: Vec<Measured> = scored.map(|path| runner::read(&path)).collect::<Result<_>>()?;
        Outcome::new(self.design, &measured, &sets.disagreement, sets.of_builtin()?)
    }
}

#[cfg(test)]
mod tests {
    use super::outcome::tests::{measured, reference};
    use super::*;

    #[test]
    fn the_report_states_each_primary_outcome_and_every_set() {
        let design = Design::new(true, Some(3), None);
        let all: Vec<Measured> = design.jobs().iter().map(|job| measured(job, 1.0)).collect();
        let builtin = all[0].builtin;
        let outcome = Outcome::new(&design, &all, &[reference(), reference()], builtin).unwrap();
        let report = report(&outcome).unwrap();
        let (markdown, html) = (&report.markdown, report.to_html().unwrap());
        for part in [
            "Confirmed on photographs",
            "face-api tiny",
            "not independent",
            "smooth-L1 + restriction",
            "isotropic (detached)",
            "shuffled",
            "Pilots",
            "dlib",
        ] {
            assert!(markdown.contains(part) && html.contains(part), "{part}:\n{markdown}");
        }
        assert!(!markdown.contains("NaN") && !markdown.contains("undefined"), "{markdown}");
        // What was written is what is read.
        let text = serde_json::to_string(&outcome).unwrap();
        let read: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn the_plan_says_what_is_left() {
        let design = Design::new(false, Some(2), None);
        let text = plan(&design, &design.jobs(), 2, Path::new("out"), |job| job.seed == 0).unwrap();
        assert!(text.contains("6 of 12 trainings"), "{text}");
    }
}
