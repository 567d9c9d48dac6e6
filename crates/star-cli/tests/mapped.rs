//! 68 points of a network or of files with 98: one option, one meaning in every command.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::{Path, PathBuf};

use common::{assert_contains, faces, golden, ok, refused, star};
use star_data::Dataset;
use star_data::formats::tsv::format_row;
use star_data::synthetic::{SyntheticConfig, SyntheticFaces};

const COUNT: usize = 4;
const BOX: [&str; 2] = ["--box", "8,8,80,80"];

/// Synthetic faces of 98 points as rows and images, and a small network that was trained on others.
fn wide(dir: &Path) {
    let config = SyntheticConfig { count: COUNT, image_size: 96, ..Default::default() };
    let drawn = SyntheticFaces::new(config).unwrap();
    let mut rows = String::new();
    for i in 0..COUNT {
        let sample = drawn.get(i).unwrap();
        let image = PathBuf::from(format!("{i}.png"));
        sample.image.save(dir.join(&image)).unwrap();
        rows += &(format_row(&image, &[[0.0; 2]; 5], &sample.points, &[]).unwrap() + "\n");
    }
    std::fs::write(dir.join("wide.tsv"), rows).unwrap();
    let run = "scheme = 'wflw98'\nepochs = 1\nbatch_size = 2\n[data]\nholdout = 0.5\n[data.train]\nformat = 'synthetic'\ncount = 4\n\
               image_size = 64\n[model]\nstacks = 1\nlevels = 1\nchannels = 32\nimage_size = 32\nattention = false\n";
    std::fs::write(dir.join("run.toml"), run).unwrap();
    ok(dir, &["train", "--config", "run.toml", "--out", "out"]);
}

fn points(face: &serde_json::Value) -> Vec<[f64; 2]> {
    let points = face["points"].as_array().unwrap().iter();
    points.map(|point| [0, 1].map(|axis| point[axis].as_f64().unwrap())).collect()
}

#[test]
fn a_network_of_98_points_gives_68_and_scores_as_the_mapped_files_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    wide(dir);
    let images = ["0.png", "1.png", "2.png", "3.png"];
    let predict =
        |extra: &[&str]| ok(dir, &[&["predict", "--weights", "out/best"][..], &images, &BOX, extra].concat());
    let own = faces(&predict(&["--json", "-"]));
    let pick = faces(&predict(&["--map-98-to-68", "pick", "--json", "-", "--out", "drawn"]));
    let blend = faces(&predict(&["--map-98-to-68", "blend"]));
    assert_eq!(faces(&predict(&["--as", "ibug68"])), blend);
    assert_eq!((own.len(), pick.len(), blend.len()), (COUNT, COUNT, COUNT));
    assert!(dir.join("drawn/0-drawn.png").is_file());
    for ((own, pick), blend) in own.iter().zip(&pick).zip(&blend) {
        assert_eq!(
            (pick["scheme"].as_str(), pick["ellipse"].as_array().unwrap().len()),
            (Some("ibug68"), 68)
        );
        let (own, pick, blend) = (points(own), points(pick), points(blend));
        assert_eq!((own.len(), pick.len(), blend.len()), (98, 68, 68));
        // The chin is the 16th of the jaw's 33, the second of the right brow 34 or halfway to 41 below it.
        let near = |a: [f64; 2], b: [f64; 2]| (a[0] - b[0]).hypot(a[1] - b[1]) < 1e-3;
        assert!(near(pick[8], own[16]) && near(pick[18], own[34]), "{:?} {:?}", pick[18], own[34]);
        assert!(near(blend[18], [0, 1].map(|axis| (own[34][axis] + own[41][axis]) / 2.0)));
    }
    let exported = star(dir, &["export", "out/best", "--onnx", "68.onnx", "--as", "ibug68", "--opset", "11"]);
    let said = String::from_utf8_lossy(&exported.stderr).into_owned();
    assert_contains(&said, &["68 keypoints (ibug68), opset 11"]);
    let file = std::fs::read(dir.join("68.onnx")).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("Gather") && holds("heatmap_scheme"));
    let error = refused(dir, &["export", "out/best", "--onnx", "x.onnx", "--opset", "10"]);
    assert_contains(&error, &["--opset: expected 11 to 24, got 10"]);
    assert_contains(
        &refused(dir, &["export", "builtin", "--onnx", "x.onnx", "--map-98-to-68", "pick"]),
        &["expected weights of scheme"],
    );
    let map = ["--map-98-to-68", "blend"];
    predict(&["--json", "wide.json"]);
    predict(&[&map[..], &["--json", "narrow.json"]].concat());
    let convert = ["data", "convert", "--annotations", "wide.tsv", "--crop", "stated", "--out", "narrow.tsv"];
    ok(dir, &[&convert[..], &map].concat());
    let score = |truth: &str, predictions: &str, scheme: &str, extra: &[&str]| {
        let score =
            ["score", "--dataset", "d", "--truth", truth, "--predictions", predictions, "--scheme", scheme];
        // The name of the file that was scored is another.
        ok(dir, &[&score[..], extra].concat()).replace(predictions, "PREDICTIONS")
    };
    let mapped = score("narrow.tsv", "narrow.json", "ibug68", &[]);
    assert_contains(&mapped, &["inter-ocular", "     4        0  "]);
    for (truth, predictions, scheme) in [
        ("wide.tsv", "wide.json", "ibug68"),
        ("wide.tsv", "narrow.json", "ibug68"),
        ("narrow.tsv", "wide.json", "ibug68"),
        ("wide.tsv", "wide.json", "wflw98"),
    ] {
        assert_eq!(score(truth, predictions, scheme, &map), mapped, "{truth} {predictions} {scheme}");
    }
    // The other program's points carry neither a scheme nor ellipses.
    let row = |face: &serde_json::Value| {
        let numbers: Vec<String> = points(face).iter().flatten().map(ToString::to_string).collect();
        format!("{},{}\n", face["image"].as_str().unwrap(), numbers.join(","))
    };
    let header: Vec<String> = (0..98).map(|k| format!("x{k},y{k}")).collect();
    let rows: String = own.iter().map(row).collect();
    std::fs::write(dir.join("wide.csv"), format!("image,{}\n{rows}", header.join(","))).unwrap();
    let nme = |text: &str| text.lines().find(|line| line.contains("NME")).unwrap().to_string();
    assert_eq!(nme(&score("wide.tsv", "wide.csv", "ibug68", &map)), nme(&mapped));
}

