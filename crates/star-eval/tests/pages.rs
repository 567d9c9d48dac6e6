//! Pages of results and of comparisons: what they must hold, and that they need no other file.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use roxmltree::Document;
use star_eval::{
    BoxRow, BoxSensitivity, Case, Comparison, Covariance, Curve, Error, GalleryImage, Group, Identity,
    Jitter, MetricSet, Normalizer, Results, WeightsIdentity,
};

fn metrics() -> MetricSet {
    let group = |name: &str, keypoints: Vec<usize>| Group { name: name.into(), keypoints };
    MetricSet {
        dataset: "toy & <test>".into(),
        whole: "full".into(),
        normalizers: vec![
            ("ends".into(), Normalizer::Between(vec![0], vec![3])),
            ("box".into(), Normalizer::default()),
        ],
        thresholds: vec![0.10, 0.05],
        groups: vec![group("line", vec![0, 1, 2]), group("top", vec![3])],
        curves: vec![Curve { name: "line".into(), keypoints: vec![0, 1, 2], closed: false }],
        names: ["lower", "upper_left", "right", "top"].map(|name| name.replace('_', " ")).to_vec(),
        contrast: Some([group("corners", vec![0, 2]), group("contour", vec![1])]),
        notes: vec!["compat: reference".into()],
    }
}

/// Forty samples, errors growing with `noise`; the last has no prediction, every other one is of subset `pose`.
fn cases(noise: f32) -> Vec<Case> {
    (0..40)
        .map(|i| {
            let t = i as f32;
            let truth = vec![[0.0, 0.0], [50.0, 5.0 + t % 3.0], [100.0, 0.0], [50.0, 80.0]];
            let off = |k: usize| noise * ((t * 0.7 + k as f32).sin() + 0.1 * t);
            let predicted =
                truth.iter().enumerate().map(|(k, [x, y])| [x + off(k), y - 0.5 * off(k + 4)]).collect();
            Case {
                name: format!("image{i}.jpg"),
                subsets: if i % 2 == 0 { vec!["pose".into()] } else { vec![] },
                truth,
                weights: None,
                visible: Some(vec![true, true, false, true]),
                predicted: (i < 39).then_some(predicted),
                covariances: (i < 39).then(|| vec![Covariance::from_axes(4.0, 2.0, 10.0); 4]),
                unit: Some(60.0),
                stated_sides: None,
            }
        })
        .collect()
}

fn results(noise: f32) -> Results {
    let mut results = Results::new(&metrics(), &cases(noise)).unwrap();
    let mut jitter = Jitter::new(4).unwrap();
    for case in cases(noise) {
        jitter.frame(case.predicted.as_deref(), &case.truth).unwrap();
    }
    results.videos = vec![jitter.summary("all", 1)];
    results.boxes = Some(BoxSensitivity {
        dataset: "toy".into(),
        subset: "8 of 40 samples".into(),
        normalizer: "ends".into(),
        threshold_fraction: 0.1,
        rows: vec![BoxRow::new("true landmarks", vec![0.02, 0.04], 0.1).unwrap()],
        shifts: vec![0.0, 0.1],
        scales: vec![0.9, 1.0],
        grid: vec![vec![Some(0.03), None], vec![Some(0.02), Some(0.04)]],
    });
    results
}

fn image(best: bool) -> GalleryImage {
    GalleryImage {
        name: "a<b>.jpg".into(),
        best,
        nme_fraction: best.then_some(0.021),
        jpeg: vec![0xff, 0xd8],
        size: [64, 64],
        truth: vec![[10.0, 10.0], [f32::NAN, 3.0]],
        predicted: if best { vec![[11.0, 10.0], [1.0, 3.0]] } else { vec![] },
        covariances: if best { vec![Covariance::from_axes(3.0, 1.0, 30.0); 2] } else { vec![] },
    }
}

/// Parses the page and checks that nothing in it points elsewhere.
#[track_caller]
fn whole(html: &str) -> Document<'_> {
    let document = Document::parse(html.trim_start_matches("<!DOCTYPE html>\n")).unwrap();
    for node in document.descendants() {
        assert!(!node.has_tag_name("script") && !node.has_tag_name("iframe"));
        for attribute in node.attributes().filter(|a| ["href", "src"].contains(&a.name())) {
            let value = attribute.value();
            assert!(value.starts_with('#') || value.starts_with("data:"), "{value} is outside the page");
            if let Some(id) = value.strip_prefix('#') {
                assert!(
                    document.descendants().any(|n| n.attribute("id") == Some(id)),
                    "nothing has the id {id}"
                );
            }
        }
    }
    assert!(!html.contains("NaN") && !html.contains(">inf"));
    document
}

/// No table has more columns than fit beside each other.
#[track_caller]
fn narrow(document: &Document<'_>) {
    let rows = document.descendants().filter(|n| n.has_tag_name("tr"));
    let widest = rows.map(|row| row.children().filter(|n| n.is_element()).count()).max();
    assert!(widest.is_some_and(|columns| columns <= 7), "{widest:?}");
}

