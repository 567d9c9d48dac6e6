#![doc = include_str!("../README.md")]

pub mod args;
pub mod bench;
pub mod boxes;
#[cfg(feature = "bulk")]
pub mod bulk;
pub mod cases;
pub mod compare;
pub mod config;
pub mod data;
pub mod evaluate;
#[cfg(feature = "hub")]
pub mod fetch;
pub mod gallery;
pub mod inspect;
pub mod memory;
pub mod output;
pub mod pack;
pub mod plan;
pub mod predict;
pub mod progress;
pub mod report;
pub mod score;
pub mod source;
pub mod train;
pub mod videos;
pub mod weights;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::CommandFactory;
use star_predict::{failure, files};

use args::{Cli, Command, TrainArgs};

/// The examples of the repository's front page.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct FrontPage;

/// Exit code of a run that was stopped with Ctrl-C and can be resumed: 128 + SIGINT, as shells expect.
const STOPPED: u8 = 130;

/// Carries out a command line.
///
/// # Errors
/// With everything a person needs to put it right: file, line, field, expected, got.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Convert(args) => weights::convert(&args)?,
        #[cfg(feature = "hub")]
        Command::Fetch(args) => fetch::run(&args)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Export(args) => weights::export(&args)?,
        #[cfg(feature = "bulk")]
        Command::Predict(args) if args.bulk.input.is_some() => return bulk::run(&args),
        Command::Predict(args) => return predict::run(&args),
        Command::Eval(args) => evaluate::run(&args)?,
        Command::Score(args) => score::run(&args)?,
        Command::Compare(args) => compare::run(&args)?,
        Command::Train(args) => return train(&args),
        Command::Bench(args) => bench::run(&args)?,
        Command::Data { command } => return data::run(&command),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "star", &mut std::io::stdout());
        }
        Command::Man { dir } => {
            files::make_dir(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)
                .with_context(|| format!("writing manual pages into {}", dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn train(args: &TrainArgs) -> Result<ExitCode> {
    if args.example {
        output::write_text(
            Path::new("-"),
            &config::TrainConfig::example_of(args.preset.unwrap_or_default())?,
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = args.config.as_ref().context("--config is needed")?;
    memory::keep_freed();
    let config = config::TrainConfig::read(path)?;
    let base = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    if args.dry_run {
        output::write_text(Path::new("-"), &train::estimate(&config, base)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let out = args.out.as_ref().context("--out is needed")?;
    // Before the engine: what fails between its start and the training would leave the other ranks waiting.
    let stop = stop_on_ctrl_c()?;
    let collective = train::collective::open(args.engine)?;
    let options = train::Options {
        collective: collective.clone(),
        resume: args.resume,
        stop,
        label: String::new(),
        quiet: false,
    };
    let outcome = match train::run(&config, base, out, &options) {
        Err(error) if collective.ranks() > 1 => {
            // Said before this rank leaves the others: launchers end them all with the first that is gone.
            eprintln!("error: rank {}: {}", collective.rank(), failure::describe(&error));
            return Ok(ExitCode::FAILURE);
        }
        outcome => outcome?,
    };
    let leads = collective.rank() == 0;
    match outcome {
        train::Outcome::Finished(best) => {
            if let Some(best) = best.filter(|_| leads) {
                let which = if best.ema { "average of the weights" } else { "weights" };
                eprintln!(
                    "done: best validation NME {:.3} % in epoch {} ({which}), in {}",
                    100.0 * best.nme,
                    best.epoch + 1,
                    out.join("best").display()
                );
            }
            Ok(ExitCode::SUCCESS)
        }
        train::Outcome::Stopped if !leads => Ok(ExitCode::from(STOPPED)),
        train::Outcome::Stopped => {
            eprintln!(
                "stopped; the state is saved. Go on with: star train --config {} --out {} --resume",
                path.display(),
                out.display()
            );
            Ok(ExitCode::from(STOPPED))
        }
    }
}

/// A flag that Ctrl-C (or a polite kill) sets; a second one ends the program at once.
///
/// # Errors
/// When a handler is installed already.
pub fn stop_on_ctrl_c() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(STOPPED));
        }
        eprintln!("stopping after this step; once more to stop at once");
    })
    .context("installing the Ctrl-C handler")?;
    Ok(stop)
}
