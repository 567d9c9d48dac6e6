//! `star compare`: results of several runs, image by image.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use star_eval::{Comparison, Results};
use star_predict::files;

use crate::args::CompareArgs;
use crate::output;
use crate::terminal::plain;

/// Runs `star compare`.
///
/// # Errors
/// When a file holds no results, or the results cannot be compared or written.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    ensure!(
        args.names.is_empty() || args.names.len() == args.results.len(),
        "--name: expected {} names, one a file, or none, got {}",
        args.results.len(),
        args.names.len()
    );
    if let Some(dir) = &args.report {
        output::claim_in(dir, &["comparison.json", "comparison.md", "index.html"], &args.results)?;
    }
    let names = if args.names.is_empty() { names(&args.results) } else { args.names.clone() };
    let mut runs = Vec::with_capacity(names.len());
    for (name, path) in names.into_iter().zip(&args.results) {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let results = Results::from_json(&text).with_context(|| {
            format!("{}: expected report.json of --report, or a file of --json", path.display())
        })?;
        runs.push((name, results));
    }
    let comparison = Comparison::new(&runs)?;
    let markdown = comparison.to_markdown();
    if let Some(dir) = &args.report {
        files::make_dir(dir)?;
        output::write_text(&dir.join("comparison.json"), &comparison.to_json())?;
        output::write_text(&dir.join("comparison.md"), &markdown)?;
        output::write_text(&dir.join("index.html"), &comparison.to_html()?)?;
        say!("report: {}", dir.join("index.html").display());
    }
    output::write_text(Path::new("-"), &plain(&markdown))
}

/// File names without ending, or the folder's where the file is `report.json`; with a number where two would be alike.
fn names<P: AsRef<Path>>(paths: &[P]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for path in paths.iter().map(AsRef::as_ref) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let name = if stem == "report" { folder.unwrap_or(stem) } else { stem };
        let alike = |name: &String| names.contains(name);
        let numbered = (2..).map(|n| format!("{name} {n}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|name| !alike(name));
        names.push(free.unwrap_or(name));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_named_by_what_tells_them_apart() {
        assert_eq!(
            names(&["runs/a/report.json", "runs/b/report.json", "b.json", "x/b.json"]),
            ["a", "b", "b 2", "b 3"]
        );
        assert_eq!(names(&["report.json"]), ["report"]);
    }
}
