//! The ambiguity figures of a set of predictions that carry covariances.

use serde::{Deserialize, Serialize};

use super::{Ambiguity, angle_between, elongation, tangents};
use crate::metric_set::MetricSet;
use crate::{Case, Covariance, Result};

/// NME below which an image counts as easy, and above which it counts as hard, fractions. The paper's values.
const EASY_BELOW: f64 = 0.03;
/// Likewise.
const HARD_ABOVE: f64 = 0.08;
/// The axes of distributions more isotropic than this point anywhere, so they are left out of the angles.
const ELONGATED: f64 = 1.5;

/// How elongated predicted distributions are, where, and in which direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AmbiguitySummary {
    /// Images whose prediction carries covariances.
    pub images: usize,
    /// Mean ratio of the larger to the smaller eigenvalue of each keypoint.
    pub keypoint_ratios: Vec<f64>,
    /// Mean ratio and NME of groups of keypoints.
    pub groups: Vec<Contrast>,
    /// The two groups that the metric set sets against each other, such as eye corners and contour.
    pub contrast: Vec<Contrast>,
    /// Images with an NME below 3 % and above 8 %.
    pub easy_and_hard: [Contrast; 2],
    /// Mean angle in degrees between the long axis and the curve's direction at each keypoint; 45 where axes point anywhere. `None`
    /// for keypoints on no curve or whose distribution is never elongated (ratio 1.5).
    pub keypoint_angles: Vec<Option<f64>>,
    /// Mean of those angles over all elongated distributions on curves; `None` where there is none.
    pub mean_angle: Option<f64>,
}

/// Mean eigenvalue ratio of some keypoints or images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// What is averaged over.
    pub name: String,
    /// Mean ratio; `None` where there is nothing to average.
    pub ratio: Option<f64>,
    /// Number of keypoints or of images averaged.
    pub count: usize,
}

impl AmbiguitySummary {
    /// The contrasted groups that are not among the groups under the same name.
    pub(crate) fn contrasted(&self) -> impl Iterator<Item = &Contrast> {
        self.contrast.iter().filter(|c| self.groups.iter().all(|group| group.name != c.name))
    }

