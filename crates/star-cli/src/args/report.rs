//! Reports: where `star eval`, `star score` and `star compare` write them, and what goes into them.

use std::path::PathBuf;

use clap::Args;

/// What is measured and written beside the table.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folder for the report: index.html (one file, no network), report.json and report.md; made if missing
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// The images are frames of videos, a folder each: measure jitter from frame to frame
    #[arg(long)]
    pub video: bool,
}

/// Arguments of `star compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Results to compare, the first with each of the others: report.json of --report, or files of --json
    #[arg(required = true, num_args = 2.., value_name = "JSON")]
    pub results: Vec<PathBuf>,
    /// What to call the runs, one a file [default: from the paths]
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,
    /// Folder for index.html (one file, no network), comparison.json and comparison.md; made if missing
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}
