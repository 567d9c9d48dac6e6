//! Synthetic hands: a domain that is no face, with a scheme and an annotator of its own.

use super::SyntheticDataset;
use super::annotator::{self, Sigma, edges, tangents};
use super::config::{HAND_SCHEME, Labels, SyntheticConfig, invalid};
use super::hand::Hand;
use super::paint::paint_hand;
use super::stream::{Purpose, stream};
use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme};

/// Keypoints of a hand.
pub(super) const KEYPOINTS: usize = 21;
/// Wrist and base of the middle finger, whose distance is the unit of the annotator's noise.
const PALM: [usize; 2] = [0, 9];
/// Standard deviations of a joint's label along its finger and across it, fractions of the palm's length.
///
/// **Chosen, not measured**, as the faces' are: a joint has no mark along the finger that two people would agree on to better than a
/// fraction of a bone, the tip of a finger has, and the wrist is a region.
fn sigma(keypoint: usize) -> (f64, f64) {
    match keypoint {
        0 => (0.04, 0.04),
        k if k % 4 == 0 => (0.012, 0.012),
        _ => (0.070, 0.012),
    }
}

/// Synthetic hands in the 21-point markup, left and right ones alike.
///
/// As with [`SyntheticFaces`](super::SyntheticFaces), a hand depends on the configuration and its index alone, and its box is the
/// tight box of the exact joints.
#[derive(Clone, Debug)]
pub struct SyntheticHands {
    config: SyntheticConfig,
    scheme: Scheme,
}

impl SyntheticHands {
    /// Prepares the set; hands are drawn when asked for.
    ///
    /// # Errors
    /// As [`SyntheticConfig::validate`].
    pub fn new(config: SyntheticConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, scheme: Scheme::named(HAND_SCHEME)? })
    }

    fn hand(&self, index: usize) -> Hand {
        Hand::draw(self.config.image_size, &mut stream(self.config.seed, index, Purpose::Figure))
    }

    fn tangents_of(&self, truth: &[[f32; 2]]) -> Vec<[f32; 2]> {
        tangents(truth, edges(&self.scheme).into_iter())
    }

    /// What [`sigma`] says of each joint, in pixels.
    fn described(&self, truth: &[[f32; 2]]) -> Vec<Sigma> {
        let [a, b] = PALM.map(|k| truth[k].map(f64::from));
        let length = self.config.strength * (a[0] - b[0]).hypot(a[1] - b[1]);
        let of = |(along, across)| Sigma { tangential: length * along, normal: length * across };
        (0..KEYPOINTS).map(sigma).map(of).collect()
    }
}

impl SyntheticDataset for SyntheticHands {
    fn truth(&self, index: usize) -> Vec<[f32; 2]> {
        self.hand(index).joints
    }

    fn annotated_as(&self, index: usize, other: usize) -> Vec<[f32; 2]> {
        let truth = self.truth(index);
        annotator::label(&self.config, other, &truth, &self.described(&truth), &edges(&self.scheme))
    }

    fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        self.tangents_of(&self.truth(index))
    }

    fn sigmas(&self, index: usize) -> Vec<Sigma> {
        let truth = self.truth(index);
        annotator::sigmas(&self.config, &truth, self.described(&truth), &edges(&self.scheme))
    }
}

