//! Metrics against SciPy, scikit-learn and pycocotools: `golden/independent.json`, written by `golden/independent.py`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use star_eval::bootstrap::bca;
use star_eval::oks::{Detection, Truth, average_precision, oks};
use star_eval::paired::{sign_test, wilcoxon};
use star_eval::shape::mean_shape;
use star_eval::{Bootstrap, Calibration, Ced, Covariance, Jitter, Normalizer, Pck, keypoint_errors, nme};

/// Two ways to the same f64.
const EXACT: f64 = 1e-9;
/// Series and continued fractions of two libraries.
const SPECIAL: f64 = 1e-8;

fn golden<T: DeserializeOwned>(part: &str) -> T {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/independent.json"));
    let document: Value = serde_json::from_str(&text.unwrap()).unwrap();
    serde_json::from_value(document[part].clone()).unwrap()
}

#[track_caller]
fn close(ours: f64, theirs: f64, tolerance: f64) {
    assert!((ours - theirs).abs() <= tolerance * (1.0 + theirs.abs()), "{ours} against {theirs}");
}

#[derive(Deserialize)]
struct Curve {
    errors: Vec<f64>,
    threshold: f64,
    auc: f64,
    auc_simpson: f64,
    failure_rate: f64,
    ecdf_at: Vec<[f64; 2]>,
    nmpe: Vec<[f64; 2]>,
}

#[test]
fn the_curve_is_scipys_and_its_area_scikit_learns() {
    let golden: Curve = golden("curve");
    let ced = Ced::new(golden.errors).unwrap();
    close(ced.auc(golden.threshold), golden.auc, EXACT);
    close(ced.auc_simpson(golden.threshold), golden.auc_simpson, EXACT);
    close(ced.failure_rate(golden.threshold), golden.failure_rate, EXACT);
    for [at, share] in golden.ecdf_at {
        close(ced.share_within(at), share, EXACT);
    }
    for [percent, error] in golden.nmpe {
        close(ced.nmpe(percent).unwrap(), error, EXACT);
    }
}

#[derive(Deserialize)]
struct Nme {
    truth: Vec<Vec<[f32; 2]>>,
    predicted: Vec<Vec<[f32; 2]>>,
    weights: Vec<Vec<f32>>,
    nme: std::collections::BTreeMap<String, Vec<f64>>,
    pck: Vec<[f64; 2]>,
    pck_per_keypoint: Vec<Vec<f64>>,
}

#[test]
fn weighted_errors_over_every_normalizer_and_pck_are_numpys() {
    let golden: Nme = golden("nme");
    let mut pck = Pck::new(5).unwrap();
    for (i, ((p, t), w)) in golden.predicted.iter().zip(&golden.truth).zip(&golden.weights).enumerate() {
        for (name, values) in &golden.nme {
            let normalizer = match name.as_str() {
                "between_0_and_mean_3_4" => Normalizer::Between(vec![0], vec![3, 4]),
                "box_diagonal" => Normalizer::BoxDiagonal(vec![]),
                "box_geometric_mean" => Normalizer::BoxGeometricMean(vec![]),
                "head_size" => Normalizer::HeadSize(vec![]),
                other => panic!("no normalizer is called {other}"),
            };
            // The weights are decimals, which f32 rounds at 6e-8.
            close(nme(p, t, Some(w), normalizer.length(t).unwrap()).unwrap(), values[i], 1e-7);
        }
        let length = Normalizer::default().length(t).unwrap();
        pck.add(&keypoint_errors(p, t, Some(w), length).unwrap(), Some(w)).unwrap();
    }
    for [t, share] in golden.pck {
        close(pck.share(t), share, EXACT);
    }
    for (ours, theirs) in pck.per_keypoint(0.03).into_iter().zip(&golden.pck_per_keypoint[0]) {
        close(ours.unwrap(), *theirs, EXACT);
    }
}

#[derive(Deserialize)]
struct Resampled {
    values: Vec<f64>,
    cases: Vec<Interval>,
    wide_mean: [f64; 2],
}

#[derive(Deserialize)]
struct Interval {
    statistic: String,
    estimate: f64,
    distribution: Vec<f64>,
    left_out: Vec<f64>,
    low: f64,
    high: f64,
}

