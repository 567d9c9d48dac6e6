//! Covariances in the frame of a face, and whether a network's agree with how annotators differ.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use star_eval::Covariance;

use super::annotators::{EYES, Portrait};

/// The axis of a covariance whose eigenvalue ratio is below this points anywhere; see `star_eval`'s mean angle.
const ELONGATED: f64 = 1.5;
/// Random orders that a statistic is held against.
const SHUFFLES: usize = 2000;
/// Landmarks of 68 by the part of the face they are in: a shuffle within parts leaves what is known of a part as a whole.
const PARTS: [std::ops::Range<usize>; 5] = [0..17, 17..27, 27..36, 36..48, 48..68];

/// Frame of a face: turned so that its outer eye corners are level, lengths in units of their distance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    sin: f64,
    cos: f64,
    length: f64,
}

impl Frame {
    /// Of the points of a face in pixels; `None` where the eye corners coincide.
    pub(super) fn of(points: &[[f32; 2]]) -> Option<Self> {
        let [a, b] = EYES.map(|k| points[k].map(f64::from));
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let length = dx.hypot(dy);
        (length > 0.0 && length.is_finite()).then(|| Self { sin: dy / length, cos: dx / length, length })
    }

    /// A difference of two places.
    pub(super) fn vector(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [(self.cos * x + self.sin * y) / self.length, (self.cos * y - self.sin * x) / self.length]
    }

    /// A covariance in pixels squared.
    pub(super) fn covariance(&self, c: Covariance) -> Covariance {
        let (s, o) = (self.sin, self.cos);
        Covariance {
            xx: o * o * c.xx + 2.0 * o * s * c.xy + s * s * c.yy,
            xy: o * s * (c.yy - c.xx) + (o * o - s * s) * c.xy,
            yy: s * s * c.xx - 2.0 * o * s * c.xy + o * o * c.yy,
        }
        .scaled(self.length.recip())
    }
}

/// Mean of covariances, landmark by landmark.
#[derive(Clone, Debug, Default)]
pub(super) struct MeanCovariances {
    sums: Vec<Covariance>,
    count: f64,
}

impl MeanCovariances {
    pub(super) fn add(&mut self, covariances: impl IntoIterator<Item = Covariance>) {
        for (k, c) in covariances.into_iter().enumerate() {
            if k == self.sums.len() {
                self.sums.push(Covariance::default());
            }
            let sum = &mut self.sums[k];
            *sum = Covariance { xx: sum.xx + c.xx, xy: sum.xy + c.xy, yy: sum.yy + c.yy };
        }
        self.count += 1.0;
    }

    pub(super) fn mean(&self) -> Vec<Covariance> {
        self.sums.iter().map(|sum| sum.scaled(self.count.recip().sqrt())).collect()
    }
}

/// How annotators differ from their consensus in the frame of the face, landmark by landmark, in squared inter-ocular distances; and the
/// same without what each of them does on every face.
pub(super) fn disagreement(portraits: &[Portrait]) -> [Vec<Covariance>; 2] {
    let framed: Vec<Vec<Vec<[f64; 2]>>> = portraits
        .iter()
        .filter_map(|portrait| {
            let frame = Frame::of(&portrait.consensus)?;
            let residual = |(p, c): (&[f32; 2], &[f32; 2])| {
                frame.vector([0, 1].map(|axis| f64::from(p[axis]) - f64::from(c[axis])))
            };
            let of = |points: &Vec<[f32; 2]>| points.iter().zip(&portrait.consensus).map(residual).collect();
            Some(portrait.labels.iter().map(of).collect())
        })
        .collect();
    let faces = framed.len() as f64;
    let mut bias: Vec<Vec<[f64; 2]>> = framed
        .first()
        .map_or_else(Vec::new, |labels| labels.iter().map(|points| vec![[0.0; 2]; points.len()]).collect());
    for labels in &framed {
        for (sums, points) in bias.iter_mut().zip(labels) {
            for (sum, point) in sums.iter_mut().zip(points) {
                *sum = [0, 1].map(|axis| sum[axis] + point[axis] / faces);
            }
        }
    }
    let square = |[x, y]: [f64; 2]| Covariance { xx: x * x, xy: x * y, yy: y * y };
    let (mut whole, mut unbiased) = (MeanCovariances::default(), MeanCovariances::default());
    for labels in &framed {
        for (points, bias) in labels.iter().zip(&bias) {
            whole.add(points.iter().map(|p| square(*p)));
            unbiased.add(points.iter().zip(bias).map(|(p, b)| square([p[0] - b[0], p[1] - b[1]])));
        }
    }
    [whole.mean(), unbiased.mean()]
}

