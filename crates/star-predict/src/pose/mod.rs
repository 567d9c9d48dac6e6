//! How a head is turned, from its landmarks and their covariances.
//!
//! The camera is a pinhole and the head an average one (`canonical.rs` in this folder); yaw, pitch, roll, size, place and distance are
//! those under which its landmarks come to lie nearest to the ones that were found: weighted least squares, with the weights of Huber's
//! loss, so that what is hidden or misplaced counts less. A landmark's weight is the inverse of its covariance plus what heads differ
//! by.

mod canonical;

use std::f64::consts::FRAC_PI_2;

use anyhow::Result;
use nalgebra::{Matrix2, SMatrix, SVector, Vector2};
use star_data::Scheme;
use star_data::scheme_map::{Detail, SchemeMap};

use crate::Pose;
use canonical::LANDMARKS;

/// Yaw, pitch, roll, logarithm of pixels a centimetre, place in the image, and the inverse distance of the camera in 1/cm.
const PARAMETERS: usize = 7;
/// Inverse distance of the camera to expect, and its deviation: 80 cm, arm's length to across a room.
const NEARNESS: (f64, f64) = (1.0 / 80.0, 1.0 / 150.0);
/// Residuals beyond so many deviations count linearly.
const HUBER: f64 = 2.5;
/// Landmarks of the contour: people mark the outline that they see, so along it a landmark may lie so many centimetres off.
const CONTOUR: usize = 17;
const ALONG: f64 = 1.0;
/// Steps at most, five are usual; largest turn of one in radians; turn at which the fit is done.
const STEPS: usize = 40;
const LARGEST_STEP: f64 = 0.35;
const CLOSE: f64 = 1e-5;
/// What the deviations of yaw, pitch and roll that follow from the weights are multiplied by: errors of landmarks go together, which the
/// weights do not know. Fitted on 288 rendered heads turned by up to 45 degrees, on the landmarks of an hourglass; on 302 other heads the
/// default model's errors are 1.2, 0.8 and 0.9 of them (`cargo xtask default-model pose`).
const TOGETHER: [f64; 3] = [1.7, 3.0, 2.8];

/// The 68 landmarks of a scheme's own.
enum Source {
    Itself,
    Mapped(Box<SchemeMap>),
}

/// Estimates poses from the landmarks of one scheme.
pub struct PoseEstimator(Source);

impl PoseEstimator {
    /// For landmarks of `scheme`; `None` where it is unknown where they lie on a head: 68 points of iBUG and 98 of WFLW are known.
    ///
    /// # Errors
    /// Never in practice: the built-in schemes can be mapped.
    pub fn of(scheme: &Scheme) -> Result<Option<Self>> {
        let is = |name: &str| scheme.name == name;
        Ok(match scheme.keypoints {
            68 if is("ibug68") => Some(Self(Source::Itself)),
            98 if is("wflw98") => {
                Some(Self(Source::Mapped(Box::new(SchemeMap::wflw_to_300w(Detail::Blend)?))))
            }
            _ => None,
        })
    }

    /// The pose of a face: `points` in pixels, `covariances` as `xx, xy, yy` in pixels squared. `None` where the landmarks are none of a
    /// face, such as all in one place.
    #[must_use]
    pub fn estimate(&self, points: &[[f32; 2]], covariances: &[[f64; 3]]) -> Option<Pose> {
        match &self.0 {
            Source::Itself => fit(points, covariances),
            Source::Mapped(map) => fit(&map.points(points), &map.covariances(covariances)),
        }
    }
}

/// Rows of roll * pitch * yaw on `(x right, y up, z to the camera)`; angles in radians.
fn rotation(yaw: f64, pitch: f64, roll: f64) -> [[f64; 3]; 3] {
    let [(sy, cy), (sp, cp), (sr, cr)] = [yaw, pitch, roll].map(f64::sin_cos);
    let turned = [[cy, 0.0, sy], [-sp * sy, cp, sp * cy], [-cp * sy, -sp, cp * cy]];
    let row = |a: f64, b: f64| std::array::from_fn(|k| a * turned[0][k] + b * turned[1][k]);
    [row(cr, -sr), row(sr, cr), turned[2]]
}

impl Pose {
    /// Where the axes of the head point in the image, as seen from far away: to its left, up, and to its front; `(x, y)` with y down, 1 long
    /// where an axis lies in the plane of the image.
    #[must_use]
    pub fn axes(&self) -> [[f32; 2]; 3] {
        let [yaw, pitch, roll] = [self.yaw, self.pitch, self.roll].map(|v| f64::from(v).to_radians());
        let rows = rotation(yaw, pitch, roll);
        [0, 1, 2].map(|axis| [rows[0][axis] as f32, -rows[1][axis] as f32])
    }
}

