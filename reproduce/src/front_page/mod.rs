//! The tables that are made of committed results: `cargo xtask front-page` writes them, a test fails when they drift apart.

mod paper;

use anyhow::{Context, Result, ensure};
use star_data::atomic;

use crate::offline::outcome::Outcome;
use crate::step_cost::StepCost;
use crate::{offline, place, report};

/// The committed outcome of the thorough offline run.
const RESULTS: &str = "docs/results/offline/report.json";
/// The same as Markdown, made of it.
const MARKDOWN: &str = "docs/results/offline/report.md";
/// What a step costs, where it was measured.
const OVERHEAD: &str = "docs/results/offline/overhead.json";

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
const OFFLINE: Block = Block {
    page: "docs/results/offline/README.md",
    begin: "<!-- offline: cargo xtask front-page -->",
    end: "<!-- end of offline -->",
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
    Ok(atomic::write(&place::root().join(MARKDOWN), markdown()?.as_bytes())?)
}

/// Every block with what should stand in it.
fn blocks() -> Result<[(Block, String); 3]> {
    let published = place::root().join(paper::PUBLISHED).is_file();
    let published = published.then(|| place::read(paper::PUBLISHED)).transpose()?;
    let outcome = outcome()?;
    Ok([
        (PAPER, paper::table(published.as_deref())?),
        (RESULT, report::text("front_page/result.md", &outcome)?),
        (OFFLINE, report::text("front_page/synthetic.md", &outcome)?),
    ])
}

fn outcome() -> Result<Outcome> {
    serde_json::from_str(&place::read(RESULTS)?).context(RESULTS)
}

/// The committed report as Markdown, as it should be.
fn markdown() -> Result<String> {
    let overhead: Option<StepCost> = match place::root().join(OVERHEAD).is_file() {
        true => Some(serde_json::from_str(&place::read(OVERHEAD)?).context(OVERHEAD)?),
        false => None,
    };
    Ok(offline::report(&outcome()?, overhead.as_ref())?.markdown)
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
        assert!(
            place::read(MARKDOWN).unwrap() == markdown().unwrap(),
            "{MARKDOWN} and {RESULTS} drift apart: run cargo xtask front-page"
        );
    }

    #[test]
    fn the_committed_results_are_whole_and_of_this_version() {
        let (results, outcome) = (place::read(RESULTS).unwrap(), outcome().unwrap());
        assert!(
            serde_json::to_string(&outcome).unwrap() == results.trim_end(),
            "{RESULTS} is not what this version of the program writes"
        );
        assert_eq!(outcome.trainings[0], outcome.trainings[1], "{RESULTS} is of an unfinished run");
    }

    #[test]
    fn a_page_without_marks_is_refused_and_the_rest_is_kept() {
        assert!(PAPER.filled("nothing", "t").unwrap_err().to_string().contains("mark"));
        let page = format!("before\n{}\nold\n{}\nafter", PAPER.begin, PAPER.end);
        let new = PAPER.filled(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{}\nnew\n{}\nafter", PAPER.begin, PAPER.end));
    }
}
