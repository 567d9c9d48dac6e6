//! The lengths that errors are divided by.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::{Case, Error, Result};

/// A length taken from the true keypoints of one image; errors are reported as fractions of it.
///
/// A normalizer is index lists and knows no face: with 98-point WFLW markup the inter-ocular distance is
/// `Between(vec![60], vec![72])` and the inter-pupil distance `Between(vec![96], vec![97])`; with 68-point iBUG markup they are
/// `Between(vec![36], vec![45])` and `Between((36..42).collect(), (42..48).collect())`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalizer {
    /// Distance between the mean of the first group of keypoints and the mean of the second.
    Between(Vec<usize>, Vec<usize>),
    /// Diagonal `sqrt(w^2 + h^2)` of the tight box around the listed keypoints; an empty list means all keypoints.
    BoxDiagonal(Vec<usize>),
    /// Geometric mean `sqrt(w h)` of the sides of the tight box around the listed keypoints; an empty list means all keypoints.
    BoxGeometricMean(Vec<usize>),
    /// Head size as MPII defines it for PCKh: 0.6 times the diagonal of the tight box around the listed keypoints; an empty list means
    /// all keypoints.
    HeadSize(Vec<usize>),
    /// Diagonal of the box that the annotations state; of a [`Case`] alone, since points do not hold it. For one keypoint, which spans no
    /// box.
    StatedBoxDiagonal,
}

/// MPII's head size in units of the head box's diagonal.
const HEAD_SHARE: f64 = 0.6;

/// The diagonal of the box around all keypoints: the one normalizer that fits every scheme.
impl Default for Normalizer {
    fn default() -> Self {
        Self::BoxDiagonal(Vec::new())
    }
}

impl Normalizer {
    /// Length on `truth`, `(x, y)` per keypoint, in the units of `truth` (pixels, usually); positive and finite.
    ///
    /// # Errors
    /// [`Error::Index`] or [`Error::Empty`] for index lists that do not fit the truth, [`Error::Truth`] where a keypoint that the
    /// normalizer reads is not finite, [`Error::Degenerate`] where the length is zero.
    pub fn length(&self, truth: &[[f32; 2]]) -> Result<f64> {
        self.length_weighted(truth, None)
    }

    /// Length on the truth of `case`, without its keypoints of weight 0.
    ///
    /// # Errors
    /// As [`Normalizer::length_weighted`]; [`Error::Empty`] where a stated box is needed and there is none.
    pub fn length_of(&self, case: &Case) -> Result<f64> {
        match (self, case.stated_sides) {
            (Self::StatedBoxDiagonal, Some([width, height])) => {
                self.positive(f64::from(width).hypot(f64::from(height)))
            }
            _ => self.length_weighted(&case.truth, case.weights.as_deref()),
        }
    }

    /// As [`Normalizer::length`], with keypoints of weight 0 left out: of boxes, and of the groups whose means are measured between.
    ///
    /// # Errors
    /// As [`Normalizer::length`]; [`Error::Empty`] where nothing of a group or box has weight.
    pub fn length_weighted(&self, truth: &[[f32; 2]], weights: Option<&[f32]>) -> Result<f64> {
        let length = match self {
            Self::Between(first, second) => {
                let a = self.mean(first, truth, weights)?;
                let b = self.mean(second, truth, weights)?;
                (a[0] - b[0]).hypot(a[1] - b[1])
            }
            Self::BoxDiagonal(points) => {
                let [width, height] = self.sides(points, truth, weights)?;
                width.hypot(height)
            }
            Self::BoxGeometricMean(points) => {
                let [width, height] = self.sides(points, truth, weights)?;
                (width * height).sqrt()
            }
            Self::HeadSize(points) => {
                let [width, height] = self.sides(points, truth, weights)?;
                HEAD_SHARE * width.hypot(height)
            }
            Self::StatedBoxDiagonal => {
                return Err(Error::Empty {
                    what: "stated box",
                    hint: "the normalizer is its diagonal; use another, or annotations with boxes",
                });
            }
        };
        self.positive(length)
    }

    fn positive(&self, length: f64) -> Result<f64> {
        if length > 0.0 && length.is_finite() {
            Ok(length)
        } else {
            Err(Error::Degenerate { normalizer: self.name(), length })
        }
    }

