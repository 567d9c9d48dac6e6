//! What is wrong with one face in its image.

use super::Place;
use crate::sample::is_labelled;
use crate::scheme::DefaultNormalizer;
use crate::{Annotation, Error, FaceBox, Scheme};

/// Share of a face's side by which a point may lie outside its image: annotators place points beyond the border too.
const SLACK: f32 = 0.5;

/// Share of a stated box's longer side that points may lie outside of it.
const REACH: f32 = 0.5;

/// Largest coordinate of points that are shares of the image's sides.
const SHARES: f32 = 1.0;

/// Smaller side of an image in pixels, from which on points that all are within [`SHARES`] are no pixels.
const LARGE: u32 = 4;

/// Whether a point lies outside an image by more than `slack` pixels; one that is not labelled does not.
fn beyond([x, y]: [f32; 2], [width, height]: [u32; 2], slack: f32) -> bool {
    let out = |v: f32, side: u32| v < -0.5 - slack || v > side as f32 - 0.5 + slack;
    out(x, width) || out(y, height)
}

/// Whether some point lies outside the image, however little.
pub(super) fn is_outside(face: &Annotation, size: [u32; 2]) -> bool {
    face.points.iter().any(|&point| beyond(point, size, 0.0))
}

/// Points that are labelled.
pub(super) fn labelled(face: &Annotation) -> Vec<[f32; 2]> {
    face.points.iter().copied().filter(is_labelled).collect()
}

/// What is wrong with the points of a face in an image of `size`; one thing, the one that explains the others.
pub(super) fn problem(place: &Place, scheme: &Scheme, size: [u32; 2]) -> Option<Error> {
    points(place, scheme, size).or_else(|| {
        let slack = SLACK * place.face.face.side();
        let far = place.face.points.iter().find(|&&point| beyond(point, size, slack));
        let [width, height] = size;
        let expected = format!("points in the image of {width}x{height} pixels");
        far.map(|[x, y]| place.problem("landmarks", expected, format!("({x}, {y})")))
    })
}

fn points(place: &Place, scheme: &Scheme, [width, height]: [u32; 2]) -> Option<Error> {
    let labelled = labelled(place.face);
    let Some((first, others)) = labelled.split_first() else {
        return Some(place.problem("landmarks", "labelled points", "none".into()));
    };
    if others.is_empty() && scheme.keypoints > 1 {
        let expected = "two labelled points or more, since errors are divided by a length between points";
        return Some(place.problem("landmarks", expected, "one".into()));
    }
    let [x, y] = first;
    if !others.is_empty() && others.iter().all(|point| point == first) {
        let got = format!("all {} at ({x}, {y})", labelled.len());
        return Some(place.problem("landmarks", "points apart from each other", got));
    }
    if are_shares(&labelled) && width.min(height) > LARGE {
        let expected = format!("pixels of the image of {width}x{height}");
        let got = format!("normalised coordinates: none is beyond {SHARES}, the first point is ({x}, {y})");
        return Some(place.problem("landmarks", expected, got));
    }
    no_length(place, scheme)
}

/// Whether all coordinates are within those of normalised ones.
fn are_shares(points: &[[f32; 2]]) -> bool {
    points.iter().flatten().all(|v| v.abs() <= SHARES)
}

/// The length that the scheme divides errors by, where it is 0.
fn no_length(place: &Place, scheme: &Scheme) -> Option<Error> {
    let (name, groups) = match scheme.normalizer {
        DefaultNormalizer::InterOcular => ("inter-ocular", scheme.inter_ocular.as_ref()?),
        DefaultNormalizer::InterPupil => ("inter-pupil", scheme.inter_pupil.as_ref()?),
        DefaultNormalizer::BoxDiagonal | DefaultNormalizer::StatedBoxDiagonal => return None,
    };
    let [a, b] = groups.each_ref().map(|group| mean(group, &place.face.points));
    let same = is_labelled(&a) && a == b;
    let expected = format!("an {name} length, which errors are divided by");
    same.then(|| place.problem("normalizer", expected, format!("0: both ends at ({}, {})", a[0], a[1])))
}

fn mean(group: &[usize], points: &[[f32; 2]]) -> [f32; 2] {
    let of = |axis: usize| -> f32 {
        let values = group.iter().map(|&k| points.get(k).map_or(f32::NAN, |point| point[axis]));
        values.sum::<f32>() / group.len() as f32
    };
    [of(0), of(1)]
}

/// A stated box that no labelled point is near to; of points in other units that says nothing.
pub(super) fn far_box(place: &Place) -> Option<Error> {
    let (stated, points) = (place.face.stated?, labelled(place.face));
    let FaceBox { x, y, width, height } = stated;
    let reach = REACH * stated.side();
    let near = |&[u, v]: &[f32; 2]| {
        (x - reach..=x + width + reach).contains(&u) && (y - reach..=y + height + reach).contains(&v)
    };
    let &[u, v] = points.first().filter(|_| !are_shares(&points) && !points.iter().any(near))?;
    let got = format!("x {x}, y {y}, width {width}, height {height}, the first point at ({u}, {v})");
    Some(place.problem("box", "a box about its points", got))
}
