//! Verdicts, worked out by hand.

use std::collections::BTreeMap;

use super::*;
use crate::real::scores::{Figure, Scores};
use crate::targets::Metric;

fn scores(nme: f64, fr: f64, auc: f64) -> Scores {
    Scores {
        seed: 0,
        weights: "w".into(),
        weights_hash: String::new(),
        data_hash: String::new(),
        network: "hourglass".into(),
        parameters: 13.5,
        figures: vec![Figure {
            subset: "full".into(),
            normalizer: "inter-ocular".into(),
            faces: 2500,
            nme: Some(nme),
            thresholds: vec![[0.10, fr, auc, auc]],
        }],
        keypoint_ratios: vec![],
        contrasts: vec![],
        angle: None,
        groups: vec![],
        per_face: vec![],
        videos: vec![],
        predicted: vec![],
    }
}

const DEFAULT: Reading = Reading { compat: false, published: false };

#[test]
fn third_party_figures_are_held_to_the_same_weights_on_the_same_faces_alone() {
    let targets = Targets::read().unwrap();
    let target = targets.target.iter().find(|t| t.published_weights && t.metric == Metric::Nme).unwrap();
    assert_eq!((target.set.as_str(), target.faces), ("300w", Some(688)));
    let verdict = |nme: f64, faces: usize, reading: Reading| {
        let mut scores = scores(nme / 100.0, 0.0, 0.0);
        scores.figures[0].faces = faces;
        let set = SetOutcome { key: "300w".into(), ..wflw(vec![scores], None) };
        let cell = cell(&targets, target, &set, reading);
        (cell.verdict, cell.remark)
    };
    let compat = Reading { compat: true, published: true };
    let (verdict_of, value) = (|v: (Verdict, String)| v.0, target.value);
    assert_eq!(verdict_of(verdict(value, 688, compat)), Verdict::Reached);
    assert_eq!(verdict_of(verdict(value - 0.01, 688, compat)), Verdict::Missed);
    // Better weights of one's own are no miss.
    assert_eq!(
        verdict_of(verdict(value - 0.01, 688, Reading { published: false, ..compat })),
        Verdict::Reached
    );
    let (other, why) = verdict(value, 689, compat);
    assert!(other == Verdict::NotMeasured && why.contains("689 faces"), "{why}");
    let (other, why) = verdict(value, 688, DEFAULT);
    assert!(other == Verdict::NotMeasured && why.contains("--compat reference"), "{why}");
}

fn wflw(runs: Vec<Scores>, reason: Option<&str>) -> SetOutcome {
    SetOutcome {
        key: "wflw".into(),
        name: "WFLW".into(),
        reason: reason.map(str::to_string),
        faces: Some(2500),
        published: Some(2500),
        notes: vec![],
        stability: None,
        runs: BTreeMap::from([("star".to_string(), runs)]),
    }
}

fn verdicts(set: SetOutcome) -> Vec<(Verdict, String)> {
    let targets = Targets::read().unwrap();
    let of = targets.target.iter().filter(|target| target.set == "wflw");
    of.map(|target| cell(&targets, target, &set, DEFAULT)).map(|cell| (cell.verdict, cell.remark)).collect()
}

#[test]
fn better_than_the_paper_is_no_miss_and_worse_by_more_than_the_tolerance_is() {
    let at = |nme, fr, auc| {
        let found = verdicts(wflw(vec![scores(nme, fr, auc)], None));
        found.into_iter().map(|(verdict, _)| verdict).collect::<Vec<_>>()
    };
    use Verdict::{Missed, NotMeasured, Reached};
    // NME, failure rate, area; the training without attention was not done.
    assert_eq!(at(0.0406, 0.0232, 0.611), [Reached, Reached, Reached, NotMeasured]);
    assert_eq!(at(0.0390, 0.0100, 0.650), [Reached, Reached, Reached, NotMeasured]);
    assert_eq!(at(0.0408, 0.0300, 0.590), [Missed, Missed, Missed, NotMeasured]);
}

#[test]
fn published_weights_that_are_better_than_published_are_a_miss() {
    let targets = Targets::read().unwrap();
    let target = targets.target.iter().find(|t| t.set == "wflw" && t.metric == Metric::Nme).unwrap();
    let of = |nme: f64, published: bool| {
        let reading = Reading { compat: false, published };
        let found = cell(&targets, target, &wflw(vec![scores(nme, 0.02, 0.6)], None), reading);
        (found.verdict, found.remark.contains("better than the same weights"))
    };
    assert_eq!(of(0.0300, true), (Verdict::Missed, true));
    assert_eq!(of(0.0300, false), (Verdict::Reached, false));
    assert_eq!(of(0.0400, true), (Verdict::Reached, false));
}

#[test]
fn cells_without_a_known_figure_are_there_with_ours_or_with_why_not() {
    let targets = Targets::read().unwrap();
    let cells = without_target(&targets, &wflw(vec![scores(0.04, 0.02, 0.6)], None));
    // NME, failure rate and area of six subsets; those of all faces have targets.
    assert_eq!(cells.len(), 6 * 3, "{cells:?}");
    assert!(cells.iter().all(|cell| cell.paper.is_none() && cell.remark.contains("not among the scores")));
    let mut video = wflw(vec![scores(0.05, 0.25, 0.4)], None);
    (video.key, video.name) = ("300vw".into(), "300VW".into());
    let cells = without_target(&targets, &video);
    let all = cells.iter().find(|cell| cell.subset == "full" && cell.what == "NME %").unwrap();
    assert_eq!((all.ours, all.verdict), (Some(5.0), Verdict::NoTarget));
    let none = without_target(&targets, &wflw(vec![], Some("WFLW is not there")));
    assert!(none.iter().all(|cell| cell.ours.is_none() && cell.remark.contains("not there")));
}

#[test]
fn what_was_not_measured_says_why_and_seeds_give_an_interval() {
    let none = verdicts(wflw(vec![], Some("WFLW is not there")));
    assert!(none.iter().all(|(v, why)| *v == Verdict::NotMeasured && why.contains("not there")));
    let targets = Targets::read().unwrap();
    let target = targets.target.iter().find(|target| target.set == "wflw").unwrap();
    let two = wflw(vec![scores(0.0400, 0.0, 0.6), scores(0.0404, 0.0, 0.6)], None);
    let found = cell(&targets, target, &two, DEFAULT);
    assert!((found.ours.unwrap() - 4.02).abs() < 1e-9 && found.interval.is_some());
}
