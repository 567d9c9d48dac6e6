//! Stated boxes that another convention was written in: corners, or a centre and sides, where a corner and sides were read.

use super::Place;
use super::face::labelled;
use crate::{Error, FaceBox};

/// Share of a box's longer side by which the points' middle is off the box's, from which on a reading is doubted.
const OFF: f32 = 0.2;

/// Share of a box's longer side that points may lie outside of it under the reading that is right.
const MARGIN: f32 = 0.1;

/// A way to write a box as four numbers.
#[derive(Clone, Copy)]
enum Convention {
    /// x and y of the first corner, x and y of the other one.
    Corners,
    /// x and y of the middle, width and height.
    Centre,
}

impl Convention {
    fn name(self) -> &'static str {
        match self {
            Self::Corners => "two corners (x0, y0, x1, y1)",
            Self::Centre => "a centre and sides (x, y of the middle, width, height)",
        }
    }

    /// The box that the four numbers mean in this convention.
    fn read(self, FaceBox { x, y, width, height }: FaceBox) -> FaceBox {
        match self {
            Self::Corners => FaceBox { x, y, width: width - x, height: height - y },
            Self::Centre => FaceBox { x: x - width / 2.0, y: y - height / 2.0, width, height },
        }
    }
}

/// Counts the boxes that fit another convention better.
#[derive(Default)]
pub(super) struct Boxes {
    stated: usize,
    /// By convention: how many, and the problem of the first of them.
    fitting: [(usize, Option<Error>); 2],
}

impl Boxes {
    pub(super) fn add(&mut self, place: &Place) {
        let Some(stated) = place.face.stated else { return };
        let Some(points) = Bounds::of(&labelled(place.face)) else { return };
        self.stated += 1;
        for (convention, (count, first)) in
            [Convention::Corners, Convention::Centre].into_iter().zip(&mut self.fitting)
        {
            let other = convention.read(stated);
            if points.off(stated) > OFF && points.is_in(other) && points.off(other) < OFF {
                *count += 1;
                let got = format!("{}, {}, {}, {}", stated.x, stated.y, stated.width, stated.height);
                first.get_or_insert_with(|| {
                    place.problem("box", "x, y, width, height", format!("{}: {got}", convention.name()))
                });
            }
        }
    }

    /// The problem, where most boxes have it: of a few it is chance.
    pub(super) fn problem(self) -> Option<Error> {
        let stated = self.stated;
        let most = |(count, _): &(usize, Option<Error>)| 2 * count > stated;
        let (count, problem) = self.fitting.into_iter().find(most)?;
        Some(super::and_more(problem?, count, "boxes"))
    }
}

/// The smallest box about points.
struct Bounds {
    low: [f32; 2],
    high: [f32; 2],
}

impl Bounds {
    /// `None` where they have no extent, which says nothing about boxes.
    fn of(points: &[[f32; 2]]) -> Option<Self> {
        let fold = |of: fn(f32, f32) -> f32, from: f32| {
            [0, 1].map(|axis| points.iter().map(|point| point[axis]).fold(from, of))
        };
        let (low, high) = (fold(f32::min, f32::INFINITY), fold(f32::max, f32::NEG_INFINITY));
        (low[0] < high[0] || low[1] < high[1]).then_some(Self { low, high })
    }

    /// How far the middle is from a box's, in its longer sides.
    fn off(&self, face: FaceBox) -> f32 {
        let [x, y] = face.centre();
        let [u, v] = [0, 1].map(|axis| (self.low[axis] + self.high[axis]) / 2.0);
        (u - x).abs().max((v - y).abs()) / face.side()
    }

    fn is_in(&self, face: FaceBox) -> bool {
        let (margin, area) = (MARGIN * face.side(), face.width > 0.0 && face.height > 0.0);
        let inside = |low: f32, high: f32, start: f32, side: f32| {
            low >= start - margin && high <= start + side + margin
        };
        area && inside(self.low[0], self.high[0], face.x, face.width)
            && inside(self.low[1], self.high[1], face.y, face.height)
    }
}
