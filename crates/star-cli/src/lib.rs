#![doc = include_str!("../README.md")]
// A message that cannot be written must not end the work: `say!`, and `output::write_text` for results.
#![deny(clippy::print_stderr, clippy::print_stdout)]

/// Says a line to a person, on standard error; a closed pipe or a full disk loses the line and nothing else.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::say(format_args!($($text)*)) };
}

pub mod args;
mod bench;
#[cfg(feature = "bulk")]
mod bulk;
mod calibrate;
mod compare;
mod data;
mod evaluate;
#[cfg(feature = "hub")]
mod fetch;
mod identity;
mod inspect;
mod output;
mod pack;
mod predict;
pub mod progress;
mod quantize;
mod report;
mod score;
#[cfg(feature = "serve")]
mod serve;
mod setting;
mod source;
mod terminal;
mod train;
mod weights;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::CommandFactory;
use star_predict::files;

use args::{Cli, Command};

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
    output::overwrite(cli.overwrite);
    match cli.command {
        Command::Convert(args) => weights::convert(&args)?,
        #[cfg(feature = "hub")]
        Command::Fetch(args) => fetch::run(&args)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Export(args) => weights::export(&args)?,
        #[cfg(feature = "bulk")]
        Command::Predict(args) if args.bulk.input.is_some() => return bulk::run(&args),
        Command::Predict(args) => return predict::run(&args),
        #[cfg(feature = "serve")]
        Command::Serve(args) => return serve::run(&args),
        Command::Eval(args) => evaluate::run(&args)?,
        Command::Score(args) => score::run(&args)?,
        Command::Calibrate(args) => calibrate::run(&args)?,
        Command::Quantize(args) => quantize::run(&args)?,
        Command::Compare(args) => compare::run(&args)?,
        Command::Train(args) => return train::run(&args),
        Command::Bench(args) => bench::run(&args)?,
        Command::Data { command } => return data::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "star", &mut script);
            output::write_text(Path::new("-"), &String::from_utf8(script)?)?;
        }
        Command::Man { dir } => {
            // The first page stands for all.
            output::claim(&dir.join("star.1"), &[] as &[&Path])?;
            files::make_dir(&dir)?;
            clap_mangen::generate_to(Cli::command(), &dir)
                .with_context(|| format!("writing manual pages into {}", dir.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
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
        say!("stopping after this step; once more to stop at once");
    })
    .context("installing the Ctrl-C handler")?;
    Ok(stop)
}
