//! The offline profile: the paper's claim on generated ambiguity, with statistics.

pub(crate) mod ablation;
pub(crate) mod control;
mod data;
mod design;
mod direction;
mod gain;
mod measure;
pub(crate) mod outcome;
pub(crate) mod phrase;
mod runaway;
mod runs;
mod stability;
pub(crate) mod words;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use star_predict::files;
use star_train::config::Options;
use star_train::state;

use super::args::{Args, StageName};
use super::document::{Document, Section};
use super::machine::Versions;
use super::overhead::{self, Overhead};
use super::stage::{Stages, prepare};
use super::targets::Targets;
use super::{place, pool, real};
use design::{Design, Job, Regime};
use outcome::Outcome;

/// Processor time of a training for each picture that it sees, seconds: measured over 42 trainings on an AMD EPYC with AVX-512, scores
/// of validation pictures included.
const SECONDS_PER_PICTURE: f64 = 0.005;
/// Megabytes that a training leaves: weights, states, scores.
const MEGABYTES_PER_TRAINING: f64 = 13.0;

/// Runs the profile.
///
/// # Errors
/// Says what is wrong, or that it was stopped and how to go on.
pub(crate) fn run(args: &Args) -> Result<()> {
    let design = Design::new(args.thorough, args.seeds, args.epochs);
    let jobs = design.jobs();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let at_once = args.jobs.unwrap_or(cores).min(jobs.len());
    let out = args.out.clone().unwrap_or_else(|| {
        place::target().join("reproduce").join(if args.thorough { "thorough" } else { "offline" })
    });
    if args.dry_run {
        let done = |job: &Job| args.resume && out.join("train").join(job.id()).join(DONE).exists();
        print!("{}", plan(&design, &jobs, at_once, &out, done));
        return Ok(());
    }
    one_thread()?;
    prepare(&out, &design, args.resume || !args.skip.is_empty(), design.thorough, |earlier| {
        design.is_but_for_seeds(earlier)
    })?;
    star_train::memory::keep_freed();
    let stop = star_cli::stop_on_ctrl_c()?;
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
        println!("nothing to fetch: pictures are drawn, networks trained");
        Ok(())
    })?;
    stages.run(StageName::Train, |dir, _| train_all(&design, &jobs, at_once, dir, &stop))?;
    let (training, scores) = (out.join("train"), out.join("eval"));
    // Without training, what is there is scored: an interrupted thorough run has its comparison long before its ablations.
    let partly = args.skip.contains(&StageName::Train);
    stages.run(StageName::Eval, |dir, _| {
        let trained = |job: &&Job| !partly || training.join(job.id()).join(DONE).exists();
        let wanted: Vec<Job> = jobs.iter().filter(trained).cloned().collect();
        if wanted.len() < jobs.len() {
            println!("{} of {} trainings are done", wanted.len(), jobs.len());
        }
        score_all(&design, &wanted, at_once, [&training, dir], &stop)
    })?;
    stages.run(StageName::Table, |_, _| {
        let paths = jobs.iter().map(|job| scores.join(format!("{}.json", job.id())));
        let measured = paths
            .filter(|path| !partly || path.exists())
            .map(|path| measure::read(&path))
            .collect::<Result<Vec<_>>>()?;
        let complete = design.complete(|job| measured.iter().any(|measured| measured.job == *job));
        let mut outcome = Outcome::new(&complete, &measured)?;
        outcome.trainings = [measured.len(), jobs.len()];
        let report = out.join("report");
        let overhead = overhead::of(args.overhead, &report)?;
        self::report(&outcome, overhead.as_ref())?.write(&outcome, &report)
    })?;
    println!("{:.0} s; report: {}", start.elapsed().as_secs_f64(), out.join("report/index.html").display());
    Ok(())
}

