//! The HTML page of a report, from its Markdown: headings, paragraphs, tables and the places of figures.

use anyhow::{Context, Result};
use star_eval::{Page, Table};

/// The page of `markdown`, each paragraph of `figures` replaced by the markup beside it.
///
/// # Errors
/// When it does not begin with a title.
pub(super) fn page(markdown: &str, figures: &[(String, String)]) -> Result<String> {
    let mut sections = markdown.split("\n## ");
    let mut lead = sections.next().unwrap_or_default().split("\n\n");
    let title = lead.next().and_then(|line| line.strip_prefix("# ")).context("a report without a title")?;
    let mut page = Page::new(title.to_string());
    for paragraph in lead {
        match paragraph.trim().strip_prefix("**").and_then(|text| text.split_once("**")) {
            Some((warning, "")) => page.warn(warning),
            Some((verdict, reason)) => page.verdict(verdict, reason),
            None => page.lead(paragraph.trim()),
        }
    }
    for section in sections {
        let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
        page.add("part", heading, body.split("\n\n").map(|block| markup(block.trim(), figures)).collect());
    }
    Ok(page.finish())
}

fn markup(block: &str, figures: &[(String, String)]) -> String {
    if let Some((_, figure)) = figures.iter().find(|(paragraph, _)| paragraph == block) {
        return figure.clone();
    }
    match block.strip_prefix("### ") {
        Some(heading) => Page::heading(heading),
        // What is folded away is folded by the same tags in Markdown.
        None if block == "</details>" || is_summary(block) => block.to_string(),
        None if block.starts_with("| ") => table(block),
        None if block.is_empty() => String::new(),
        None => Page::paragraph(block),
    }
}

/// The beginning of what is folded away, its name without markup.
fn is_summary(block: &str) -> bool {
    let inner = block.strip_prefix("<details><summary>").and_then(|rest| rest.strip_suffix("</summary>"));
    inner.is_some_and(|name| !name.contains(['<', '&']))
}

/// A table; its first column names the rows.
fn table(block: &str) -> String {
    let mut lines = block.lines();
    let head = cells(lines.next().unwrap_or_default());
    let mut table = Table::new(&head.iter().map(String::as_str).collect::<Vec<_>>());
    // After the rule below the head.
    for row in lines.skip(1).map(cells) {
        let (name, rest) = row.split_first().map_or(("", &row[..]), |(name, rest)| (name.as_str(), rest));
        table.row(name, &rest.iter().map(|cell| Page::cell(cell)).collect::<Vec<_>>());
    }
    table.finish()
}

/// The cells of a row; a bar that a backslash stands before is part of its cell.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\0");
    inner.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_in_a_cell_is_no_border_and_markup_is_no_markup() {
        assert_eq!(cells("| a \\| b | 4.02 |  |"), ["a | b", "4.02", ""]);
        let html =
            page("# T\n\n**Careful.**\n\n## S\n\na < b\n\n| x | y |\n|---|---:|\n| 1 | 2 |\n", &[]).unwrap();
        assert!(
            html.contains("class=\"warn\"") && html.contains("a &lt; b") && html.contains("<td"),
            "{html}"
        );
        assert!(page("no title", &[]).is_err());
        let folded = page(
            "# T\n\n## S\n\n<details><summary>More</summary>\n\ntext\n\n</details>\n\n<details><summary><b></summary>\n",
            &[],
        )
        .unwrap();
        assert_eq!(folded.matches("<details><summary>").count(), 1, "{folded}");
        assert!(folded.contains("</details>") && folded.contains("&lt;details&gt;"), "{folded}");
    }
}
