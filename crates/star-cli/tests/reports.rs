//! `star eval --report`, `star score`, `star compare` and `star predict --smooth` from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::{Path, PathBuf};

use common::{assert_contains, faces, golden, ok, refused, star};
use serde_json::Value;
use star_data::formats::tsv::format_row;
use star_data::synthetic::{Labels, SyntheticConfig, SyntheticFaces};
use star_data::{Dataset, Scheme};

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Frames 1 to `count` of one video of synthetic faces in COFW's scheme, tagged in turn, and converted weights.
fn prepare(dir: &Path, count: usize) {
    ok(dir, &["convert", &golden("hourglass_cofw_small.pkl"), "w", "--image-size", "64"]);
    let config = SyntheticConfig { count, image_size: 96, labels: Labels::Exact, ..Default::default() };
    let faces = SyntheticFaces::new(config).unwrap();
    let keypoints = Scheme::named("cofw").unwrap().keypoints;
    std::fs::create_dir(dir.join("clip")).unwrap();
    let mut text = String::new();
    for i in 0..count {
        let sample = faces.get(i).unwrap();
        let image = PathBuf::from(format!("clip/{:04}.png", i + 1));
        sample.image.save(dir.join(&image)).unwrap();
        let points: Vec<[f32; 2]> = (0..keypoints).map(|k| sample.points[3 * k]).collect();
        let tags = [["pose", "blur"][i % 2].to_string()];
        text += &(format_row(&image, &[[0.0; 2]; 5], &points, &tags).unwrap() + "\n");
    }
    std::fs::write(dir.join("faces.tsv"), text).unwrap();
}

const EVAL: [&str; 7] = ["eval", "--annotations", "faces.tsv", "--weights", "w", "--dataset", "drawn"];

#[test]
fn a_report_holds_subsets_normalizers_ambiguity_calibration_crops_videos_and_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir, 5);
    let extras = ["--report", "r", "--video", "--box-sensitivity", "2", "--threshold", "0.5"];
    let table = ok(dir, &[&EVAL[..], &extras].concat());
    let parts =
        ["Errors along and across edges", "Ambiguity", "Calibration", "Crops", "Stability over time", "clip"];
    assert_contains(&table, &parts);
    // A terminal shows the headline first, and columns of which none is cut; Markdown is for the file.
    assert!(table.starts_with("NME ") && !table.contains("|--"), "{table}");
    let wide: Vec<&str> = table.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    assert_contains(&std::fs::read_to_string(dir.join("r/report.md")).unwrap(), &["### Ambiguity", "|---"]);
    let mut files: Vec<_> =
        std::fs::read_dir(dir.join("r")).unwrap().map(|f| f.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["index.html", "report.json", "report.md"]);
    let results = json(dir.join("r/report.json"));
    let reports = results["reports"].as_array().unwrap();
    let pairs: Vec<(&str, &str)> =
        reports.iter().map(|r| (r["subset"].as_str().unwrap(), r["normalizer"].as_str().unwrap())).collect();
    assert_eq!(
        &pairs[..4],
        [("full", "inter-pupil"), ("pose", "inter-pupil"), ("blur", "inter-pupil"), ("full", "inter-ocular")]
    );
    assert_eq!((reports[1]["images"].as_u64(), reports[2]["images"].as_u64()), (Some(3), Some(2)));
    // 29 keypoints on each of 5 faces, compared or left out.
    let edges = &reports[0]["edges"];
    let counts = ["keypoints", "left_out"].map(|count| edges[count].as_u64().unwrap());
    assert_eq!(counts[0] + counts[1], 145, "{edges}");
    assert!(edges["all"]["across_rms_fraction"].as_f64().unwrap() > 0.0);
    // 5 frames, 4 steps between them.
    assert_eq!(
        (results["videos"][0]["pairs"].as_u64(), results["boxes"]["rows"][0]["samples"].as_u64()),
        (Some(4), Some(2))
    );
    let page = std::fs::read_to_string(dir.join("r/index.html")).unwrap();
    assert_eq!(
        page.matches("data:image/jpeg;base64,").count(),
        5,
        "each face once, as one of the best or the worst"
    );
}

#[test]
fn scoring_a_file_of_predictions_gives_the_report_of_the_run_that_made_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir, 4);
    ok(dir, &[&EVAL[..], &["--report", "a", "--predictions", "p.json"]].concat());
    let score = [
        "score",
        "--truth",
        "faces.tsv",
        "--predictions",
        "p.json",
        "--scheme",
        "cofw29",
        "--dataset",
        "drawn",
    ];
    ok(dir, &[&score[..], &["--report", "b"]].concat());
    let (a, b) = (json(dir.join("a/report.json")), json(dir.join("b/report.json")));
    // Truth goes through normalised f32 coordinates in eval.
    for figure in ["/reports/0/nme_mean_fraction", "/calibration/scale", "/ambiguity/mean_angle"] {
        let [a, b] = [&a, &b].map(|results| results.pointer(figure).and_then(Value::as_f64).unwrap());
        assert!((a - b).abs() < 1e-3 * a.abs(), "{figure}: {a} against {b}");
    }
    let pages = ["a", "b"].map(|run| std::fs::read_to_string(dir.join(run).join("index.html")).unwrap());
    assert_eq!(pages[0].matches("<image").count(), pages[1].matches("<image").count());
    // A normalizer of your own, and its keypoints.
    let own = ok(dir, &[&score[..], &["--between", "8,12:9,14"]].concat());
    assert_contains(&own, &["distance mean(8,12) to mean(9,14)"]);
    assert_contains(
        &refused(dir, &[&score[..], &["--between", "8:29"]].concat()),
        &["--between", "below 29", "got 29"],
    );
    // Without the pictures the report is written all the same.
    let output = star(dir, &[&score[..], &["--report", "c", "--images", "nowhere"]].concat());
    assert!(output.status.success() && dir.join("c/index.html").is_file());
    assert_contains(&String::from_utf8_lossy(&output.stderr), &["4 images", "cannot be opened"]);
}

