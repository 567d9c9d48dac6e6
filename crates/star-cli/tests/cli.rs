//! The program from outside: what it writes, and what it says when something is wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use std::path::{Path, PathBuf};

use star_data::Dataset;
use star_data::formats::tsv::format_row;
use star_data::synthetic::{Labels, SyntheticConfig, SyntheticFaces};

use common::{assert_contains, faces, golden, images, ok, refused, star};

/// Rows of 29 points (the first ones of synthetic faces, which is shape enough) with their pictures, in COFW's scheme.
fn cofw_set(dir: &Path, count: usize) {
    let config = SyntheticConfig { count, image_size: 96, labels: Labels::Exact, ..Default::default() };
    let faces = SyntheticFaces::new(config).unwrap();
    let mut text = String::new();
    for i in 0..count {
        let sample = faces.get(i).unwrap();
        let image = PathBuf::from(format!("face{i}.png"));
        sample.image.save(dir.join(&image)).unwrap();
        let points: Vec<[f32; 2]> = (0..29).map(|k| sample.points[3 * k]).collect();
        text += &(format_row(&image, &[[0.0; 2]; 5], &points, &[]).unwrap() + "\n");
    }
    std::fs::write(dir.join("faces.tsv"), text).unwrap();
}

fn converted(dir: &Path) {
    ok(dir, &["convert", &golden("hourglass_cofw_small.pkl"), "w", "--image-size", "64"]);
}

#[test]
fn convert_infers_scheme_and_shape_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    let config = std::fs::read_to_string(dir.path().join("w/config.json")).unwrap();
    assert_contains(
        &config,
        &["\"scheme\": \"cofw29\"", "\"levels\": 3", "\"source\": \"hourglass_cofw_small.pkl\""],
    );
    assert_eq!(std::fs::read_dir(dir.path().join("w")).unwrap().count(), 2);
}

#[test]
fn predict_writes_json_and_drawn_pictures() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 2);
    let boxes = ["--box", "10,10,60,60", "--box", "20,20,50,50"];
    let arguments =
        [&["predict", "face0.png", "face1.png", "--weights", "w", "--json", "-", "--out", "o"][..], &boxes]
            .concat();
    let faces = faces(&ok(dir.path(), &arguments));
    assert_eq!(faces.len(), 4);
    assert_eq!(
        (faces[0]["image"].as_str(), faces[0]["scheme"].as_str()),
        (Some("face0.png"), Some("cofw29"))
    );
    assert_eq!(faces[1]["box"]["x"].as_f64(), Some(20.0));
    for face in &faces {
        assert_eq!(
            (face["points"].as_array().unwrap().len(), face["ellipse"].as_array().unwrap().len()),
            (29, 29)
        );
        let ellipse = &face["ellipse"][0];
        assert!(ellipse["major"].as_f64().unwrap() >= ellipse["minor"].as_f64().unwrap());
    }
    assert!(dir.path().join("o/face0-drawn.png").is_file() && dir.path().join("o/face1-drawn.png").is_file());
    // Ellipses are drawn where they are asked for, and what the weights do not know is said.
    let drawn = |folder: &str| std::fs::read(dir.path().join(folder).join("face0-drawn.png")).unwrap();
    let arguments = ["predict", "face0.png", "--weights", "w", "--box", "10,10,60,60", "--ellipses"];
    let output = star(dir.path(), &[&arguments[..], &["--confidence", "--out", "e"]].concat());
    assert!(output.status.success() && drawn("e") != drawn("o"));
    assert_contains(&String::from_utf8_lossy(&output.stderr), &["not calibrated", "no confidences"]);
    assert_contains(&refused(dir.path(), &arguments), &["--ellipses", "--out DIR"]);
}

