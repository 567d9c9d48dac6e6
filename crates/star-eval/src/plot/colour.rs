//! Colours of lines, of groups, of better and worse, and colours that stand for numbers.

/// A colour on light ground, on dark ground, and its name on a page.
pub(crate) struct Colour {
    pub(crate) light: &'static str,
    pub(crate) dark: &'static str,
    pub(crate) name: &'static str,
}

const fn colour(light: &'static str, dark: &'static str, name: &'static str) -> Colour {
    Colour { light, dark, name }
}

/// Colours of lines that stay apart in print and for colour-blind readers (Okabe and Ito's set, without yellow).
const LINES: [Colour; 6] = [
    colour("#0072B2", "#62b5f0", "var(--c1)"),
    colour("#C65200", "#ff9a5c", "var(--c2)"),
    colour("#00805D", "#3fcf9f", "var(--c3)"),
    colour("#A8508A", "#e5a3cd", "var(--c4)"),
    colour("#3B8FC4", "#a5d8f7", "var(--c5)"),
    colour("#A86F00", "#f2c14e", "var(--c6)"),
];

/// Colours of groups: on dark ground those of drawn faces, whose parts come in this order (outline, brows, nose, eyes, mouth).
const GROUPS: [Colour; 6] = [
    colour("#1286B0", "#40c4ff", "var(--g1)"),
    colour("#9A7500", "#ffc800", "var(--g2)"),
    colour("#1D8A42", "#3ce66e", "var(--g3)"),
    colour("#7F46C8", "#c478ff", "var(--g4)"),
    colour("#C21E8C", "#ff62cb", "var(--g5)"),
    colour("#6B7280", "#c9ced6", "var(--g6)"),
];

/// Less error than the other run.
pub(super) const BETTER: &str = LINES[0].light;
/// More error.
pub(super) const WORSE: &str = LINES[1].light;

/// Every colour that a page and a dark ground have a word of their own for.
pub(crate) fn themed() -> impl Iterator<Item = &'static Colour> {
    LINES.iter().chain(&GROUPS)
}

/// The colour of the `i`-th line, ink after all others.
pub(crate) fn of_line(i: usize) -> &'static str {
    match i % (LINES.len() + 1) {
        i if i < LINES.len() => LINES[i].light,
        _ => super::svg::INK,
    }
}

/// The colour of the `i`-th run of a comparison: the first, which the others are held against, in ink; none in the colours of better and
/// worse while there are others.
pub(crate) fn of_run(i: usize) -> &'static str {
    const ORDER: [usize; 7] = [6, 2, 3, 5, 4, 0, 1];
    of_line(ORDER[i % ORDER.len()])
}

/// The colour of the `i`-th group; what is in none has the last.
pub(super) fn of_group(group: Option<usize>) -> &'static str {
    GROUPS[group.map_or(GROUPS.len() - 1, |i| i % GROUPS.len())].light
}

/// What a page calls the colour of the `i`-th group.
pub(crate) fn group_name(i: usize) -> &'static str {
    GROUPS[i % GROUPS.len()].name
}

/// What a style sheet says of them on dark ground.
pub(super) fn dark_rules() -> String {
    let rule =
        |c: &Colour| format!("[fill=\"{0}\"]{{fill:{1}}}[stroke=\"{0}\"]{{stroke:{1}}}", c.light, c.dark);
    themed().map(rule).collect()
}

/// Seven colours of viridis, which grows evenly in lightness: 0, 1/6 ... 1.
const VIRIDIS: [[u8; 3]; 7] = [
    [68, 1, 84],
    [68, 57, 131],
    [49, 104, 142],
    [33, 145, 140],
    [53, 183, 121],
    [144, 215, 67],
    [253, 231, 37],
];

/// The colour of a share in `[0, 1]`.
pub(super) fn of_share(share: f64) -> String {
    let steps = VIRIDIS.len() - 1;
    let position = share.clamp(0.0, 1.0) * steps as f64;
    let low = (position.floor() as usize).min(steps - 1);
    let part = position - low as f64;
    let mix = |c: usize| {
        let (a, b) = (f64::from(VIRIDIS[low][c]), f64::from(VIRIDIS[low + 1][c]));
        (a + part * (b - a)).round() as u8
    };
    format!("#{:02X}{:02X}{:02X}", mix(0), mix(1), mix(2))
}

/// Letters on that colour.
pub(super) fn on_share(share: f64) -> &'static str {
    if share > 0.435 { "#000000" } else { "#FFFFFF" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_run_from_the_first_colour_to_the_last() {
        assert_eq!((of_share(-1.0), of_share(2.0)), ("#440154".to_owned(), "#FDE725".to_owned()));
        assert_eq!(of_share(0.5), "#21918C");
    }

    /// The relative luminance of WCAG 2.
    fn luminance(colour: &str) -> f64 {
        let part = |i: usize| f64::from(u8::from_str_radix(&colour[i..i + 2], 16).unwrap()) / 255.0;
        let linear = |v: f64| if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) };
        0.2126 * linear(part(1)) + 0.7152 * linear(part(3)) + 0.0722 * linear(part(5))
    }

    #[test]
    fn letters_on_a_share_are_read() {
        for step in 0..=100 {
            let share = f64::from(step) / 100.0;
            let mut pair = [luminance(&of_share(share)), luminance(on_share(share))];
            pair.sort_by(f64::total_cmp);
            let contrast = (pair[1] + 0.05) / (pair[0] + 0.05);
            assert!(contrast >= 4.5, "{share}: {contrast}");
        }
    }

    #[test]
    fn every_colour_is_seen_on_its_ground() {
        // WCAG 2 asks for 3 to 1 of what is no text.
        for colour in themed() {
            let light = 1.05 / (luminance(colour.light) + 0.05);
            let dark = (luminance(colour.dark) + 0.05) / (luminance("#1a1d23") + 0.05);
            assert!(light >= 3.0 && dark >= 3.0, "{}: {light} {dark}", colour.name);
        }
    }
}
