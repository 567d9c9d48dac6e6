//! Synthetic leaves: a domain whose keypoints have no place of their own along their edge.

use super::SyntheticDataset;
use super::annotator::{self, Sigma, edges, tangents};
use super::config::{LEAF_SCHEME, Labels, SyntheticConfig, invalid};
use super::leaf::{Leaf, SIDE};
use super::paint::paint_leaf;
use super::stream::{Purpose, stream};
use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme};

/// Stem and tip: as sure in one direction as in the other.
const ENDS: [usize; 2] = [0, SIDE - 1];
/// Standard deviations of a label along the outline and across it, and of stem and tip: fractions of the distance between these.
///
/// **Chosen, not measured**, as the faces' are: the outline of a leaf shows where it is, and nothing of where along it a point lies.
const SIGMA: (f64, f64, f64) = (0.045, 0.008, 0.008);

/// Outlines of synthetic leaves in the 24-point markup: stem and tip, and 11 points evenly spaced along each side.
///
/// As with [`SyntheticFaces`](super::SyntheticFaces), a leaf depends on the configuration and its index alone, and its box is the tight
/// box of the exact keypoints.
#[derive(Clone, Debug)]
pub struct SyntheticLeaves {
    config: SyntheticConfig,
    scheme: Scheme,
}

impl SyntheticLeaves {
    /// Prepares the set; leaves are drawn when asked for.
    ///
    /// # Errors
    /// As [`SyntheticConfig::validate`].
    pub fn new(config: SyntheticConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, scheme: Scheme::named(LEAF_SCHEME)? })
    }

    fn leaf(&self, index: usize) -> Leaf {
        Leaf::draw(self.config.image_size, &mut stream(self.config.seed, index, Purpose::Figure))
    }

    /// Standard deviations before any shrinks towards the ends of an edge, in pixels.
    fn described(&self, leaf: &Leaf) -> Vec<Sigma> {
        let length = self.config.strength * leaf.unit;
        let (along, across, ends) = SIGMA;
        let of = |k| if ENDS.contains(&k) { (ends, ends) } else { (along, across) };
        let pixels = |(along, across)| Sigma { tangential: length * along, normal: length * across };
        (0..leaf.points.len()).map(of).map(pixels).collect()
    }
}

impl SyntheticDataset for SyntheticLeaves {
    fn truth(&self, index: usize) -> Vec<[f32; 2]> {
        self.leaf(index).points
    }

    fn annotated_as(&self, index: usize, other: usize) -> Vec<[f32; 2]> {
        let leaf = self.leaf(index);
        annotator::label(&self.config, other, &leaf.points, &self.described(&leaf), &edges(&self.scheme))
    }

    fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        tangents(&self.truth(index), edges(&self.scheme).into_iter())
    }

    fn sigmas(&self, index: usize) -> Vec<Sigma> {
        let leaf = self.leaf(index);
        annotator::sigmas(&self.config, &leaf.points, self.described(&leaf), &edges(&self.scheme))
    }
}

impl Dataset for SyntheticLeaves {
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
        let leaf = self.leaf(index);
        let size = self.config.image_size;
        let tangents = tangents(&leaf.points, edges(&self.scheme).into_iter());
        let mut rng = stream(self.config.seed, index, Purpose::Paint);
        let image = paint_leaf(&leaf, size, self.config.marks, &tangents, &mut rng)
            .ok_or_else(|| invalid("image_size", "a size that memory can hold".into(), size))?;
        Ok(Sample {
            image,
            face: FaceBox::around(&leaf.points)?,
            points: match self.config.labels {
                Labels::Exact => leaf.points,
                Labels::Annotated => self.annotated(index),
            },
            visibility: None,
            tags: Vec::new(),
            source: format!("synthetic/leaf/{}/{index}", self.config.seed).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Subject;

    fn leaves(count: usize) -> SyntheticLeaves {
        let config =
            SyntheticConfig { subject: Subject::Leaf, count, image_size: 112, ..SyntheticConfig::default() };
        SyntheticLeaves::new(config).unwrap()
    }

    #[test]
    fn points_are_in_the_image_and_evenly_spaced_along_each_side() {
        let set = leaves(200);
        for i in 0..200 {
            let points = set.truth(i);
            assert!(points.iter().flatten().all(|v| (0.0..=111.0).contains(v)), "leaf {i}: {points:?}");
            for (side, _) in edges(&set.scheme) {
                let gaps: Vec<f32> = side
                    .windows(2)
                    .map(|w| (points[w[0]][0] - points[w[1]][0]).hypot(points[w[0]][1] - points[w[1]][1]))
                    .collect();
                let mean = gaps.iter().sum::<f32>() / gaps.len() as f32;
                // Chords of equal arcs: at a bend they are a little shorter.
                assert!(gaps.iter().all(|gap| (gap / mean - 1.0).abs() < 0.25), "leaf {i}: {gaps:?}");
            }
        }
    }

    #[test]
    fn every_leaf_points_upwards_within_twenty_degrees_and_has_its_broad_stem_end_on_the_left() {
        let set = leaves(300);
        for i in 0..300 {
            let points = set.truth(i);
            let axis = [points[12][0] - points[0][0], points[12][1] - points[0][1]];
            assert!(axis[0].atan2(-axis[1]).to_degrees().abs() <= 20.01, "leaf {i}: {axis:?}");
            let length = axis[0].hypot(axis[1]);
            // Height along the axis of the points that are furthest out on either side.
            let height = |k: usize| {
                let d = [points[k][0] - points[0][0], points[k][1] - points[0][1]];
                ((d[0] * axis[0] + d[1] * axis[1]) / length, (d[0] * axis[1] - d[1] * axis[0]).abs() / length)
            };
            let furthest = |range: std::ops::Range<usize>| {
                range.map(height).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0.0, |(along, _)| along)
            };
            assert!(furthest(1..12) < furthest(13..24), "leaf {i} is a mirror image");
        }
    }

    #[test]
    fn the_inside_of_a_leaf_differs_from_what_is_around_it() {
        let set = leaves(80);
        let (mut differ, mut compared) = (0, 0);
        for i in 0..80 {
            let (points, sample) = (set.truth(i), set.get(i).unwrap());
            let middle = [0, 1].map(|axis| points[0][axis].midpoint(points[12][axis]));
            let at = |share: f32| {
                let [x, y] = [0, 1].map(|axis| middle[axis] + share * (points[5][axis] - middle[axis]));
                let inside = |v: f32| (0.0..111.5).contains(&v);
                (inside(x) && inside(y)).then(|| sample.image.get_pixel(x.round() as u32, y.round() as u32).0)
            };
            if let (Some(inside), Some(outside)) = (at(0.8), at(1.25)) {
                let apart: i32 = inside.iter().zip(outside).map(|(a, b)| i32::from(a.abs_diff(b))).sum();
                differ += i32::from(apart > 30);
                compared += 1;
            }
        }
        assert!(compared > 60 && differ * 10 > compared * 8, "{differ} of {compared}");
        let (a, b) = (set.get(1).unwrap(), set.get(1).unwrap());
        assert_eq!((a.image.as_raw(), &a.points), (b.image.as_raw(), &b.points));
        assert!(set.get(80).unwrap_err().to_string().contains("80"));
    }
}