#[test]
fn runs_are_compared_image_by_image_and_what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir, 6);
    ok(dir, &[&EVAL[..], &["--report", "a", "--predictions", "p.json"]].concat());
    // The second run is the first with every landmark on the truth's side: closer on all faces but one.
    let mut faces: Vec<Value> = serde_json::from_slice(&std::fs::read(dir.join("p.json")).unwrap()).unwrap();
    let truth = std::fs::read_to_string(dir.join("faces.tsv")).unwrap();
    for (i, (face, row)) in faces.iter_mut().zip(truth.lines()).enumerate() {
        let numbers: Vec<f64> =
            row.split('\t').nth(2).unwrap().split(',').map(|v| v.parse().unwrap()).collect();
        for (k, point) in face["points"].as_array_mut().unwrap().iter_mut().enumerate() {
            let mix = |axis: usize| {
                let (p, t) = (point[axis].as_f64().unwrap(), numbers[2 * k + axis]);
                if i == 3 { 2.0 * p - t } else { 0.5 * (p + t) }
            };
            *point = serde_json::json!([mix(0), mix(1)]);
        }
    }
    std::fs::write(dir.join("q.json"), serde_json::to_vec(&faces).unwrap()).unwrap();
    let score = [
        "score",
        "--truth",
        "faces.tsv",
        "--predictions",
        "q.json",
        "--scheme",
        "cofw29",
        "--dataset",
        "drawn",
    ];
    ok(dir, &[&score[..], &["--report", "b", "--json", "b.json"]].concat());
    let table = ok(dir, &["compare", "a/report.json", "b/report.json", "--report", "c"]);
    assert_contains(
        &table,
        &["b against a", "6 images in common: 5 better, 1 worse, 0 equal", "clip/0004.png"],
    );
    let comparison = json(dir.join("c/comparison.json"));
    assert_eq!(comparison["pairs"][0]["paired"]["better"].as_u64(), Some(5));
    assert_eq!(comparison["keypoint_spreads"].as_array().unwrap().len(), 29);
    assert!(dir.join("c/index.html").is_file() && dir.join("c/comparison.md").is_file());
    // A file of --json compares too, under a name of one's own.
    let table = ok(dir, &["compare", "a/report.json", "b.json", "--name", "old", "--name", "new"]);
    assert_contains(&table, &["new against old"]);
    ok(dir, &[&score[..], &["--normalize-by", "box-diagonal", "--json", "d.json"]].concat());
    let error = refused(dir, &["compare", "a/report.json", "d.json"]);
    assert_contains(&error, &["cannot be compared", "box diagonal", "--normalize-by"]);
    assert_contains(&refused(dir, &["compare", "p.json", "b.json"]), &["p.json", "--report"]);
}

#[test]
fn smoothing_follows_a_face_and_stills_it() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir, 4);
    let frames = ["clip/0001.png", "clip/0002.png", "clip/0003.png", "clip/0004.png"];
    let predict = [&["predict"][..], &frames, &["--weights", "w", "--box", "15,15,66,66"]].concat();
    let points = |arguments: &[&str]| -> Vec<Value> {
        let faces = faces(&ok(dir, &[&predict[..], arguments].concat()));
        assert!(faces.iter().all(|f| arguments.is_empty() == f["track"].is_null()));
        faces.into_iter().map(|f| f["points"].clone()).collect()
    };
    let (raw, smooth) = (points(&[]), points(&["--smooth", "--fps", "30"]));
    assert_eq!(raw[0], smooth[0], "the first frame is as it was found");
    let steps = |frames: &[Value]| -> f64 {
        let x = |frame: usize, k: usize| frames[frame][k][0].as_f64().unwrap();
        (1..4).flat_map(|t| (0..29).map(move |k| (t, k))).map(|(t, k)| (x(t, k) - x(t - 1, k)).abs()).sum()
    };
    assert!(steps(&smooth) < 0.8 * steps(&raw), "{} against {}", steps(&smooth), steps(&raw));
    assert_contains(&refused(dir, &[&predict[..], &["--smooth", "--fps", "0"]].concat()), &["--fps"]);
    assert_eq!(star(dir, &[&predict[..], &["--fps", "25"]].concat()).status.code(), Some(2));
}
