//! The program behind `cargo xtask`: everything this repository does to itself.

mod fetch;
mod reproduce;
mod scaling;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use workspace::Workspace;

/// What the repository does to itself.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything, cheapest first: format, tidiness, lints, tests, docs, and a crate outside the workspace
    #[command(visible_alias = "ci")]
    Test(test::Args),
    /// The paper's tables: its claim on generated ambiguity (no data, no network), or its figures on photographs
    ReproducePaper(Box<reproduce::Args>),
    /// Write the tables of the front page from the committed results
    FrontPage,
    /// Download the published weights (all, or those named), verify and convert them once
    FetchWeights(fetch::Args),
    /// Print the model of docs/scaling.md, or measure what a second process gives here
    Scaling(scaling::Args),
    /// Check the invariants of ARCHITECTURE.md that text can check
    Tidy,
}

fn run(command: &Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Test(args) => test::run(args, &workspace),
        Command::ReproducePaper(args) => reproduce::run(args, &workspace),
        Command::FrontPage => reproduce::front_page::run(&workspace),
        Command::FetchWeights(args) => fetch::run(args),
        Command::Scaling(args) => scaling::run(args, &workspace),
        Command::Tidy => tidy::run(&workspace),
    }
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
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
