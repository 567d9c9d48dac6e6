//! What a report says, once: as Markdown for reading beside the code and as an HTML page with its figures.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use star_eval::{Ced, Interval, Page, Table as HtmlTable};
use star_predict::files;

/// A report.
pub(crate) struct Document {
    pub(crate) title: String,
    pub(crate) lead: Vec<String>,
    /// What must not be missed.
    pub(crate) warnings: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// A part of it.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) blocks: Vec<Block>,
}

impl Section {
    pub(crate) fn new(id: &'static str, title: impl Into<String>) -> Self {
        Self { id, title: title.into(), blocks: Vec::new() }
    }

    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading(text.into()));
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        let head = head.iter().map(|name| name.to_string()).collect();
        self.blocks.push(Block::Table { head, rows });
    }

    pub(crate) fn figure(&mut self, caption: impl Into<String>, figure: Figure) {
        self.blocks.push(Block::Figure { caption: caption.into(), figure });
    }
}

/// A piece of a section.
pub(crate) enum Block {
    Heading(String),
    Text(String),
    /// The first column names the rows.
    Table {
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    Figure {
        caption: String,
        figure: Figure,
    },
}

/// Curves by their labels.
pub(crate) type Series<T> = Vec<(String, Vec<(f64, T)>)>;

/// Something drawn.
pub(crate) enum Figure {
    Curves {
        axes: [&'static str; 2],
        series: Series<f64>,
    },
    Bars {
        axes: [&'static str; 2],
        values: Vec<f64>,
    },
    /// Errors of faces, fractions, by label; up to `max`.
    Cumulative {
        curves: Vec<(String, Vec<f64>)>,
        max: f64,
    },
    Intervals {
        axes: [&'static str; 2],
        series: Series<Interval>,
    },
}

impl Document {
    /// The words and tables; figures by their captions.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n", self.title);
        for lead in &self.lead {
            text += &format!("\n{lead}\n");
        }
        for warning in &self.warnings {
            text += &format!("\n**{warning}**\n");
        }
        for section in &self.sections {
            text += &format!("\n## {}\n", section.title);
            for block in &section.blocks {
                match block {
                    Block::Heading(heading) => text += &format!("\n### {heading}\n"),
                    Block::Text(words) => text += &format!("\n{words}\n"),
                    Block::Table { head, rows } => text += &format!("\n{}", markdown_table(head, rows)),
                    Block::Figure { caption, .. } => {
                        text += &format!("\n(figure in index.html: {caption})\n")
                    }
                }
            }
        }
        text
    }

    /// Writes the report of `outcome` into `dir` in its three forms, and prints it.
    ///
    /// # Errors
    /// When a file cannot be written or a figure not drawn.
    pub(crate) fn write(&self, outcome: &impl Serialize, dir: &Path) -> Result<()> {
        files::make_dir(dir)?;
        let markdown = self.to_markdown();
        files::write_atomic(&dir.join("report.json"), serde_json::to_string(outcome)?.as_bytes())?;
        files::write_atomic(&dir.join("report.md"), markdown.as_bytes())?;
        files::write_atomic(&dir.join("index.html"), self.to_html()?.as_bytes())?;
        println!("\n{markdown}");
        Ok(())
    }

    /// The page.
    ///
    /// # Errors
    /// When a figure cannot be drawn.
    pub(crate) fn to_html(&self) -> Result<String> {
        let mut page = Page::new(self.title.clone());
        self.lead.iter().for_each(|lead| page.lead(lead));
        self.warnings.iter().for_each(|warning| page.warn(warning));
        for section in &self.sections {
            let mut body = String::new();
            for block in &section.blocks {
                body += &match block {
                    Block::Heading(heading) => Page::heading(heading),
                    Block::Text(words) => Page::paragraph(words),
                    Block::Table { head, rows } => html_table(head, rows),
                    Block::Figure { caption, figure } => figure.draw(caption)?,
                };
            }
            page.add(section.id, &section.title, body);
        }
        Ok(page.finish())
    }
}

impl Figure {
    fn draw(&self, caption: &str) -> Result<String> {
        Ok(match self {
            Self::Curves { axes, series } => Page::curves(caption, *axes, &borrowed(series))?,
            Self::Bars { axes, values } => Page::bars(caption, *axes, values)?,
            Self::Intervals { axes, series } => Page::intervals(caption, *axes, &borrowed(series))?,
            Self::Cumulative { curves, max } => {
                let curves: Vec<(&str, Ced)> = curves
                    .iter()
                    .map(|(label, errors)| Ok((label.as_str(), Ced::new(errors.clone())?)))
                    .collect::<Result<_>>()?;
                let curves: Vec<(&str, &Ced)> = curves.iter().map(|(label, ced)| (*label, ced)).collect();
                Page::cumulative(caption, &curves, *max)?
            }
        })
    }
}

fn borrowed<T>(series: &Series<T>) -> Vec<(&str, &[(f64, T)])> {
    series.iter().map(|(label, points)| (label.as_str(), points.as_slice())).collect()
}

/// A table as Markdown, numbers to the right.
pub(crate) fn markdown_table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule = "---:|".repeat(head.len().saturating_sub(1));
    let mut text = line(head) + &format!("|---|{rule}\n");
    rows.iter().for_each(|row| text += &line(row));
    text
}

fn html_table(head: &[String], rows: &[Vec<String>]) -> String {
    let names: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = HtmlTable::new(&names);
    for row in rows {
        let (name, cells) = row.split_first().map_or(("", &row[..]), |(name, cells)| (name.as_str(), cells));
        table.row(name, &cells.iter().map(|cell| Page::cell(cell)).collect::<Vec<_>>());
    }
    table.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let mut section = Section::new("a", "Figures");
        section.heading("Inside");
        section.text("One is less than two.");
        section.table(&["run", "NME %"], vec![vec!["first".into(), "4.02".into()]]);
        let at = Interval { estimate: 1.0, low: 0.0, high: 2.0, level: 0.95 };
        let axes = ["x", "y"];
        for (caption, figure) in [
            (
                "some curves",
                Figure::Curves { axes, series: vec![("a".into(), vec![(0.0, 1.0), (1.0, 2.0)])] },
            ),
            ("some bars", Figure::Bars { axes, values: vec![1.0, 2.0] }),
            ("some intervals", Figure::Intervals { axes, series: vec![("a".into(), vec![(0.0, at)])] }),
            ("errors", Figure::Cumulative { curves: vec![("a".into(), vec![0.01, 0.2])], max: 0.1 }),
        ] {
            section.figure(caption, figure);
        }
        let document = Document {
            title: "Report".into(),
            lead: vec!["Made up.".into()],
            warnings: vec!["Mind this.".into()],
            sections: vec![section],
        };
        let (markdown, html) = (document.to_markdown(), document.to_html().unwrap());
        for part in
            ["Report", "Made up.", "Mind this.", "Inside", "One is less", "4.02", "some bars", "errors"]
        {
            assert!(markdown.contains(part) && html.contains(part), "{part}");
        }
        assert!(markdown.contains("| run | NME % |\n|---|---:|\n| first | 4.02 |\n"));
    }
}