    /// What is measured, in words that need no knowledge of the scheme: `distance 60 to 72`, `box diagonal`.
    pub fn name(&self) -> String {
        match self {
            Self::Between(first, second) => format!("distance {} to {}", end(first), end(second)),
            Self::BoxDiagonal(points) => format!("box diagonal{}", around(points)),
            Self::BoxGeometricMean(points) => format!("box geometric mean{}", around(points)),
            Self::HeadSize(points) => format!("0.6 of the box diagonal{}", around(points)),
            Self::StatedBoxDiagonal => "stated box diagonal".to_string(),
        }
    }

    fn mean(&self, group: &[usize], truth: &[[f32; 2]], weights: Option<&[f32]>) -> Result<[f64; 2]> {
        let (mut sum, mut count) = ([0.0; 2], 0usize);
        for &index in group {
            let [x, y] = self.point(index, truth)?.map(f64::from);
            if has_weight(weights, index) {
                self.finite(index, truth)?;
                sum[0] += x;
                sum[1] += y;
                count += 1;
            }
        }
        if count == 0 {
            return Err(Error::Empty {
                what: "a group of the normalizer",
                hint: "name at least one annotated keypoint at each end",
            });
        }
        Ok(sum.map(|s| s / count as f64))
    }

    fn sides(&self, points: &[usize], truth: &[[f32; 2]], weights: Option<&[f32]>) -> Result<[f64; 2]> {
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        let all: Vec<usize>;
        let points = if points.is_empty() {
            all = (0..truth.len()).collect();
            &all
        } else {
            points
        };
        for &index in points {
            let point = self.point(index, truth)?.map(f64::from);
            if has_weight(weights, index) {
                self.finite(index, truth)?;
                for axis in 0..2 {
                    low[axis] = low[axis].min(point[axis]);
                    high[axis] = high[axis].max(point[axis]);
                }
            }
        }
        if low[0] > high[0] {
            return Err(Error::Empty { what: "truth", hint: "a box needs annotated keypoints" });
        }
        Ok([high[0] - low[0], high[1] - low[1]])
    }

    fn point(&self, index: usize, truth: &[[f32; 2]]) -> Result<[f32; 2]> {
        truth.get(index).copied().ok_or_else(|| Error::Index {
            what: format!("normalizer \"{}\"", self.name()),
            index,
            keypoints: truth.len(),
        })
    }

    fn finite(&self, keypoint: usize, truth: &[[f32; 2]]) -> Result<()> {
        let value = self.point(keypoint, truth)?;
        if value.iter().all(|v| v.is_finite()) { Ok(()) } else { Err(Error::Truth { keypoint, value }) }
    }
}

fn has_weight(weights: Option<&[f32]>, index: usize) -> bool {
    weights.is_none_or(|w| w.get(index).is_some_and(|w| *w > 0.0))
}

fn end(group: &[usize]) -> String {
    match group {
        [one] => one.to_string(),
        many => format!("mean({})", ranges(many)),
    }
}

fn around(points: &[usize]) -> String {
    if points.is_empty() { String::new() } else { format!(" around {}", ranges(points)) }
}

