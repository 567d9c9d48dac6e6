//! Figures for a person at a terminal: Markdown as aligned columns, no wider than 80 characters where its words allow that.

/// Columns of a terminal that was not widened.
const WIDTH: usize = 80;

/// Spaces between columns.
const GAP: usize = 2;

/// Columns that say what a table is of: said once above it where all rows agree.
const CONTEXT: [&str; 2] = ["data set, subset, normalizer", "threshold"];

/// A table in Markdown: which columns are of numbers, their names, rows.
struct Table {
    right: Vec<bool>,
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// Headings, paragraphs and tables of `markdown` without its marks.
pub(crate) fn plain(markdown: &str) -> String {
    let mut blocks: Vec<String> = Vec::new();
    let mut said = String::new();
    let mut lines = markdown.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with('|') {
            let mut table = vec![cells(line)];
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                table.push(cells(row));
            }
            let (caption, text) = aligned(table);
            if !said.starts_with(&caption) {
                blocks.push(wrapped(&caption, WIDTH).join("\n"));
                said = caption;
            }
            blocks.push(text);
        } else if let Some(first) = line.strip_prefix("- ") {
            let item = |item: &str| format!("- {}", wrapped(&unmarked(item), WIDTH - 2).join("\n  "));
            let mut list = vec![item(first)];
            while let Some(next) = lines.next_if(|line| line.starts_with("- ")) {
                list.push(item(&next[2..]));
            }
            blocks.push(list.join("\n"));
        } else if !line.trim().is_empty() {
            let text = line.trim_start_matches('#').trim_start();
            blocks.push(wrapped(&unmarked(text), WIDTH).join("\n"));
        }
    }
    blocks.join("\n\n") + "\n"
}

/// The cells of a row.
fn cells(line: &str) -> Vec<String> {
    // A bar that belongs to a cell is written with a backslash.
    let line = line.trim().trim_start_matches('|').replace("\\|", "\u{1}");
    let line = line.strip_suffix('|').unwrap_or(&line);
    line.split('|').map(|cell| unmarked(cell.trim()).replace('\u{1}', "|")).collect()
}

fn unmarked(text: &str) -> String {
    text.replace("**", "")
}

/// What all rows have in common, and the table without it.
fn aligned(mut lines: Vec<Vec<String>>) -> (String, String) {
    let names = if lines.is_empty() { Vec::new() } else { lines.remove(0) };
    let marks = if lines.is_empty() { Vec::new() } else { lines.remove(0) };
    let right = |i: usize| marks.get(i).is_some_and(|mark| mark.ends_with(':'));
    let cell = |row: &Vec<String>, i: usize| row.get(i).cloned().unwrap_or_default();
    let mut caption = Vec::new();
    let mut table = Table { right: Vec::new(), names: Vec::new(), rows: vec![Vec::new(); lines.len()] };
    for (i, name) in names.iter().enumerate() {
        let first = lines.first().map(|row| cell(row, i));
        if let Some(first) = first.filter(|first| {
            CONTEXT.contains(&name.as_str()) && lines.iter().all(|row| cell(row, i) == *first)
        }) {
            caption.push(format!("{name}: {first}"));
            continue;
        }
        table.right.push(right(i));
        table.names.push(name.clone());
        table.rows.iter_mut().zip(&lines).for_each(|(to, row)| to.push(cell(row, i)));
    }
    (caption.join("; "), table.text())
}

impl Table {
    /// The widths of its columns.
    fn widths(&self) -> Vec<usize> {
        let longest = |i: usize, of: &dyn Fn(&str) -> usize| {
            self.rows.iter().filter_map(|row| row.get(i)).map(|cell| of(cell)).max().unwrap_or(0)
        };
        let whole = |text: &str| text.chars().count();
        let word = |text: &str| text.split_whitespace().map(whole).max().unwrap_or(0);
        let columns = 0..self.names.len();
        let mut widths: Vec<usize> =
            columns.clone().map(|i| longest(i, &whole).max(whole(&self.names[i]))).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        // First the names of numbers are broken, then text; neither within a word.
        for numbers in [true, false] {
            for i in columns.clone().filter(|&i| self.right[i] == numbers) {
                let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(WIDTH);
                let cells = if numbers { longest(i, &whole) } else { longest(i, &word) };
                let least = cells.max(word(&self.names[i]));
                widths[i] = widths[i].saturating_sub(over).max(least);
            }
        }
        widths
    }

    fn text(&self) -> String {
        let widths = self.widths();
        let mut lines = Vec::new();
        for row in std::iter::once(&self.names).chain(&self.rows) {
            let cells: Vec<Vec<String>> =
                row.iter().zip(&widths).map(|(cell, &width)| wrapped(cell, width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            for line in 0..height {
                let mut text = String::new();
                for (i, &width) in widths.iter().enumerate() {
                    let cell = cells.get(i).and_then(|cell| cell.get(line)).map_or("", String::as_str);
                    let gap = if i == 0 { 0 } else { GAP };
                    text += &" ".repeat(gap);
                    text +=
                        &if self.right[i] { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                }
                lines.push(text.trim_end().to_string());
            }
        }
        lines.join("\n")
    }
}

/// Lines of whole words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_columns_and_what_all_rows_share_is_said_once() {
        let markdown = "## Title\n\n| data set, subset, normalizer | figure | NME % |\n|---|---|---:|\n| a \\| b | mean | 3.10 |\n| a \\| b | median, of all | 12.00 |\n\n\
                        - **note**: words\n- more\n";
        let expected = "Title\n\ndata set, subset, normalizer: a | b\n\nfigure          NME %\nmean             3.10\nmedian, of all  12.00\n\n- note: words\n- more\n";
        assert_eq!(plain(markdown), expected);
    }

    #[test]
    fn wide_tables_break_their_names_and_texts_between_words() {
        let names =
            "| crops of the detector | NME % of those found | missing | a | b | c | d | e | f | g | h | i |";
        let row = "| the annotated box, then the detector's, and so on for many words | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 |";
        let marks = format!("|---|{}", "---:|".repeat(11));
        let text = plain(&format!("{names}\n{marks}\n{row}\n"));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("detector's,") && text.contains("found"), "{text}");
    }
}