/// The same of Markdown.
#[track_caller]
fn narrow_text(markdown: &str) {
    let rows = markdown.lines().filter(|line| line.starts_with("| "));
    let widest = rows.map(|row| row.replace("\\|", "").matches('|').count() - 1).max();
    assert!(widest.is_some_and(|columns| columns <= 7), "{widest:?} in {markdown}");
}

fn headings<'a>(document: &'a Document<'a>) -> Vec<&'a str> {
    document.descendants().filter(|n| n.has_tag_name("h2")).filter_map(|n| n.text()).collect()
}

#[test]
fn a_page_of_results_is_whole_and_says_what_its_figures_are_of() {
    let html = results(1.0).to_html(&[image(true), image(false)]).unwrap();
    let document = whole(&html);
    let expected = [
        "By subset",
        "Cumulative error",
        "Keypoints",
        "Ambiguity",
        "Calibration",
        "Where the crop comes from",
        "Stability over time",
        "Best and worst images",
    ];
    assert_eq!(headings(&document), expected);
    // The face is seen before its ellipses.
    let ticked = |id: &str| {
        let input = document.descendants().find(|n| n.attribute("id") == Some(id)).unwrap();
        input.attribute("checked").is_some()
    };
    assert_eq!(["show-truth", "show-found", "show-ellipses"].map(ticked), [true, true, false]);
    // What all figures are of stands at the top, once.
    let captions: Vec<String> = document
        .descendants()
        .filter(|n| n.has_tag_name("figcaption"))
        .map(|n| n.descendants().filter_map(|n| n.text()).collect())
        .collect();
    assert!(captions.len() >= 8 && captions.iter().all(|c| !c.contains("toy")), "{captions:?}");
    let verdict = document.descendants().find(|n| n.attribute("class") == Some("verdict")).unwrap();
    let verdict: String = verdict.descendants().filter_map(|n| n.text()).collect();
    assert!(verdict.contains("on 39 images that have a prediction"), "{verdict}");
    // Landmarks are named where they are pointed at.
    assert!(html.contains("<title>1, upper left (line): "));
    narrow(&document);
    assert!(html.contains("toy &amp; &lt;test&gt;") && html.contains("compat: reference"));
    assert!(html.contains("1 of 40 images have no prediction"));
    // Every plot is there wide and narrow, the images once.
    let class = |name: &str| {
        document.descendants().filter(|n| n.has_tag_name("svg") && n.attribute("class") == Some(name)).count()
    };
    assert_eq!(class("wide"), class("narrow"));
    assert!(class("wide") >= 8);
    assert_eq!(document.descendants().filter(|n| n.has_tag_name("ellipse")).count(), 2);
    assert!(html.contains("nothing found") && html.contains("NME 2.10 %"));
}

#[test]
fn subsets_and_normalizers_have_a_row_each_and_the_first_is_the_whole_set() {
    let results = results(1.0);
    let names: Vec<(&str, &str)> =
        results.reports.iter().map(|r| (r.subset.as_str(), r.normalizer.as_str())).collect();
    assert_eq!(names, [("full", "ends"), ("pose", "ends"), ("full", "box"), ("pose", "box")]);
    assert_eq!(results.reports[1].images, 20);
    let seen = results.reports[0].visibility.unwrap();
    assert_eq!((seen.visible_keypoints, seen.occluded_keypoints), (117, 39));
    let markdown = results.to_markdown().unwrap();
    for part in [
        "### Subsets and normalizers",
        "### Ambiguity",
        "### Calibration",
        "### Crops",
        "### Stability over time",
    ] {
        assert!(markdown.contains(part), "{part} is not in {markdown}");
    }
    narrow_text(&markdown);
}

#[test]
fn results_come_back_from_json_and_a_bare_report_is_taken_too() {
    let results = results(1.0);
    let back = Results::from_json(&results.to_json()).unwrap();
    // JSON readers may be off by the last bit, so a second trip is compared.
    assert_eq!(Results::from_json(&back.to_json()).unwrap(), back);
    assert_eq!(back.samples.len(), 40);
    let bare = Results::from_json(&results.reports[0].to_json()).unwrap();
    assert_eq!((bare.reports.len(), bare.samples.len()), (1, 0));
    whole(&bare.to_html(&[]).unwrap());
    // More missing than there are: a difference of them is drawn and printed.
    let mut odd = results.clone();
    odd.reports[1].missing = odd.reports[1].images + 1;
    for text in [odd.to_json(), odd.reports[1].to_json()] {
        let message = Results::from_json(&text).unwrap_err().to_string();
        assert!(message.contains("missing: expected at most 20, the number of images, got 21"), "{message}");
    }
    assert!(matches!(Results::from_json("{}").unwrap_err(), Error::Json { .. }));
}

