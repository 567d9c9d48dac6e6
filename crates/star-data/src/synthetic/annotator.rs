//! An imagined person who annotates: unsure along edges, sure across them and at distinctive places.

use std::ops::RangeInclusive;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::config::{Noise, SyntheticConfig};
use super::slide::Slide;
use super::stream::{Purpose, stream};
use crate::Scheme;
use crate::target::Ends;

/// Standard deviations along and across the edge, as fractions of the inter-ocular distance, for a range of WFLW keypoints.
///
/// **Chosen, not measured.** They follow what is often observed of human labels: a point "somewhere on the jaw" has no place of its
/// own along the jaw, brows and nose ridge have ends but no marks between them, lids and lips are short and fine, and corners,
/// pupils and the nose tip are places that anybody would find again. At strength 1 labels are 2.5 % of the inter-ocular distance
/// from the truth on average (4.1 % on the contour), measured over 1000 faces.
const SIGMAS: [(RangeInclusive<usize>, f64, f64); 8] = [
    (0..=32, 0.050, 0.008),  // contour
    (33..=50, 0.030, 0.008), // brows
    (51..=53, 0.030, 0.008), // ridge of the nose
    (54..=54, 0.008, 0.008), // tip of the nose
    (55..=59, 0.015, 0.008), // base of the nose
    (60..=75, 0.014, 0.006), // eyelids
    (76..=95, 0.015, 0.006), // lips
    (96..=97, 0.007, 0.007), // pupils
];

/// Corners of eyes and mouth: as sure in one direction as in the other.
const CORNERS: [usize; 8] = [60, 64, 68, 72, 76, 82, 88, 92];
/// Their standard deviation in both directions.
const CORNER_SIGMA: f64 = 0.007;

/// Standard deviations of one landmark's label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigma {
    /// Along the edge.
    pub tangential: f64,
    /// Across it.
    pub normal: f64,
}

/// The noise of labels: independent normal draws along and across each landmark's edge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotator {
    /// Factor on every standard deviation: 0 labels exactly, 1 is the described person.
    pub strength: f64,
}

impl Annotator {
    /// Standard deviations of a WFLW landmark (`keypoint < 98`) as fractions of the inter-ocular distance.
    pub fn sigma(&self, keypoint: usize) -> Sigma {
        let (tangential, normal) = if CORNERS.contains(&keypoint) {
            (CORNER_SIGMA, CORNER_SIGMA)
        } else {
            let row = SIGMAS.iter().find(|(range, ..)| range.contains(&keypoint));
            row.map_or((CORNER_SIGMA, CORNER_SIGMA), |&(_, along, across)| (along, across))
        };
        Sigma { tangential: self.strength * tangential, normal: self.strength * normal }
    }
}

/// Labels for `truth`: a normal draw along each unit tangent and one across it, with standard deviations in the unit of `truth`.
fn scatter(
    truth: &[[f32; 2]],
    tangents: &[[f32; 2]],
    sigmas: &[Sigma],
    rng: &mut ChaCha8Rng,
) -> Vec<[f32; 2]> {
    let mut label = |((point, tangent), sigma): ((&[f32; 2], &[f32; 2]), &Sigma)| {
        let ([x, y], [tx, ty]) = (*point, tangent.map(f64::from));
        let along = sigma.tangential * rng.sample::<f64, _>(StandardNormal);
        let across = sigma.normal * rng.sample::<f64, _>(StandardNormal);
        [(f64::from(x) + along * tx - across * ty) as f32, (f64::from(y) + along * ty + across * tx) as f32]
    };
    truth.iter().zip(tangents).zip(sigmas).map(&mut label).collect()
}

/// Labels of an image as the annotator of `config` gives them, from the standard deviations that it describes, in pixels.
pub(super) fn label(
    config: &SyntheticConfig,
    index: usize,
    truth: &[[f32; 2]],
    described: &[Sigma],
    edges: &[(&[usize], Ends)],
) -> Vec<[f32; 2]> {
    match config.noise {
        Noise::Tangent => {
            let mut rng = stream(config.seed, index, Purpose::Label);
            scatter(truth, &tangents(truth, edges.iter().copied()), described, &mut rng)
        }
        Noise::Slide => Slide { seed: config.seed, index }.label(truth, described, edges),
    }
}

