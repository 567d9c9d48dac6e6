//! `cargo xtask reproduce-paper`: every table, from one command.

mod args;
mod document;
pub(crate) mod front_page;
mod machine;
mod offline;
mod overhead;
mod pool;
mod real;
mod spread;
mod stage;
mod targets;
mod variant;

use anyhow::Result;

use crate::workspace::Workspace;
pub(crate) use args::Args;
use args::Profile;

/// Runs what is asked for.
///
/// # Errors
/// Says what is wrong and what to do next.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    args.validate()?;
    if let Some(what) = &args.overhead_of {
        return overhead::child(what);
    }
    match args.profile {
        Profile::Offline => offline::run(args, workspace),
        _ => real::run(args, workspace),
    }
}