#[test]
fn bias_corrected_and_accelerated_intervals_are_scipys() {
    let golden: Resampled = golden("bootstrap");
    for case in golden.cases {
        let ours = bca(case.estimate, case.distribution, &case.left_out, 0.95).unwrap();
        // The distribution is stored with twelve digits.
        close(ours.low, case.low, SPECIAL);
        close(ours.high, case.high, SPECIAL);
        // The values left out are made by ourselves too.
        let settings = Bootstrap { resamples: 50, ..Default::default() };
        let own = match case.statistic.as_str() {
            "mean" => settings.mean(&golden.values),
            _ => settings.of(&golden.values, |v| {
                let mut v = v.to_vec();
                v.sort_by(f64::total_cmp);
                (v[(v.len() - 1) / 2] + v[v.len() / 2]) / 2.0
            }),
        };
        close(own.unwrap().estimate, case.estimate, EXACT);
    }
    let ours = Bootstrap { resamples: 20_000, ..Default::default() }.mean(&golden.values).unwrap();
    let [low, high] = golden.wide_mean;
    // Monte Carlo: an end of 20,000 resamples is known to about 1 % of the width.
    let tolerance = 0.03 * (high - low);
    assert!(
        (ours.low - low).abs() < tolerance && (ours.high - high).abs() < tolerance,
        "{ours:?} {low} {high}"
    );
}

#[derive(Deserialize)]
struct Differences {
    differences: Vec<f64>,
    exact: bool,
    smaller_rank_sum: f64,
    p: f64,
    sign_p: f64,
}

#[test]
fn sign_and_signed_rank_tests_are_scipys() {
    for case in golden::<Vec<Differences>>("paired") {
        let ours = wilcoxon(&case.differences).unwrap();
        assert_eq!(ours.exact, case.exact);
        close(ours.better_ranks.min(ours.worse_ranks), case.smaller_rank_sum, EXACT);
        close(ours.p, case.p, SPECIAL);
        let count = |sign: f64| case.differences.iter().filter(|d| **d * sign > 0.0).count();
        close(sign_test(count(-1.0), count(1.0)), case.sign_p, SPECIAL);
    }
}

#[derive(Deserialize)]
struct Calibrated {
    axes: Vec<[f64; 2]>,
    degrees: Vec<f64>,
    residuals: Vec<[f32; 2]>,
    length: f64,
    mean: f64,
    median: f64,
    largest_gap: f64,
    area: f64,
    within: Vec<[f64; 2]>,
    nll: f64,
}

#[test]
fn mahalanobis_distances_their_distribution_and_likelihood_are_scipys() {
    let golden: Calibrated = golden("calibration");
    let mut set = Calibration::new(1).unwrap();
    for ((axes, degrees), residual) in golden.axes.iter().zip(&golden.degrees).zip(&golden.residuals) {
        let covariance = Covariance::from_axes(axes[0], axes[1], *degrees);
        set.add(&[*residual], &[[0.0, 0.0]], None, &[covariance], golden.length).unwrap();
    }
    let ours = set.summary().unwrap();
    // The residuals are decimals, which f32 rounds at 6e-8.
    close(ours.mean_squared_distance, golden.mean, 1e-6);
    close(ours.median_squared_distance, golden.median, 1e-6);
    close(ours.largest_gap, golden.largest_gap, 1e-6);
    close(ours.nll, golden.nll, 1e-6);
    // Theirs is against a grid of 200,000 points.
    close(ours.miscalibration_area, golden.area, 1e-5);
    for [share, within] in golden.within {
        let point = ours.curve.iter().find(|[expected, _]| (expected - share).abs() < 1e-9).unwrap();
        close(point[1], within, EXACT);
    }
}

#[derive(Deserialize)]
struct Shapes {
    shapes: [Vec<[f32; 2]>; 2],
    disparity: f64,
}

