//! Errors along and across the curves that keypoints mark: where an edge holds a keypoint, and where only its place on the edge is open.

use serde::{Deserialize, Serialize};

use crate::ambiguity::tangents;
use crate::metric_set::Curve;
use crate::{Error, Result, keypoint_errors};

/// Error of each keypoint along the tangent of its curve and across it, signed fractions of `length`; the sum of their squares is the
/// square of [`keypoint_errors`]'s.
///
/// The tangent is the truth's: from the neighbour before to the neighbour after, at the end of an open curve from or to its one
/// neighbour (see [`tangents`]). Along is positive towards the curve's later keypoints, across towards the tangent turned by 90
/// degrees from x to y. `None` for a keypoint of weight 0 and for one without a tangent; infinity where the prediction is not finite.
///
/// ```
/// use star_eval::{Curve, along_across};
///
/// // A line along x; its middle is predicted 4 px too far along it and 3 px off it, of 100 px.
/// let truth = [[0.0, 0.0], [50.0, 0.0], [100.0, 0.0]];
/// let predicted = [[0.0, 0.0], [54.0, 3.0], [100.0, 0.0]];
/// let line = Curve { name: "line".into(), keypoints: vec![0, 1, 2], closed: false };
/// let split = along_across(&predicted, &truth, None, &[line], 100.0)?;
/// assert_eq!(split[1], Some([0.04, 0.03]));
/// # Ok::<(), star_eval::Error>(())
/// ```
///
/// # Errors
/// As [`nme`](crate::nme()), and [`Error::Index`] for a curve with a keypoint that does not exist.
pub fn along_across(
    predicted: &[[f32; 2]],
    truth: &[[f32; 2]],
    weights: Option<&[f32]>,
    curves: &[Curve],
    length: f64,
) -> Result<Vec<Option<[f64; 2]>>> {
    let errors = keypoint_errors(predicted, truth, weights, length)?;
    for curve in curves {
        if let Some(&index) = curve.keypoints.iter().find(|k| **k >= truth.len()) {
            return Err(Error::Index {
                what: format!("curve {:?}", curve.name),
                index,
                keypoints: truth.len(),
            });
        }
    }
    let split = |(k, tangent): (usize, Option<[f64; 2]>)| {
        let [tx, ty] = tangent.filter(|_| weights.is_none_or(|w| w[k] > 0.0))?;
        if !errors[k].is_finite() {
            return Some([f64::INFINITY; 2]);
        }
        let [dx, dy] = [0, 1].map(|axis| f64::from(predicted[k][axis]) - f64::from(truth[k][axis]));
        Some([(dx * tx + dy * ty) / length, (dy * tx - dx * ty) / length])
    };
    Ok(tangents(truth, weights, curves).into_iter().enumerate().map(split).collect())
}

/// Size of errors along and across curves, fractions of the normalizer; over keypoints of images, each by its weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AlongAcross {
    /// Root mean square along the curves.
    pub along_rms_fraction: f64,
    /// Root mean square across them.
    pub across_rms_fraction: f64,
    /// Mean distance along them, without its sign.
    pub along_mean_fraction: f64,
    /// Mean distance across them, without its sign.
    pub across_mean_fraction: f64,
}

/// Errors along and across the curves of a data set, over the images that have a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EdgeErrors {
    /// Keypoints compared, over all images.
    pub keypoints: usize,
    /// Annotated keypoints that were not: on no curve, or with a neighbour on it that is not annotated or in the same place.
    pub left_out: usize,
    /// Over all curves.
    pub all: AlongAcross,
    /// Curve by curve, those of which nothing was compared left out.
    pub curves: Vec<CurveErrors>,
    /// Root mean square of each keypoint along and across its curve; `None` for one that was never compared.
    pub keypoint_rms_fractions: Vec<Option<[f64; 2]>>,
}

/// Errors along and across one curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurveErrors {
    /// The curve's name.
    pub name: String,
    /// Keypoints compared, over all images; one on several curves counts for the first.
    pub keypoints: usize,
    /// Their errors.
    pub errors: AlongAcross,
}

/// Weighted sums over keypoints.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: usize,
    weight: f64,
    squares: [f64; 2],
    sizes: [f64; 2],
}

impl Sums {
    fn add(&mut self, weight: f64, split: [f64; 2]) {
        self.count += 1;
        self.weight += weight;
        for (axis, value) in split.into_iter().enumerate() {
            self.squares[axis] += weight * value * value;
            self.sizes[axis] += weight * value.abs();
        }
    }

    fn join(mut self, other: &Self) -> Self {
        self.count += other.count;
        self.weight += other.weight;
        for axis in 0..2 {
            self.squares[axis] += other.squares[axis];
            self.sizes[axis] += other.sizes[axis];
        }
        self
    }

