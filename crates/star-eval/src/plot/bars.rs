//! Bars: one a value, plain, by group of keypoints, or upwards and downwards.

use super::Size;
use super::axis::Axis;
use super::colour::{BETTER, WORSE, of_group, of_line};
use super::frame::{Frame, Key};
use super::svg::{INK, Look};
use crate::report::GroupError;
use crate::{Error, Result};

/// What is known of keypoints beside their numbers.
#[derive(Clone, Copy)]
pub(crate) struct Keypoints<'a> {
    /// Name of each; may be empty.
    pub(crate) names: &'a [String],
    /// Groups of them; may be empty.
    pub(crate) groups: &'a [GroupError],
}

impl Keypoints<'_> {
    /// Number, name and group of a keypoint, as far as there are any.
    pub(crate) fn title(&self, k: usize) -> String {
        let name = self.names.get(k).filter(|name| !name.is_empty());
        let group = self.group(k).map(|group| self.groups[group].name.as_str());
        match (name, group) {
            (Some(name), Some(group)) => format!("{k}, {name} ({group})"),
            (Some(what), None) => format!("{k}, {what}"),
            (None, Some(what)) => format!("{k}, {what}"),
            (None, None) => k.to_string(),
        }
    }

    /// The first group that a keypoint is in.
    fn group(&self, k: usize) -> Option<usize> {
        self.groups.iter().position(|group| group.keypoints.contains(&k))
    }
}

/// One bar per value, at 0, 1, 2 ..., as an SVG document; values that are not finite leave a gap.
///
/// # Errors
/// [`Error::Empty`] where no value is finite.
pub fn bars_svg(title: &str, x_label: &str, y_label: &str, values: &[f64]) -> Result<String> {
    bars_sized([title, x_label, y_label], values, Size::PRINT)
}

pub(crate) fn bars_sized(labels: [&str; 3], values: &[f64], size: Size) -> Result<String> {
    draw(labels, values, size, Vec::new(), |_, _| of_line(0), |k| k.to_string())
}

/// The same of keypoints, in the colours of their groups.
pub(crate) fn keypoint_bars(
    [x_label, y_label]: [&str; 2],
    values: &[f64],
    keypoints: Keypoints<'_>,
    size: Size,
) -> Result<String> {
    let colour = |k: usize, _: f64| match keypoints.groups.is_empty() {
        true => of_line(0),
        false => of_group(keypoints.group(k)),
    };
    let seen = |group: &usize| (0..values.len()).any(|k| keypoints.group(k) == Some(*group));
    let keys = (0..keypoints.groups.len()).filter(seen);
    let keys = keys.map(|group| Key::dot(of_group(Some(group)), &keypoints.groups[group].name)).collect();
    draw(["", x_label, y_label], values, size, keys, colour, |k| keypoints.title(k))
}

/// Changes of keypoints' errors: bars downwards are better and upwards worse, each in its colour.
pub(crate) fn change_bars(
    [x_label, y_label]: [&str; 2],
    values: &[f64],
    keypoints: Keypoints<'_>,
    size: Size,
) -> Result<String> {
    let keys = vec![Key::dot(BETTER, "better"), Key::dot(WORSE, "worse")];
    let colour = |_: usize, value: f64| if value > 0.0 { WORSE } else { BETTER };
    draw(["", x_label, y_label], values, size, keys, colour, |k| keypoints.title(k))
}

fn draw(
    [title, x_label, y_label]: [&str; 3],
    values: &[f64],
    size: Size,
    keys: Vec<Key<'_>>,
    colour: impl Fn(usize, f64) -> &'static str,
    name: impl Fn(usize) -> String,
) -> Result<String> {
    let finite = || values.iter().copied().filter(|v| v.is_finite());
    if finite().next().is_none() {
        return Err(Error::Empty { what: "list of bars", hint: "give at least one finite value" });
    }
    let (low, high) = finite().fold((0.0f64, 0.0f64), |(low, high), v| (low.min(v), high.max(v)));
    let room = 0.05 * (high - low);
    let end = |v: f64| if v == 0.0 { 0.0 } else { v + room.copysign(v) };
    let y = if high > low { Axis::new(end(low), end(high)) } else { Axis::new(0.0, 1.0) };
    let x = Axis::new(-0.6, values.len() as f64 - 0.4).whole();
    let frame = Frame { size, title, x_label, y_label, x, y, keys, marks: Vec::new() };
    Ok(frame.draw(|chart| {
        for (k, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let centre = k as f64;
            let corners = [chart.at(centre - 0.4, 0.0), chart.at(centre + 0.4, value)];
            let title = format!("{}: {value:.3}", name(k));
            chart.svg.rect(corners, Look::filled(colour(k, value)), &title);
        }
        if low < 0.0 {
            let ends = [chart.at(-0.6, 0.0), chart.at(values.len() as f64 - 0.4, 0.0)];
            chart.svg.polyline(ends, Look::line(INK, 1.0).faint(0.6), "");
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<GroupError> {
        let group =
            |name: &str, keypoints| GroupError { name: name.into(), keypoints, nme_mean_fraction: None };
        vec![group("line", vec![0, 1]), group("top", vec![2])]
    }

    fn rects(svg: &str) -> Vec<(String, String)> {
        let document = roxmltree::Document::parse(svg).unwrap();
        let rects = document.descendants().filter(|n| n.has_tag_name("rect"));
        let title =
            |n: roxmltree::Node<'_, '_>| n.first_element_child().and_then(|t| t.text()).unwrap().to_owned();
        rects.map(|n| (n.attribute("fill").unwrap().to_owned(), title(n))).collect()
    }

    #[test]
    fn keypoints_have_their_names_and_the_colours_of_their_groups() {
        let (groups, names) = (groups(), ["left", "right", "up", ""].map(str::to_owned));
        let keypoints = Keypoints { names: &names, groups: &groups };
        let svg =
            keypoint_bars(["keypoint", "error"], &[1.0, 2.0, f64::NAN, 4.0], keypoints, Size::WIDE).unwrap();
        let bars = rects(&svg);
        assert_eq!(bars.len(), 3);
        assert_eq!(bars[1].1, "1, right (line): 2.000");
        assert_eq!(bars[2].1, "3: 4.000");
        assert_eq!(bars[0].0, bars[1].0);
        assert_ne!(bars[0].0, bars[2].0);
    }

    #[test]
    fn less_error_is_blue_and_more_is_orange() {
        let keypoints = Keypoints { names: &[], groups: &[] };
        let svg = change_bars(["keypoint", "points"], &[-1.0, 0.5], keypoints, Size::NARROW).unwrap();
        let bars = rects(&svg);
        assert_eq!([bars[0].0.as_str(), bars[1].0.as_str()], [BETTER, WORSE]);
    }
}