#[test]
fn without_weights_those_in_the_program_find_68_landmarks() {
    let dir = tempfile::tempdir().unwrap();
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    std::fs::copy(portrait, dir.path().join("astronaut.png")).unwrap();
    let faces = faces(&ok(dir.path(), &["predict", "astronaut.png"]));
    assert_eq!(faces.len(), 1);
    assert_eq!(faces[0]["points"].as_array().unwrap().len(), 68);
    // The photograph is frontal and sharp.
    let confidence = faces[0]["confidence"].as_array().unwrap();
    assert!(confidence.len() == 68 && confidence.iter().all(|p| (0.5..=1.0).contains(&p.as_f64().unwrap())));
    assert!((0.9..=1.0).contains(&faces[0]["score"].as_f64().unwrap()));
    let yaw = faces[0]["pose"]["yaw"].as_f64().unwrap();
    assert!(yaw.abs() < 10.0, "{yaw}");
    let (csv, crops) = (["--csv", "-"], ["--crops", "c", "--size", "64"]);
    let table = ok(dir.path(), &[&["predict", "astronaut.png", "--as", "ibug68"][..], &csv, &crops].concat());
    assert_contains(&table, &["image,frame,seconds,face,track,score,box_x", ",x67,y67,confidence0,"]);
    assert_eq!(table.lines().count(), 2);
    std::fs::write(dir.path().join("f.csv"), table).unwrap();
    let crop = image::open(dir.path().join("c/astronaut-face0.png")).unwrap();
    assert_eq!((crop.width(), crop.height()), (64, 64));
    assert_contains(&refused(dir.path(), &["predict", "astronaut.png", "--crops", "c"]), &["--overwrite"]);
    assert_contains(
        &ok(dir.path(), &["inspect", "builtin"]),
        &["built in", "ibug68, 68 keypoints", "calibrated on", "f16"],
    );
}

#[test]
fn without_an_image_the_example_is_drawn_once_and_what_comes_next_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let output = star(dir.path(), &["predict"]);
    assert!(output.status.success());
    assert_contains(&String::from_utf8_lossy(&output.stdout), &["example: 68 landmarks", "turned"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_contains(&said, &["star-example.png", "star predict face.jpg --out drawn"]);
    let path = dir.path().join("star-example.png");
    assert!(image::open(&path).unwrap().width() == 512);
    std::fs::write(&path, b"mine").unwrap();
    assert!(star(dir.path(), &["predict"]).status.success());
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
}

#[test]
fn weights_are_quantised_on_annotated_images_and_predict_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 12);
    let predict = ["predict", "face0.png", "--box", "10,10,60,60", "--weights"];
    let bytes = |weights| [&predict[..], &[weights, "--precision", "int8"]].concat();
    assert_contains(&refused(dir.path(), &bytes("w")), &["star quantize"]);
    let quantize =
        ["quantize", "--weights", "w", "--annotations", "faces.tsv", "--images", ".", "--out", "q"];
    let output = star(dir.path(), &quantize);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_contains(&said, &["convolutions of bytes; NME", "on 12 faces of"]);
    assert_contains(&refused(dir.path(), &quantize), &["--overwrite"]);
    let config = std::fs::read(dir.path().join("q/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let [before, after] = [0, 1].map(|i| config["quantization"]["nme_fractions"][i].as_f64().unwrap());
    assert!(before > 0.0 && after <= before * 1.01, "{before} {after}");
    let plain = faces(&ok(dir.path(), &[&predict[..], &["w"]].concat()));
    let found = faces(&ok(dir.path(), &bytes("q")));
    let x = |faces: &[serde_json::Value], k: usize| faces[0]["points"][k][0].as_f64().unwrap();
    let shifts: Vec<f64> = (0..29).map(|k| (x(&plain, k) - x(&found, k)).abs()).collect();
    let [most, least] = [f64::max, f64::min].map(|pick| shifts.iter().copied().reduce(pick).unwrap());
    assert!(most > 0.0 && most < 10.0 && least < 1.0, "{shifts:?}");
}

#[test]
fn confidences_are_learnt_from_annotated_images_and_kept_beside_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 12);
    let calibrate = ["calibrate", "--weights", "w", "--annotations", "faces.tsv", "--threshold", "1.0"];
    assert_contains(
        &ok(dir.path(), &calibrate),
        &["Brier score", "normalizer: inter-pupil; threshold: 100 %"],
    );
    assert_contains(&refused(dir.path(), &calibrate), &["confidence.json", "--overwrite"]);
    let predict = ["predict", "face0.png", "--weights", "w", "--box", "10,10,60,60"];
    let found = faces(&ok(dir.path(), &predict));
    assert_eq!(found[0]["confidence"].as_array().unwrap().len(), 29);
    assert!(found[0]["occluded"].is_null());
    // Had the data said what is hidden, so would the prediction: a model by which everything is.
    let path = dir.path().join("w/confidence.json");
    let mut model: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    model["occluded"] = serde_json::json!({ "bias": 9.0, "weights": vec![0.0; 4], "offsets": vec![0.0; 29] });
    std::fs::write(&path, model.to_string()).unwrap();
    assert_eq!(faces(&ok(dir.path(), &predict))[0]["occluded"], serde_json::json!(vec![true; 29]));
    std::fs::write(&path, "{\"threshold\": 1}").unwrap();
    assert_contains(&refused(dir.path(), &predict), &["confidence.json", "normalizer"]);
    let bare = ["calibrate", "--annotations", "faces.tsv", "--scheme", "ibug68"];
    assert_contains(&refused(dir.path(), &bare), &["builtin", "--out"]);
}

