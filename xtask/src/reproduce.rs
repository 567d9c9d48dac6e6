//! `cargo xtask reproduce-paper`, `default-model` and `front-page`: all start the member `reproduce`, which is built first.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::workspace::{Workspace, typed};

/// Arguments of `cargo xtask reproduce-paper` and `default-model`, handed on as they are.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// See --help of the command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Reproduces what is asked for.
///
/// # Errors
/// When the program cannot be started.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<ExitCode> {
    become_it(command(workspace, &args.arguments))
}

/// Does what is asked for with the weights in the program.
///
/// # Errors
/// As [`run`].
pub(crate) fn default_model(args: &Args, workspace: &Workspace) -> Result<ExitCode> {
    let arguments: Vec<OsString> =
        std::iter::once("default-model".into()).chain(args.arguments.iter().cloned()).collect();
    become_it(command(workspace, &arguments))
}

/// Writes the tables of the front page.
///
/// # Errors
/// As [`run`].
pub(crate) fn front_page(workspace: &Workspace) -> Result<ExitCode> {
    become_it(command(workspace, &["front-page".into()]))
}

/// In the person's own folder, so that relative paths among the arguments mean what they meant.
fn command(workspace: &Workspace, arguments: &[OsString]) -> Command {
    let mut command = Command::new(crate::workspace::program());
    command.args(["run", "--quiet", "--package", "reproduce"]);
    // `cargo run --release --package xtask` asks for the same of what it starts.
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--manifest-path").arg(workspace.root.join("Cargo.toml"));
    command.arg("--").args(arguments).env("CARGO_TARGET_DIR", &workspace.target);
    command
}

/// Replaces this process by the program, so that signals reach it and its exit code is ours.
#[cfg(unix)]
fn become_it(mut command: Command) -> Result<ExitCode> {
    use std::os::unix::process::CommandExt;
    Err(command.exec()).with_context(|| format!("starting {}", typed(&command)))
}

/// Waits for the program: a console sends Ctrl-C to both.
#[cfg(not(unix))]
fn become_it(mut command: Command) -> Result<ExitCode> {
    let status = command.status().with_context(|| format!("starting {}", typed(&command)))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn arguments_are_handed_on_as_they_are_typed() {
        let line = Line::try_parse_from(["x", "--profile", "wflw", "--help", "--dry-run"]).unwrap();
        let workspace = Workspace { root: "r".into(), target: "t".into() };
        let text = typed(&command(&workspace, &line.args.arguments));
        assert!(text.starts_with("CARGO_TARGET_DIR=t cargo run --quiet --package reproduce "), "{text}");
        assert!(text.ends_with(" -- --profile wflw --help --dry-run"), "{text}");
    }
}
