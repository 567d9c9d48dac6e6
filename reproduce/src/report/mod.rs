//! Reports: templates over results, as Markdown for reading beside the code and as an HTML page with its figures.

mod figures;
mod filters;
mod page;
mod templates;

use std::path::Path;

use anyhow::{Context, Result};
use minijinja::value::Serde;
use serde::Serialize;
use star_data::atomic;
use star_predict::files;

use figures::Figures;

/// A report in both of its forms.
pub(crate) struct Report {
    /// The words and tables; figures by their captions.
    pub(crate) markdown: String,
    /// Each figure under the paragraph that stands for it in the Markdown.
    figures: Figures,
}

impl Report {
    /// Fills the template called `name` with `data`, of which a template sees what `report.json` holds: numbers that are not finite
    /// are none.
    ///
    /// # Errors
    /// Names the template and its line, and says what is missing in `data` or cannot be figures.
    pub(crate) fn new(name: &str, data: &impl Serialize) -> Result<Self> {
        let figures = Figures::default();
        let text = fill(name, data, &figures)?;
        Ok(Self { markdown: paragraphs(&text), figures })
    }

    /// The page.
    ///
    /// # Errors
    /// When the Markdown does not begin with a title.
    pub(crate) fn to_html(&self) -> Result<String> {
        page::page(&self.markdown, &self.figures.all())
    }

    /// Writes the report of `outcome` into `dir` in its three forms, and prints it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, outcome: &impl Serialize, dir: &Path) -> Result<()> {
        files::make_dir(dir)?;
        let write = |name: &str, text: &str| -> Result<()> {
            atomic::write(&dir.join(name), text.as_bytes()).with_context(|| name.to_string())
        };
        write("report.json", &serde_json::to_string(outcome)?)?;
        write("report.md", &self.markdown)?;
        write("index.html", &self.to_html()?)?;
        println!("\n{}", self.markdown);
        Ok(())
    }
}

/// Plain text from the template called `name`.
///
/// # Errors
/// As [`Report::new`].
pub(crate) fn text(name: &str, data: &impl Serialize) -> Result<String> {
    fill(name, data, &Figures::default())
}

fn fill(name: &str, data: &impl Serialize, figures: &Figures) -> Result<String> {
    let data = Serde(serde_json::to_value(data)?);
    let environment = templates::environment(figures)?;
    environment.get_template(name)?.render(data).map_err(|error| anyhow::anyhow!("{error:#}"))
}

/// `text` with one empty line between paragraphs, whatever a template left there.
fn paragraphs(text: &str) -> String {
    let blocks = text.split("\n\n").map(str::trim).filter(|block| !block.is_empty());
    blocks.collect::<Vec<_>>().join("\n\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_the_same_words() {
        let cost = |loss: &str, step: f64, bytes: f64| serde_json::json!({"network": "net", "loss": loss, "step_seconds": step, "peak_bytes": bytes});
        let data = serde_json::json!({"overhead": {
            "machine": {"processor": "a processor", "cores": 2}, "steps": 15, "processes": 3,
            "rows": [cost("smooth-L1", 2.0, 1e9), cost("STAR", 2.1, 1.1e9)],
        }});
        let report = Report::new("test.md", &data).unwrap();
        let html = report.to_html().unwrap();
        for part in [
            "Report",
            "Mind this.",
            "What STAR costs",
            "net, STAR",
            "2.100",
            "some bars",
            "some curves",
            "errors",
            "some intervals",
        ] {
            assert!(report.markdown.contains(part) && html.contains(part), "{part}: {}", report.markdown);
        }
        assert!(
            report.markdown.contains("| net, STAR | 2.100 | 1.050 | 1.10 | 1.100 |\n"),
            "{}",
            report.markdown
        );
        assert_eq!(html.matches("<figure").count(), 4, "{html}");
        assert!(!report.markdown.contains("\n\n\n"), "{}", report.markdown);
    }

    #[test]
    fn what_a_template_asks_for_and_does_not_get_is_an_error() {
        let message = Report::new("overhead.md", &serde_json::json!({})).err().unwrap().to_string();
        assert!(message.contains("overhead.md"), "{message}");
    }
}
