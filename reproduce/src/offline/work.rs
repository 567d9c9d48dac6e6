//! The trainings of a design, in its folder: each is trained, scored and written down; its weights are then removed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::design::{Design, Job};
use super::measure;
use super::outcome::Outcome;
use super::records::Records;
use crate::machine::Machine;
use crate::pool::Workers;
use crate::runner::{self, Detail, Progress, Runner, Training};

/// The trainings of a design in a folder.
pub(super) struct Work<'a> {
    pub(super) design: &'a Design,
    pub(super) jobs: &'a [Job],
    pub(super) out: PathBuf,
    pub(super) at_once: usize,
    pub(super) stop: &'a Arc<AtomicBool>,
}

impl Work<'_> {
    pub(super) fn records(&self) -> Records<'_> {
        Records::new(self.design, &self.out)
    }

    fn runner(&self) -> Runner<'_> {
        Runner { workers: Workers::OneThreadEach(self.at_once), stop: self.stop, detail: Detail::Trainings }
    }

    /// The trainings that have no record.
    ///
    /// # Errors
    /// When a record cannot be read, or is of other settings.
    pub(super) fn left(&self) -> Result<Vec<&Job>> {
        let records = self.records();
        let mut left = Vec::new();
        for job in self.jobs {
            if records.of(job)?.is_none() {
                left.push(job);
            }
        }
        Ok(left)
    }

    /// Trains and scores all that are left.
    ///
    /// # Errors
    /// When one fails, or when it is stopped.
    pub(super) fn train(&self) -> Result<()> {
        let left = self.left()?;
        let (progress, records, machine) =
            (Progress::new(left.len()), self.records(), Machine::this().short());
        self.runner().each(left.len(), |i| {
            let job = left[i];
            let done = self.one(job, &machine).with_context(|| format!("training {}", job.title()))?;
            if let Some(record) = done {
                records.keep(&record)?;
                // The record is what goes on; weights of hundreds of networks would fill a disk.
                runner::remove(&self.trained(job))?;
                let (nme, across) = (record.validation, record.across);
                progress.print(&format!("{}: validation NME {nme:.2} %, across {across:.2} %", job.title()));
            }
            Ok(())
        })
    }

    fn trained(&self, job: &Job) -> PathBuf {
        self.out.join("train").join(job.id())
    }

    /// The record of a training; `None` where it was stopped.
    ///
    /// # Errors
    /// When it fails, and when what is there of it was trained with other settings.
    fn one(&self, job: &Job, machine: &str) -> Result<Option<measure::Record>> {
        let folder = self.trained(job);
        let training = Training { slug: job.id(), title: job.title(), data: self.design.settings(job)? };
        runner::same_data(&folder, &training.data)?;
        let trained = runner::is_done(&folder)
            || self.runner().train_one(&training, &folder, &self.design.recipe(job))?.is_some();
        trained.then(|| measure::measure(self.design, job, &folder, machine)).transpose()
    }

    /// The answers from the records that are there.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(super) fn outcome(&self) -> Result<Outcome> {
        Outcome::new(self.design, &self.records().all(self.jobs)?)
    }
}

#[cfg(test)]
mod tests {
    use star_data::synthetic::Subject;

    use super::super::answer::Verdict;
    use super::super::design::{
        Block, Budget, Kind, Regime, Weights, longer, marked_exact, plain_noisy, start,
    };
    use super::super::{records, report};
    use super::*;
    use crate::stage::{Existing, prepare};

    fn tiny() -> Design {
        let mut design = Design::new(Kind::Thorough, None, None);
        let losses = Weights::of(Subject::Leaf).losses();
        let of = |cell, variants, phase| Block { cell, variants, seeds: 3, phase };
        let again = vec![start(&losses[3], 1), start(&losses[3], 2), longer(&losses[3], 2.0)];
        design.blocks = vec![
            of(plain_noisy(Subject::Leaf), losses.to_vec(), 0),
            of(marked_exact(Subject::Leaf), losses.to_vec(), 0),
            of(plain_noisy(Subject::Leaf), again, 1),
        ];
        let budget = Budget { epochs: 2, train: 8, learning_rate: 3e-3 };
        design.regime = Regime {
            faces: budget,
            leaves: budget,
            validation: 4,
            test: 6,
            image_side: 48,
            image_size: 32,
            levels: 1,
            channels: 8,
            ..design.regime
        };
        design
    }

