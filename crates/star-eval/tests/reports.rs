//! Reports and plots: what they must hold, and that they are well-formed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use star_eval::{
    Ced, Curve, Error, Evaluation, Group, Normalizer, Report, Setting, bars_svg, ced_svg, curves_svg,
    log_curves_svg, markdown_table,
};

const TOLERANCE: f64 = 1e-12;
const TRUTH: [[f32; 2]; 3] = [[0.0, 0.0], [50.0, 30.0], [100.0, 0.0]];

fn setting() -> Setting {
    Setting {
        dataset: "toy & test".into(),
        subset: "full".into(),
        normalizer_name: "ends".into(),
        normalizer: Normalizer::Between(vec![0], vec![2]),
        thresholds: vec![0.10, 0.055],
        groups: vec![Group { name: "middle".into(), keypoints: vec![1] }],
        curves: vec![Curve { name: "base".into(), keypoints: vec![0, 2], closed: false }],
        notes: vec!["compat: reference".into()],
    }
}

/// Errors in px: 3 0 0 -> NME 0.01; 0 18 0 -> 0.06; missing; NaN, so missing too.
fn evaluation() -> Evaluation {
    let mut evaluation = Evaluation::new(setting()).unwrap();
    evaluation.add("a", Some(&[[0.0, 3.0], [50.0, 30.0], [100.0, 0.0]]), &TRUTH, None).unwrap();
    evaluation.add("b", Some(&[[0.0, 0.0], [50.0, 48.0], [100.0, 0.0]]), &TRUTH, None).unwrap();
    evaluation.add("c", None, &TRUTH, None).unwrap();
    evaluation.add("d", Some(&[[0.0, f32::NAN], [50.0, 30.0], [100.0, 0.0]]), &TRUTH, None).unwrap();
    evaluation
}

fn close(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|v| (v - expected).abs() < TOLERANCE)
}

#[test]
fn a_report_counts_the_missing_and_keeps_them_out_of_part_means() {
    let report = evaluation().report().unwrap();
    assert_eq!((report.images, report.missing), (4, 2));
    assert_eq!(report.nme_mean_fraction, None);
    assert!(close(report.nme_mean_of_found_fraction, 0.035));
    // FR@0.10: the two missing; FR@0.055: those and b.
    assert_eq!(report.thresholds[0].failure_rate_fraction, 0.5);
    assert_eq!(report.thresholds[1].failure_rate_fraction, 0.75);
    // AUC@0.10: (0.9 + 0.4) / 4.
    assert!((report.thresholds[0].auc - 0.325).abs() < TOLERANCE);
    // Keypoint 0: (3 + 0) / 2 / 100; keypoint 1: (0 + 18) / 2 / 100.
    assert!(close(report.keypoint_error_fractions[0], 0.015));
    assert!(close(report.groups[0].nme_mean_fraction, 0.09));
    assert_eq!(report.per_image[2].nme_fraction, None);
    // PCK@0.10 of 12 keypoints: errors 0.03 0 0, 0 0.18 0, three missing, one missing and 0 0.
    assert!((report.thresholds[0].pck_fraction - 7.0 / 12.0).abs() < TOLERANCE);
    assert_eq!((report.nme_p95_fraction, report.nme_mean_interval_fraction), (None, None));
    let [low, high] = report.thresholds[0].failure_rate_interval_fraction.unwrap();
    assert!(low <= 0.5 && 0.5 <= high && low < high);
    assert_eq!(report.ced().unwrap().missing(), 2);
}

#[test]
fn every_figure_stands_beside_data_set_subset_normalizer_and_threshold() {
    let report = evaluation().report().unwrap();
    let markdown = report.to_markdown();
    let rows: Vec<&str> =
        markdown.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| data set,")).collect();
    assert_eq!(rows.len(), 2 + 6 + 2, "{markdown}");
    assert!(rows.iter().all(|row| row.starts_with("| toy & test, full, ends |")), "{markdown}");
    assert!(markdown.contains("| 4 | 2 | - | 10 % | 50.00 | 0.3250 |"), "{markdown}");
    assert!(markdown.contains("| - | 5.5 % | 75.00 |"), "{markdown}");
    assert!(markdown.contains("keypoints of middle (1) | 9.000 |"), "{markdown}");
    // Of the two images found: 3 px across at one of four keypoints on the edge, nothing along; the middle is on none.
    assert!(markdown.contains("| all | 4 | 0.000 | 1.500 | 0.000 | 0.750 |"), "{markdown}");
    assert!(markdown.contains("| base | 4 | 0.000 | 1.500 |"), "{markdown}");
    assert!(markdown.contains("2 annotated keypoints are on no edge"), "{markdown}");
    assert!(markdown.contains("2 of 4 images have no prediction"), "{markdown}");
    assert!(markdown.contains("compat: reference") && markdown.contains("distance 0 to 2"), "{markdown}");
    assert_eq!(
        markdown_table(&[report.clone(), report]).lines().filter(|l| l.starts_with("| toy")).count(),
        4
    );
}

