//! `cargo xtask fetch-weights`: the published weights, as `star fetch` has them.

use anyhow::Result;

use crate::workspace::{Workspace, check};

/// Arguments of `cargo xtask fetch-weights`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Names of published weights, or addresses `hf:owner/repo[@revision]/file` [default: all published weights]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// List the names with their terms and stop
    #[arg(long)]
    list: bool,
}

/// Fetches what is named.
///
/// # Errors
/// At the first of the weights that cannot be had.
pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let mut command =
        workspace.cargo(&["run", "--quiet", "--package", "star-cli", "--bin", "star", "--", "fetch"]);
    command.args(&args.names);
    if args.list {
        command.arg("--list");
    } else if args.names.is_empty() {
        command.arg("--all");
    }
    check(command, "the message above says why")
}