/// Natural logarithm of the eigenvalue ratio of each covariance; 0 is an isotropic one. `NaN` for one without area.
pub(super) fn log_ratios(covariances: &[Covariance]) -> Vec<f64> {
    let ratio = |c: &Covariance| c.variances().map_or(f64::NAN, |[small, large]| (large / small).ln());
    covariances.iter().map(ratio).collect()
}

/// Whether one set of covariances has its ratios and axes where another has them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Agreement {
    /// Spearman's correlation of the logarithms of the eigenvalue ratios over landmarks.
    pub(super) spearman: f64,
    /// Mean angle between the long axes in degrees, 45 by chance; over landmarks at which the second set is elongated.
    pub(super) angle: f64,
}

/// Of `found` with `reference`, landmark by landmark.
pub(super) fn agreement(found: &[Covariance], reference: &[Covariance]) -> Agreement {
    let order: Vec<usize> = (0..found.len()).collect();
    Prepared::new(found, reference).agreement(&order)
}

/// What agreement random orders of the landmarks have, over all landmarks or within the parts of a face.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Null {
    pub(super) mean: Agreement,
    /// 95 % of the random orders have a correlation of at most this.
    pub(super) spearman_95: f64,
    /// 95 % of them have a mean angle of at least this.
    pub(super) angle_05: f64,
    /// Shares of orders, this one counted, that agree at least as well: by correlation and by angle.
    pub(super) p: [f64; 2],
}

/// The nulls of `found` with `reference`: shuffled over all 68 landmarks, and within the parts of the face.
pub(super) fn nulls(found: &[Covariance], reference: &[Covariance]) -> [Null; 2] {
    let prepared = Prepared::new(found, reference);
    let whole = 0..found.len();
    [null(&prepared, std::slice::from_ref(&whole)), null(&prepared, &PARTS)]
}

fn null(prepared: &Prepared, parts: &[std::ops::Range<usize>]) -> Null {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut order: Vec<usize> = (0..prepared.found.len()).collect();
    let own = prepared.agreement(&order);
    let mut drawn: Vec<Agreement> = Vec::with_capacity(SHUFFLES);
    for _ in 0..SHUFFLES {
        parts.iter().for_each(|part| order[part.clone()].shuffle(&mut rng));
        drawn.push(prepared.agreement(&order));
    }
    let count = SHUFFLES as f64;
    let share = |as_good: &dyn Fn(&Agreement) -> bool| {
        (1 + drawn.iter().filter(|a| as_good(a)).count()) as f64 / (count + 1.0)
    };
    let sorted = |value: &dyn Fn(&Agreement) -> f64| {
        let mut values: Vec<f64> = drawn.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (spearman, angle) = (sorted(&|a| a.spearman), sorted(&|a| a.angle));
    Null {
        mean: Agreement {
            spearman: spearman.iter().sum::<f64>() / count,
            angle: angle.iter().sum::<f64>() / count,
        },
        spearman_95: spearman[SHUFFLES * 95 / 100],
        angle_05: angle[SHUFFLES * 5 / 100],
        p: [share(&|a| a.spearman >= own.spearman), share(&|a| a.angle <= own.angle)],
    }
}

/// Ranks and axes of two sets of covariances.
struct Prepared {
    found: Vec<f64>,
    axes: Vec<f64>,
    reference: Vec<f64>,
    /// Landmark and axis of those that are elongated.
    elongated: Vec<(usize, f64)>,
}

impl Prepared {
    fn new(found: &[Covariance], reference: &[Covariance]) -> Self {
        let ratios = log_ratios(reference);
        let elongated = (0..reference.len()).filter(|&k| ratios[k] >= ELONGATED.ln());
        Self {
            found: ranks(&log_ratios(found)),
            axes: found.iter().map(Covariance::direction).collect(),
            elongated: elongated.map(|k| (k, reference[k].direction())).collect(),
            reference: ranks(&ratios),
        }
    }

    /// With landmark `order[k]` of the found set in the place of `k`.
    fn agreement(&self, order: &[usize]) -> Agreement {
        let found: Vec<f64> = order.iter().map(|&k| self.found[k]).collect();
        let off = |&(k, axis): &(usize, f64)| {
            let cosine = (self.axes[order[k]] - axis).cos().abs();
            cosine.min(1.0).acos().to_degrees()
        };
        let angles: f64 = self.elongated.iter().map(off).sum();
        Agreement {
            spearman: correlation(&found, &self.reference),
            angle: angles / self.elongated.len() as f64,
        }
    }
}

/// Ranks from 1, equal values under the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|&k| ranks[k] = rank);
        start += group.len();
    }
    ranks
}

