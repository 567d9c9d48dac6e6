//! The trainings of a design, in its folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, ensure};

use super::design::{Design, Job};
use super::measure::{self, Measured};
use super::outcome::Outcome;
use crate::pool::Workers;
use crate::runner::{self, Detail, Network, Runner, Training};

/// Which trainings are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the design: one that is not there is an error.
    Design,
    /// Those that are done.
    Done,
}

/// The trainings of a design in a folder.
pub(super) struct Work<'a> {
    pub(super) design: &'a Design,
    pub(super) jobs: &'a [Job],
    pub(super) out: PathBuf,
    pub(super) at_once: usize,
    pub(super) stop: &'a Arc<AtomicBool>,
}

impl Work<'_> {
    fn runner(&self) -> Runner<'_> {
        Runner { workers: Workers::OneThreadEach(self.at_once), stop: self.stop, detail: Detail::Trainings }
    }

    fn trained(&self, job: &Job) -> PathBuf {
        self.out.join("train").join(job.id())
    }

    fn scores(&self, job: &Job) -> PathBuf {
        self.out.join("eval").join(format!("{}.json", job.id()))
    }

    /// Trains all.
    ///
    /// # Errors
    /// When one fails, or when it is stopped.
    pub(super) fn train(&self) -> Result<()> {
        // What a job sees follows from the design, to which the whole folder belongs.
        let training = |job: &Job| Training { slug: job.id(), title: job.title(), data: String::new() };
        let trainings: Vec<Training> = self.jobs.iter().map(training).collect();
        self.runner().train(&trainings, &self.out.join("train"), |i| Ok(self.design.recipe(&self.jobs[i])))
    }

    /// Scores the trainings.
    ///
    /// # Errors
    /// When one is not there or cannot be scored, or when it is stopped.
    pub(super) fn score(&self, scope: Scope) -> Result<()> {
        let wanted: Vec<&Job> = self
            .jobs
            .iter()
            .filter(|job| scope == Scope::Design || runner::is_done(&self.trained(job)))
            .collect();
        if wanted.len() < self.jobs.len() {
            println!("{} of {} trainings are done", wanted.len(), self.jobs.len());
        }
        let network = |job: &&Job| -> Result<Network> {
            let weights = self.trained(job).join("best");
            let advice = "not trained; run without --skip train (and with --resume to keep what is done)";
            ensure!(weights.is_dir(), "{}: {advice}", weights.display());
            Ok(Network { slug: job.id(), title: job.title(), weights })
        };
        let networks = wanted.iter().map(network).collect::<Result<Vec<_>>>()?;
        self.runner().score(
            &networks,
            &self.out.join("eval"),
            |i, scores: &Measured, hash| scores.job == *wanted[i] && scores.weights == hash,
            |i, hash| measure::measure(self.design, wanted[i], &self.trained(wanted[i]), hash),
        )
    }

    /// The answers from the scores that are there.
    ///
    /// # Errors
    /// When scores are missing.
    pub(super) fn outcome(&self, scope: Scope) -> Result<Outcome> {
        let paths = self
            .jobs
            .iter()
            .map(|job| self.scores(job))
            .filter(|path| scope == Scope::Design || path.exists());
        let measured: Vec<Measured> = paths.map(|path| runner::read(&path)).collect::<Result<_>>()?;
        let complete = self.design.complete(|job| measured.iter().any(|measured| measured.job == *job));
        let outcome = Outcome::new(&complete, &measured)?;
        Ok(Outcome { trainings: [measured.len(), self.jobs.len()], ..outcome })
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::Subject;
    use star_predict::files;

    use super::super::design::{Budget, Planned, Regime};
    use super::super::report;
    use super::*;
    use crate::stage::{Existing, prepare};
    use crate::variant::tables;

    fn tiny() -> Design {
        let mut design = Design::new(false, Some(2), Some(2));
        design.hand_strengths = vec![1.0];
        design.control_seeds = 2;
        let table = tables::starts();
        design.ablations = vec![Planned { subject: Subject::Face, strength: 1.0, table }];
        let budget = Budget { epochs: 2, train: 8, learning_rate: 3e-3 };
        design.regime = Regime {
            faces: budget,
            hands: budget,
            validation: 4,
            test: 6,
            image_side: 48,
            batch: 4,
            image_size: 32,
            levels: 1,
            channels: 8,
            ..design.regime
        };
        design
    }

    fn everything(work: &Work<'_>) -> Result<Outcome> {
        ["train", "eval"].iter().try_for_each(|name| files::make_dir(&work.out.join(name)))?;
        work.train()?;
        work.score(Scope::Design)?;
        work.outcome(Scope::Design)
    }

    #[test]
    fn numbers_do_not_depend_on_trainings_at_a_time_nor_on_being_stopped() {
        let design = tiny();
        let jobs = design.jobs();
        let dir = tempfile::tempdir().unwrap();
        let [go, halt] = [false, true].map(|stop| Arc::new(AtomicBool::new(stop)));
        let of = |name: &str, at_once, stop| Work {
            design: &design,
            jobs: &jobs,
            out: dir.path().join(name),
            at_once,
            stop,
        };
        let whole = everything(&of("a", 1, &go)).unwrap();
        // The first training is stopped after its first step, and a later one is killed before it has a state.
        let stopped = of("b", 2, &halt);
        assert!(everything(&stopped).unwrap_err().to_string().contains("--resume"));
        let training = Training { slug: jobs[0].id(), title: jobs[0].title(), data: String::new() };
        let trained = stopped
            .runner()
            .train_one(&training, &stopped.trained(&jobs[0]), &design.recipe(&jobs[0]))
            .unwrap();
        assert_eq!(trained, None);
        files::make_dir(&stopped.trained(&jobs[1])).unwrap();
        let resumed = everything(&of("b", 2, &go)).unwrap();
        assert_eq!(serde_json::to_string(&whole).unwrap(), serde_json::to_string(&resumed).unwrap());

        assert!(whole.gains.iter().all(|gain| gain.nme_p_holm >= gain.nme_p && gain.nme_p.is_some()));
        let report = report(&whole, None).unwrap();
        let (markdown, html) = (&report.markdown, report.to_html().unwrap());
        for part in [
            "Faces at strength 0",
            "Hands at strength 1",
            "grow with ambiguity",
            "due to the direction",
            "figure kind 4",
            "From run to run a keypoint scatters",
            "3 trainings of each loss",
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
    fn another_number_of_seeds_goes_on_in_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let prepare = |design: &Design| {
            prepare(dir.path(), design, Existing::GoOn, |earlier| design.is_but_for_seeds(earlier))
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
    fn what_is_not_there_says_which_stage_makes_it() {
        let design = Design::new(false, None, None);
        let (jobs, dir) = (design.jobs(), tempfile::tempdir().unwrap());
        let stop = Arc::default();
        let work = Work { design: &design, jobs: &jobs, out: dir.path().into(), at_once: 1, stop: &stop };
        let message = work.score(Scope::Design).unwrap_err().to_string();
        assert!(message.contains("--skip train"), "{message}");
        let message = work.outcome(Scope::Design).unwrap_err().to_string();
        assert!(message.contains("--skip eval"), "{message}");
    }
}