type Parameters = SVector<f64, PARAMETERS>;

/// Where landmark `k` comes to lie.
fn project(at: &Parameters, rows: &[[f64; 3]; 3], k: usize) -> Vector2<f64> {
    let head = LANDMARKS[k].0;
    let [x, y, z] = [0, 1, 2].map(|row| (0..3).map(|i| rows[row][i] * head[i]).sum::<f64>());
    let scale = at[3].exp() / (1.0 - at[6] * z).max(0.1);
    Vector2::new(at[4] + scale * x, at[5] - scale * y)
}

fn all(at: &Parameters) -> [Vector2<f64>; 68] {
    let rows = rotation(at[0], at[1], at[2]);
    std::array::from_fn(|k| project(at, &rows, k))
}

fn fit(points: &[[f32; 2]], covariances: &[[f64; 3]]) -> Option<Pose> {
    if points.len() != LANDMARKS.len() || covariances.len() != LANDMARKS.len() {
        return None;
    }
    let found: Vec<Vector2<f64>> = points.iter().map(|p| Vector2::new(p[0].into(), p[1].into())).collect();
    let mut at = start(&found)?;
    let along = tangents(&found);
    let mut information = SMatrix::<f64, PARAMETERS, PARAMETERS>::zeros();
    for _ in 0..STEPS {
        let here = all(&at);
        // Derivatives by forward differences, whose steps are far below what matters.
        let derivatives: [[Vector2<f64>; 68]; PARAMETERS] = std::array::from_fn(|i| {
            let step = if i == PARAMETERS - 1 { 1e-7 } else { 1e-6 };
            let mut moved = at;
            moved[i] += step;
            let there = all(&moved);
            std::array::from_fn(|k| (there[k] - here[k]) / step)
        });
        information.fill(0.0);
        let mut gradient = Parameters::zeros();
        let centimetre = at[3].exp();
        for k in 0..LANDMARKS.len() {
            let [xx, xy, yy] = covariances[k];
            let others = (centimetre * LANDMARKS[k].1).powi(2);
            let mut spread = Matrix2::new(xx + others, xy, xy, yy + others);
            if let Some(tangent) = along.get(k) {
                spread += tangent * tangent.transpose() * (centimetre * ALONG).powi(2);
            }
            let residual = found[k] - here[k];
            let inverse = spread.try_inverse()?;
            let distance = (residual.transpose() * inverse * residual)[0].max(0.0).sqrt();
            let weight = inverse / (distance / HUBER).max(1.0);
            let rows = SMatrix::<f64, 2, PARAMETERS>::from_fn(|axis, i| derivatives[i][k][axis]);
            information += rows.transpose() * weight * rows;
            gradient += rows.transpose() * (weight * residual);
        }
        let (expected, deviation) = NEARNESS;
        information[(6, 6)] += deviation.powi(-2);
        gradient[6] += (expected - at[6]) * deviation.powi(-2);
        let mut step = information.cholesky()?.solve(&gradient);
        let turn = step.rows(0, 3).amax();
        if turn > LARGEST_STEP {
            step *= LARGEST_STEP / turn;
        }
        at += step;
        at[6] = at[6].clamp(0.0, 0.05);
        if turn < CLOSE {
            break;
        }
    }
    let spread = information.try_inverse()?;
    let degrees = |i: usize| at[i].sin().atan2(at[i].cos()).to_degrees() as f32;
    let deviation = |i: usize| (TOGETHER[i] * spread[(i, i)].max(0.0).sqrt().to_degrees()) as f32;
    let [yaw, pitch, roll] = [0, 1, 2].map(degrees);
    let deviations = [0, 1, 2].map(deviation);
    // Beyond a right angle the face would be seen from behind.
    let sense =
        at.iter().all(|v| v.is_finite()) && at[0].abs() <= FRAC_PI_2 * 1.2 && at[1].abs() <= FRAC_PI_2;
    sense.then_some(Pose { yaw, pitch, roll, deviations })
}