    fn errors(&self) -> Option<AlongAcross> {
        let [along, across] = self.squares.map(|sum| (sum / self.weight).sqrt());
        let [along_mean, across_mean] = self.sizes.map(|sum| sum / self.weight);
        (self.count > 0).then_some(AlongAcross {
            along_rms_fraction: along,
            across_rms_fraction: across,
            along_mean_fraction: along_mean,
            across_mean_fraction: across_mean,
        })
    }
}

/// Collects errors along and across curves, image by image.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    curves: Vec<Curve>,
    keypoints: Vec<Sums>,
    left_out: usize,
}

impl Collector {
    pub(crate) fn new(curves: Vec<Curve>) -> Self {
        Self { curves, keypoints: Vec::new(), left_out: 0 }
    }

    /// Adds an image whose prediction is finite.
    pub(crate) fn add(
        &mut self,
        predicted: &[[f32; 2]],
        truth: &[[f32; 2]],
        weights: Option<&[f32]>,
        length: f64,
    ) -> Result<()> {
        if self.curves.is_empty() {
            return Ok(());
        }
        let split = along_across(predicted, truth, weights, &self.curves, length)?;
        self.keypoints.resize(truth.len(), Sums::default());
        for (k, split) in split.into_iter().enumerate() {
            let weight = weights.map_or(1.0, |w| f64::from(w[k]));
            match split {
                Some(split) => self.keypoints[k].add(weight, split),
                None => self.left_out += usize::from(weight > 0.0),
            }
        }
        Ok(())
    }

