//! `cargo xtask fetch-weights`: the published weights, as `star fetch` has them.

use anyhow::Result;
use star_cli::args::FetchArgs;

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
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut names = args.names.clone();
    if names.is_empty() {
        names = star_model::hub::registry::entries().into_iter().map(|entry| entry.name).collect();
    }
    star_cli::fetch::run(&FetchArgs { names, list: args.list })
}
