//! An imagined person who slides: whole stretches of an edge are labelled a little further on, along the curve.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::annotator::Sigma;
use super::stream::{Purpose, stream};
use crate::target::Ends;

/// People who label a set, each image one of them.
pub const ANNOTATORS: usize = 5;
/// Keypoints over which the correlation of slides falls to `exp(-1 / 2)`: at six it is 0.14.
const REACH: f64 = 3.0;
/// Keypoints on either side whose draws make up a slide.
const HALF_WINDOW: usize = 9;
/// Slides are not larger than this many standard deviations.
const CLIP: f64 = 2.5;
/// Neighbours keep at least this share of their distance along the edge.
const KEPT: f64 = 0.1;
/// Straight pieces of the curve between two keypoints.
const PIECES: usize = 16;

/// The slides of one image's annotator.
///
/// **Chosen, not measured.** Along an edge the slide of keypoint `i` is `sigma_i z_i`, where `z` has variance 1 and a correlation of
/// `exp(-(i - j)^2 / 18)` between keypoints, so that about six neighbours move together. Half of the variance is a habit of the
/// annotator, the same in every image of the set, half is drawn for each image. The ends of an open edge are found again by anybody:
/// towards them slides shrink to 0. Labels lie on the curve through the true keypoints (Catmull-Rom, as it is painted) and in their
/// order. Keypoints on no edge err by themselves in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
    pub(super) seed: u64,
    pub(super) index: usize,
}

impl Slide {
    /// Who labels this image: a number below [`ANNOTATORS`].
    pub fn annotator(&self) -> usize {
        self.index % ANNOTATORS
    }

    /// Labels for `truth` with the standard deviations of `sigmas`, both in pixels.
    pub(super) fn label(
        &self,
        truth: &[[f32; 2]],
        sigmas: &[Sigma],
        edges: &[(&[usize], Ends)],
    ) -> Vec<[f32; 2]> {
        let mut own = stream(self.seed, self.index, Purpose::Label);
        let mut habit = stream(self.seed, self.annotator(), Purpose::Habit);
        let mut labels = truth.to_vec();
        let mut on_edge = vec![false; truth.len()];
        for (points, ends) in edges {
            let line = Line::new(points.iter().map(|k| truth[*k]).collect(), *ends);
            let (always, now) =
                (correlated(points.len(), *ends, &mut habit), correlated(points.len(), *ends, &mut own));
            let slides = points.iter().enumerate().map(|(i, &k)| {
                let z = ((always[i] + now[i]) * std::f64::consts::FRAC_1_SQRT_2).clamp(-CLIP, CLIP);
                z * line.room(i, sigmas[k].tangential)
            });
            let places = line.in_order(&slides.collect::<Vec<_>>());
            for (&k, place) in points.iter().zip(places) {
                // The first edge that a keypoint lies on moves it: a corner of two edges is an end of both.
                if !std::mem::replace(&mut on_edge[k], true) {
                    labels[k] = line.at(place);
                }
            }
        }
        for (k, label) in labels.iter_mut().enumerate().filter(|(k, _)| !on_edge[*k]) {
            for v in label {
                *v += (sigmas[k].normal * own.sample::<f64, _>(StandardNormal)) as f32;
            }
        }
        labels
    }

    /// The standard deviations that labels have: along edges less towards their ends, across them none.
    pub(super) fn sigmas(truth: &[[f32; 2]], sigmas: &[Sigma], edges: &[(&[usize], Ends)]) -> Vec<Sigma> {
        let mut of = sigmas.to_vec();
        let mut on_edge = vec![false; truth.len()];
        for (points, ends) in edges {
            let line = Line::new(points.iter().map(|k| truth[*k]).collect(), *ends);
            for (i, &k) in points.iter().enumerate() {
                if !std::mem::replace(&mut on_edge[k], true) {
                    of[k] = Sigma { tangential: line.room(i, sigmas[k].tangential), normal: 0.0 };
                }
            }
        }
        of
    }
}

/// Normal draws of variance 1 for the keypoints of an edge, correlated over their neighbours; round a closed edge too.
fn correlated(count: usize, ends: Ends, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let mut draw = |count: usize| -> Vec<f64> { (0..count).map(|_| rng.sample(StandardNormal)).collect() };
    let white = match ends {
        Ends::Open => draw(count + 2 * HALF_WINDOW),
        Ends::Closed => draw(count),
    };
    // White noise under a window exp(-d^2 / r^2) has the correlation exp(-d^2 / 2 r^2).
    let window = |d: isize| (-(d as f64 / REACH).powi(2)).exp();
    let half = HALF_WINDOW as isize;
    (0..count as isize)
        .map(|i| {
            // Round a short edge a draw counts more than once.
            let mut weights = vec![0.0; white.len()];
            for d in -half..=half {
                let at = match ends {
                    Ends::Open => i + half + d,
                    Ends::Closed => (i + d).rem_euclid(count as isize),
                };
                weights[at as usize] += window(d);
            }
            let size = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
            weights.iter().zip(&white).map(|(w, z)| w * z).sum::<f64>() / size
        })
        .collect()
}

