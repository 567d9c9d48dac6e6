//! One scheme's points made of another's, so that data of one can score a network of the other.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::dataset::Written;
use crate::{Annotation, Dataset, Error, Result, Sample, Scheme};

/// How 68 points are made of 98.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// Each is one of the 98: the upper rows of the brows, the eyelid points nearest to iBUG's.
    Pick,
    /// As `Pick`, but brows lie in the middle between their upper and lower row, and eyelid points are moved along the lid, where
    /// the 98 stand at its quarters, to its thirds, where iBUG's stand.
    Blend,
}

/// Every point of a scheme as a weighted mean of another's.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemeMap {
    from: Scheme,
    to: Scheme,
    parts: Vec<Vec<(usize, f32)>>,
}

/// Brow points of the 98: upper row and the one below it, in iBUG's order.
const BROWS: [(usize, usize); 10] =
    [(33, 33), (34, 41), (35, 40), (36, 39), (37, 38), (42, 50), (43, 49), (44, 48), (45, 47), (46, 46)];

/// First points of the eyes of the 98; eight points each, corners at 0 and 4.
const EYES: [usize; 2] = [60, 68];

/// Eyelid points from corner to corner and back as (nearest, next to it) of an eye's eight: a third of the way beyond the quarter.
const LIDS: [(usize, usize); 6] = [(0, 0), (1, 2), (3, 2), (4, 4), (5, 6), (7, 6)];

impl SchemeMap {
    /// `wflw98` to `ibug68`: jaw 0, 2, .. 32; brows 33-37 and 42-46; nose 51-59; eyes 60, 61, 63, 64, 65, 67 and 68, 69, 71, 72,
    /// 73, 75; mouth 76-95.
    ///
    /// # Errors
    /// Never in practice: both schemes are built in.
    pub fn wflw_to_300w(detail: Detail) -> Result<Self> {
        let (main, other) = match detail {
            Detail::Pick => ([1.0, 1.0], [0.0, 0.0]),
            Detail::Blend => ([0.5, 2.0 / 3.0], [0.5, 1.0 / 3.0]),
        };
        let mut parts: Vec<Vec<(usize, f32)>> = (0..17).map(|i| vec![(2 * i, 1.0)]).collect();
        parts.extend(BROWS.map(|(upper, lower)| vec![(upper, main[0]), (lower, other[0])]));
        parts.extend((51..60).map(|k| vec![(k, 1.0)]));
        for eye in EYES {
            parts.extend(LIDS.map(|(near, next)| vec![(eye + near, main[1]), (eye + next, other[1])]));
        }
        parts.extend((76..96).map(|k| vec![(k, 1.0)]));
        for part in &mut parts {
            part.retain(|(_, weight)| *weight > 0.0);
        }
        Self::new(Scheme::named("wflw98")?, Scheme::named("ibug68")?, parts)
    }

    /// A map of one's own: for each point of `to` the points of `from` and their weights, which add up to 1.
    ///
    /// # Errors
    /// [`Error::Scheme`] where the numbers of points or the weights do not fit.
    pub fn new(from: Scheme, to: Scheme, parts: Vec<Vec<(usize, f32)>>) -> Result<Self> {
        let wrong = |field: String, expected: String, got: String| {
            Err(Error::Scheme { name: format!("{} to {}", from.name, to.name), field, expected, got })
        };
        if parts.len() != to.keypoints {
            return wrong("points".into(), to.keypoints.to_string(), parts.len().to_string());
        }
        for (i, part) in parts.iter().enumerate() {
            let sum: f32 = part.iter().map(|(_, weight)| weight).sum();
            // f32 thirds add up to 1 within rounding
            if (sum - 1.0).abs() > 1e-5 || part.iter().any(|(k, _)| *k >= from.keypoints) {
                let expected = format!("weights that add up to 1 of points below {}", from.keypoints);
                return wrong(format!("point {i}"), expected, format!("{part:?}"));
            }
        }
        Ok(Self { from, to, parts })
    }