#[test]
fn shapes_are_laid_on_each_other_as_scipy_does() {
    let Shapes { shapes: [a, b], disparity } = golden("shape");
    // The mean of two unit shapes u and v that are laid on each other has the squared length (1 + cos) / 2, and SciPy's
    // disparity is 1 - cos^2. Both shapes have the same distance to their mean, so that cos comes out of it.
    let unit = |shape: &Vec<[f32; 2]>| mean_shape(&[(shape, None)]);
    let mean = mean_shape(&[(&a, None), (&b, None)]);
    let cosine = |x: &[Option<[f64; 2]>], y: &[Option<[f64; 2]>]| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (p, q) in x.iter().flatten().zip(y.iter().flatten()) {
            real += p[0] * q[0] + p[1] * q[1];
            imaginary += p[0] * q[1] - p[1] * q[0];
        }
        f64::hypot(real, imaginary) / x.len() as f64
    };
    let (first, second) = (cosine(&unit(&a), &mean), cosine(&unit(&b), &mean));
    close(first, second, 1e-6);
    close(1.0 - (2.0 * first * first - 1.0).powi(2), disparity, 1e-6);
}

#[derive(Deserialize)]
struct Frames {
    truth: Vec<Vec<[f32; 2]>>,
    predicted: Vec<Vec<[f32; 2]>>,
    nmj: f64,
    nmf: f64,
    keypoint_nmf: Vec<f64>,
}

#[test]
fn jitter_is_numpys() {
    let golden: Frames = golden("video");
    let mut jitter = Jitter::new(golden.truth[0].len()).unwrap();
    for (predicted, truth) in golden.predicted.iter().zip(&golden.truth) {
        jitter.frame(Some(predicted), truth).unwrap();
    }
    // Coordinates of up to 300 are rounded at 1.5e-5, steps are about 2.
    close(jitter.nmj().unwrap(), golden.nmj, 1e-5);
    close(jitter.nmf().unwrap(), golden.nmf, 1e-5);
    for (ours, theirs) in jitter.summary("v", 1).keypoint_nmf.iter().zip(golden.keypoint_nmf) {
        close(ours.unwrap(), theirs, 1e-5);
    }
}

#[derive(Deserialize)]
struct Coco {
    sigmas: Vec<f64>,
    images: usize,
    annotations: Vec<Annotation>,
    results: Vec<Found>,
    /// Per image: a row per detection, best first, a column per annotation.
    similarities: Vec<Vec<Vec<f64>>>,
    stats: Vec<f64>,
}

#[derive(Deserialize)]
struct Annotation {
    image_id: usize,
    keypoints: Vec<f64>,
    area: f64,
    bbox: [f64; 4],
    iscrowd: u8,
}

#[derive(Deserialize)]
struct Found {
    image_id: usize,
    keypoints: Vec<f64>,
    score: f64,
}

fn points(flat: &[f64]) -> Vec<[f64; 2]> {
    flat.chunks_exact(3).map(|p| [p[0], p[1]]).collect()
}

#[test]
fn similarity_and_average_precision_are_pycocotools() {
    let golden: Coco = golden("keypoint_ap");
    let mut images = vec![(Vec::new(), Vec::new()); golden.images];
    for a in golden.annotations {
        images[a.image_id - 1].0.push(Truth {
            points: points(&a.keypoints),
            annotated: a.keypoints.chunks_exact(3).map(|p| p[2] > 0.0).collect(),
            area: a.area,
            bbox: a.bbox,
            crowd: a.iscrowd == 1,
        });
    }
    for r in golden.results {
        images[r.image_id - 1].1.push(Detection::new(points(&r.keypoints), r.score));
    }
    let mut compared = 0;
    for ((truths, detections), expected) in images.iter().zip(&golden.similarities) {
        let mut order: Vec<&Detection> = detections.iter().collect();
        order.sort_by(|a, b| b.score.total_cmp(&a.score));
        for (detection, row) in order.iter().zip(expected) {
            for (truth, theirs) in truths.iter().zip(row) {
                close(oks(&detection.points, truth, &golden.sigmas).unwrap(), *theirs, EXACT);
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared} similarities compared");
    let ours = average_precision(&images, &golden.sigmas).unwrap();
    let figures = [
        ours.ap,
        ours.ap50,
        ours.ap75,
        ours.ap_medium,
        ours.ap_large,
        ours.ar,
        ours.ar50,
        ours.ar75,
        ours.ar_medium,
        ours.ar_large,
    ];
    for (ours, theirs) in figures.into_iter().zip(golden.stats) {
        close(ours.unwrap(), theirs, EXACT);
    }
}
