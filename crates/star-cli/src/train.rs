//! `star train`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use star_predict::failure;
use star_train::collective::{self, Collective};
use star_train::config::{Options, TrainConfig};
use star_train::{Best, Outcome, memory};

use crate::args::TrainArgs;
use crate::progress::{FetchBar, TrainBar};
use crate::{STOPPED, output, stop_on_ctrl_c};

/// Runs `star train`.
///
/// # Errors
/// When the configuration is wrong, or the training fails.
pub(crate) fn run(args: &TrainArgs) -> Result<ExitCode> {
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
            progress: Box::new(TrainBar::default()),
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
        progress: Box::new(TrainBar::default()),
        fetch: Box::new(FetchBar::default()),
    };
    match config.run(base, out, options) {
        Err(error) if collective.ranks() > 1 => {
            // Said before this rank leaves the others: launchers end them all with the first that is gone.
            say!("error: rank {}: {}", collective.rank(), failure::describe(&error));
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
            say!(
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
                say!(
                    "stopped; the state is saved. Go on with: star train --config {} --out {} --resume",
                    config.display(),
                    out.display()
                );
            }
            ExitCode::from(STOPPED)
        }
    }
}