    /// The scheme that points come from.
    pub fn from(&self) -> &Scheme {
        &self.from
    }

    /// The scheme of the points made.
    pub fn to(&self) -> &Scheme {
        &self.to
    }

    /// For each point made, those that it is a mean of and their weights, which add up to 1.
    pub fn parts(&self) -> &[Vec<(usize, f32)>] {
        &self.parts
    }

    /// The points; one that needs an absent point is absent (NaN).
    pub fn points(&self, points: &[[f32; 2]]) -> Vec<[f32; 2]> {
        let mean = |part: &Vec<(usize, f32)>| {
            part.iter().fold([0.0; 2], |[x, y], &(k, weight)| {
                let [u, v] = points.get(k).copied().unwrap_or([f32::NAN; 2]);
                [x + weight * u, y + weight * v]
            })
        };
        self.parts.iter().map(mean).collect()
    }

    /// Covariances `xx, xy, yy`: weighted means too. A mean of points spreads no wider than that, however they depend on each other, and
    /// as wide where they move as one.
    pub fn covariances(&self, covariances: &[[f64; 3]]) -> Vec<[f64; 3]> {
        let mean = |part: &Vec<(usize, f32)>| {
            part.iter().fold([0.0; 3], |sum, &(k, weight)| {
                let own = covariances.get(k).copied().unwrap_or([f64::NAN; 3]);
                [0, 1, 2].map(|i| sum[i] + f64::from(weight) * own[i])
            })
        };
        self.parts.iter().map(mean).collect()
    }

    /// The least of a number a point over the parts of each, such as a confidence; NaN where a part is absent.
    pub fn least(&self, values: &[f32]) -> Vec<f32> {
        let own = |(k, _): &(usize, f32)| values.get(*k).copied().unwrap_or(f32::NAN);
        let least = |part: &Vec<(usize, f32)>| {
            part.iter().map(own).reduce(|a, b| if b.is_nan() || b < a { b } else { a }).unwrap_or(f32::NAN)
        };
        self.parts.iter().map(least).collect()
    }

    /// Which points are visible: those of which every part is.
    pub fn visibility(&self, visible: &[bool]) -> Vec<bool> {
        let seen =
            |part: &Vec<(usize, f32)>| part.iter().all(|(k, _)| visible.get(*k).copied().unwrap_or(false));
        self.parts.iter().map(seen).collect()
    }
}

/// Another data set with its points mapped; boxes stay as they are.
#[derive(Clone)]
pub struct Mapped {
    inner: Arc<dyn Dataset>,
    map: SchemeMap,
}

impl Mapped {
    /// Maps the points of `inner`.
    ///
    /// # Errors
    /// [`Error::Scheme`] where `inner` has another number of points than the map's source.
    pub fn new(inner: impl Dataset + 'static, map: SchemeMap) -> Result<Self> {
        let (expected, got) = (map.from.keypoints, inner.scheme().keypoints);
        if expected != got {
            let (name, field) = (format!("{} to {}", map.from.name, map.to.name), "points".to_string());
            return Err(Error::Scheme { name, field, expected: expected.to_string(), got: got.to_string() });
        }
        Ok(Self { inner: Arc::new(inner), map })
    }
}

impl Dataset for Mapped {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn scheme(&self) -> &Scheme {
        &self.map.to
    }

    fn source(&self, index: usize) -> PathBuf {
        self.inner.source(index)
    }

    fn get(&self, index: usize) -> Result<Sample> {
        let sample = self.inner.get(index)?;
        let visibility = sample.visibility.as_ref().map(|visible| self.map.visibility(visible));
        Ok(Sample { points: self.map.points(&sample.points), visibility, ..sample })
    }

    fn annotation(&self, index: usize) -> Result<Annotation> {
        let face = self.inner.annotation(index)?;
        let visibility = face.visibility.as_ref().map(|visible| self.map.visibility(visible));
        Ok(Annotation { points: self.map.points(&face.points), visibility, ..face })
    }

