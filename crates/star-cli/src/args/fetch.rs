//! `star fetch`.

use clap::Args;

/// Arguments of `star fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Names of published weights, or addresses `hf:owner/repo[@revision]/file`
    #[arg(value_name = "NAME|hf:...", required_unless_present_any = ["list", "all"])]
    pub names: Vec<String>,
    /// List the published weights that are known by name, with their terms
    #[arg(long)]
    pub list: bool,
    /// Fetch all of them
    #[arg(long, conflicts_with_all = ["names", "list"])]
    pub all: bool,
}