impl Dataset for SyntheticHands {
    fn len(&self) -> usize {
        self.config.count
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.config.count {
            return Err(Error::Index { index, len: self.config.count });
        }
        let hand = self.hand(index);
        let size = self.config.image_size;
        let (marks, tangents) = (self.config.marks, self.tangents_of(&hand.joints));
        let mut rng = stream(self.config.seed, index, Purpose::Paint);
        let image = paint_hand(&hand, size, marks, &tangents, &mut rng)
            .ok_or_else(|| invalid("image_size", "a size that memory can hold".into(), size))?;
        Ok(Sample {
            image,
            face: FaceBox::around(&hand.joints)?,
            points: match self.config.labels {
                Labels::Exact => hand.joints,
                Labels::Annotated => self.annotated(index),
            },
            visibility: None,
            tags: Vec::new(),
            source: format!("synthetic/hand/{}/{index}", self.config.seed).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Subject;

    fn hands(count: usize, strength: f64) -> SyntheticHands {
        let config = SyntheticConfig {
            subject: Subject::Hand,
            count,
            image_size: 96,
            strength,
            ..SyntheticConfig::default()
        };
        SyntheticHands::new(config).unwrap()
    }

    #[test]
    fn joints_lie_in_the_image_and_fingers_leave_the_palm() {
        let set = hands(200, 1.0);
        let distance = |a: [f32; 2], b: [f32; 2]| (a[0] - b[0]).hypot(a[1] - b[1]);
        for i in 0..200 {
            let joints = set.truth(i);
            assert!(joints.iter().flatten().all(|v| (0.0..=95.0).contains(v)), "hand {i}: {joints:?}");
            for finger in 1..5 {
                let (knuckle, tip) = (joints[4 * finger + 1], joints[4 * finger + 4]);
                assert!(distance(tip, joints[0]) > distance(knuckle, joints[0]), "hand {i}, finger {finger}");
            }
        }
    }

    #[test]
    fn labels_scatter_along_fingers_and_stay_at_tips() {
        let set = hands(300, 1.0);
        let mut sums = [0.0f64; 3];
        for i in 0..300 {
            let (truth, label, tangents) = (set.truth(i), set.annotated(i), set.tangent(i));
            let sigmas = set.sigmas(i);
            // The middle joint of the middle finger, and its tip.
            let d = [0, 1].map(|axis| f64::from(label[10][axis] - truth[10][axis]));
            let t = tangents[10].map(f64::from);
            sums[0] += ((d[0] * t[0] + d[1] * t[1]) / sigmas[10].tangential).powi(2);
            sums[1] += ((d[1] * t[0] - d[0] * t[1]) / sigmas[10].normal).powi(2);
            let tip = [0, 1].map(|axis| f64::from(label[12][axis] - truth[12][axis]));
            sums[2] += (tip[0].powi(2) + tip[1].powi(2)) / (2.0 * sigmas[12].normal.powi(2));
            assert!(sigmas[10].tangential > 5.0 * sigmas[12].tangential);
        }
        // Mean squares of 300 standard normal draws: 1 within five standard errors of sqrt(2 / 300).
        for sum in sums {
            assert!((sum / 300.0 - 1.0).abs() < 5.0 * (2.0f64 / 300.0).sqrt(), "{}", sum / 300.0);
        }
        let exact = hands(2, 0.0);
        assert_eq!(exact.annotated(1), exact.truth(1));
    }

    #[test]
    fn a_hand_is_the_same_whenever_it_is_drawn_and_different_from_its_neighbour() {
        let set = hands(3, 1.0);
        let (a, b, c) = (set.get(0).unwrap(), set.get(0).unwrap(), set.get(1).unwrap());
        assert_eq!((a.image.as_raw(), &a.points), (b.image.as_raw(), &b.points));
        assert_ne!(a.image.as_raw(), c.image.as_raw());
        assert_eq!(set.scheme().keypoints, a.points.len());
        assert!(set.get(3).unwrap_err().to_string().contains('3'));
    }

    #[test]
    fn fingers_differ_from_what_is_beside_them() {
        let set = hands(60, 1.0);
        let (mut differ, mut compared) = (0, 0);
        for i in 0..60 {
            let (hand, sample) = (set.hand(i), set.get(i).unwrap());
            let t = set.tangent(i)[10].map(f64::from);
            let at = |across: f64| {
                let [x, y] = hand.joints[10].map(f64::from);
                let (x, y) = ((x - across * t[1]).round(), (y + across * t[0]).round());
                let inside = |v: f64| (0.0..96.0).contains(&v);
                (inside(x) && inside(y)).then(|| sample.image.get_pixel(x as u32, y as u32).0)
            };
            let width = f64::from(hand.widths[2]);
            // Just inside the finger against well outside of it, on either side.
            for sign in [-1.0, 1.0] {
                if let (Some(inside), Some(outside)) = (at(0.3 * sign * width), at(1.9 * sign * width)) {
                    let apart: i32 = inside.iter().zip(outside).map(|(a, b)| i32::from(a.abs_diff(b))).sum();
                    differ += i32::from(apart > 24);
                    compared += 1;
                }
            }
        }
        assert!(compared > 80 && differ * 10 > compared * 5, "{differ} of {compared}");
    }
}