    /// The figures of `cases`, whose NMEs (a fraction, infinity where missing) are given in the same order; `None` where no case
    /// carries covariances.
    ///
    /// # Errors
    /// As [`Ambiguity::add`] and [`Ambiguity::of_group`].
    pub fn new(cases: &[Case], nmes: &[f64], metrics: &MetricSet) -> Result<Option<Self>> {
        let Some(keypoints) = cases.iter().find_map(Case::with_covariances).map(|(points, _)| points.len())
        else {
            return Ok(None);
        };
        let mut set = Ambiguity::new(keypoints)?;
        let mut angles = vec![[0.0; 2]; keypoints];
        for (case, &nme) in cases.iter().zip(nmes) {
            let (Some((_, covariances)), Some(unit)) = (case.with_covariances(), case.unit()) else {
                continue;
            };
            let scaled: Vec<Covariance> = covariances.iter().map(|c| c.scaled(unit.recip())).collect();
            let variances: Option<Vec<[f64; 2]>> = scaled.iter().map(Covariance::variances).collect();
            // What is no covariance has no axes: the image is left out and not counted.
            let Some(variances) = variances else { continue };
            set.add(nme, &scaled)?;
            let weights = case.weights.as_deref();
            for (k, tangent) in tangents(&case.truth, weights, &metrics.curves).into_iter().enumerate() {
                let weighted = weights.is_none_or(|w| w[k] > 0.0);
                if let Some(tangent) = tangent
                    && weighted
                    && elongation(variances[k]) >= ELONGATED
                {
                    angles[k][0] += angle_between(covariances[k].direction(), tangent);
                    angles[k][1] += 1.0;
                }
            }
        }
        if set.images() == 0 {
            return Ok(None);
        }
        let of = |name: &str, keypoints: &[usize]| -> Result<Contrast> {
            let ratio = Some(set.of_group(keypoints)?);
            Ok(Contrast { name: name.to_owned(), ratio, count: keypoints.len() })
        };
        let range = |name: String, low: f64, high: f64| Contrast {
            name,
            ratio: set.of_images_with_nme(low, high),
            count: set.images_with_nme(low, high),
        };
        let total = angles.iter().fold([0.0; 2], |sum, a| [sum[0] + a[0], sum[1] + a[1]]);
        let mean = |&[sum, count]: &[f64; 2]| (count > 0.0).then(|| sum / count);
        Ok(Some(Self {
            images: set.images(),
            keypoint_ratios: set.per_keypoint()?,
            groups: metrics.groups.iter().map(|g| of(&g.name, &g.keypoints)).collect::<Result<_>>()?,
            contrast: metrics
                .contrast
                .iter()
                .flatten()
                .map(|g| of(&g.name, &g.keypoints))
                .collect::<Result<_>>()?,
            easy_and_hard: [
                range(format!("easy images (NME below {} %)", 100.0 * EASY_BELOW), 0.0, EASY_BELOW),
                // The range is closed below, so that it starts just above.
                range(
                    format!("hard images (NME above {} %)", 100.0 * HARD_ABOVE),
                    HARD_ABOVE.next_up(),
                    f64::INFINITY,
                ),
            ],
            keypoint_angles: angles.iter().map(mean).collect(),
            mean_angle: mean(&total),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Group;
    use crate::metric_set::Curve;

    fn case(major_along_x: f64) -> Case {
        Case {
            truth: vec![[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [10.0, 20.0]],
            predicted: Some(vec![[0.0, 0.0], [10.0, 0.0], [20.0, 0.0], [10.0, 20.0]]),
            covariances: Some(vec![Covariance::from_axes(major_along_x, 1.0, 0.0); 4]),
            unit: Some(1.0),
            ..Default::default()
        }
    }

    fn metrics() -> MetricSet {
        let group = |name: &str, keypoints: Vec<usize>| Group { name: name.into(), keypoints };
        MetricSet {
            groups: vec![group("line", vec![0, 1, 2])],
            curves: vec![Curve { name: "line".into(), keypoints: vec![0, 1, 2], closed: false }],
            contrast: Some([group("line", vec![0, 1, 2]), group("top", vec![3])]),
            ..Default::default()
        }
    }

    #[test]
    fn easy_and_hard_images_have_their_own_means_and_angles_follow_the_curve() {
        // Ratios 4 (easy) and 9 (hard), all along the line.
        let found =
            AmbiguitySummary::new(&[case(2.0), case(3.0)], &[0.01, 0.2], &metrics()).unwrap().unwrap();
        let near = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 1e-3;
        assert!(
            near(found.easy_and_hard[0].ratio, 4.0) && near(found.easy_and_hard[1].ratio, 9.0),
            "{found:?}"
        );
        assert_eq!((found.easy_and_hard[0].count, found.images), (1, 2));
        assert!(near(found.contrast[1].ratio, 6.5));
        assert!(found.mean_angle.unwrap() < 1e-6 && found.keypoint_angles[3].is_none());
        // Across the line.
        let across = Case { covariances: Some(vec![Covariance::from_axes(3.0, 1.0, 90.0); 4]), ..case(1.0) };
        let found = AmbiguitySummary::new(&[across], &[0.05], &metrics()).unwrap().unwrap();
        assert!(near(found.mean_angle, 90.0) && found.easy_and_hard[0].ratio.is_none());
    }

    #[test]
    fn isotropic_distributions_have_no_direction_and_predictions_without_ellipses_no_figures() {
        let isotropic = AmbiguitySummary::new(&[case(1.0)], &[0.05], &metrics()).unwrap().unwrap();
        assert_eq!(isotropic.mean_angle, None);
        let bare = Case { covariances: None, ..case(1.0) };
        assert_eq!(AmbiguitySummary::new(&[bare], &[0.05], &metrics()).unwrap(), None);
    }
}
