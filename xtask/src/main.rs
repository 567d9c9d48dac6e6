//! The program behind `cargo xtask`: everything this repository does to itself.

mod fetch;
mod reproduce;
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
    /// Check everything, cheapest first: format, tidiness, lints, tests, docs, examples, and crates outside the workspace
    #[command(visible_alias = "ci")]
    Test(test::Args),
    /// The paper's tables: its claim on synthetic images (no data, no network), or its figures on published data sets
    ReproducePaper(reproduce::Args),
    /// The weights in the program: measure them, train their ablations, pack new ones
    DefaultModel(reproduce::Args),
    /// Write the tables of the front page from the committed results
    FrontPage,
    /// Download the published weights (all, or those named), verify and convert them once
    FetchWeights(fetch::Args),
    /// Check the invariants of ARCHITECTURE.md that text can check
    Tidy,
}

fn run(command: &Command) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Test(args) => test::run(args, &workspace)?,
        Command::ReproducePaper(args) => return reproduce::run(args, &workspace),
        Command::DefaultModel(args) => return reproduce::default_model(args, &workspace),
        Command::FrontPage => return reproduce::front_page(&workspace),
        Command::FetchWeights(args) => fetch::run(args, &workspace)?,
        Command::Tidy => tidy::run(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
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