#[test]
fn a_bare_checkpoint_predicts_like_its_converted_folder() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 1);
    let run = |weights: &[&str]| {
        ok(dir.path(), &[&["predict", "face0.png", "--box", "10,10,60,60", "--weights"], weights].concat())
    };
    let file = golden("hourglass_cofw_small.pkl");
    assert_eq!(run(&["w"]), run(&[&file, "--image-size", "64"]));
    // The golden file's average equals its weights, so what tells them apart is what the folder says it holds.
    ok(dir.path(), &["convert", &file, "ema", "--image-size", "64", "--ema"]);
    assert_contains(
        &std::fs::read_to_string(dir.path().join("ema/config.json")).unwrap(),
        &["\"which\": \"net_ema\""],
    );
}

#[test]
fn eval_and_score_of_its_predictions_print_the_same_figures() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 3);
    let eval = ok(
        dir.path(),
        &[
            "eval",
            "--annotations",
            "faces.tsv",
            "--weights",
            "w",
            "--dataset",
            "drawn",
            "--predictions",
            "p.json",
        ],
    );
    let score = ok(
        dir.path(),
        &[
            "score",
            "--truth",
            "faces.tsv",
            "--predictions",
            "p.json",
            "--scheme",
            "cofw29",
            "--dataset",
            "drawn",
        ],
    );
    // Truth goes through normalised f32 coordinates in eval, so figures agree as printed; what made them does not.
    let figures = |text: &str| text.split_once("\n- made: ").map(|(_, figures)| figures.to_string()).unwrap();
    assert_eq!(figures(&eval), figures(&score));
    assert_contains(&eval, &["drawn", "full", "inter-pupil", "10 %", "NME", "FR", "AUC"]);
    let other = ok(
        dir.path(),
        &[
            "eval",
            "--annotations",
            "faces.tsv",
            "--weights",
            "w",
            "--normalize-by",
            "box-diagonal",
            "--threshold",
            "0.2",
        ],
    );
    assert_contains(&other, &["box diagonal", "20 %"]);
}