    fn written(&self, index: usize) -> Written {
        self.inner.written(index)
    }

    fn image_path(&self, index: usize) -> Option<PathBuf> {
        self.inner.image_path(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered() -> Vec<[f32; 2]> {
        (0..98).map(|k| [k as f32, 100.0]).collect()
    }

    fn made(detail: Detail) -> Vec<f32> {
        let map = SchemeMap::wflw_to_300w(detail).unwrap();
        map.points(&numbered()).iter().map(|p| p[0]).collect()
    }

    #[test]
    fn picked_points_are_the_published_ones() {
        let points = made(Detail::Pick);
        assert_eq!(points[..17], (0..17).map(|i| 2.0 * i as f32).collect::<Vec<_>>());
        assert_eq!(points[17..27], [33.0, 34.0, 35.0, 36.0, 37.0, 42.0, 43.0, 44.0, 45.0, 46.0]);
        assert_eq!(points[27..36], (51..60).map(|k| k as f32).collect::<Vec<_>>());
        let eyes = [60.0, 61.0, 63.0, 64.0, 65.0, 67.0, 68.0, 69.0, 71.0, 72.0, 73.0, 75.0];
        assert_eq!(points[36..48], eyes);
        assert_eq!(points[48..], (76..96).map(|k| k as f32).collect::<Vec<_>>());
    }

    #[test]
    fn blended_brows_lie_between_their_rows_and_lids_at_their_thirds() {
        let points = made(Detail::Blend);
        // (34 + 41) / 2; the ends stay
        assert_eq!((points[17], points[18], points[26]), (33.0, 37.5, 46.0));
        // two thirds of 61 and one of 62; of 63 and 62
        assert!((points[37] - 61.333).abs() < 1e-2 && (points[38] - 62.667).abs() < 1e-2);
        assert_eq!(points[39], 64.0);
    }

    #[test]
    fn a_blended_spread_is_the_mean_of_those_it_is_made_of() {
        let own: Vec<[f64; 3]> = (0..98).map(|k| [f64::from(k), 0.0, 1.0]).collect();
        let pick = SchemeMap::wflw_to_300w(Detail::Pick).unwrap().covariances(&own);
        let blend = SchemeMap::wflw_to_300w(Detail::Blend).unwrap().covariances(&own);
        // 34; (34 + 41) / 2
        assert_eq!((pick[18], blend[18]), ([34.0, 0.0, 1.0], [37.5, 0.0, 1.0]));
        assert_eq!((pick.len(), blend.len()), (68, 68));
    }

    #[test]
    fn mirroring_before_and_after_the_map_is_the_same() {
        for detail in [Detail::Pick, Detail::Blend] {
            let map = SchemeMap::wflw_to_300w(detail).unwrap();
            let (wide, narrow) =
                (map.from().flip_permutation().unwrap(), map.to().flip_permutation().unwrap());
            let points: Vec<[f32; 2]> = (0..98).map(|k| [(k * k) as f32 % 71.0, k as f32]).collect();
            let flipped: Vec<[f32; 2]> = wide.iter().map(|&k| points[k]).collect();
            let before = map.points(&flipped);
            let after = map.points(&points);
            for (k, &from) in narrow.iter().enumerate() {
                assert!((before[k][0] - after[from][0]).abs() < 1e-3, "{detail:?} {k}");
            }
        }
    }

    #[test]
    fn a_point_made_of_a_hidden_one_is_hidden_and_maps_that_do_not_fit_are_named() {
        let map = SchemeMap::wflw_to_300w(Detail::Blend).unwrap();
        let mut visible = vec![true; 98];
        visible[41] = false;
        let seen = map.visibility(&visible);
        assert_eq!(seen.iter().filter(|v| !**v).count(), 1);
        assert!(!seen[18]);
        let (from, to) = (map.from().clone(), map.to().clone());
        let message = SchemeMap::new(from, to, vec![vec![(0, 0.5)]; 68]).unwrap_err().to_string();
        assert!(message.contains("add up to 1"), "{message}");
    }
}
