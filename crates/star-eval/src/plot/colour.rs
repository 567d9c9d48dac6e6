//! Colours of lines, and colours that stand for numbers.

use plotters::style::RGBColor;

/// Line colours that stay apart in print and for colour-blind readers (Okabe and Ito's set, without yellow).
pub(super) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];

/// Seven colours of viridis, which grows evenly in lightness: 0, 1/6 ... 1.
const VIRIDIS: [RGBColor; 7] = [
    RGBColor(68, 1, 84),
    RGBColor(68, 57, 131),
    RGBColor(49, 104, 142),
    RGBColor(33, 145, 140),
    RGBColor(53, 183, 121),
    RGBColor(144, 215, 67),
    RGBColor(253, 231, 37),
];

/// The colour of a share in `[0, 1]`.
pub(super) fn of_share(share: f64) -> RGBColor {
    let steps = VIRIDIS.len() - 1;
    let position = share.clamp(0.0, 1.0) * steps as f64;
    let low = (position.floor() as usize).min(steps - 1);
    let part = position - low as f64;
    let (a, b) = (VIRIDIS[low], VIRIDIS[low + 1]);
    let mix = |a: u8, b: u8| (f64::from(a) + part * (f64::from(b) - f64::from(a))).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Letters on that colour. Neither is pure, so that no theme takes them for ink or paper.
pub(super) fn on_share(share: f64) -> RGBColor {
    if share > 0.55 { RGBColor(17, 17, 17) } else { RGBColor(250, 250, 250) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_run_from_the_first_colour_to_the_last() {
        assert_eq!((of_share(-1.0), of_share(2.0)), (VIRIDIS[0], VIRIDIS[6]));
        assert_eq!(of_share(0.5), VIRIDIS[3]);
    }
}
