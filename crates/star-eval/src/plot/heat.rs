//! A table of numbers as coloured cells with the numbers in them.

use super::Size;
use super::colour::{of_share, on_share};
use super::svg::{Anchor, INK, Look, Svg};
use crate::{Error, Result};

/// Cells coloured by value with the value in them; a grey one with a dash for `None`. Rows run downwards.
pub(crate) fn heat_svg(
    [x_label, y_label]: [&str; 2],
    columns: &[String],
    rows: &[String],
    cells: &[Vec<Option<f64>>],
    size: Size,
) -> Result<String> {
    let finite = || cells.iter().flatten().flatten().copied().filter(|v| v.is_finite());
    let range = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    if range.0 > range.1 {
        return Err(Error::Empty { what: "heat plot", hint: "give at least one finite cell" });
    }
    let mut svg = Svg::new(size);
    let (width, height) = (f64::from(size.pixels.0), f64::from(size.pixels.1));
    let (letter, small) = (f64::from(size.text), size.text - 2);
    let ink = Look::filled(INK);
    // Names of the axes stand above the table, the first one's over its columns.
    let (left, top) = (3.5 * letter, 3.6 * letter);
    let x = |column: usize| left + (width - 1.0 - left) * column as f64 / columns.len().max(1) as f64;
    let y = |row: usize| top + (height - 1.0 - top) * row as f64 / rows.len().max(1) as f64;
    // Letters stand on their place, so that a third of them below the middle is in the middle.
    let drop = 0.35 * letter;
    svg.write(x_label, [(left + width) / 2.0, 1.1 * letter], small, Anchor::Middle, ink.faint(0.8));
    svg.write(y_label, [0.2 * letter, 2.9 * letter], small, Anchor::Start, ink.faint(0.8));
    for (c, name) in columns.iter().enumerate() {
        svg.write(name, [(x(c) + x(c + 1)) / 2.0, 2.9 * letter], small, Anchor::Middle, ink);
    }
    for (r, name) in rows.iter().enumerate() {
        let at = [left - 0.5 * letter, (y(r) + y(r + 1)) / 2.0 + drop];
        svg.write(name, at, small, Anchor::End, ink);
    }
    for (r, row) in cells.iter().enumerate() {
        for (c, cell) in row.iter().enumerate() {
            let (colour, letters, text) = shown(*cell, range);
            let corners = [[x(c) + 1.0, y(r) + 1.0], [x(c + 1) - 1.0, y(r + 1) - 1.0]];
            svg.rect(corners, Look::filled(&colour), "");
            let middle = [(x(c) + x(c + 1)) / 2.0, (y(r) + y(r + 1)) / 2.0 + drop];
            svg.write(&text, middle, size.text, Anchor::Middle, Look::filled(letters));
        }
    }
    Ok(svg.finish())
}

/// Colour, colour of the letters, letters.
fn shown(value: Option<f64>, (low, high): (f64, f64)) -> (String, &'static str, String) {
    match value {
        Some(value) => {
            let share = if high > low { (value - low) / (high - low) } else { 0.0 };
            (of_share(share), on_share(share), format!("{value:.2}"))
        }
        None => ("#6B6B6B".to_owned(), "#FFFFFF", "-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_has_its_number_and_an_absent_one_a_dash() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let cells = [vec![Some(1.5), Some(2.5)], vec![None, Some(3.25)]];
        let svg = heat_svg(["x", "y"], &names(2), &names(2), &cells, Size::WIDE).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|n| n.text()).map(str::trim).collect();
        for wanted in ["1.50", "2.50", "3.25", "-"] {
            assert!(texts.contains(&wanted), "{wanted} is not in {texts:?}");
        }
        assert!(heat_svg(["x", "y"], &names(1), &names(1), &[vec![None]], Size::WIDE).is_err());
    }
}
