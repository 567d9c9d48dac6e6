//! COCO's average precision and recall of keypoints, as its evaluation computes them.

use serde::{Deserialize, Serialize};

use super::{Detection, Truth, oks};
use crate::Result;

/// Detections of an image that are looked at, best first. COCO's value for keypoints.
const MAX_DETECTIONS: usize = 20;
/// Points of recall at which precision is read.
const RECALLS: usize = 101;
/// Ranges of area in pixels squared: all, medium, large. COCO's values; small objects have no keypoints.
const AREAS: [[f64; 2]; 3] = [[0.0, 1e10], [32.0 * 32.0, 96.0 * 96.0], [96.0 * 96.0, 1e10]];

/// COCO's ten figures; `None` where no object of that size is annotated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ApSummary {
    /// Average precision over similarity thresholds 0.50, 0.55 ... 0.95.
    pub ap: Option<f64>,
    /// At 0.50.
    pub ap50: Option<f64>,
    /// At 0.75.
    pub ap75: Option<f64>,
    /// Objects between 32 and 96 pixels squared.
    pub ap_medium: Option<f64>,
    /// Objects above 96 pixels squared.
    pub ap_large: Option<f64>,
    /// Average recall over the thresholds.
    pub ar: Option<f64>,
    /// At 0.50.
    pub ar50: Option<f64>,
    /// At 0.75.
    pub ar75: Option<f64>,
    /// Objects between 32 and 96 pixels squared.
    pub ar_medium: Option<f64>,
    /// Objects above 96 pixels squared.
    pub ar_large: Option<f64>,
}

/// Average precision and recall of keypoint detections over images, each given as its annotated and its predicted objects.
///
/// Crowds and objects without an annotated keypoint need not be found; detections that match them, or that lie outside the range of
/// sizes and match nothing, are not counted.
///
/// # Errors
/// As [`oks`], which is called for every pair of an image.
pub fn average_precision(images: &[(Vec<Truth>, Vec<Detection>)], sigmas: &[f64]) -> Result<ApSummary> {
    let mut prepared = Vec::with_capacity(images.len());
    for (truths, detections) in images {
        let mut order: Vec<&Detection> = detections.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        order.truncate(MAX_DETECTIONS);
        let mut similarities = Vec::with_capacity(order.len());
        for detection in &order {
            let row = truths.iter().map(|truth| oks(&detection.points, truth, sigmas));
            similarities.push(row.collect::<Result<Vec<f64>>>()?);
        }
        prepared.push(Image { truths, detections: order, similarities });
    }
    let [all, medium, large] = AREAS.map(|area| Curves::new(&prepared, area));
    Ok(ApSummary {
        ap: mean(&all.precision),
        ap50: all.precision[0],
        ap75: all.precision[5],
        ap_medium: mean(&medium.precision),
        ap_large: mean(&large.precision),
        ar: mean(&all.recall),
        ar50: all.recall[0],
        ar75: all.recall[5],
        ar_medium: mean(&medium.recall),
        ar_large: mean(&large.recall),
    })
}

/// 0.50, 0.55 ... 0.95.
fn thresholds() -> [f64; 10] {
    std::array::from_fn(|i| 0.5 + 0.05 * i as f64)
}

struct Image<'a> {
    truths: &'a [Truth],
    /// Best first.
    detections: Vec<&'a Detection>,
    /// Of each detection with each truth.
    similarities: Vec<Vec<f64>>,
}

/// What became of a detection.
#[derive(Clone, Copy, PartialEq)]
enum Verdict {
    Hit,
    Miss,
    NotCounted,
}

impl Image<'_> {
    fn is_ignored(truth: &Truth, [low, high]: [f64; 2]) -> bool {
        truth.crowd || !truth.annotated.contains(&true) || truth.area < low || truth.area > high
    }

    /// Verdict on each detection: the best still free truth, those to be found before those to be ignored.
    fn verdicts(&self, threshold: f64, area: [f64; 2]) -> Vec<Verdict> {
        let ignored: Vec<bool> = self.truths.iter().map(|truth| Self::is_ignored(truth, area)).collect();
        let mut order: Vec<usize> = (0..self.truths.len()).collect();
        order.sort_by_key(|&t| ignored[t]);
        let mut taken = vec![false; self.truths.len()];
        let mut verdict = |(detection, similarities): (&&Detection, &Vec<f64>)| {
            let mut best: Option<usize> = None;
            let mut needed = threshold.min(1.0 - 1e-10);
            for &t in &order {
                if taken[t] && !self.truths[t].crowd {
                    continue;
                }
                // Only ignored ones follow, and a match that counts is kept.
                if best.is_some_and(|b| !ignored[b]) && ignored[t] {
                    break;
                }
                if similarities[t] >= needed {
                    needed = similarities[t];
                    best = Some(t);
                }
            }
            match best {
                Some(t) => {
                    taken[t] = true;
                    if ignored[t] { Verdict::NotCounted } else { Verdict::Hit }
                }
                None if detection.area < area[0] || detection.area > area[1] => Verdict::NotCounted,
                None => Verdict::Miss,
            }
        };
        self.detections.iter().zip(&self.similarities).map(&mut verdict).collect()
    }
}