/// `[36, 37, 38, 41]` as `36..38,41`: both ends are in it.
fn ranges(indices: &[usize]) -> String {
    let mut text = String::new();
    for run in indices.chunk_by(|a, b| a + 1 == *b) {
        let comma = if text.is_empty() { "" } else { "," };
        let written = match run {
            [one] => write!(text, "{comma}{one}"),
            _ => write!(text, "{comma}{}..{}", run[0], run[run.len() - 1]),
        };
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;

    #[test]
    fn between_is_the_distance_of_the_groups_means() {
        // Means (1, 0) and (4, 4): a 3-4-5 triangle.
        let truth = [[0.0, 0.0], [2.0, 0.0], [4.0, 4.0]];
        let length = Normalizer::Between(vec![0, 1], vec![2]).length(&truth).unwrap();
        assert!((length - 5.0).abs() < TOLERANCE);
    }

    #[test]
    fn box_normalizers_read_all_points_or_the_listed_ones() {
        // All: 8 wide, 2 high. The first two: 2 wide, 2 high.
        let truth = [[0.0, 0.0], [2.0, 2.0], [8.0, 1.0]];
        let geometric = |points| Normalizer::BoxGeometricMean(points).length(&truth).unwrap();
        assert!((geometric(vec![]) - 4.0).abs() < TOLERANCE);
        assert!((geometric(vec![0, 1]) - 2.0).abs() < TOLERANCE);
        let diagonal = Normalizer::BoxDiagonal(vec![]).length(&truth).unwrap();
        assert!((diagonal - 68f64.sqrt()).abs() < TOLERANCE);
        let head = Normalizer::HeadSize(vec![]).length(&truth).unwrap();
        assert!((head - 0.6 * 68f64.sqrt()).abs() < TOLERANCE);
    }

    #[test]
    fn a_normalizer_without_length_is_an_error_that_names_it() {
        let error = Normalizer::Between(vec![0], vec![1]).length(&[[3.0, 4.0]; 2]).unwrap_err();
        assert_eq!(error, Error::Degenerate { normalizer: "distance 0 to 1".into(), length: 0.0 });
        // A flat box has a diagonal but no geometric mean.
        let flat = [[0.0, 1.0], [4.0, 1.0]];
        assert!(Normalizer::default().length(&flat).is_ok());
        assert!(matches!(Normalizer::BoxGeometricMean(vec![]).length(&flat), Err(Error::Degenerate { .. })));
    }

    #[test]
    fn indices_beyond_the_truth_and_empty_groups_are_refused() {
        let error = Normalizer::Between(vec![60], vec![72]).length(&[[0.0, 0.0]; 68]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "normalizer \"distance 60 to 72\" names keypoint 72, but there are only 68 keypoints (0-based)"
        );
        let truth = [[0.0, 0.0], [1.0, 0.0]];
        assert!(matches!(Normalizer::Between(vec![], vec![1]).length(&truth), Err(Error::Empty { .. })));
        assert!(matches!(Normalizer::default().length(&[]), Err(Error::Empty { .. })));
    }

    #[test]
    fn a_stated_box_has_a_diagonal_where_the_points_have_none() {
        // 30 wide, 40 high: 50. The one point of it spans nothing.
        let one = Case { truth: vec![[3.0, 4.0]], stated_sides: Some([30.0, 40.0]), ..Case::default() };
        assert!((Normalizer::StatedBoxDiagonal.length_of(&one).unwrap() - 50.0).abs() < TOLERANCE);
        assert!(matches!(Normalizer::default().length_of(&one), Err(Error::Degenerate { .. })));
        let none = Case { stated_sides: None, ..one.clone() };
        let message = Normalizer::StatedBoxDiagonal.length_of(&none).unwrap_err().to_string();
        assert!(message.contains("stated box is empty") && message.contains("boxes"), "{message}");
        let flat = Case { stated_sides: Some([0.0, f32::NAN]), ..one };
        assert!(matches!(Normalizer::StatedBoxDiagonal.length_of(&flat), Err(Error::Degenerate { .. })));
        assert_eq!(Normalizer::StatedBoxDiagonal.name(), "stated box diagonal");
    }

    #[test]
    fn truth_that_is_not_finite_is_refused_only_where_it_is_read() {
        let truth = [[0.0, 0.0], [3.0, 4.0], [f32::NAN, 0.0]];
        assert!(Normalizer::Between(vec![0], vec![1]).length(&truth).is_ok());
        assert!(matches!(Normalizer::default().length(&truth), Err(Error::Truth { keypoint: 2, .. })));
    }

    #[test]
    fn keypoints_of_weight_zero_are_left_out_of_boxes_and_groups() {
        let truth = [[0.0, 0.0], [3.0, 4.0], [f32::NAN, 9.0], [3.0, 8.0]];
        let weights = [1.0, 1.0, 0.0, 1.0];
        let length = |normalizer: Normalizer| normalizer.length_weighted(&truth, Some(&weights));
        assert!((length(Normalizer::default()).unwrap() - 73f64.sqrt()).abs() < TOLERANCE);
        assert!((length(Normalizer::Between(vec![0], vec![1, 2])).unwrap() - 5.0).abs() < TOLERANCE);
        assert!(matches!(length(Normalizer::Between(vec![0], vec![2])), Err(Error::Empty { .. })));
    }

    #[test]
    fn names_state_what_is_measured() {
        let pupils = Normalizer::Between((36..42).collect(), (42..48).collect());
        assert_eq!(pupils.name(), "distance mean(36..41) to mean(42..47)");
        assert_eq!(Normalizer::BoxDiagonal(vec![0, 1, 2, 9]).name(), "box diagonal around 0..2,9");
        assert_eq!(Normalizer::BoxGeometricMean(vec![]).name(), "box geometric mean");
    }
}