#[test]
fn an_evaluation_without_names_or_thresholds_cannot_start() {
    for field in ["dataset", "subset", "normalizer_name"] {
        let mut nameless = setting();
        let name = match field {
            "dataset" => &mut nameless.dataset,
            "subset" => &mut nameless.subset,
            _ => &mut nameless.normalizer_name,
        };
        *name = " ".into();
        assert_eq!(Evaluation::new(nameless).unwrap_err(), Error::Unnamed { field });
    }
    let unset = Setting { thresholds: vec![], ..setting() };
    assert!(matches!(Evaluation::new(unset), Err(Error::Empty { .. })));
    let zero = Setting { thresholds: vec![0.0], ..setting() };
    assert!(matches!(Evaluation::new(zero), Err(Error::Range { .. })));
    assert!(matches!(Evaluation::new(setting()).unwrap().report(), Err(Error::Empty { .. })));
}

#[test]
fn a_refused_image_changes_nothing() {
    let mut evaluation = evaluation();
    let before = evaluation.report().unwrap();
    assert!(evaluation.add("short", None, &TRUTH[..2], None).is_err());
    assert!(evaluation.add("flat", None, &[[1.0, 1.0]; 3], None).is_err());
    assert!(evaluation.add("weight", None, &TRUTH, Some(&[-1.0, 1.0, 1.0])).is_err());
    assert_eq!(evaluation.report().unwrap(), before);
    let far = Setting { groups: vec![Group { name: "far".into(), keypoints: vec![3] }], ..setting() };
    let error = Evaluation::new(far).unwrap().add("a", None, &TRUTH, None).unwrap_err();
    assert_eq!(error, Error::Index { what: "group \"far\"".into(), index: 3, keypoints: 3 });
    let curves = vec![Curve { name: "far".into(), keypoints: vec![0, 3], closed: false }];
    let mut evaluation = Evaluation::new(Setting { curves, ..setting() }).unwrap();
    let error = evaluation.add("a", Some(&TRUTH), &TRUTH, None).unwrap_err();
    assert_eq!(error, Error::Index { what: "curve \"far\"".into(), index: 3, keypoints: 3 });
    assert_eq!(evaluation.images(), 0);
}

#[test]
fn weights_reach_keypoint_and_group_means() {
    let mut evaluation = Evaluation::new(setting()).unwrap();
    let predicted = [[0.0, 3.0], [9.0, 9.0], [100.0, 1.0]];
    let nme = evaluation.add("a", Some(&predicted), &TRUTH, Some(&[1.0, 0.0, 1.0])).unwrap();
    assert!((nme - 0.02).abs() < TOLERANCE);
    let report = evaluation.report().unwrap();
    assert_eq!(report.keypoint_error_fractions[1], None);
    assert_eq!(report.groups[0].nme_mean_fraction, None);
}

#[test]
fn json_says_fraction_and_comes_back() {
    let report = evaluation().report().unwrap();
    let json = report.to_json();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["dataset"], "toy & test");
    assert_eq!(value["thresholds"][0]["failure_rate_fraction"], 0.5);
    assert!(value["nme_mean_fraction"].is_null());
    assert_eq!(value["edges"]["left_out"], 2);
    assert!((value["edges"]["all"]["across_rms_fraction"].as_f64().unwrap() - 0.015).abs() < TOLERANCE);
    assert!((value["nme_mean_of_found_fraction"].as_f64().unwrap() - 0.035).abs() < TOLERANCE);
    // JSON readers may be off by the last bit, so a second trip is compared.
    let back = Report::from_json(&json).unwrap();
    assert_eq!(Report::from_json(&back.to_json()).unwrap(), back);
    assert_eq!(back.per_image.len(), 4);
    let error = Report::from_json("{\"dataset\": 3}").unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
}