/// Average precision and recall per threshold in one range of sizes.
struct Curves {
    precision: [Option<f64>; 10],
    recall: [Option<f64>; 10],
}

impl Curves {
    fn new(images: &[Image], area: [f64; 2]) -> Self {
        let wanted = |p: &Image| p.truths.iter().filter(|t| !Image::is_ignored(t, area)).count();
        let wanted: usize = images.iter().map(wanted).sum();
        if wanted == 0 {
            return Self { precision: [None; 10], recall: [None; 10] };
        }
        let pairs = thresholds().map(|threshold| {
            let mut scored: Vec<(f64, Verdict)> = images
                .iter()
                .flat_map(|p| {
                    p.detections.iter().map(|d| d.score).zip(p.verdicts(threshold, area)).collect::<Vec<_>>()
                })
                .filter(|(_, verdict)| *verdict != Verdict::NotCounted)
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            average(&scored, wanted)
        });
        Self { precision: pairs.map(|p| Some(p.0)), recall: pairs.map(|p| Some(p.1)) }
    }
}

/// Precision averaged over 101 recalls, and the last recall, of detections sorted by falling score.
fn average(scored: &[(f64, Verdict)], wanted: usize) -> (f64, f64) {
    let mut hits = 0usize;
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    for (i, (_, verdict)) in scored.iter().enumerate() {
        hits += usize::from(*verdict == Verdict::Hit);
        recalls.push(hits as f64 / wanted as f64);
        precisions.push(hits as f64 / ((i + 1) as f64 + f64::EPSILON));
    }
    // The best precision at this or any higher recall.
    for i in (1..precisions.len()).rev() {
        precisions[i - 1] = precisions[i - 1].max(precisions[i]);
    }
    let at = |i: usize| {
        let recall = i as f64 / (RECALLS - 1) as f64;
        precisions.get(recalls.partition_point(|r| *r < recall)).copied().unwrap_or(0.0)
    };
    ((0..RECALLS).map(at).sum::<f64>() / RECALLS as f64, recalls.last().copied().unwrap_or(0.0))
}

fn mean(values: &[Option<f64>]) -> Option<f64> {
    let defined: Vec<f64> = values.iter().flatten().copied().collect();
    (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth(x: f64, crowd: bool) -> Truth {
        Truth {
            points: vec![[x, 0.0]],
            annotated: vec![true],
            area: 5000.0,
            bbox: [x, 0.0, 50.0, 100.0],
            crowd,
        }
    }

    fn detection(x: f64, score: f64) -> Detection {
        Detection { area: 5000.0, ..Detection::new(vec![[x, 0.0]], score) }
    }

    #[test]
    fn one_of_two_objects_found_is_half_the_recall() {
        let image = (vec![truth(0.0, false), truth(900.0, false)], vec![detection(0.0, 0.9)]);
        let summary = average_precision(&[image], &[0.05]).unwrap();
        // Precision is 1 up to recall 0.5: 51 of 101 points.
        assert!((summary.ap.unwrap() - 51.0 / 101.0).abs() < 1e-12);
        assert_eq!((summary.ar, summary.ap_large), (Some(0.5), None));
        assert_eq!(summary.ap_medium, summary.ap);
    }

    #[test]
    fn a_crowd_takes_many_detections_and_counts_none() {
        let detections = vec![detection(0.0, 0.9), detection(0.0, 0.8), detection(500.0, 0.7)];
        let summary =
            average_precision(&[(vec![truth(0.0, true), truth(500.0, false)], detections)], &[0.05]).unwrap();
        assert!((summary.ap.unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_annotated_has_no_figures_and_nothing_found_is_zero() {
        assert_eq!(average_precision(&[], &[0.05]).unwrap().ap, None);
        let summary = average_precision(&[(vec![truth(0.0, false)], vec![])], &[0.05]).unwrap();
        assert_eq!((summary.ap, summary.ar), (Some(0.0), Some(0.0)));
    }
}
