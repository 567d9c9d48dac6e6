//! `star data`: checking, converting and looking at data sets.

mod check;
mod convert;
mod copies;
pub(crate) mod inputs;
mod sheet;
mod view;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::DataCommand;
use crate::pack;

/// Carries out a subcommand.
///
/// # Errors
/// When the data set cannot be read at all, or results cannot be written.
pub(crate) fn run(command: &DataCommand) -> Result<ExitCode> {
    match command {
        DataCommand::Check(args) => check::run(args),
        DataCommand::Convert(args) => convert::run(args).map(|()| ExitCode::SUCCESS),
        DataCommand::Pack(args) => pack::run(args),
        DataCommand::View(args) => view::run(args).map(|()| ExitCode::SUCCESS),
    }
}