#[test]
fn images_that_cannot_be_read_are_named_and_the_others_still_done() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 1);
    let mut jpeg = Vec::new();
    let picture = image::RgbImage::from_pixel(64, 64, image::Rgb([9, 80, 200]));
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&picture).unwrap();
    std::fs::write(dir.path().join("cut.jpg"), &jpeg[..jpeg.len() / 2]).unwrap();
    let arguments = [
        "predict",
        "none.png",
        "cut.jpg",
        "face0.png",
        "--weights",
        "w",
        "--box",
        "10,10,60,60",
        "--json",
        "f.json",
    ];
    let error = refused(dir.path(), &arguments);
    assert_contains(&error, &["none.png", "cut.jpg: not a readable image: truncated JPEG", "2 of 3 images"]);
    let images = images(&std::fs::read_to_string(dir.path().join("f.json")).unwrap());
    assert_eq!(
        images.iter().map(|image| image["image"].as_str().unwrap()).collect::<Vec<_>>(),
        ["none.png", "cut.jpg", "face0.png"]
    );
    assert_contains(images[1]["error"].as_str().unwrap(), &["truncated JPEG"]);
    assert_eq!(
        images.iter().map(|image| image["faces"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [0, 0, 1]
    );
}

#[test]
fn photographs_and_earlier_results_are_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 1);
    let original = std::fs::read(dir.path().join("face0.png")).unwrap();
    let predict = ["predict", ".", "--weights", "w", "--box", "10,10,60,60"];
    let run = |extra: &[&'static str]| [&predict[..], extra].concat();
    ok(dir.path(), &run(&["--out", "."]));
    assert_eq!(std::fs::read(dir.path().join("face0.png")).unwrap(), original);
    assert!(dir.path().join("face0-drawn.png").is_file());
    let single = ["predict", "face0.png", "--weights", "w", "--box", "10,10,60,60", "--out", "."];
    assert_contains(&refused(dir.path(), &single), &["face0-drawn.png", "--overwrite"]);
    // Of a folder the drawn copy is an input by now.
    assert_contains(&refused(dir.path(), &run(&["--out", ".", "--overwrite"])), &["is an input"]);
    std::fs::remove_file(dir.path().join("face0-drawn.png")).unwrap();
    ok(dir.path(), &run(&["--json", "f.json"]));
    assert_contains(&refused(dir.path(), &run(&["--json", "f.json"])), &["f.json", "--overwrite"]);
    ok(dir.path(), &run(&["--json", "f.json", "--overwrite"]));
    let over = refused(dir.path(), &run(&["--json", "face0.png", "--overwrite"]));
    assert_contains(&over, &["face0.png: is an input"]);
    let convert =
        ["data", "convert", "--annotations", "faces.tsv", "--scheme", "cofw29", "--to", "tsv", "--out"];
    let over = refused(dir.path(), &[&convert[..], &["faces.tsv", "--overwrite"]].concat());
    assert_contains(&over, &["faces.tsv: is an input"]);
    let again =
        refused(dir.path(), &["convert", &golden("hourglass_cofw_small.pkl"), "w", "--image-size", "64"]);
    assert_contains(&again, &["--overwrite"]);
    assert_eq!(std::fs::read(dir.path().join("face0.png")).unwrap(), original);
}