fn texts(svg: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(svg).unwrap();
    document.descendants().filter_map(|n| n.text()).map(|t| t.trim().to_owned()).collect()
}

fn lines(svg: &str) -> usize {
    let document = roxmltree::Document::parse(svg).unwrap();
    document
        .descendants()
        .filter(|n| n.has_tag_name("polyline") && n.attribute("stroke-width") == Some("2"))
        .count()
}

#[test]
fn cumulative_curves_are_well_formed_and_labelled() {
    let one = Ced::new((0..200).map(|i| f64::from(i) * 0.0004 + 0.01).collect()).unwrap();
    let two = Ced::new(vec![0.03, 0.05, f64::INFINITY]).unwrap();
    let svg = ced_svg(&[("STAR <0.1> & co", &one), ("other", &two)], 0.1).unwrap();
    let texts = texts(&svg);
    for wanted in ["NME in % of the normalizer", "images within, %", "STAR <0.1> & co", "other"] {
        assert!(texts.iter().any(|t| t == wanted), "{wanted:?} is not in {texts:?}");
    }
    assert_eq!(lines(&svg), 2);
    assert!(matches!(ced_svg(&[], 0.1), Err(Error::Empty { .. })));
    assert!(matches!(ced_svg(&[("a", &two)], f64::NAN), Err(Error::Range { .. })));
}

#[test]
fn a_point_that_is_not_finite_breaks_the_curve_and_not_the_axes() {
    let loss = [(0.0, 3.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, f64::INFINITY), (4.0, 1.0), (5.0, 0.5)];
    let svg = curves_svg("loss", "step", "loss", &[("train", &loss)]).unwrap();
    assert_eq!(lines(&svg), 2, "two pieces");
    // Whole steps have whole ticks.
    assert!((0..=5).all(|step| texts(&svg).contains(&step.to_string())), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let constant = [(0.0, 2.0), (1.0, 2.0)];
    assert!(curves_svg("loss", "step", "loss", &[("flat", &constant)]).is_ok());
    assert!(matches!(curves_svg("t", "x", "y", &[("none", &[])]), Err(Error::Empty { .. })));
}

#[test]
fn losses_on_a_logarithmic_axis_have_plain_numbers_and_zeros_break_them() {
    let loss = [(1.0, 100.0), (2.0, 0.0), (3.0, 1.0), (4.0, 0.01)];
    let svg = log_curves_svg("loss", "epoch", "loss", &[("train", &loss)]).unwrap();
    let texts = texts(&svg);
    for wanted in ["0.01", "0.1", "1", "10", "100"] {
        assert!(texts.iter().any(|t| t == wanted), "{wanted:?} is not in {texts:?}");
    }
    // 100 to 1 and 1 to 0.01 are a factor of a hundred both.
    let document = roxmltree::Document::parse(&svg).unwrap();
    let of_line = |n: &roxmltree::Node<'_, '_>| n.attribute("stroke-width") == Some("2");
    let line = document.descendants().rfind(of_line).unwrap().attribute("points").unwrap();
    let heights: Vec<f64> =
        line.split(' ').map(|point| point.split_once(',').unwrap().1.parse().unwrap()).collect();
    let alone = document.descendants().find(|n| n.has_tag_name("circle")).unwrap();
    let top: f64 = alone.attribute("cy").unwrap().parse().unwrap();
    assert!(((heights[0] - top) - (heights[1] - heights[0])).abs() < 0.3, "{top} {heights:?}");
    assert!(matches!(log_curves_svg("t", "x", "y", &[("none", &[(0.0, 0.0)])]), Err(Error::Empty { .. })));
}

#[test]
fn bars_are_well_formed() {
    let mut values: Vec<f64> = (0..98).map(|i| 2.0 + f64::from(i % 33) / 10.0).collect();
    values[5] = f64::NAN;
    let svg = bars_svg("ratio", "keypoint", "l_max / l_min", &values).unwrap();
    let document = roxmltree::Document::parse(&svg).unwrap();
    let bars =
        document.descendants().filter(|n| n.has_tag_name("rect") && n.attribute("fill") == Some("#0072B2"));
    assert_eq!(bars.count(), 97);
    assert!(matches!(bars_svg("t", "x", "y", &[]), Err(Error::Empty { .. })));
}
