//! `star train`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use star_predict::failure;
use star_train::collective::{self, Collective};
use star_train::config::{Options, TrainConfig};
use star_train::records::{EpochRecord, StepRecord};
use star_train::{Best, Outcome, Progress, memory};

use crate::args::TrainArgs;
use crate::progress::{self, FetchBar};
use crate::{STOPPED, output, stop_on_ctrl_c};

/// Runs `star train`.
///
/// # Errors
/// When the configuration is wrong, or the training fails.
pub fn run(args: &TrainArgs) -> Result<ExitCode> {
    if args.example {
        let preset = args.preset.unwrap_or_default();
        output::write_text(Path::new("-"), &TrainConfig::example_of(preset.into())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.config.as_ref().context("--config is needed")?;
    memory::keep_freed();
    let config = TrainConfig::read(path)?;
    let base = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if args.dry_run {
        let options = Options {
            progress: Box::new(Bar::default()),
            fetch: Box::new(FetchBar::default()),
            ..Default::default()
        };
        let prepared = config.prepare(base, options)?;
        let estimate = prepared.trainer.estimate(&prepared.train, &prepared.validation)?;
        output::write_text(Path::new("-"), &estimate.to_string())?;
        return Ok(ExitCode::SUCCESS);
    }
    let out = args.out.as_ref().context("--out is needed")?;
    // Before the engine: what fails between its start and the training would leave the other ranks waiting.
    let stop = stop_on_ctrl_c()?;
    let collective = collective::open(args.engine.into())?;
    let options = Options {
        collective: collective.clone(),
        resume: args.resume,
        stop,
        progress: Box::new(Bar::default()),
        fetch: Box::new(FetchBar::default()),
    };
    match config.run(base, out, options) {
        Err(error) if collective.ranks() > 1 => {
            // Said before this rank leaves the others: launchers end them all with the first that is gone.
            eprintln!("error: rank {}: {}", collective.rank(), failure::describe(&error));
            Ok(ExitCode::FAILURE)
        }
        outcome => Ok(ended(outcome?, collective.as_ref(), path, out)),
    }
}

/// Says how the training ended.
fn ended(outcome: Outcome, collective: &dyn Collective, config: &Path, out: &Path) -> ExitCode {
    let leads = collective.rank() == 0;
    match outcome {
        Outcome::Finished(Some(Best { epoch, nme, ema })) if leads => {
            let which = if ema { "average of the weights" } else { "weights" };
            eprintln!(
                "done: best validation NME {:.3} % in epoch {} ({which}), in {}",
                100.0 * nme,
                epoch + 1,
                out.join("best").display()
            );
            ExitCode::SUCCESS
        }
        Outcome::Finished(_) => ExitCode::SUCCESS,
        Outcome::Stopped => {
            if leads {
                eprintln!(
                    "stopped; the state is saved. Go on with: star train --config {} --out {} --resume",
                    config.display(),
                    out.display()
                );
            }
            ExitCode::from(STOPPED)
        }
    }
}

/// A bar over the steps of a training, and a line an epoch.
pub struct Bar {
    bar: ProgressBar,
    label: String,
}

impl Bar {
    /// A bar with `label` before its figures.
    pub fn labelled(label: &str) -> Self {
        Self { bar: ProgressBar::hidden(), label: label.to_string() }
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::labelled("")
    }
}

impl Progress for Bar {
    fn started(&mut self, step: usize, steps: usize) {
        self.bar = progress::bar(steps, "steps");
        self.bar.set_position(step as u64);
        self.bar.reset_eta();
    }

    fn step(&mut self, record: &StepRecord, epochs: usize) {
        let term = |name| record.terms.get(name).copied().unwrap_or(f64::NAN);
        self.bar.inc(1);
        self.bar.set_message(format!(
            "{} epoch {}/{epochs}  loss {:.3}  landmark {:.4}",
            self.label,
            record.epoch,
            term("total"),
            term("landmark")
        ));
    }

    fn epoch(&mut self, record: &EpochRecord, epochs: usize) {
        self.note(&record.line(epochs));
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    fn ended(&mut self) {
        self.bar.finish_and_clear();
    }
}