/// The edges of a scheme, as curves.
pub(super) fn edges(scheme: &Scheme) -> Vec<(&[usize], Ends)> {
    scheme.edges.iter().map(|edge| (edge.points.as_slice(), edge.ends())).collect()
}

/// The standard deviations that those labels have.
pub(super) fn sigmas(
    config: &SyntheticConfig,
    truth: &[[f32; 2]],
    described: Vec<Sigma>,
    edges: &[(&[usize], Ends)],
) -> Vec<Sigma> {
    match config.noise {
        Noise::Tangent => described,
        Noise::Slide => Slide::sigmas(truth, &described, edges),
    }
}

/// Unit tangent of the edge at every point: the sum of the unit vectors from the neighbour before and to the neighbour after;
/// `(1, 0)` for a point on no edge.
pub(super) fn tangents<'a>(
    truth: &[[f32; 2]],
    edges: impl Iterator<Item = (&'a [usize], Ends)>,
) -> Vec<[f32; 2]> {
    let mut tangents = vec![[1.0, 0.0]; truth.len()];
    for (points, ends) in edges {
        let (n, closed) = (points.len(), ends == Ends::Closed);
        for i in 0..n {
            let before = if i > 0 { Some(points[i - 1]) } else { closed.then(|| points[n - 1]) };
            let after = if i + 1 < n { Some(points[i + 1]) } else { closed.then(|| points[0]) };
            let here = truth[points[i]];
            let a = before.map_or([0.0; 2], |b| unit(truth[b], here));
            let b = after.map_or([0.0; 2], |a| unit(here, truth[a]));
            let sum = unit([0.0; 2], [(a[0] + b[0]) as f32, (a[1] + b[1]) as f32]);
            // A hairpin has no tangent: there the way back is as good as any.
            let tangent = if sum == [0.0; 2] { a } else { sum };
            if tangent != [0.0; 2] {
                tangents[points[i]] = tangent.map(|v| v as f32);
            }
        }
    }
    tangents
}

/// Unit vector from `a` to `b`, 0 where they are one point.
fn unit(a: [f32; 2], b: [f32; 2]) -> [f64; 2] {
    let d = [f64::from(b[0]) - f64::from(a[0]), f64::from(b[1]) - f64::from(a[1])];
    let length = d[0].hypot(d[1]);
    if length > 1e-6 { d.map(|v| v / length) } else { [0.0; 2] }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f32 = 1e-6;

    #[test]
    fn a_tangent_bisects_the_ways_in_and_out() {
        // An L: right, then down. At the bend the tangent is the diagonal; at the ends the only neighbour decides.
        let truth = [[0.0, 0.0], [2.0, 0.0], [2.0, 5.0], [9.0, 9.0]];
        let edge = [0, 1, 2];
        let tangents = tangents(&truth, [(edge.as_slice(), Ends::Open)].into_iter());
        let half = std::f32::consts::FRAC_1_SQRT_2;
        for (got, want) in tangents.iter().zip([[1.0, 0.0], [half, half], [0.0, 1.0], [1.0, 0.0]]) {
            assert!(
                (got[0] - want[0]).abs() < TOLERANCE && (got[1] - want[1]).abs() < TOLERANCE,
                "{tangents:?}"
            );
        }
    }

    #[test]
    fn closed_edges_wrap_round() {
        let square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let edge = [0, 1, 2, 3];
        let closed = tangents(&square, [(edge.as_slice(), Ends::Closed)].into_iter());
        // Into corner 0 upwards, out of it to the right.
        assert!((closed[0][0] + closed[0][1]).abs() < TOLERANCE && closed[0][0] > 0.0);
    }

    #[test]
    fn labels_are_unsure_along_the_contour_and_sure_at_corners() {
        let annotator = Annotator { strength: 1.0 };
        assert!(annotator.sigma(10).tangential > 5.0 * annotator.sigma(10).normal);
        for corner in CORNERS {
            assert_eq!(annotator.sigma(corner).tangential, annotator.sigma(corner).normal);
        }
        let doubled = Annotator { strength: 2.0 };
        assert_eq!(doubled.sigma(40).tangential, 2.0 * annotator.sigma(40).tangential);
    }
}