#[cfg(unix)]
#[test]
fn messages_that_cannot_be_written_end_no_work_and_lines_come_as_images_are_done() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 3);
    let star = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_star"));
        command.current_dir(dir.path());
        command
    };
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let predict = ["predict", "face0.png", "face1.png", "none.png", "--weights", "w", "--box", "10,10,60,60"];
    let status = star().args(predict).args(["--json", "a.json"]).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1), "one image is not there");
    assert_eq!(images(&std::fs::read_to_string(dir.path().join("a.json")).unwrap()).len(), 3);
    for command in
        [&["completions", "bash"][..], &["data", "check", "--annotations", "faces.tsv", "--scheme", "cofw29"]]
    {
        let output = star().args(command).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert_contains(&String::from_utf8_lossy(&output.stderr), &["writing to standard output"]);
    }
    // The third image is a pipe that nobody has written into yet: two lines are there before it, and stay when the program is killed.
    assert!(Command::new("mkfifo").arg(dir.path().join("late.png")).status().unwrap().success());
    let mut arguments = predict;
    arguments[3] = "late.png";
    let mut child = star().args(arguments).args(["--json", "-"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().take(2).map(Result::unwrap);
    let before: Vec<String> = lines.collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(faces(&before.join("\n")).len(), 2);
}

#[test]
fn damaged_annotations_are_named_with_file_line_field_and_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 1);
    let good = std::fs::read_to_string(dir.path().join("faces.tsv")).unwrap();
    let columns: Vec<&str> = good.trim_end().split('\t').collect();
    let joined = |replaced: usize, value: &str| {
        let mut columns = columns.clone();
        columns[replaced] = value;
        columns.join("\t")
    };
    let cases = [
        (columns[..5].join("\t"), "columns: expected 6 or 7"),
        (joined(3, "wide"), "scale: expected a finite number, got `wide`"),
        (joined(2, "1,2,3,4"), "landmarks: expected 58 numbers (29 points), got 4 numbers"),
    ];
    for (row, part) in cases {
        std::fs::write(dir.path().join("bad.tsv"), format!("{good}{row}\n")).unwrap();
        let error = refused(dir.path(), &["eval", "--annotations", "bad.tsv", "--weights", "w"]);
        assert_contains(&error, &["bad.tsv: line 2", part]);
        let output = star(dir.path(), &["data", "check", "--annotations", "bad.tsv", "--scheme", "cofw29"]);
        assert_eq!(output.status.code(), Some(1));
        assert_contains(&String::from_utf8_lossy(&output.stdout), &[part, "1 faces, 1 problems"]);
    }
    std::fs::write(dir.path().join("empty.tsv"), "").unwrap();
    assert_contains(
        &refused(dir.path(), &["eval", "--annotations", "empty.tsv", "--weights", "w"]),
        &["empty"],
    );
    std::fs::create_dir(dir.path().join("none")).unwrap();
    let arguments = ["eval", "--format", "pts", "--annotations", "none", "--weights", "w"];
    assert_contains(&refused(dir.path(), &arguments), &["none", "empty"]);
    assert_contains(
        &ok(dir.path(), &["data", "check", "--annotations", "faces.tsv", "--scheme", "cofw29"]),
        &["1 faces, 0 problems"],
    );
}

#[test]
fn weights_of_another_scheme_damaged_or_hostile_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    let predict = |weights: &str, scheme: &[&str]| {
        refused(dir.path(), &[&["predict", "x.png", "--weights", weights], scheme].concat())
    };
    assert_contains(&predict("w", &["--scheme", "wflw98"]), &["29 keypoints", "wflw98", "98"]);
    assert_contains(&predict("w", &["--scheme", "wflw99"]), &["no scheme `wflw99`", "wflw98"]);
    assert_contains(&predict("nowhere", &[]), &["nowhere"]);
    // Numbers in a description size nothing before they are found to fit each other and the tensors.
    let text = std::fs::read(dir.path().join("w/config.json")).unwrap();
    let described: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for (fields, parts) in [
        (
            &[("channels", 4096), ("stacks", 64)][..],
            ["config.json", "channels, stacks, levels", "parameters"],
        ),
        (&[("image_size", 4096)], ["config.json", "image_size", "numbers in the maps"]),
        (&[("channels", 512)], ["model.safetensors", "misshapen: ", "expected ["]),
    ] {
        let mut large = described.clone();
        for (field, value) in fields {
            large["architecture"][field] = (*value).into();
            if *field == "image_size" {
                (large["input"]["image_size"], large["input"]["map_size"]) =
                    ((*value).into(), (value / 4).into());
            }
        }
        std::fs::write(dir.path().join("w/config.json"), large.to_string()).unwrap();
        assert_contains(&predict("w", &[]), &parts);
    }
    let whole = std::fs::read(golden("hourglass_cofw_small.weights.safetensors")).unwrap();
    std::fs::write(dir.path().join("cut.safetensors"), &whole[..whole.len() / 3]).unwrap();
    assert_contains(&predict("cut.safetensors", &[]), &["cut.safetensors", "truncated"]);
    let witness = dir.path().join("ran");
    let command = format!("touch {}", witness.display());
    let pickle = [
        &b"\x80\x02cposix\nsystem\nX"[..],
        &(command.len() as u32).to_le_bytes(),
        command.as_bytes(),
        b"\x85R.",
    ];
    let mut file = zip::ZipWriter::new(std::fs::File::create(dir.path().join("hostile.pkl")).unwrap());
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    file.start_file("m/data.pkl", stored).unwrap();
    std::io::Write::write_all(&mut file, &pickle.concat()).unwrap();
    file.finish().unwrap();
    let error = refused(dir.path(), &["convert", "hostile.pkl", "out"]);
    assert_contains(&error, &["hostile.pkl", "posix.system", "nothing was executed"]);
    assert!(!witness.exists() && !dir.path().join("out").exists());
}