/// What candle and rayon ask for how many threads they may start.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Starts this program again with one thread for all there is but the trainings themselves. candle asks once and for all how many
/// threads it may use for every matrix product, and a second one that waits for its turn costs as much time as one that works.
fn one_thread() -> Result<()> {
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

/// The whole report.
///
/// # Errors
/// Never in practice: the targets are built in.
pub(crate) fn report(outcome: &Outcome, overhead: Option<&Overhead>) -> Result<Document> {
    let mut document = words::document(outcome);
    document.sections.push(overhead::section(overhead));
    document.sections.push(size()?);
    Ok(document)
}

/// The size of the paper's network, which needs no data to be checked.
fn size() -> Result<Section> {
    let mut section = Section::new("network", "Size of the paper's network");
    section.text("Parameters and multiply-accumulates of convolutions at 256 px, counted from shapes, beside the known figures.");
    section.table(&real::words::SIZES, real::words::sizes(&Targets::read()?)?);
    Ok(section)
}

/// What would be done, but for trainings that are `done`.
fn plan(design: &Design, jobs: &[Job], at_once: usize, out: &Path, done: impl Fn(&Job) -> bool) -> String {
    let regime = &design.regime;
    let left = || jobs.iter().filter(|job| !done(job));
    let pictures: usize = left().map(|job| regime.budget(job.subject).pictures()).sum();
    let seconds = pictures as f64 * SECONDS_PER_PICTURE / at_once as f64;
    let Regime { faces, hands, .. } = regime;
    let mut text = format!(
        "offline profile{}: results in {}\n\
         check   draws and hashes {} faces or {} hands to train on, of each subject {} to validate on and {} to test on\n\
         fetch   nothing: pictures are drawn, networks trained\n\
         train   {} trainings, {} epochs of faces or {} of hands, {at_once} at a time on one thread each\n",
        if design.thorough { ", thorough" } else { "" },
        out.display(),
        faces.train,
        hands.train,
        regime.validation,
        regime.test,
        jobs.len(),
        faces.epochs,
        hands.epochs,
    );
    for job in jobs {
        text += &format!("          {}{}\n", job.title(), if done(job) { ": done" } else { "" });
    }
    text += &format!(
        "eval    scores each on {} pictures against the exact truth\n\
         table   report/index.html, report.md, report.json\n\
         about {:.0} minutes, from the processor time on an AMD EPYC with nothing beside it, more for other networks, and {:.0} MB\n",
        regime.test,
        (seconds / 60.0).max(1.0),
        MEGABYTES_PER_TRAINING * left().count() as f64
    );
    text
}

/// Marks a training that is finished, so that `--resume` passes over it.
const DONE: &str = "done";

fn train_all(
    design: &Design,
    jobs: &[Job],
    at_once: usize,
    dir: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let told = Told::new(jobs.iter().filter(|job| !dir.join(job.id()).join(DONE).exists()).count());
    pool::run(jobs.len(), at_once, stop, |i| {
        let (job, place) = (&jobs[i], dir.join(jobs[i].id()));
        if place.join(DONE).exists() {
            return Ok(());
        }
        let options = Options { resume: state::exists(&place), stop: stop.clone(), ..Default::default() };
        if !options.resume && place.exists() {
            // Killed before its first state: nothing in it can be gone on with.
            std::fs::remove_dir_all(&place).with_context(|| format!("removing {}", place.display()))?;
        }
        let outcome = design
            .config(job)
            .run(Path::new("."), &place, options)
            .with_context(|| format!("training {}", job.title()))?;
        if let star_train::Outcome::Finished(best) = outcome {
            files::write_atomic(&place.join(DONE), b"")?;
            let nme = best.map_or(f64::NAN, |best| 100.0 * best.nme);
            told.tell(&format!("{}: NME {nme:.2} % against ambiguous labels", job.title()));
        }
        Ok(())
    })?;
    if stop.load(Ordering::SeqCst) {
        bail!("stopped; go on with: cargo xtask reproduce-paper --resume (and the same options)");
    }
    Ok(())
}

fn score_all(
    design: &Design,
    jobs: &[Job],
    at_once: usize,
    [training, scores]: [&Path; 2],
    stop: &AtomicBool,
) -> Result<()> {
    pool::run(jobs.len(), at_once, stop, |i| {
        let job = &jobs[i];
        let (path, trained) = (scores.join(format!("{}.json", job.id())), training.join(job.id()));
        // Of these weights and in this form; else again.
        let scored = measure::read(&path).ok().filter(|scored| scored.job == *job);
        if scored.is_some_and(|scored| measure::weights(&trained).is_ok_and(|now| now == scored.weights)) {
            return Ok(());
        }
        let measured =
            measure::measure(design, job, &trained).with_context(|| format!("scoring {}", job.title()))?;
        files::write_atomic(&path, serde_json::to_string(&measured)?.as_bytes())
    })?;
    if stop.load(Ordering::SeqCst) {
        bail!("stopped; go on with: cargo xtask reproduce-paper --resume (and the same options)");
    }
    Ok(())
}

/// Says what is done and how long the rest may take.
struct Told {
    count: usize,
    start: Instant,
    done: Mutex<usize>,
}

impl Told {
    fn new(count: usize) -> Self {
        Self { count, start: Instant::now(), done: Mutex::new(0) }
    }

    fn tell(&self, what: &str) {
        let mut done = self.done.lock().unwrap_or_else(|broken| broken.into_inner());
        *done += 1;
        let elapsed = self.start.elapsed().as_secs_f64();
        let left = Duration::from_secs_f64(elapsed / *done as f64 * (self.count - *done) as f64).as_secs();
        println!("[{}/{}] {what}; about {} min {} s left", *done, self.count, left / 60, left % 60);
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::Subject;

    use super::*;
    use crate::variant;

    fn tiny() -> Design {
        let mut design = Design::new(false, Some(2), Some(2));
        design.hand_strengths = vec![1.0];
        design.control_seeds = 2;
        let table = variant::starts();
        design.ablations = vec![design::Planned { subject: Subject::Face, strength: 1.0, table }];
        let budget = design::Budget { epochs: 2, train: 8, learning_rate: 3e-3 };
        design.regime = Regime {
            faces: budget,
            hands: budget,
            validation: 4,
            test: 6,
            picture: 48,
            batch: 4,
            image_size: 32,
            levels: 1,
            channels: 8,
            ..design.regime
        };
        design
    }

    fn everything(design: &Design, out: &Path, at_once: usize, stop: &Arc<AtomicBool>) -> Result<Outcome> {
        let jobs = design.jobs();
        let dirs = ["train", "eval"].map(|name| out.join(name));
        dirs.iter().try_for_each(|dir| files::make_dir(dir))?;
        train_all(design, &jobs, at_once, &dirs[0], stop)?;
        score_all(design, &jobs, at_once, [&dirs[0], &dirs[1]], stop)?;
        let read = |job: &Job| measure::read(&dirs[1].join(format!("{}.json", job.id())));
        let measured = jobs.iter().map(read).collect::<Result<Vec<_>>>()?;
        Outcome::new(design, &measured)
    }

    #[test]
    fn numbers_do_not_depend_on_trainings_at_a_time_nor_on_being_stopped() {
        let design = tiny();
        let dir = tempfile::tempdir().unwrap();
        let go = Arc::new(AtomicBool::new(false));
        let whole = everything(&design, &dir.path().join("a"), 1, &go).unwrap();
        let stopped = dir.path().join("b");
        // The first training is stopped after its first step, and a later one is killed before it has a state.
        let first = everything(&design, &stopped, 2, &Arc::new(AtomicBool::new(true)));
        assert!(first.err().unwrap().to_string().contains("--resume"));
        let job = &design.jobs()[0];
        let place = stopped.join("train").join(job.id());
        let options = Options { stop: Arc::new(AtomicBool::new(true)), ..Default::default() };
        let outcome = design.config(job).run(Path::new("."), &place, options).unwrap();
        assert_eq!(outcome, star_train::Outcome::Stopped);
        files::make_dir(&stopped.join("train").join(design.jobs()[1].id())).unwrap();
        let resumed = everything(&design, &stopped, 2, &go).unwrap();
        assert_eq!(serde_json::to_string(&whole).unwrap(), serde_json::to_string(&resumed).unwrap());

        assert!(whole.gains.iter().all(|gain| gain.nme_p_holm >= gain.nme_p && gain.nme_p.is_some()));
        let document = words::document(&whole);
        let (markdown, html) = (document.to_markdown(), document.to_html().unwrap());
        for part in [
            "faces at strength 0",
            "hands at strength 1",
            "grow with ambiguity",
            "owed to the direction",
            "figure kind 4",
            "From run to run, that is 3 trainings",
            "first eigenvector",
            "no restriction",
            "kind 1",
            "kind 2",
            "kind 3",
            "kind 5",
        ] {
            assert!(markdown.contains(part) && html.contains(part), "{part}:\n{markdown}");
        }
        assert!(!markdown.contains("NaN"), "{markdown}");
        // What was written is what is read.
        let text = serde_json::to_string(&whole).unwrap();
        let read: Outcome = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn another_design_is_not_mixed_into_a_folder_and_a_fresh_start_empties_it() {
        let prepare = |dir: &Path, design: &Design, keep, dear| {
            super::prepare(dir, design, keep, dear, |earlier| design.is_but_for_seeds(earlier))
        };
        let dir = tempfile::tempdir().unwrap();
        let (design, other) = (tiny(), Design::new(false, Some(2), None));
        prepare(dir.path(), &design, false, false).unwrap();
        files::make_dir(&dir.path().join("train/job")).unwrap();
        prepare(dir.path(), &design, true, false).unwrap();
        assert!(dir.path().join("train/job").is_dir());
        let message = prepare(dir.path(), &other, true, false).unwrap_err().to_string();
        assert!(message.contains("other options"), "{message}");
        let message = prepare(dir.path(), &other, false, true).unwrap_err().to_string();
        assert!(message.contains("holds trainings") && dir.path().join("train/job").is_dir(), "{message}");
        prepare(dir.path(), &other, false, false).unwrap();
        assert!(!dir.path().join("train/job").exists());
        // What somebody else put there is not removed.
        let foreign = tempfile::tempdir().unwrap();
        files::make_dir(&foreign.path().join("report")).unwrap();
        for keep in [false, true] {
            let message = prepare(foreign.path(), &other, keep, false).unwrap_err().to_string();
            assert!(message.contains("plan.json is missing"), "{message}");
        }
        assert!(foreign.path().join("report").is_dir());
    }

    #[test]
    fn another_number_of_seeds_goes_on_in_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let prepare = |design: &Design| {
            super::prepare(dir.path(), design, true, false, |earlier| design.is_but_for_seeds(earlier))
        };
        prepare(&Design::new(false, Some(2), None)).unwrap();
        files::make_dir(&dir.path().join("train/job")).unwrap();
        for seeds in [3, 8, 2] {
            prepare(&Design::new(false, Some(seeds), None)).unwrap();
        }
        assert!(dir.path().join("train/job").is_dir());
        let message = prepare(&Design::new(false, Some(2), Some(7))).unwrap_err().to_string();
        assert!(message.contains("other options"), "{message}");
    }

    #[test]
    fn the_plan_names_every_training_its_time_and_its_room() {
        let design = tiny();
        let text = plan(&design, &design.jobs(), 2, Path::new("out"), |job| job.seed == 0);
        for part in [
            "seed 0: done\n",
            "face, strength 3, STAR (smooth-L1), seed 1\n",
            "minutes",
            "MB",
            "check",
            "fetch",
            "table",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