#[test]
fn a_page_of_a_comparison_is_whole_and_tells_which_run_is_better() {
    let runs = [
        ("first".to_owned(), results(1.5)),
        ("second".to_owned(), results(1.0)),
        ("third".to_owned(), results(1.6)),
    ];
    let comparison = Comparison::new(&runs).unwrap();
    let pair = &comparison.pairs[0];
    assert_eq!((pair.paired.better, pair.paired.worse, pair.paired.ties), (39, 0, 1));
    assert!(pair.difference_interval.unwrap()[1] < 0.0 && pair.paired.sign_p < 1e-9);
    // Two comparisons: the smaller probability is doubled.
    let raw = pair.paired.wilcoxon.unwrap().p;
    assert!(
        pair.wilcoxon_corrected_p.unwrap() <= 2.0 * raw + 1e-15 && pair.wilcoxon_corrected_p.unwrap() >= raw
    );
    let html = comparison.to_html().unwrap();
    let document = whole(&html);
    let expected = [
        "Runs",
        "Cumulative error",
        "second against first",
        "third against first",
        "How far apart the runs are",
    ];
    assert_eq!(headings(&document), expected);
    let markdown = comparison.to_markdown();
    assert!(markdown.contains("39 better, 0 worse, 1 equal"), "{markdown}");
    assert!(markdown.starts_with("second has a significantly lower error"), "{markdown}");
    narrow(&document);
    narrow_text(&markdown);
    for text in [&html, &markdown] {
        assert!(text.contains("second has a significantly lower error than first: -"), "{text}");
        assert!(text.contains("third has a significantly higher error than first: +"), "{text}");
    }
    let back: Comparison = serde_json::from_str(&comparison.to_json()).unwrap();
    assert_eq!(back.pairs.len(), 2);
}

#[test]
fn two_runs_alike_have_no_significant_difference() {
    let runs = [("first".to_owned(), results(1.5)), ("second".to_owned(), results(1.5))];
    let html = Comparison::new(&runs).unwrap().to_html().unwrap();
    assert!(html.contains("No significant difference between second and first: +0.000 points"), "{html}");
}

#[test]
fn results_name_what_predicted_when_and_with_which_program() {
    let mut results = results(1.0);
    let weights = WeightsIdentity {
        path: "runs/<first>/best".into(),
        architecture: "a network".into(),
        parameters: 12_345,
        sha256: "0f".repeat(32),
    };
    results.reports[0].identity = Some(Identity {
        weights: Some(weights),
        predictions: None,
        date: "2026-01-31".into(),
        version: "star 9".into(),
    });
    let html = results.to_html(&[]).unwrap();
    let markdown = results.to_markdown().unwrap();
    let runs = [("first".to_owned(), results.clone()), ("second".to_owned(), results.clone())];
    let comparison = Comparison::new(&runs).unwrap();
    for text in [html, markdown, comparison.to_html().unwrap(), comparison.to_markdown()] {
        for part in ["best: a network, 12,345 parameters, SHA-256 0f0f", "2026-01-31 by star 9"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
    let back = Results::from_json(&results.to_json()).unwrap();
    assert_eq!(back.reports[0].identity, results.reports[0].identity);
    assert_eq!(back.reports[1].identity, None);
}

#[test]
fn error_curves_end_at_the_99th_percentile_and_show_a_threshold_that_is_near() {
    let dashes = |threshold: f64| {
        let metrics = MetricSet { thresholds: vec![threshold], ..metrics() };
        let html = Results::new(&metrics, &cases(1.0)).unwrap().to_html(&[]).unwrap();
        let (_, section) = html.split_once("Cumulative error</h2>").unwrap();
        let section = section.split("</section>").next().unwrap().to_owned();
        (section.matches("stroke-dasharray").count(), section.contains("lies farther right"))
    };
    // Wide and narrow; errors are below 0.05.
    assert_eq!(dashes(0.02), (2, false));
    assert_eq!(dashes(0.9), (0, true));
}

#[test]
fn an_image_that_does_not_fit_is_named() {
    let mut cases = cases(1.0);
    cases[7].truth = vec![[3.0, 3.0]; 4];
    // Under the second normalizer alone the others' figures stand, and a note names what was left out.
    let flat = MetricSet {
        normalizers: vec![
            ("box".into(), Normalizer::default()),
            ("sides".into(), Normalizer::BoxGeometricMean(vec![])),
        ],
        ..metrics()
    };
    let mut thin = cases.clone();
    thin[7].truth = vec![[3.0, 3.0], [9.0, 3.0], [5.0, 3.0], [6.0, 3.0]];
    let results = Results::new(&flat, &thin).unwrap();
    assert_eq!(results.reports.len(), 2);
    assert!(results.reports[0].notes[1].contains("sides has no length on image7.jpg"));
    let error = Results::new(&metrics(), &cases).unwrap_err().to_string();
    assert!(error.contains("image7.jpg") && error.contains("distance 0 to 3"), "{error}");
    assert!(matches!(
        Results::new(&MetricSet { normalizers: vec![], ..metrics() }, &cases),
        Err(Error::Empty { .. })
    ));
}
