//! The tables of the front page, made of committed results: `cargo xtask front-page` writes them, a test fails when they drift apart.

use anyhow::{Context, Result, ensure};
use star_data::synthetic::Subject;

use super::document::markdown_table;
use super::offline;
use super::offline::outcome::Outcome;
use super::offline::words::{difference, verdict};
use super::overhead::Overhead;
use super::targets::{Metric, Targets};
use crate::workspace::Workspace;

/// The page.
const PAGE: &str = "README.md";
/// The committed outcome of the thorough offline run.
pub(crate) const RESULTS: &str = "docs/results/offline/report.json";
/// The same in words, made of it.
const WORDS: &str = "docs/results/offline/report.md";
/// What a step costs, where it was measured.
const OVERHEAD: &str = "docs/results/offline/overhead.json";
/// The marks between which a table stands.
const PAPER: [&str; 2] = ["<!-- paper: cargo xtask front-page -->", "<!-- end of paper -->"];
/// Likewise.
const OFFLINE: [&str; 2] = ["<!-- offline: cargo xtask front-page -->", "<!-- end of offline -->"];

/// Rewrites the tables of the front page, and the committed report in words.
///
/// # Errors
/// When the page has no marks, or the results cannot be read.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let page = filled(&workspace.read(PAGE)?, &workspace.read(RESULTS)?)?;
    star_cli::output::write_renamed(&workspace.root.join(PAGE), page.as_bytes())?;
    star_cli::output::write_renamed(&workspace.root.join(WORDS), words(workspace)?.as_bytes())
}

/// The committed report in words, as it should be.
fn words(workspace: &Workspace) -> Result<String> {
    let outcome: Outcome = serde_json::from_str(&workspace.read(RESULTS)?).context(RESULTS)?;
    let overhead: Option<Overhead> = match workspace.root.join(OVERHEAD).is_file() {
        true => Some(serde_json::from_str(&workspace.read(OVERHEAD)?).context(OVERHEAD)?),
        false => None,
    };
    Ok(offline::report(&outcome, overhead.as_ref())?.to_markdown())
}

/// The page with its tables as they should be.
fn filled(page: &str, results: &str) -> Result<String> {
    let outcome: Outcome = serde_json::from_str(results).context(RESULTS)?;
    let page = replaced(page, PAPER, &paper(&Targets::read()?))?;
    replaced(&page, OFFLINE, &drawn(&outcome))
}

fn replaced(page: &str, [begin, end]: [&str; 2], text: &str) -> Result<String> {
    let start =
        page.find(begin).with_context(|| format!("{PAGE}: the mark `{begin}` is missing"))? + begin.len();
    let stop = page.find(end).with_context(|| format!("{PAGE}: the mark `{end}` is missing"))?;
    ensure!(start <= stop, "{PAGE}: `{end}` stands before `{begin}`");
    Ok(format!("{}\n{text}{}", &page[..start], &page[stop..]))
}

/// The paper's headline and what is measured of it here.
fn paper(targets: &Targets) -> String {
    let find = |set: &str, subset: &str, ruler: &str, metric: Metric| {
        let found = targets.target.iter().find(|t| {
            let plain = !t.published_weights && t.variant.is_none();
            plain && t.set == set && t.subset == subset && t.ruler == ruler && t.metric == metric
        });
        found.map_or("not available".to_string(), |t| format!("{:.1$}", t.value, t.digits()))
    };
    let wflw = |metric| find("wflw", "full", "inter-ocular", metric);
    let of_300w =
        ["full", "common", "challenging"].map(|subset| find("300w", subset, "inter-ocular", Metric::Nme));
    let head = [
        "NME %".to_string(),
        "WFLW full (inter-ocular)".to_string(),
        "COFW (inter-pupil)".to_string(),
        "300W full / common / challenging (inter-ocular)".to_string(),
    ];
    let paper = vec![
        "paper".to_string(),
        format!("{}, FR@0.10 {} %, AUC@0.10 {}", wflw(Metric::Nme), wflw(Metric::Fr), wflw(Metric::Auc)),
        find("cofw", "full", "inter-pupil", Metric::Nme),
        of_300w.join(" / "),
    ];
    // The photographs may not be shipped and were not at hand; `reproduce-paper --profile all` fills this row.
    let ours =
        std::iter::once("ours".to_string()).chain(std::iter::repeat_n("not yet measured".to_string(), 3));
    markdown_table(&head, &[paper, ours.collect()])
}

/// The comparison on drawn pictures.
fn drawn(outcome: &Outcome) -> String {
    let head = [
        "drawn pictures, exact truth",
        "strength of label noise",
        "paired seeds",
        "smooth-L1 NME %",
        "STAR NME %",
        "difference, 95 %",
        "FR@0.10, difference",
        "says",
    ]
    .map(str::to_string);
    let rows: Vec<Vec<String>> = outcome
        .gains
        .iter()
        .map(|gain| {
            let (subject, ruler) = match gain.subject {
                Subject::Face => ("faces", "inter-ocular"),
                Subject::Hand => ("hands", "palm length"),
            };
            vec![
                format!("{subject} ({ruler})"),
                gain.strength.to_string(),
                gain.seeds.to_string(),
                format!("{:.2}", 100.0 * gain.plain.nme),
                format!("{:.2}", 100.0 * gain.star.nme),
                difference(gain.nme, 100.0, 2),
                difference(gain.failure_rate, 100.0, 1),
                verdict(gain.nme).to_string(),
            ]
        })
        .collect();
    markdown_table(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_page_shows_the_committed_results() {
        let workspace = Workspace::find().unwrap();
        let page = workspace.read(PAGE).unwrap();
        let wanted = filled(&page, &workspace.read(RESULTS).unwrap()).unwrap();
        assert!(page == wanted, "README.md and {RESULTS} drift apart: run cargo xtask front-page");
        let told = words(&workspace).unwrap();
        assert!(
            workspace.read(WORDS).unwrap() == told,
            "{WORDS} and {RESULTS} drift apart: run cargo xtask front-page"
        );
    }

    #[test]
    fn a_page_without_marks_is_refused_and_the_rest_is_kept() {
        assert!(replaced("nothing", PAPER, "t").unwrap_err().to_string().contains("mark"));
        let page = format!("before\n{}\nold\n{}\nafter", PAPER[0], PAPER[1]);
        let new = replaced(&page, PAPER, "new\n").unwrap();
        assert_eq!(new, format!("before\n{}\nnew\n{}\nafter", PAPER[0], PAPER[1]));
        assert!(paper(&Targets::read().unwrap()).contains("4.02, FR@0.10 2.32 %, AUC@0.10 0.605"));
    }
}