/// A frontal head of the right size and place, rolled as the line of the eyes is.
fn start(found: &[Vector2<f64>]) -> Option<Parameters> {
    let count = found.len() as f64;
    let centre = found.iter().sum::<Vector2<f64>>() / count;
    let spread = found.iter().map(|p| (p - centre).norm_squared()).sum::<f64>().sqrt();
    let mean = LANDMARKS.iter().map(|(p, _)| Vector2::new(p[0], p[1])).sum::<Vector2<f64>>() / count;
    let head =
        LANDMARKS.iter().map(|(p, _)| (Vector2::new(p[0], p[1]) - mean).norm_squared()).sum::<f64>().sqrt();
    let scale = spread / head;
    let eyes = found[42..48].iter().sum::<Vector2<f64>>() - found[36..42].iter().sum::<Vector2<f64>>();
    let roll = (-eyes.y).atan2(eyes.x);
    (scale > 0.0 && scale.is_finite() && roll.is_finite())
        .then(|| Parameters::from([0.0, 0.0, roll, scale.ln(), centre.x, centre.y, NEARNESS.0]))
}

/// Directions along the contour.
fn tangents(found: &[Vector2<f64>]) -> [Vector2<f64>; CONTOUR] {
    std::array::from_fn(|k| {
        let (before, after) = (found[k.saturating_sub(1)], found[(k + 1).min(CONTOUR - 1)]);
        (after - before).try_normalize(0.0).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(yaw: f64, pitch: f64, roll: f64, nearness: f64) -> Vec<[f32; 2]> {
        let [yaw, pitch, roll] = [yaw, pitch, roll].map(f64::to_radians);
        let at = Parameters::from([yaw, pitch, roll, 1.2, 300.0, 200.0, nearness]);
        all(&at).iter().map(|p| [p.x as f32, p.y as f32]).collect()
    }

    fn estimator() -> PoseEstimator {
        PoseEstimator::of(&Scheme::named("300w").unwrap()).unwrap().unwrap()
    }

    #[test]
    fn the_pose_that_a_head_was_seen_in_is_found_whatever_its_turn() {
        for (yaw, pitch, roll, nearness) in [
            (0.0, 0.0, 0.0, 0.0125),
            (45.0, -20.0, 10.0, 0.01),
            (-60.0, 15.0, 170.0, 0.015),
            (5.0, 25.0, -90.0, 0.02),
        ] {
            let pose =
                estimator().estimate(&seen(yaw, pitch, roll, nearness), &[[1.0, 0.0, 1.0]; 68]).unwrap();
            for (found, truth) in [(pose.yaw, yaw), (pose.pitch, pitch), (pose.roll, roll)] {
                // The distance that is expected pulls a little.
                assert!((f64::from(found) - truth).abs() < 1.0, "{pose:?} {yaw} {pitch} {roll}");
            }
        }
    }

    #[test]
    fn a_hidden_half_of_the_mouth_does_not_turn_the_head_and_wide_ellipses_make_it_unsure() {
        let mut points = seen(20.0, 5.0, 0.0, 0.0125);
        let narrow = [[1.0, 0.0, 1.0]; 68];
        let sure = estimator().estimate(&points, &narrow).unwrap();
        for point in &mut points[54..60] {
            point[1] += 40.0;
        }
        let pose = estimator().estimate(&points, &narrow).unwrap();
        assert!((pose.yaw - 20.0).abs() < 3.0 && (pose.pitch - 5.0).abs() < 3.0, "{pose:?}");
        let unsure = estimator().estimate(&points, &[[100.0, 0.0, 100.0]; 68]).unwrap();
        assert!(unsure.deviations.iter().zip(sure.deviations).all(|(wide, narrow)| *wide > 2.0 * narrow));
    }

    #[test]
    fn the_axes_point_where_the_head_does() {
        // To the head's left, which is right in the image of who looks at us; its front towards us has no direction there.
        let [left, up, front] = Pose::default().axes();
        assert_eq!((left, up, front), ([1.0, 0.0], [0.0, -1.0], [0.0, 0.0]));
        let [_, _, front] = Pose { yaw: 30.0, ..Pose::default() }.axes();
        assert!((front[0] - 0.5).abs() < 1e-6 && front[1].abs() < 1e-6);
        let [_, _, front] = Pose { pitch: 30.0, ..Pose::default() }.axes();
        assert!((front[1] + 0.5).abs() < 1e-6);
    }

    #[test]
    fn landmarks_in_one_place_and_schemes_without_a_head_have_no_pose() {
        assert_eq!(estimator().estimate(&[[3.0; 2]; 68], &[[1.0, 0.0, 1.0]; 68]), None);
        assert_eq!(estimator().estimate(&[[f32::NAN; 2]; 68], &[[1.0, 0.0, 1.0]; 68]), None);
        assert!(PoseEstimator::of(&Scheme::new("mine", 68)).unwrap().is_none());
        assert!(PoseEstimator::of(&Scheme::named("wflw").unwrap()).unwrap().is_some());
    }
}
