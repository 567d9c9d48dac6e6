//! `cargo xtask scaling`: what more processes give. Paper arithmetic for clusters, and a measurement on this machine.

mod measure;
mod model;

use anyhow::Result;

use crate::workspace::Workspace;

/// Arguments of `cargo xtask scaling`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Instead of the model's table, train with one and with two MPI processes here, in turn, and print their times
    #[arg(long)]
    measure: bool,
    /// Rounds of the measurement
    #[arg(long, default_value_t = 5, requires = "measure")]
    rounds: usize,
}

/// Prints the table of `docs/scaling.md`, or measures.
///
/// # Errors
/// When the measurement cannot be made.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    if args.measure {
        return measure::run(args.rounds, workspace);
    }
    print!("{}", model::table()?);
    Ok(())
}