    #[test]
    fn numbers_do_not_depend_on_trainings_at_a_time_nor_on_their_order_nor_on_being_stopped() {
        let design = tiny();
        let jobs = design.jobs();
        let dir = tempfile::tempdir().unwrap();
        let [go, halt] = [false, true].map(|stop| Arc::new(AtomicBool::new(stop)));
        let backwards: Vec<Job> = jobs.iter().rev().cloned().collect();
        let of = |name: &str, jobs, at_once, stop| Work {
            design: &design,
            jobs,
            out: dir.path().join(name),
            at_once,
            stop,
        };
        let whole = of("a", &jobs, 1, &go);
        whole.train().unwrap();
        assert_eq!(std::fs::read_dir(dir.path().join("a/train")).unwrap().count(), 0, "weights are removed");
        let all = whole.records().all(&jobs).unwrap();
        assert_eq!(all.len(), jobs.len());
        // The first training is stopped after its first step, and a later one is killed before it has a state.
        let stopped = of("b", &backwards, 2, &halt);
        assert!(stopped.train().unwrap_err().to_string().contains("--resume"));
        assert_eq!(stopped.one(&jobs[0], "here").unwrap(), None);
        star_predict::files::make_dir(&stopped.trained(&jobs[1])).unwrap();
        let resumed = of("b", &backwards, 2, &go);
        resumed.train().unwrap();
        assert_eq!(resumed.records().all(&jobs).unwrap(), all);

        // Elsewhere, from a file of some of the records alone: what is there is not trained again.
        let some: Vec<_> = all.iter().filter(|record| record.job.seed < 2).cloned().collect();
        let file = dir.path().join("some.jsonl");
        std::fs::write(&file, records::lines(&some).unwrap()).unwrap();
        let elsewhere = of("c", &jobs, 2, &go);
        assert_eq!(elsewhere.records().take(&file).unwrap(), some.len());
        let left = elsewhere.left().unwrap();
        assert!(left.len() == jobs.len() - some.len() && left.iter().all(|job| job.seed == 2), "{left:?}");
        elsewhere.train().unwrap();
        let text = |work: &Work<'_>| serde_json::to_string(&work.outcome().unwrap()).unwrap();
        assert_eq!(text(&whole), text(&elsewhere));
        assert_eq!(text(&whole), text(&resumed));

        let outcome = whole.outcome().unwrap();
        let [first, second] = &outcome.primaries[..] else { panic!("{:?}", outcome.primaries) };
        assert!(first.seeds == 3 && first.p.is_some() && first.p_holm >= first.p, "{first:?}");
        // Marked images with noisy labels are missing.
        assert_eq!((second.seeds, second.verdict), (0, Some(Verdict::NotMeasured)));
        assert_eq!(first.p_holm, first.p.map(|p| (2.0 * p).min(1.0)));
        let report = report(&outcome, &all, None).unwrap();
        let (markdown, html) = (&report.markdown, report.to_html().unwrap());
        for part in [
            "Does STAR reduce ambiguity?",
            "Was it a test?",
            "smooth-L1 on marked images, exact labels: squared error along",
            "Not tested: photographs",
            "More steps",
            "The same images and labels again",
            "every comparison",
        ] {
            assert!(markdown.contains(part) && html.contains(part), "{part}:\n{markdown}");
        }
        for figure in ["gain.svg", "quintiles.svg", "steps.svg"] {
            assert!(markdown.contains(figure), "{figure}:\n{markdown}");
        }
        assert!(
            html.matches("data:image/png").count() >= 5 && html.contains("<details>"),
            "images on the page"
        );
        assert!(!markdown.contains("NaN") && !html.contains("NaN"), "{markdown}");
        // A record is a few kilobytes; those of the first seed have examples.
        let longest = all.iter().map(|record| serde_json::to_string(record).unwrap().len()).max().unwrap();
        assert!(longest < 20_000, "{longest}");
    }

    #[test]
    fn records_of_other_settings_are_refused_by_line_and_field() {
        let (design, dir) = (tiny(), tempfile::tempdir().unwrap());
        let jobs = design.jobs();
        let stop = Arc::default();
        let work =
            Work { design: &design, jobs: &jobs[..1], out: dir.path().into(), at_once: 1, stop: &stop };
        work.train().unwrap();
        let record = work.records().of(&jobs[0]).unwrap().unwrap();
        let file = dir.path().join("records.jsonl");
        let other = measure::Record { settings: "0".into(), ..record.clone() };
        std::fs::write(&file, records::lines(&[record, other]).unwrap()).unwrap();
        let message = format!("{:#}", work.records().take(&file).unwrap_err());
        assert!(message.contains("line 2") && message.contains("settings: expected"), "{message}");
        std::fs::write(&file, "{}\n").unwrap();
        let message = format!("{:#}", work.records().take(&file).unwrap_err());
        assert!(message.contains("line 1: expected the record"), "{message}");
    }

    #[test]
    fn a_training_of_other_settings_without_a_record_is_not_taken_over() {
        let (design, dir) = (tiny(), tempfile::tempdir().unwrap());
        let jobs = design.jobs();
        let mut other = design.clone();
        other.regime.leaves.learning_rate *= 2.0;
        let halt = Arc::new(AtomicBool::new(true));
        let of = |design| Work { design, jobs: &jobs[..1], out: dir.path().into(), at_once: 1, stop: &halt };
        assert_eq!(of(&other).one(&jobs[0], "here").unwrap(), None, "stopped after its first step");
        let message = of(&design).one(&jobs[0], "here").unwrap_err().to_string();
        assert!(message.contains("other settings") && message.contains(&jobs[0].id()), "{message}");
    }

    #[test]
    fn another_number_of_seeds_goes_on_in_the_same_folder() {
        let dir = tempfile::tempdir().unwrap();
        let prepare = |design: &Design| {
            prepare(dir.path(), design, Existing::GoOn, |earlier| design.is_but_for_seeds(earlier))
        };
        prepare(&Design::new(Kind::Default, Some(2), None)).unwrap();
        star_predict::files::make_dir(&dir.path().join("records")).unwrap();
        for seeds in [3, 8, 2] {
            prepare(&Design::new(Kind::Default, Some(seeds), None)).unwrap();
        }
        assert!(dir.path().join("records").is_dir());
        for other in [Design::new(Kind::Default, Some(2), Some(7)), Design::new(Kind::Confirm, Some(2), None)]
        {
            let message = prepare(&other).unwrap_err().to_string();
            assert!(message.contains("other options"), "{message}");
        }
        let fresh = Design::new(Kind::Confirm, None, None);
        let message = crate::stage::prepare(dir.path(), &fresh, Existing::RemoveAllButTrainings, |_| true);
        assert!(message.unwrap_err().to_string().contains("holds trainings"));
    }
}