    /// The figures; `None` where no keypoint was compared.
    pub(crate) fn summary(&self) -> Option<EdgeErrors> {
        let of = |keypoints: &mut dyn Iterator<Item = usize>| {
            keypoints.filter_map(|k| self.keypoints.get(k)).fold(Sums::default(), Sums::join)
        };
        let all = of(&mut (0..self.keypoints.len()));
        let curve = |(i, curve): (usize, &Curve)| {
            let earlier = &self.curves[..i];
            let own = |k: &usize| !earlier.iter().any(|other| other.keypoints.contains(k));
            let sums = of(&mut curve.keypoints.iter().copied().filter(own));
            Some(CurveErrors { name: curve.name.clone(), keypoints: sums.count, errors: sums.errors()? })
        };
        Some(EdgeErrors {
            keypoints: all.count,
            left_out: self.left_out,
            all: all.errors()?,
            curves: self.curves.iter().enumerate().filter_map(curve).collect(),
            keypoint_rms_fractions: self
                .keypoints
                .iter()
                .map(|sums| sums.errors().map(|e| [e.along_rms_fraction, e.across_rms_fraction]))
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;

    fn curve(name: &str, keypoints: &[usize], closed: bool) -> Curve {
        Curve { name: name.into(), keypoints: keypoints.to_vec(), closed }
    }

    /// Three keypoints along x, then two along y, then one on no curve.
    const TRUTH: [[f32; 2]; 6] =
        [[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [50.0, 0.0], [50.0, 10.0], [90.0, 90.0]];

    fn curves() -> [Curve; 2] {
        [curve("lid", &[0, 1, 2], false), curve("nose line", &[3, 4], false)]
    }

    /// `TRUTH` with these residuals.
    fn moved(by: [[f32; 2]; 6]) -> Vec<[f32; 2]> {
        TRUTH.iter().zip(by).map(|([x, y], [dx, dy])| [x + dx, y + dy]).collect()
    }

    #[test]
    fn residuals_are_split_by_the_tangent_of_the_truth() {
        let predicted = moved([[3.0, 4.0], [-1.0, 0.0], [0.0, -2.0], [2.0, 0.0], [0.0, 5.0], [7.0, 7.0]]);
        let split = along_across(&predicted, &TRUTH, None, &curves(), 10.0).unwrap();
        // The lid runs along +x, whose turn is +y; the nose line along +y, whose turn is -x.
        let expected = [[0.3, 0.4], [-0.1, 0.0], [0.0, -0.2], [0.0, -0.2], [0.5, 0.0]];
        for (got, want) in split.iter().zip(expected) {
            let got = got.unwrap();
            assert!(
                (got[0] - want[0]).abs() < TOLERANCE && (got[1] - want[1]).abs() < TOLERANCE,
                "{got:?} {want:?}"
            );
        }
        assert_eq!(split[5], None);
    }

    #[test]
    fn a_slanted_edge_has_its_own_normal() {
        // The edge runs along (3, 4) / 5: of a residual of (5, 0), 3 lie along it and -4 across, of a length of 50.
        let truth = [[0.0, 0.0], [3.0, 4.0]];
        let split =
            along_across(&[[5.0, 0.0], [3.0, 4.0]], &truth, None, &[curve("e", &[0, 1], false)], 50.0)
                .unwrap();
        let [along, across] = split[0].unwrap();
        assert!((along - 0.06).abs() < TOLERANCE && (across + 0.08).abs() < TOLERANCE, "{along} {across}");
    }

    #[test]
    fn means_and_roots_are_over_keypoints_and_what_has_no_edge_is_counted() {
        let mut set = Collector::new(curves().to_vec());
        // Along 3, 0, 0, 0, 0 and across 0, 4, 0, -2, 0; then nothing but 1 along at the first, of a length of 100.
        set.add(
            &moved([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0], [2.0, 0.0], [0.0, 0.0], [9.0, 9.0]]),
            &TRUTH,
            None,
            100.0,
        )
        .unwrap();
        set.add(&moved([[1.0, 0.0], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]]), &TRUTH, None, 100.0)
            .unwrap();
        let found = set.summary().unwrap();
        assert_eq!((found.keypoints, found.left_out), (10, 2));
        let near = |got: f64, want: f64| assert!((got - want).abs() < TOLERANCE, "{got} {want}");
        // Squares along: 9 + 1, across: 16 + 4, of 10 keypoints.
        near(found.all.along_rms_fraction, 0.01);
        near(found.all.across_rms_fraction, 0.01 * 2f64.sqrt());
        // Sizes along: 3 + 1, across: 4 + 2.
        near(found.all.along_mean_fraction, 0.004);
        near(found.all.across_mean_fraction, 0.006);
        // The nose line: 4 keypoints, one of them 2 across.
        assert_eq!((found.curves[1].name.as_str(), found.curves[1].keypoints), ("nose line", 4));
        near(found.curves[1].errors.across_rms_fraction, 0.01);
        near(found.curves[1].errors.across_mean_fraction, 0.005);
        near(found.curves[1].errors.along_rms_fraction, 0.0);
        // Keypoint 0: 3 and 1 along, so the root of 10 / 2.
        near(found.keypoint_rms_fractions[0].unwrap()[0], 0.01 * 5f64.sqrt());
        assert_eq!(found.keypoint_rms_fractions[5], None);
    }

    #[test]
    fn weights_weigh_and_what_is_not_annotated_is_not_read() {
        let mut set = Collector::new(curves().to_vec());
        let mut truth = TRUTH;
        truth[4] = [f32::NAN; 2];
        // Keypoint 4 is not annotated, so that its neighbour 3 has no tangent; 5 is on no curve. Across: 4 with weight 3 of 3 + 1 + 1.
        let weights = [1.0, 3.0, 1.0, 1.0, 0.0, 1.0];
        set.add(
            &moved([[0.0; 2], [0.0, 4.0], [0.0; 2], [1.0; 2], [0.0; 2], [0.0; 2]]),
            &truth,
            Some(&weights),
            10.0,
        )
        .unwrap();
        let found = set.summary().unwrap();
        assert_eq!((found.keypoints, found.left_out, found.curves.len()), (3, 2, 1));
        assert!((found.all.across_rms_fraction - 0.4 * (3f64 / 5.0).sqrt()).abs() < TOLERANCE);
        assert!((found.all.across_mean_fraction - 0.4 * 3.0 / 5.0).abs() < TOLERANCE);
    }

    #[test]
    fn a_keypoint_on_two_curves_counts_once_and_a_closed_curve_goes_round() {
        // A square: at its first corner the tangent runs from the last corner to the second, (10, -10), so that (1, -1) lies along.
        let truth = [[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]];
        let predicted = [[1.0, -1.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]];
        let mut set =
            Collector::new(vec![curve("square", &[0, 1, 2, 3], true), curve("side", &[0, 1], false)]);
        set.add(&predicted, &truth, None, 1.0).unwrap();
        let found = set.summary().unwrap();
        assert_eq!((found.keypoints, found.curves.len()), (4, 1));
        let first = found.keypoint_rms_fractions[0].unwrap();
        assert!((first[0] - 2f64.sqrt()).abs() < TOLERANCE && first[1].abs() < TOLERANCE, "{first:?}");
    }

    #[test]
    fn missing_predictions_are_infinite_and_curves_that_do_not_fit_are_refused() {
        let predicted = moved([[f32::NAN; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]]);
        let split = along_across(&predicted, &TRUTH, None, &curves(), 1.0).unwrap();
        assert_eq!(split[0], Some([f64::INFINITY; 2]));
        let error = along_across(&TRUTH, &TRUTH, None, &[curve("far", &[0, 6], false)], 1.0).unwrap_err();
        assert_eq!(error, Error::Index { what: "curve \"far\"".into(), index: 6, keypoints: 6 });
        assert_eq!(Collector::new(curves().to_vec()).summary(), None);
    }
}
