//! The paper's experiments, which `cargo xtask reproduce-paper` starts: every table, from one command.

mod args;
mod controls;
mod default_model;
mod front_page;
mod machine;
mod network;
mod offline;
mod place;
mod pool;
mod portraits;
mod real;
mod report;
mod runner;
mod small;
mod spread;
mod stage;
mod step_cost;
mod stop;
mod targets;
mod variant;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use args::{Args, Profile};

/// The paper's tables: its claim on synthetic images (no data, no network), or its figures on published data sets
#[derive(Parser)]
#[command(
    name = "reproduce-paper",
    bin_name = "cargo xtask reproduce-paper",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(flatten)]
    args: Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Write the tables of the front page from the committed results: what `cargo xtask front-page` starts
    #[command(hide = true)]
    FrontPage,
    /// The weights in the program: what `cargo xtask default-model` starts
    #[command(hide = true, bin_name = "cargo xtask default-model")]
    DefaultModel(Box<default_model::Args>),
    /// Measure a training step of one network and loss and print it: what --overhead starts
    #[command(hide = true)]
    StepCost {
        /// Such as `0-star`
        #[arg(value_name = "NETWORK-LOSS")]
        what: String,
    },
}

fn run(cli: &Cli) -> Result<()> {
    match &cli.command {
        Some(Command::FrontPage) => front_page::run(),
        Some(Command::DefaultModel(args)) => default_model::run(args),
        Some(Command::StepCost { what }) => step_cost::child(what),
        None => {
            cli.args.validate()?;
            match cli.args.profile {
                Profile::Offline => offline::run(&cli.args),
                Profile::Portraits => portraits::run(&cli.args),
                _ => real::run(&cli.args),
            }
        }
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", star_predict::failure::describe(&error));
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