#[test]
fn what_has_no_98_points_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    image::RgbImage::new(64, 64).save(dir.join("a.png")).unwrap();
    let small = golden("hourglass_cofw_small.pkl");
    let predict = ["predict", "a.png", "--weights", &small, "--image-size", "64", "--map-98-to-68", "pick"];
    assert_contains(
        &refused(dir, &[&predict[..], &BOX].concat()),
        &["--map-98-to-68", "`wflw98`", "`cofw29` with 29 keypoints"],
    );
    std::fs::write(dir.join("t.tsv"), "").unwrap();
    std::fs::write(dir.join("p.json"), "[]").unwrap();
    let score =
        ["score", "--truth", "t.tsv", "--predictions", "p.json", "--map-98-to-68", "pick", "--scheme"];
    assert_contains(
        &refused(dir, &[&score[..], &["cofw29"]].concat()),
        &["--map-98-to-68", "68 points", "`cofw29` with 29"],
    );
    // A row of neither count is told by the first, a damaged row of 98 by its own.
    let row = |count: usize| {
        let points = vec!["1"; 2 * count].join(",");
        format!("a.png\t1,1,1,1,1,1,1,1,1,1\t{points}\t1\t1\t1\n")
    };
    std::fs::write(dir.join("t.tsv"), row(29)).unwrap();
    assert_contains(&refused(dir, &[&score[..], &["ibug68"]].concat()), &["line 1", "expected 136 numbers"]);
    std::fs::write(dir.join("t.tsv"), row(98) + &row(98).replace("\t1\t1\t1", "\tx\t1\t1")).unwrap();
    assert_contains(&refused(dir, &[&score[..], &["ibug68"]].concat()), &["line 2", "scale", "`x`"]);
    #[cfg(feature = "bulk")]
    for option in [&["--map-98-to-68", "pick"][..], &["--turned"], &["--recursive"]] {
        let output = star(dir, &[&["predict", "--input", "a.tar", "--output", "o"][..], option].concat());
        assert_eq!(output.status.code(), Some(2), "{option:?}: not left out without a word");
    }
}