/// Pearson's.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|v| v - mean).collect()
    };
    let (a, b) = (centred(a), centred(b));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::annotators::tests::face;
    use super::*;

    const TOLERANCE: f64 = 1e-6;

    fn covariance(ratio: f64, degrees: f64) -> Covariance {
        Covariance::from_axes(ratio.sqrt(), 1.0, degrees)
    }

    #[test]
    fn ranks_of_equal_values_are_shared_and_order_is_all_that_counts() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 9.0]), [2.5, 1.0, 2.5, 4.0]);
        // Ranks 1 2 3 4 against 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8.
        let rho = correlation(&ranks(&[0.1, 0.2, 0.7, 9.0]), &ranks(&[5.0, 7.0, 6.0, 8.0]));
        assert!((rho - 0.8).abs() < TOLERANCE, "{rho}");
    }

    #[test]
    fn the_frame_takes_turn_and_size_out() {
        // Eye corners 50 apart along (3, 4): a step of (3, 4) is a tenth of it along x.
        let mut points = face([0.0; 2]);
        (points[EYES[0]], points[EYES[1]]) = ([0.0, 0.0], [30.0, 40.0]);
        let frame = Frame::of(&points).unwrap();
        let [x, y] = frame.vector([3.0, 4.0]);
        assert!((x - 0.1).abs() < TOLERANCE && y.abs() < TOLERANCE);
        let turn = (4f64 / 3.0).atan().to_degrees();
        let c = frame.covariance(Covariance::from_axes(10.0, 5.0, turn + 20.0));
        let expected = Covariance::from_axes(0.2, 0.1, 20.0);
        for (got, want) in [(c.xx, expected.xx), (c.xy, expected.xy), (c.yy, expected.yy)] {
            assert!((got - want).abs() < TOLERANCE, "{c:?} {expected:?}");
        }
    }

    #[test]
    fn annotators_that_differ_along_x_have_their_covariance_there_and_bias_is_taken_out() {
        let base = face([50.0; 2]);
        let portrait = |by: [f32; 2]| {
            let moved = |dx: f32| base.iter().map(|[x, y]| [x + dx, *y]).collect::<Vec<_>>();
            Portrait { about: about(), labels: vec![moved(by[0]), moved(by[1])], consensus: base.clone() }
        };
        // Of 40 px between the eyes: residuals of 4 and -4, then of 2 and -2; the bias is 3 and -3.
        let [whole, unbiased] = disagreement(&[portrait([4.0, -4.0]), portrait([2.0, -2.0])]);
        assert!((whole[7].xx - (0.01 + 0.0025) / 2.0).abs() < TOLERANCE && whole[7].yy.abs() < TOLERANCE);
        assert!((unbiased[7].xx - 0.025f64.powi(2)).abs() < TOLERANCE, "{:?}", unbiased[7]);
    }

    #[test]
    fn what_agrees_with_itself_beats_a_shuffle_and_a_rotated_set_loses_its_axes_alone() {
        let reference: Vec<Covariance> =
            (0..68).map(|k| covariance(2.0 + k as f64 / 10.0, 5.0 * k as f64)).collect();
        let own = agreement(&reference, &reference);
        assert!((own.spearman - 1.0).abs() < TOLERANCE && own.angle < 1e-3, "{own:?}");
        let turned: Vec<Covariance> =
            (0..68).map(|k| covariance(2.0 + k as f64 / 10.0, 5.0 * k as f64 + 90.0)).collect();
        let other = agreement(&turned, &reference);
        assert!((other.spearman - 1.0).abs() < TOLERANCE && (other.angle - 90.0).abs() < 1e-3);
        let [whole, parts] = nulls(&reference, &reference);
        assert!(whole.p[0] < 0.001 && whole.p[1] < 0.001 && parts.p[0] < 0.001);
        assert!(whole.spearman_95 < 0.4 && whole.mean.spearman.abs() < 0.05, "{whole:?}");
        // Within parts the order of the parts stays, and with it most of the correlation.
        assert!(parts.mean.spearman > 0.5 && (whole.mean.angle - 45.0).abs() < 5.0, "{parts:?}");
    }

    fn about() -> star_data::Annotation {
        star_data::Annotation {
            file: std::sync::Arc::from(std::path::Path::new("a.tsv")),
            line: 1,
            image: "a.jpg".into(),
            points: Vec::new(),
            visibility: None,
            stated: None,
            face: star_data::FaceBox::from_scale_and_centre(0.5, [50.0; 2]),
            tags: Vec::new(),
        }
    }
}
