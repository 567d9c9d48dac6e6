//! Tables of a page.

use super::escape;
use crate::Report;
use crate::identity::thousands;

/// Bytes of a name above which it is broken where it has to be, as paths of files are.
const LONG: usize = 16;

/// A table whose first column names its rows; the others hold numbers.
pub struct Table {
    head: String,
    rows: String,
}

impl Table {
    /// A table with these columns.
    pub fn new(names: &[&str]) -> Self {
        let mut head = String::new();
        for (i, name) in names.iter().enumerate() {
            let class = if i == 0 { "" } else { " class=\"n\"" };
            head += &format!("<th scope=\"col\"{class}>{}</th>", escape(name));
        }
        Self { head, rows: String::new() }
    }

    /// A row; cells are markup already, `name` is plain text.
    pub fn row(&mut self, name: &str, cells: &[String]) {
        let class = if name.len() > LONG { " class=\"long\"" } else { "" };
        self.rows += &format!("<tr><th scope=\"row\"{class}>{}</th>", escape(name));
        for cell in cells {
            self.rows += &format!("<td class=\"n\">{cell}</td>");
        }
        self.rows += "</tr>\n";
    }

    /// The table as markup; nothing where it has no row.
    pub fn finish(self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        format!(
            "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>{}</tr></thead>\n<tbody>{}</tbody></table></div>\n",
            self.head, self.rows
        )
    }
}

/// A number with a bar of its share of the largest one, in a colour of the page.
pub(super) fn barred(text: &str, value: Option<f64>, largest: f64, colour: &str) -> String {
    let share =
        value.map_or(0.0, |v| if largest > 0.0 { (100.0 * v / largest).clamp(0.0, 100.0) } else { 0.0 });
    format!(
        "<span class=\"bar\" style=\"--w:{share:.1}%;--b:{colour}\"></span><span class=\"v\">{text}</span>"
    )
}

/// Number of images, with those without a prediction beneath.
pub(super) fn images(report: &Report) -> String {
    let missing = match report.missing {
        0 => String::new(),
        missing => format!("<small>{missing} missing</small>"),
    };
    format!("{}{missing}", thousands(report.images))
}

/// A figure with its interval beneath, unless that has no width.
pub(super) fn with_interval(text: String, interval: Option<[String; 2]>) -> String {
    match interval {
        Some([low, high]) if low != high => format!("{text}<small>{low} to {high}</small>"),
        _ => text,
    }
}
