//! What is wrong with a data set as a whole: its scheme, and units that no single face gives away.

use std::path::Path;

use super::{Looked, Place};
use crate::scheme::{Flips, Sides, sides};
use crate::{Error, Scheme};

/// Largest coordinate of points that are per cent of the image's sides.
const PER_CENT: f32 = 100.0;

/// Fewest faces, and smallest image side in pixels, from which on points all below [`PER_CENT`] are no chance.
const ENOUGH: (usize, u32) = (5, 200);

/// Left and right in the names that `flip_pairs` does not follow.
pub(super) fn names(scheme: &Scheme, file: &Path) -> Option<Error> {
    let problem =
        |expected: String, got: String| Some(Error::content(file, "scheme: flip_pairs", expected, got));
    match (sides(&scheme.names), scheme.flip_pairs.as_deref()) {
        (Sides::Lone(k), None) => problem(
            format!("the pairs that swap under a mirror, or both sides in `names` of `{}`", scheme.name),
            format!("`{}` without its other side", scheme.names[k]),
        ),
        // An empty list says that nothing swaps.
        (Sides::Pairs(named), Some(given @ [_, ..])) => {
            let left_out = |&[a, b]: &[usize; 2]| !given.contains(&[a, b]) && !given.contains(&[b, a]);
            let [a, b] = *named.iter().find(|pair| left_out(pair))?;
            let expected =
                format!("`{}` and `{}` to swap, as their names say", scheme.names[a], scheme.names[b]);
            problem(expected, format!("no pair [{a}, {b}]"))
        }
        _ => None,
    }
}

/// What training will ask of the scheme, and what a person may not have meant.
pub(super) fn notes(scheme: &Scheme) -> Vec<String> {
    let mut notes = Vec::new();
    if let (Flips::Unknown { got }, Sides::None) = (scheme.flips(), sides(&scheme.names)) {
        notes.push(format!(
            "scheme `{}` does not say what swaps under a mirror ({got}): training needs `flip_pairs` (`[]` where nothing swaps) or a \
             flip probability of 0",
            scheme.name
        ));
    }
    if let (Some([]), Sides::Pairs(_)) = (scheme.flip_pairs.as_deref(), sides(&scheme.names)) {
        let text = "`flip_pairs = []` says that nothing swaps under a mirror, its names say left and right";
        notes.push(format!("scheme `{}`: {text}", scheme.name));
    }
    notes
}

/// Points in the very corner of their image.
#[derive(Default)]
pub(super) struct Corners {
    count: usize,
    first: Option<String>,
}

impl Corners {
    pub(super) fn add(&mut self, place: &Place) {
        let seen = |k: usize| {
            let visibility = place.face.visibility.as_ref();
            visibility.is_none_or(|visible| visible.get(k).copied().unwrap_or(true))
        };
        let points = place.face.points.iter().enumerate();
        let count = points.filter(|(k, point)| **point == [0.0, 0.0] && seen(*k)).count();
        if count > 0 {
            self.count += count;
            self.first.get_or_insert_with(|| place.name());
        }
    }

    pub(super) fn note(&self) -> Option<String> {
        self.first.as_ref().map(|first| {
            format!(
                "{} points at exactly (0, 0) labelled visible, the first {first}: many tools write that for points that are not labelled, \
                 which have a v of 0 or no coordinates here",
                self.count
            )
        })
    }
}

/// Extremes of coordinates and images.
pub(super) struct Units {
    faces: usize,
    lowest: f32,
    largest: f32,
    side: u32,
}

impl Default for Units {
    fn default() -> Self {
        Self { faces: 0, lowest: f32::INFINITY, largest: f32::NEG_INFINITY, side: u32::MAX }
    }
}

impl Units {
    pub(super) fn add(&mut self, looked: &Looked) {
        let Some(size) = looked.size else { return };
        self.faces += looked.faces;
        self.lowest = self.lowest.min(looked.range[0]);
        self.largest = self.largest.max(looked.range[1]);
        self.side = self.side.min(size[0]).min(size[1]);
    }

    pub(super) fn note(&self) -> Option<String> {
        let shares = self.lowest >= 0.0 && (2.0..=PER_CENT).contains(&self.largest);
        let enough = self.faces >= ENOUGH.0 && self.side >= ENOUGH.1;
        (shares && enough).then(|| {
            format!(
                "no coordinate is beyond {PER_CENT} and no image smaller than {} pixels: are they per cent?",
                self.side
            )
        })
    }
}