/// The curve through keypoints, by the length along it.
pub(super) struct Line {
    /// Corners of the curve, and the length up to each.
    corners: Vec<[f64; 2]>,
    lengths: Vec<f64>,
    ends: Ends,
    count: usize,
}

impl Line {
    pub(super) fn new(points: Vec<[f32; 2]>, ends: Ends) -> Self {
        let n = points.len();
        let closed = ends == Ends::Closed;
        let spans = if closed { n } else { n.saturating_sub(1) };
        let at = |k: isize| -> [f64; 2] {
            let k = if closed { k.rem_euclid(n as isize) } else { k.clamp(0, n as isize - 1) };
            points[k as usize].map(f64::from)
        };
        let mut corners = vec![at(0)];
        for span in 0..spans as isize {
            let [a, b, c, d] = [-1, 0, 1, 2].map(|by| at(span + by));
            for piece in 1..=PIECES {
                let t = piece as f64 / PIECES as f64;
                // Catmull-Rom: tangents at b and c are half of c - a and d - b.
                corners.push([0, 1].map(|x| {
                    let (m, k) = ((c[x] - a[x]) / 2.0, (d[x] - b[x]) / 2.0);
                    let (t2, t3) = (t * t, t * t * t);
                    (2.0 * t3 - 3.0 * t2 + 1.0) * b[x]
                        + (t3 - 2.0 * t2 + t) * m
                        + (3.0 * t2 - 2.0 * t3) * c[x]
                        + (t3 - t2) * k
                }));
            }
        }
        let mut lengths = vec![0.0];
        for pair in corners.windows(2) {
            lengths
                .push(lengths[lengths.len() - 1] + (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]));
        }
        Self { corners, lengths, ends, count: n }
    }

    fn whole(&self) -> f64 {
        self.lengths[self.lengths.len() - 1]
    }

    /// Length up to a keypoint.
    pub(super) fn of(&self, keypoint: usize) -> f64 {
        self.lengths[keypoint * PIECES]
    }

    /// `sigma`, or as much as leaves the largest slide of keypoint `i` on an open curve.
    fn room(&self, i: usize, sigma: f64) -> f64 {
        match self.ends {
            Ends::Closed => sigma,
            Ends::Open => sigma.min(self.of(i).min(self.whole() - self.of(i)) / CLIP),
        }
    }

    /// Where keypoints come to lie that slide so far: neighbours that would meet or pass each other keep a little distance.
    fn in_order(&self, slides: &[f64]) -> Vec<f64> {
        let n = self.count;
        let mut places: Vec<f64> = slides.iter().enumerate().map(|(i, slide)| self.of(i) + slide).collect();
        let gap = |i: usize| KEPT * (self.of(i) - self.of(i - 1));
        for i in 1..n {
            places[i] = places[i].max(places[i - 1] + gap(i));
        }
        if self.ends == Ends::Closed {
            let last = KEPT * (self.whole() - self.of(n - 1));
            places[n - 1] = places[n - 1].min(places[0] + self.whole() - last);
        } else {
            places[n - 1] = places[n - 1].min(self.whole());
        }
        for i in (1..n).rev() {
            places[i - 1] = places[i - 1].min(places[i] - gap(i));
        }
        places
    }

    /// The point at a length along the curve, once round and more if it is closed.
    pub(super) fn at(&self, place: f64) -> [f32; 2] {
        let place = match self.ends {
            Ends::Closed => place.rem_euclid(self.whole()),
            Ends::Open => place.clamp(0.0, self.whole()),
        };
        let after = self.lengths.partition_point(|l| *l < place).clamp(1, self.corners.len() - 1);
        let (a, b) = (self.corners[after - 1], self.corners[after]);
        let span = self.lengths[after] - self.lengths[after - 1];
        let t = if span > 0.0 { (place - self.lengths[after - 1]) / span } else { 0.0 };
        [0, 1].map(|x| (a[x] + t * (b[x] - a[x])) as f32)
    }

    /// Distance of a point to the curve, and the length along it of its nearest point.
    #[cfg(test)]
    pub(super) fn nearest(&self, point: [f32; 2]) -> (f64, f64) {
        let p = point.map(f64::from);
        let pieces = self.corners.windows(2).zip(&self.lengths);
        let of = |(pair, start): (&[[f64; 2]], &f64)| {
            let d = [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]];
            let size = d[0].hypot(d[1]).max(1e-12);
            let t = ((p[0] - pair[0][0]) * d[0] + (p[1] - pair[0][1]) * d[1]) / (size * size);
            let t = t.clamp(0.0, 1.0);
            let off = (p[0] - pair[0][0] - t * d[0]).hypot(p[1] - pair[0][1] - t * d[1]);
            (off, start + t * size)
        };
        pieces.map(of).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((f64::INFINITY, 0.0))
    }
}
