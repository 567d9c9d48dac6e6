//! Laws that hold for all inputs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use star_eval::oks::{Truth, oks};
use star_eval::{Bootstrap, Ced, Curve, Normalizer, Pck, along_across, keypoint_errors, nme};

/// Coordinates are f32, so a moved shape is rounded at 6e-8 of its size; normalizers are at least 1/100 of it.
const SIMILARITY_RELATIVE: f64 = 1e-3;

fn shape(keypoints: usize) -> impl Strategy<Value = Vec<[f32; 2]>> {
    prop::collection::vec(prop::array::uniform2(-100f32..100.0), keypoints)
}

fn errors() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(prop_oneof![9 => 0f64..0.3, 1 => Just(f64::INFINITY)], 1..60)
}

fn measure(predicted: &[[f32; 2]], truth: &[[f32; 2]], normalizer: &Normalizer) -> f64 {
    nme(predicted, truth, None, normalizer.length(truth).unwrap()).unwrap()
}

proptest! {
    #[test]
    fn nme_by_a_distance_is_blind_to_similarities(
        predicted in shape(7), truth in shape(7), angle in 0f64..6.3, scale in 0.2f64..5.0, shift in prop::array::uniform2(-50f64..50.0)
    ) {
        let normalizer = Normalizer::Between(vec![0, 1], vec![5]);
        prop_assume!(normalizer.length(&truth).is_ok_and(|l| l > 2.0));
        let (sin, cos) = angle.sin_cos();
        let moved = |shape: &[[f32; 2]]| -> Vec<[f32; 2]> {
            shape.iter().map(|&[x, y]| {
                let (x, y) = (scale * f64::from(x), scale * f64::from(y));
                [(cos * x - sin * y + shift[0]) as f32, (sin * x + cos * y + shift[1]) as f32]
            }).collect()
        };
        let before = measure(&predicted, &truth, &normalizer);
        let after = measure(&moved(&predicted), &moved(&truth), &normalizer);
        prop_assert!((before - after).abs() <= SIMILARITY_RELATIVE * (before + 1e-3), "{before} {after}");
    }

    #[test]
    fn along_and_across_are_the_legs_of_the_error_and_blind_to_rotations(
        predicted in shape(7), truth in shape(7), angle in 0f64..6.3, closed in any::<bool>()
    ) {
        // Where neighbours nearly coincide, rounding of f32 coordinates turns the tangent.
        let apart = |[a, b]: [usize; 2]| {
            (f64::from(truth[a][0]) - f64::from(truth[b][0])).hypot(f64::from(truth[a][1]) - f64::from(truth[b][1])) > 1.0
        };
        prop_assume!([[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [0, 3]].into_iter().all(apart));
        let curves = [Curve { name: "c".into(), keypoints: vec![0, 1, 2, 3], closed }];
        let (sin, cos) = angle.sin_cos();
        let turned = |shape: &[[f32; 2]]| -> Vec<[f32; 2]> {
            shape.iter().map(|&[x, y]| {
                let (x, y) = (f64::from(x), f64::from(y));
                [(cos * x - sin * y) as f32, (sin * x + cos * y) as f32]
            }).collect()
        };
        let before = along_across(&predicted, &truth, None, &curves, 50.0).unwrap();
        let after = along_across(&turned(&predicted), &turned(&truth), None, &curves, 50.0).unwrap();
        let errors = keypoint_errors(&predicted, &truth, None, 50.0).unwrap();
        for k in 0..7 {
            let (Some(a), Some(b)) = (before[k], after[k]) else {
                prop_assert!(k > 3 && before[k].is_none() && after[k].is_none());
                continue;
            };
            prop_assert!((a[0] * a[0] + a[1] * a[1] - errors[k] * errors[k]).abs() <= 1e-9 * (1.0 + errors[k] * errors[k]));
            prop_assert!((a[0] - b[0]).abs() < SIMILARITY_RELATIVE && (a[1] - b[1]).abs() < SIMILARITY_RELATIVE, "{a:?} {b:?}");
        }
    }

    #[test]
    fn the_order_of_keypoints_is_nothing(predicted in shape(6), truth in shape(6), by in 1usize..6) {
        let moved = |shape: &[[f32; 2]]| -> Vec<[f32; 2]> { (0..6).map(|k| shape[(k + by) % 6]).collect() };
        let place = |k: usize| (k + 6 - by) % 6;
        let normalizers = [
            (Normalizer::default(), Normalizer::default()),
            (Normalizer::Between(vec![0, 2], vec![5]), Normalizer::Between(vec![place(2), place(0)], vec![place(5)])),
            (Normalizer::BoxGeometricMean(vec![1, 2, 3]), Normalizer::BoxGeometricMean(vec![place(3), place(1), place(2)])),
        ];
        for (before, after) in normalizers {
            prop_assume!(before.length(&truth).is_ok_and(|l| l > 1.0));
            let (a, b) = (measure(&predicted, &truth, &before), measure(&moved(&predicted), &moved(&truth), &after));
            prop_assert!((a - b).abs() <= 1e-9 * a, "{a} {b}");
        }
    }

    #[test]
    fn more_keypoints_are_within_a_larger_distance(predicted in shape(8), truth in shape(8), t in 0f64..2.0, more in 0f64..2.0) {
        let mut pck = Pck::new(8).unwrap();
        pck.add(&keypoint_errors(&predicted, &truth, None, 50.0).unwrap(), None).unwrap();
        let (near, far) = (pck.share(t), pck.share(t + more));
        prop_assert!((0.0..=1.0).contains(&near) && near <= far);
        let mean: f64 = pck.per_keypoint(t).iter().map(|s| s.unwrap()).sum::<f64>() / 8.0;
        prop_assert!((mean - near).abs() < 1e-12);
    }

    #[test]
    fn similarity_is_a_share_that_falls_with_distance_and_is_blind_to_scale(
        off in prop::array::uniform2(-40f64..40.0), further in 1f64..3.0, scale in 0.1f64..10.0
    ) {
        let truth = |s: f64| Truth {
            points: vec![[50.0 * s, 60.0 * s]],
            annotated: vec![true],
            area: 900.0 * s * s,
            bbox: [0.0, 0.0, 100.0 * s, 100.0 * s],
            crowd: false,
        };
        let value = |times: f64, s: f64| {
            oks(&[[s * (50.0 + times * off[0]), s * (60.0 + times * off[1])]], &truth(s), &[0.1]).unwrap()
        };
        let near = value(1.0, 1.0);
        prop_assert!((0.0..=1.0).contains(&near) && value(further, 1.0) <= near);
        prop_assert!((near - value(1.0, scale)).abs() < 1e-9);
    }

    #[test]
    fn an_interval_holds_its_figure_and_widens_with_its_level(values in prop::collection::vec(0f64..0.3, 8..40)) {
        let at = |level: f64| Bootstrap { level, resamples: 400, seed: 3 }.mean(&values).unwrap();
        let (narrow, wide) = (at(0.5), at(0.95));
        prop_assert!(wide.low <= narrow.low && narrow.high <= wide.high);
        prop_assert!(wide.low <= wide.estimate + 1e-12 && wide.estimate <= wide.high + 1e-12);
    }

    #[test]
    fn equal_weights_are_no_weights(predicted in shape(5), truth in shape(5), weight in 0.1f32..9.0) {
        let plain = nme(&predicted, &truth, None, 10.0).unwrap();
        let weighted = nme(&predicted, &truth, Some(&[weight; 5]), 10.0).unwrap();
        prop_assert!((plain - weighted).abs() <= 1e-9 * plain);
    }

    #[test]
    fn a_larger_error_never_raises_the_area_nor_lowers_the_failures(
        set in errors(), index in 0usize..1000, more in 0f64..0.2, t in 0.001f64..0.3
    ) {
        let mut worse = set.clone();
        worse[index % set.len()] += more;
        let (before, after) = (Ced::new(set).unwrap(), Ced::new(worse).unwrap());
        prop_assert!(after.auc(t) <= before.auc(t) + 1e-12);
        prop_assert!(after.failure_rate(t) >= before.failure_rate(t));
    }

    #[test]
    fn areas_and_rates_are_shares_and_order_is_nothing(set in errors(), t in 0f64..0.5, more in 0f64..0.5) {
        let ced = Ced::new(set.clone()).unwrap();
        prop_assert!((0.0..=1.0).contains(&ced.auc(t)));
        prop_assert!((0.0..=1.0).contains(&ced.failure_rate(t)));
        prop_assert!(ced.failure_rate(t + more) <= ced.failure_rate(t));
        prop_assert!(ced.auc(t) <= ced.share_within(t) + 1e-12);
        prop_assert!((ced.failure_rate(t) + ced.share_within(t) - 1.0).abs() < 1e-12);
        prop_assert_eq!(ced.missing(), set.iter().filter(|e| e.is_infinite()).count());
        let reversed: Vec<f64> = set.into_iter().rev().collect();
        prop_assert_eq!(Ced::new(reversed).unwrap(), ced);
    }

    #[test]
    fn the_curves_area_is_the_area(set in errors(), t in 0.01f64..0.3) {
        let ced = Ced::new(set).unwrap();
        let corners = ced.curve(t);
        let area: f64 = corners.windows(2).map(|w| (w[1].0 - w[0].0) * (w[0].1 + w[1].1) / 2.0).sum();
        prop_assert!((area / t - ced.auc(t)).abs() < 1e-9, "{} against {}", area / t, ced.auc(t));
    }

    #[test]
    fn quantiles_rise_and_stay_between_the_extremes(set in errors(), a in 0f64..=1.0, b in 0f64..=1.0) {
        let ced = Ced::new(set).unwrap();
        let (low, high) = (ced.quantile(a.min(b)).unwrap(), ced.quantile(a.max(b)).unwrap());
        prop_assert!(low <= high && low >= ced.errors()[0] && high <= ced.errors()[ced.images() - 1]);
    }
}