#[test]
fn completions_manual_pages_and_the_example_are_written() {
    let dir = tempfile::tempdir().unwrap();
    assert_contains(&ok(dir.path(), &["completions", "bash"]), &["_star()"]);
    ok(dir.path(), &["man", "man"]);
    assert!(dir.path().join("man/star-predict.1").is_file());
    assert_contains(
        &ok(dir.path(), &["train", "--example"]),
        &["[data.train]", "batch_size = 16", "# format = \"synthetic\""],
    );
    assert_contains(&ok(dir.path(), &["predict", "--help"]), &["--weights", "--box", "--json"]);
    assert_contains(&ok(dir.path(), &["export", "--help"]), &["OpenVINO", "f32", "--opset"]);
}

#[test]
fn figures_of_nothing_are_refused_and_faces_without_a_length_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    converted(dir.path());
    cofw_set(dir.path(), 2);
    let beside = refused(dir.path(), &["predict", "face0.png", "--weights", "w", "--box", "1e9,5,10,10"]);
    assert_contains(&beside, &["box 1000000000,5,10,10", "96 x 96 pixels"]);
    let eval = ["eval", "--annotations", "faces.tsv", "--weights", "w", "--threshold"];
    assert_contains(&refused(dir.path(), &[&eval[..], &["8"]].concat()), &["--threshold", "at most 1"]);
    // A third face whose eyes are one point.
    let rows = std::fs::read_to_string(dir.path().join("faces.tsv")).unwrap();
    let mut columns: Vec<String> = rows.lines().next().unwrap().split('\t').map(String::from).collect();
    let mut numbers: Vec<&str> = columns[2].split(',').collect();
    let scheme = star_data::Scheme::named("cofw29").unwrap();
    for point in scheme.inter_pupil.unwrap().into_iter().chain(scheme.inter_ocular.unwrap()).flatten() {
        (numbers[2 * point], numbers[2 * point + 1]) = ("40", "40");
    }
    columns[2] = numbers.join(",");
    std::fs::write(dir.path().join("profile.tsv"), format!("{}\n{rows}", columns.join("\t"))).unwrap();
    let output = star(
        dir.path(),
        &["eval", "--annotations", "profile.tsv", "--weights", "w", "--predictions", "p.json"],
    );
    assert!(output.status.success());
    assert_contains(
        &String::from_utf8_lossy(&output.stdout),
        &["     2        0  ", "1 of 3 faces", "left out", "row 0"],
    );
    let score = ["score", "--truth", "profile.tsv", "--predictions", "p.json", "--scheme", "cofw29"];
    assert_contains(&ok(dir.path(), &score), &["     2        0  "]);
}

/// Frames of a photograph that moves, as a video at 25 frames a second; `None` without ffmpeg, with a line that says so.
fn video(dir: &Path, name: &str, frames: u32) -> Option<()> {
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    let moving = format!("crop=320:240:60+2*n:20,trim=end_frame={frames}");
    let made = std::process::Command::new("ffmpeg")
        .args(["-loglevel", "error", "-loop", "1", "-i"])
        .arg(portrait)
        .args(["-vf", &moving, "-r", "25", "-pix_fmt", "yuv420p", "-frames:v", &frames.to_string(), name])
        .current_dir(dir)
        .status();
    match made {
        Ok(status) if status.success() => Some(()),
        _ => {
            println!("skipped: no ffmpeg that writes {name}");
            None
        }
    }
}

