//! Scores two runs of made-up predictions: NME, failure rate and AUC of each, then both against each other.
//!
//! `cargo run -p star-eval --example score_points`

use star_eval::{Case, Comparison, Covariance, MetricSet, Normalizer, Result, Results};

/// Six images of four keypoints on a square of side 100, predicted with a miss that grows from image to image.
fn cases(miss: f32) -> Vec<Case> {
    let truth = vec![[0.0, 0.0], [100.0, 0.0], [100.0, 100.0], [0.0, 100.0]];
    let case = |i: usize| Case {
        name: format!("{i}.jpg"),
        subsets: if i.is_multiple_of(2) { vec!["even".into()] } else { Vec::new() },
        truth: truth.clone(),
        // The last image has no prediction: it counts as a failure at every threshold.
        predicted: (i < 5).then(|| truth.iter().map(|[x, y]| [x + miss * i as f32, *y]).collect()),
        covariances: Some(vec![Covariance { xx: 16.0, xy: 0.0, yy: 4.0 }; 4]),
        ..Default::default()
    };
    (0..6).map(case).collect()
}

fn main() -> Result<()> {
    let metrics = MetricSet {
        dataset: "made up".into(),
        whole: "full".into(),
        // Errors are divided by the distance of keypoints 0 and 1: 100 pixels.
        normalizers: vec![("side".into(), Normalizer::Between(vec![0], vec![1]))],
        thresholds: vec![0.10],
        ..Default::default()
    };
    let first = Results::new(&metrics, &cases(4.0))?;
    let second = Results::new(&metrics, &cases(3.0))?;
    println!("{}", first.to_markdown()?);

    // 0, 4, 8, 12 and 16 pixels of 100, and one image without a prediction: three of six lie above 0.10.
    let report = first.main()?;
    assert_eq!(report.missing, 1);
    assert!((report.nme_mean_of_found_fraction.unwrap_or(f64::NAN) - 0.08).abs() < 1e-6);
    assert!((report.thresholds[0].failure_rate_fraction - 0.5).abs() < 1e-12);

    let comparison = Comparison::new(&[("first".into(), first), ("second".into(), second)])?;
    println!("{}", comparison.to_markdown());
    assert_eq!(comparison.pairs[0].paired.better, 4);
    Ok(())
}
