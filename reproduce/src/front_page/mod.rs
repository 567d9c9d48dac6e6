//! The tables that are made of committed results: `cargo xtask front-page` writes them, a test fails when they drift apart.

mod paper;

use anyhow::{Context, Result, ensure};
use star_data::atomic;

use crate::offline::design::{Design, Kind};
use crate::offline::measure::Record;
use crate::offline::outcome::Outcome;
use crate::offline::records;
use crate::step_cost::StepCost;
use crate::{offline, place, portraits, report};

/// Where the results on synthetic images lie, a folder a run.
const RESULTS: &str = "docs/results/ambiguity";
/// Runs whose records are committed, where they are; the front page's table is of the first.
const RUNS: [Kind; 3] = [Kind::Thorough, Kind::Default, Kind::Confirm];
/// What photographs say, where they were measured.
const PORTRAITS: &str = "docs/results/portraits";
/// What a step costs, where it was measured.
const OVERHEAD: &str = "docs/results/ambiguity/overhead.json";

/// A part of a page that is made of results, between two marks.
struct Block {
    page: &'static str,
    begin: &'static str,
    end: &'static str,
}

const PAPER: Block = Block {
    page: "README.md",
    begin: "<!-- paper: cargo xtask front-page -->",
    end: "<!-- end of paper -->",
};
const RESULT: Block = Block {
    page: "README.md",
    begin: "<!-- result: cargo xtask front-page -->",
    end: "<!-- end of result -->",
};
const AMBIGUITY: Block = Block {
    page: "docs/results/ambiguity/README.md",
    begin: "<!-- ambiguity: cargo xtask front-page -->",
    end: "<!-- end of ambiguity -->",
};

/// Rewrites what is made of committed results.
///
/// # Errors
/// When a page has no marks, or the results cannot be read.
pub(crate) fn run() -> Result<()> {
    // One after the other: two may be of one page.
    for (block, text) in blocks()? {
        let page = block.filled(&place::read(block.page)?, &text)?;
        atomic::write(&place::root().join(block.page), page.as_bytes())?;
    }
    for (path, text) in reports()? {
        atomic::write(&place::root().join(path), text.as_bytes())?;
    }
    Ok(())
}

/// Every block with what should stand in it.
fn blocks() -> Result<[(Block, String); 3]> {
    let published = place::root().join(paper::PUBLISHED).is_file();
    let published = published.then(|| place::read(paper::PUBLISHED)).transpose()?;
    let outcomes: Vec<Outcome> = committed()?.into_iter().map(|(outcome, _)| outcome).collect();
    let portraits: Option<serde_json::Value> =
        on_portraits()?.map(|text| serde_json::from_str(&text).context(PORTRAITS)).transpose()?;
    let runs = serde_json::json!({"runs": outcomes, "portraits": portraits});
    Ok([
        (PAPER, paper::table(published.as_deref())?),
        (RESULT, report::text("front_page/result.md", &runs)?),
        (AMBIGUITY, report::text("front_page/ambiguity.md", &runs)?),
    ])
}

/// The result on photographs as it was written, if it is there.
fn on_portraits() -> Result<Option<String>> {
    let path = format!("{PORTRAITS}/report.json");
    place::root().join(&path).is_file().then(|| place::read(&path)).transpose()
}

/// What is found by the runs whose records are committed.
fn committed() -> Result<Vec<(Outcome, Vec<Record>)>> {
    let mut found = Vec::new();
    for kind in RUNS {
        let path = format!("{RESULTS}/{}/{}", kind.slug(), records::LINES);
        if place::root().join(&path).is_file() {
            let records = records::read(&place::read(&path)?).with_context(|| path.clone())?;
            found.push((Outcome::new(&Design::new(kind, None, None), &records).context(path)?, records));
        }
    }
    Ok(found)
}

/// The files that are made of committed results: each run's report as Markdown and its figures.
fn reports() -> Result<Vec<(String, String)>> {
    let overhead: Option<StepCost> = match place::root().join(OVERHEAD).is_file() {
        true => Some(serde_json::from_str(&place::read(OVERHEAD)?).context(OVERHEAD)?),
        false => None,
    };
    let mut reports = Vec::new();
    for (outcome, records) in committed()? {
        let dir = format!("{RESULTS}/{}", outcome.kind.slug());
        reports.push((dir, offline::report(&outcome, &records, overhead.as_ref())?));
    }
    if let Some(text) = on_portraits()? {
        reports.push((PORTRAITS.to_owned(), portraits::report_of(&text).context(PORTRAITS)?));
    }
    let mut files = Vec::new();
    for (dir, report) in reports {
        // The page, where the other figures are, is not committed.
        let kept = report.markdown.split("\n\n").filter(|part| !part.starts_with("(figure in index.html"));
        files.push((format!("{dir}/report.md"), kept.collect::<Vec<_>>().join("\n\n")));
        let beside = report.drawn.into_iter().filter(|drawn| drawn.beside_markdown);
        files.extend(beside.map(|drawn| (format!("{dir}/{}", drawn.file()), drawn.svg)));
    }
    Ok(files)
}

impl Block {
    /// `page` with `text` between the marks.
    fn filled(&self, page: &str, text: &str) -> Result<String> {
        let Self { page: name, begin, end } = self;
        let start =
            page.find(begin).with_context(|| format!("{name}: the mark `{begin}` is missing"))? + begin.len();
        let stop = page.find(end).with_context(|| format!("{name}: the mark `{end}` is missing"))?;
        ensure!(start <= stop, "{name}: `{end}` stands before `{begin}`");
        Ok(format!("{}\n{}\n{}", &page[..start], text.trim(), &page[stop..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pages_show_the_committed_results() {
        for (block, text) in blocks().unwrap() {
            let page = place::read(block.page).unwrap();
            assert!(
                page == block.filled(&page, &text).unwrap(),
                "{} and {RESULTS} drift apart: run cargo xtask front-page",
                block.page
            );
        }
        for (path, text) in reports().unwrap() {
            assert!(
                place::read(&path).is_ok_and(|there| there == text),
                "{path} and its records drift apart: run cargo xtask front-page"
            );
        }
    }

    #[test]
    fn committed_records_are_of_the_runs_and_written_as_this_version_writes_them() {
        for (outcome, records) in committed().unwrap() {
            let jobs = outcome.design.jobs();
            assert!(records.iter().all(|record| jobs.contains(&record.job)), "{:?}", outcome.kind);
            let path = format!("{RESULTS}/{}/{}", outcome.kind.slug(), records::LINES);
            assert!(records::lines(&records).unwrap() == place::read(&path).unwrap(), "{path}");
        }
    }

    #[test]
    fn committed_reports_are_short_and_their_tables_narrow() {
        for (path, text) in reports().unwrap().into_iter().filter(|(path, _)| path.ends_with(".md")) {
            let body = text.split("## Appendix").next().unwrap();
            let words = body.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
            assert!(words <= 1500, "{path}: {words} words before the appendix");
            let widest =
                text.lines().filter(|line| line.starts_with("|--")).map(|l| l.matches('|').count() - 1);
            assert!(widest.max().unwrap_or(0) <= 7, "{path}: a table has more than seven columns");
        }
    }

    #[test]
    fn a_page_without_marks_is_refused_and_the_rest_is_kept() {
        assert!(PAPER.filled("nothing", "t").unwrap_err().to_string().contains("mark"));
        let page = format!("before\n{}\nold\n{}\nafter", PAPER.begin, PAPER.end);
        let new = PAPER.filled(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{}\nnew\n{}\nafter", PAPER.begin, PAPER.end));
    }
}