#[test]
fn a_face_keeps_its_number_through_a_video_that_is_drawn_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let Some(()) = video(dir, "clip.mp4", 30) else { return };
    let predict =
        ["predict", "clip.mp4", "--json", "f.jsonl", "--csv", "f.csv", "--out", "d.mp4", "--smooth"];
    let output = star(dir, &predict);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_contains(&said, &["30 frames of 320 x 240", "face 0: 30 frames", "jitter", "after smoothing"]);
    let lines = std::fs::read_to_string(dir.join("f.jsonl")).unwrap();
    let frames: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(frames.len(), 30);
    assert_eq!(
        (frames[0]["keypoints"][36]["group"].as_str(), &frames[1]["keypoints"]),
        (Some("right_eye"), &serde_json::Value::Null)
    );
    for (i, frame) in frames.iter().enumerate() {
        assert_eq!(frame["frame"].as_u64(), Some(i as u64));
        assert!((frame["seconds"].as_f64().unwrap() - i as f64 / 25.0).abs() < 1e-3);
        assert_eq!(frame["faces"][0]["track"].as_u64(), Some(0));
    }
    // The crop moves by 2 pixels a frame to the right, the face in it to the left.
    let x = |i: usize| frames[i]["faces"][0]["points"][30][0].as_f64().unwrap();
    assert!((x(5) - x(25) - 40.0).abs() < 3.0, "{} {}", x(5), x(25));
    assert_eq!(std::fs::read_to_string(dir.join("f.csv")).unwrap().lines().count(), 31);
    assert!(std::fs::metadata(dir.join("d.mp4")).unwrap().len() > 10_000);
    let again = ["predict", "d.mp4", "--out", "d.mp4", "--overwrite"];
    assert_contains(&refused(dir, &again), &["is an input"]);
    assert_contains(&refused(dir, &["predict", "clip.mp4", "d.mp4"]), &["alone"]);
    std::fs::write(dir.join("no.mp4"), b"no video").unwrap();
    assert_contains(&refused(dir, &["predict", "no.mp4"]), &["no.mp4", "no readable video"]);
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 5);
}

#[cfg(unix)]
#[test]
fn a_video_without_ffmpeg_is_refused_with_what_to_install() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("clip.mp4"), b"").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_star"));
    let output =
        command.args(["predict", "clip.mp4"]).current_dir(dir.path()).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_contains(&String::from_utf8_lossy(&output.stderr), &["`ffprobe`", "install FFmpeg"]);
}

#[test]
fn the_recipe_for_other_runtimes_gives_what_predict_does() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/onnx_predict.py");
    let python = std::env::var("STAR_PYTHON").unwrap_or_else(|_| "python3".into());
    let imports = std::process::Command::new(&python).args(["-c", "import onnxruntime, numpy, PIL"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        println!("skipped: {python} (or STAR_PYTHON) has not onnxruntime, numpy and pillow");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let portrait = Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-predict/tests/data/astronaut.png");
    ok(dir.path(), &["export", "builtin", "--onnx", "n.onnx"]);
    // The second box hangs over the image's border.
    for face_box in ["183,89,82,82", "-20,-30,150,120"] {
        let mut command = std::process::Command::new(&python);
        command.arg(&docs).arg(dir.path().join("n.onnx")).arg(&portrait).args(face_box.split(','));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let given = format!("--box={face_box}");
        let found = faces(&ok(dir.path(), &["predict", portrait.to_str().unwrap(), &given]));
        let points = found[0]["points"].as_array().unwrap();
        assert_eq!(text.lines().count(), points.len());
        for (line, point) in text.lines().zip(points) {
            let theirs: Vec<f64> = line.split(' ').map(|v| v.parse().unwrap()).collect();
            let off = |axis: usize| (theirs[axis] - point[axis].as_f64().unwrap()).abs();
            assert!(off(0) < 0.1 && off(1) < 0.1, "{line} {point}");
        }
    }
}
