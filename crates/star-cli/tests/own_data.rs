//! Points of a newcomer's own: the page about them, their file as a scheme, and a single point.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::Path;

use common::{assert_contains, faces, ok, refused, star};
use image::{Rgb, RgbImage};

/// The network of the page, small enough for a test.
const SMALL: [(&str, &str); 4] = [
    ("epochs = 40", "epochs = 1"),
    ("levels = 3", "levels = 1"),
    ("channels = 64", "channels = 32"),
    ("image_size = 128", "image_size = 32"),
];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/own-data.md");
    std::fs::read_to_string(path).unwrap()
}

/// The examples of one kind on the page, in order.
fn examples(page: &str, kind: &str) -> Vec<String> {
    let fence = format!("```{kind}\n");
    page.split(&fence).skip(1).map(|part| part.split("```").next().unwrap().to_string()).collect()
}

fn photos(dir: &Path) {
    std::fs::create_dir_all(dir.join("photos")).unwrap();
    for (i, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([(4 * x) as u8, (4 * y) as u8, 60 * i as u8]));
        image.save(dir.join(format!("photos/{name}.png"))).unwrap();
    }
}

/// The page's files in `dir`, the network small.
fn paws(dir: &Path) {
    let page = page();
    let (toml, csv) = (examples(&page, "toml"), examples(&page, "csv"));
    photos(dir);
    std::fs::write(dir.join("paws.toml"), &toml[0]).unwrap();
    std::fs::write(dir.join("paws.csv"), &csv[0]).unwrap();
    let small = SMALL.iter().fold(toml[1].clone(), |text, (from, to)| {
        assert!(text.contains(from), "{from} missing in: {text}");
        text.replace(from, to)
    });
    std::fs::write(dir.join("run.toml"), small).unwrap();
}

#[test]
fn the_page_on_own_data_works_as_written_and_the_help_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    paws(dir);
    let page = page();
    let mut commands = 0;
    for line in examples(&page, "sh").iter().flat_map(|block| block.lines()) {
        let words: Vec<&str> = line.split('#').next().unwrap().split_whitespace().skip(1).collect();
        ok(dir, &words);
        commands += 1;
    }
    assert_eq!(commands, 6);
    // What the page says of a network without edges: no attention branch, unasked.
    let weights = std::fs::read_to_string(dir.join("runs/paws/best/config.json")).unwrap();
    assert_contains(&weights, &["\"attention\": false"]);
    let found =
        faces(&ok(dir, &["predict", "photos/a.png", "--weights", "runs/paws/best", "--box", "8,14,40,40"]));
    assert_eq!((found[0]["scheme"].as_str(), found[0]["points"].as_array().unwrap().len()), (Some("paw"), 3));
    let lines: Vec<&str> = page.lines().collect();
    for help in [&["data", "--help"][..], &["data", "check", "--help"], &["train", "--help"]] {
        let help = ok(dir, help);
        let example: Vec<&str> =
            help.lines().filter_map(|line| line.strip_prefix("  ")).map(str::trim_end).collect();
        let own: Vec<&&str> =
            example.iter().filter(|line| line.contains("left_toe") || line.contains("paws")).collect();
        assert!(own.len() >= 3, "{help}");
        own.iter().for_each(|line| assert!(lines.contains(*line), "`{line}` is not on the page"));
    }
}

#[test]
fn the_file_of_own_data_is_a_scheme_wherever_one_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    paws(dir);
    // Rows of TSV cannot leave a point out.
    let whole = examples(&page(), "csv")[0].replace(",20,,", ",20,25,50");
    std::fs::write(dir.join("paws.csv"), whole).unwrap();
    ok(dir, &["train", "--config", "run.toml", "--out", "out"]);
    ok(dir, &["data", "convert", "--format", "own", "--annotations", "paws.toml", "--out", "paws.tsv"]);
    ok(dir, &["data", "check", "--annotations", "paws.tsv", "--images", "photos", "--scheme", "paws.toml"]);
    ok(
        dir,
        &[
            "predict",
            "photos/a.png",
            "--weights",
            "out/best",
            "--scheme",
            "paws.toml",
            "--box",
            "8,14,40,40",
            "--json",
            "p.json",
        ],
    );
    let figures =
        ok(dir, &["score", "--truth", "paws.tsv", "--predictions", "p.json", "--scheme", "paws.toml"]);
    assert_contains(&figures, &["box diagonal"]);
    // In a training file too, and as the name of a file with the scheme alone.
    let run = std::fs::read_to_string(dir.join("run.toml")).unwrap();
    std::fs::write(dir.join("scheme.toml"), format!("scheme = 'paws.toml'\n{run}")).unwrap();
    ok(dir, &["train", "--config", "scheme.toml", "--dry-run"]);
    std::fs::write(dir.join("asked.toml"), run.replace("[model]", "[model]\nattention = true")).unwrap();
    assert_contains(
        &refused(dir, &["train", "--config", "asked.toml", "--dry-run"]),
        &["model", "edges: the attention branch needs at least one edge", "attention = false"],
    );
    std::fs::write(dir.join("wrong.toml"), "name = 'paw'\nkeypoints = 3\n[[scheme.edges]]\nname = 'a'\n")
        .unwrap();
    assert_contains(
        &refused(dir, &["data", "check", "--annotations", "paws.tsv", "--scheme", "wrong.toml"]),
        &["wrong.toml", "[[edges]], not [[scheme.edges]]"],
    );
}

