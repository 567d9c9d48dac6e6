//! A table of numbers as coloured cells with the numbers in them.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Size;
use super::colour::{of_share, on_share};
use crate::{Error, Result};

/// Cells coloured by value with the value in them; a grey one with a dash for `None`. Rows run downwards.
pub(crate) fn heat_svg(
    labels: [&str; 2],
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
    let mut text = String::new();
    let table = Table { columns, rows, cells, range, size };
    table.draw(&mut text, labels).map_err(|reason| Error::Plot { title: labels.join(", "), reason })?;
    Ok(text)
}

struct Table<'a> {
    columns: &'a [String],
    rows: &'a [String],
    cells: &'a [Vec<Option<f64>>],
    range: (f64, f64),
    size: Size,
}

impl Table<'_> {
    fn draw(&self, svg: &mut String, [x_label, y_label]: [&str; 2]) -> std::result::Result<(), String> {
        let root = SVGBackend::with_string(svg, self.size.pixels).into_drawing_area();
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        let (width, height) = (self.size.pixels.0 as i32, self.size.pixels.1 as i32);
        let letter = self.size.text as i32;
        let font = |size: u32| ("sans-serif", size).into_font();
        let centred = Pos::new(HPos::Center, VPos::Center);
        // Names of the axes stand above the table, the first one's over its columns.
        let (left, top) = (5 * letter, 4 * letter);
        let (right, bottom) = (width - letter, height - letter);
        let x = |column: usize| left + (right - left) * column as i32 / self.columns.len().max(1) as i32;
        let y = |row: usize| top + (bottom - top) * row as i32 / self.rows.len().max(1) as i32;
        let write = |text: &str, at: (i32, i32), colour: RGBColor, pos: Pos, size: u32| {
            let style = TextStyle::from(font(size)).color(&colour).pos(pos);
            root.draw_text(text, &style, at).map_err(|e| e.to_string())
        };
        let (plain, small) = (self.size.text, self.size.text - 2);
        write(x_label, ((left + right) / 2, letter), BLACK, centred, plain)?;
        write(y_label, (letter / 2, letter * 5 / 2), BLACK, Pos::new(HPos::Left, VPos::Center), plain)?;
        for (c, name) in self.columns.iter().enumerate() {
            write(name, ((x(c) + x(c + 1)) / 2, top - letter), BLACK, centred, small)?;
        }
        for (r, name) in self.rows.iter().enumerate() {
            let at = (left - letter / 2, (y(r) + y(r + 1)) / 2);
            write(name, at, BLACK, Pos::new(HPos::Right, VPos::Center), small)?;
        }
        for (r, row) in self.cells.iter().enumerate() {
            for (c, cell) in row.iter().enumerate() {
                let corners = [(x(c) + 1, y(r) + 1), (x(c + 1) - 1, y(r + 1) - 1)];
                let (colour, ink, text) = self.cell(*cell);
                root.draw(&Rectangle::new(corners, colour.filled())).map_err(|e| e.to_string())?;
                let middle = ((x(c) + x(c + 1)) / 2, (y(r) + y(r + 1)) / 2);
                let style = TextStyle::from(font(plain)).color(&ink).pos(centred);
                root.draw_text(&text, &style, middle).map_err(|e| e.to_string())?;
            }
        }
        root.present().map_err(|e| e.to_string())
    }

    /// Colour, colour of the letters, letters.
    fn cell(&self, value: Option<f64>) -> (RGBColor, RGBColor, String) {
        let (low, high) = self.range;
        match value {
            Some(value) => {
                let share = if high > low { (value - low) / (high - low) } else { 0.0 };
                (of_share(share), on_share(share), format!("{value:.2}"))
            }
            None => (RGBColor(120, 120, 120), RGBColor(250, 250, 250), "-".to_owned()),
        }
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
