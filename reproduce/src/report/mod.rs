//! Reports: templates over results, as Markdown for reading beside the code and as an HTML page with its figures.

mod figures;
mod filters;
mod page;
pub(crate) mod svg;
mod templates;

use std::path::Path;

use anyhow::{Context, Result};
use minijinja::value::Serde;
use serde::Serialize;
use star_data::atomic;
use star_predict::files;

use figures::Figures;

/// A figure that a template places by its name.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub(crate) name: String,
    pub(crate) svg: String,
    /// Whether it is a file of its own beside the Markdown, which shows it; otherwise only the page has it.
    pub(crate) beside_markdown: bool,
}

impl Drawn {
    /// Name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}.svg", self.name)
    }
}

/// A report in both of its forms.
pub(crate) struct Report {
    /// The words and tables; figures by their captions.
    pub(crate) markdown: String,
    /// Those that were drawn beforehand.
    pub(crate) drawn: Vec<Drawn>,
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
        Self::with(name, data, Vec::new())
    }

    /// The same, with figures that the template places by `drawing(name, caption)`; one that is not among `drawn` leaves nothing.
    ///
    /// # Errors
    /// As [`Report::new`].
    pub(crate) fn with(name: &str, data: &impl Serialize, drawn: Vec<Drawn>) -> Result<Self> {
        let figures = Figures::of(drawn.clone());
        let text = fill(name, data, &figures)?;
        Ok(Self { markdown: paragraphs(&text), drawn, figures })
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
        for drawn in self.drawn.iter().filter(|drawn| drawn.beside_markdown) {
            write(&drawn.file(), &drawn.svg)?;
        }
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
        let drawn = Drawn { name: "lines".into(), svg: "<svg>lines</svg>".into(), beside_markdown: true };
        let report = Report::with("test.md", &data, vec![drawn]).unwrap();
        let html = report.to_html().unwrap();
        for part in [
            "Report",
            "Mind this.",
            "What STAR costs",
            "net, STAR",
            "2.100",
            "some bars",
            "errors",
            "some lines",
        ] {
            assert!(report.markdown.contains(part) && html.contains(part), "{part}: {}", report.markdown);
        }
        assert!(
            report.markdown.contains("| net, STAR | 2.100 | 1.050 | 1.10 | 1.100 |\n"),
            "{}",
            report.markdown
        );
        assert!(report.markdown.contains("![some lines](lines.svg)") && html.contains("<svg>lines</svg>"));
        assert_eq!(html.matches("<figure").count(), 3, "{html}");
        assert!(!report.markdown.contains("\n\n\n"), "{}", report.markdown);
    }

    #[test]
    fn what_a_template_asks_for_and_does_not_get_is_an_error() {
        let message = Report::new("overhead.md", &serde_json::json!({})).err().unwrap().to_string();
        assert!(message.contains("overhead.md"), "{message}");
    }
}