#[test]
fn a_single_point_with_boxes_is_trained_found_and_scored_by_the_box() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    paws(dir);
    let header = examples(&page(), "csv")[1].lines().next().unwrap().to_string();
    let row = |i: usize, name: &str| format!("{name}.png,{},{},8,8,30,40\n", 20 + i, 30 - i);
    let rows: String = ["a", "b", "c", "d"].into_iter().enumerate().map(|(i, name)| row(i, name)).collect();
    std::fs::write(dir.join("one.csv"), format!("{header}\n{rows}")).unwrap();
    std::fs::write(dir.join("one.toml"), "images = 'photos'\n[scheme]\nname = 'one'\nkeypoints = 1\n")
        .unwrap();
    let run = std::fs::read_to_string(dir.join("run.toml")).unwrap().replace("paws.toml", "one.toml");
    std::fs::write(dir.join("one-run.toml"), run).unwrap();
    let own = ["--format", "own", "--annotations", "one.toml"];
    assert_contains(&ok(dir, &[&["data", "check"][..], &own].concat()), &["4 faces, 0 problems"]);
    ok(dir, &["train", "--config", "one-run.toml", "--dry-run"]);
    let output = star(dir, &["train", "--config", "one-run.toml", "--out", "out"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_contains(&said, &["validation NME (stated box diagonal, "]);
    let eval =
        ["eval", "--weights", "out/best", "--dataset", "d", "--predictions", "p.json", "--report", "r"];
    let figures = ok(dir, &[&eval[..], &own].concat());
    assert_contains(&figures, &["stated box diagonal"]);
    let found = faces(&ok(dir, &["predict", "photos/a.png", "--weights", "out/best", "--box", "8,8,30,40"]));
    let [x, y] = [0, 1].map(|axis| found[0]["points"][0][axis].as_f64().unwrap());
    assert!(x.is_finite() && y.is_finite() && found[0]["points"].as_array().unwrap().len() == 1);
    // The error of the first row by hand: the diagonal of 30 x 40 is 50.
    let report = std::fs::read_to_string(dir.join("r/report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let predicted: serde_json::Value = serde_json::from_slice(&common::bytes(dir, "p.json")).unwrap();
    let [u, v] = [0, 1].map(|axis| predicted[0]["points"][0][axis].as_f64().unwrap());
    let nme = report["reports"][0]["per_image"][0]["nme_fraction"].as_f64().unwrap();
    assert!((nme - (u - 20.0).hypot(v - 30.0) / 50.0).abs() < 1e-4, "{nme} {u} {v}");
    // Scoring what was predicted gives the same, by row and by place.
    ok(dir, &[&["data", "convert", "--out", "one.tsv", "--crop", "stated"][..], &own].concat());
    let score = ["score", "--truth", "one.tsv", "--scheme", "one.toml", "--dataset", "d", "--predictions"];
    let scored = ok(dir, &[&score[..], &["p.json"]].concat());
    assert_contains(&scored, &["stated box diagonal"]);
    std::fs::write(dir.join("p.csv"), "image,x0,y0\na.png,21,30\nb.png,21,29\nc.png,22,28\nd.png,23,27\n")
        .unwrap();
    let by_place = ok(dir, &[&score[..], &["p.csv", "--json", "-"]].concat());
    let by_place: serde_json::Value = serde_json::from_str(&by_place).unwrap();
    // TSV has a square box of the longer side: one pixel of 40 sqrt 2 in one image of four.
    let mean = by_place["nme_mean_fraction"].as_f64().unwrap();
    assert!((mean - 1.0 / (40.0 * 2f64.sqrt()) / 4.0).abs() < 1e-6, "{mean}");
    assert_contains(
        &refused(dir, &[&["eval", "--weights", "out/best", "--box-sensitivity"][..], &own].concat()),
        &["box sensitivity", "one keypoint"],
    );
}
