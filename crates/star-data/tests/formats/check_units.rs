//! What `check` says of points and boxes that are well written and mean something else.

use std::path::Path;

use star_data::check::{Report, check};
use star_data::formats::{AnnotatedImages, Format, Source, coco, own, tsv};
use star_data::{Annotation, Dataset, FaceBox, Scheme};

use super::{assert_contains, image, write};

fn checked(dataset: &dyn Dataset) -> (Vec<String>, Report) {
    let report = check(dataset, &|_| {});
    (report.problems.iter().map(ToString::to_string).collect(), report)
}

/// What is wrong with rows of one's own data, under a scheme of three points.
fn own(dir: &Path, header: &str, rows: &[String]) -> (Vec<String>, Report) {
    write(
        &dir.join("d.toml"),
        "[scheme]\nname = \"three\"\nkeypoints = 3\nflip_pairs = [[0, 1]]\ninter_ocular = [[0], [1]]\nnormalizer = \"inter-ocular\"",
    );
    write(&dir.join("d.csv"), format!("image,x0,y0,x1,y1,x2,y2{header}\n{}\n", rows.join("\n")));
    let (set, problems) = own::read(&dir.join("d.toml"), None, None).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    checked(&set)
}

fn folder(images: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..images {
        image(&dir.path().join(format!("{i}.png")), i as u8);
    }
    dir
}

const BOX: &str = ",box_x,box_y,box_width,box_height";

#[test]
fn normalised_points_are_told_from_pixels() {
    let dir = folder(2);
    let rows = ["0.png,0.1,0.2,0.9,0.2,0.5,0.8", "1.png,2,3,20,3,11,14"].map(str::to_string);
    let boxed = rows.clone().map(|row| row + ",0,0,24,16");
    let (problems, _) = own(dir.path(), BOX, &boxed);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_contains(
        &problems[0],
        &["d.csv: line 2: landmarks: expected pixels of the image of 24x16", "normalised coordinates"],
    );
    let apart = ["0.png,0.1,0.2,0.9,0.2,0.5,0.8,10,6,8,8".to_string(), boxed[1].clone()];
    assert_eq!(own(dir.path(), BOX, &apart).0.len(), 1, "one thing is wrong");
    let centred = ["0.png,-0.9,-0.2,0.9,-0.2,0,0.8,0,0,24,16".to_string(), boxed[1].clone()];
    assert_contains(&own(dir.path(), BOX, &centred).0.join("\n"), &["normalised coordinates"]);
}

#[test]
fn faces_without_a_length_between_points_are_found_before_training() {
    let dir = folder(5);
    let rows = [
        (
            "0.png,3,4,3,4,3,4,0,0,9,9",
            "line 2: landmarks: expected points apart from each other, got all 3 at (3, 4)",
        ),
        ("1.png,3,4,,,,,0,0,9,9", "line 3: landmarks: expected two labelled points or more"),
        ("2.png,,,-1,-1,nan,nan,0,0,9,9", "line 4: landmarks: expected labelled points, got none"),
        (
            "3.png,3,4,3,4,6,7,0,0,9,9",
            "line 5: normalizer: expected an inter-ocular length, which errors are divided by, got 0",
        ),
    ];
    let mut all: Vec<String> = rows.iter().map(|(row, _)| row.to_string()).collect();
    all.push("4.png,3,4,7,4,6,7,0,0,9,9".into());
    let (problems, _) = own(dir.path(), BOX, &all);
    assert_eq!(problems.len(), rows.len(), "{problems:?}");
    for ((_, part), problem) in rows.iter().zip(&problems) {
        assert_contains(problem, &[part]);
    }
}

#[test]
fn a_single_keypoint_without_a_box_is_said_once_and_with_one_is_well() {
    let dir = folder(2);
    write(&dir.path().join("d.toml"), "[scheme]\nname = \"one\"\nkeypoints = 1");
    write(&dir.path().join("d.csv"), format!("image,x0,y0{BOX}\n0.png,5,6,0,0,9,9\n1.png,7,6,0,0,9,9\n"));
    let (problems, _) = checked(&own::open(dir.path().join("d.toml")).unwrap());
    assert!(problems.is_empty(), "{problems:?}");
    // A set without boxes: the rows that say none cannot be read, shards of other programs can.
    let row = |i: u32| {
        let face = FaceBox { x: 0.0, y: 0.0, width: 9.0, height: 9.0 };
        let (file, image) = (dir.path().join("d.csv").as_path().into(), format!("{i}.png").into());
        let (points, stated, tags) = (vec![[5.0, 6.0 + i as f32]], None, Vec::new());
        Annotation { file, line: 2 + i as usize, image, points, visibility: None, stated, face, tags }
    };
    let (problems, _) =
        checked(&AnnotatedImages::new(vec![row(0), row(1)], dir.path(), Scheme::new("one", 1)));
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_contains(&problems[0], &["line 2: box: expected a box", "diagonal", "got none"]);
}

#[test]
fn points_in_the_corner_of_the_image_are_asked_about() {
    let dir = folder(2);
    let annotation = |id: usize, keypoints: &str| {
        format!("{{\"id\":{id},\"image_id\":{id},\"category_id\":1,\"keypoints\":{keypoints}}}")
    };
    let of = |first: &str| {
        let text = format!(
            "{{\"images\":[{{\"id\":0,\"file_name\":\"0.png\"}},{{\"id\":1,\"file_name\":\"1.png\"}}],\
             \"categories\":[{{\"id\":1,\"name\":\"p\",\"keypoints\":[\"a\",\"b\",\"c\"]}}],\"annotations\":[{},{}]}}",
            annotation(0, first),
            annotation(1, "[0,0,2,5,6,2,9,9,2]")
        );
        write(&dir.path().join("c.json"), text);
        checked(&coco::open(dir.path().join("c.json"), dir.path()).unwrap()).1.notes
    };
    // One that is said to be seen, one that is said not to be labelled, one that is hidden.
    let corner = |notes: Vec<String>| notes.into_iter().find(|note| note.contains("(0, 0)")).unwrap();
    assert_contains(
        &corner(of("[5,6,2,0,0,0,9,9,2]")),
        &["1 points at exactly (0, 0) labelled visible", "annotations[1]"],
    );
    assert_contains(&corner(of("[5,6,2,0,0,2,0,0,1]")), &["2 points at exactly (0, 0)", "annotations[0]"]);
}

#[test]
fn boxes_in_another_convention_are_one_problem_of_the_set() {
    let dir = folder(4);
    // points x 12..18, y 8..12, one pixel on with every face
    let row = |i: usize, numbers: [usize; 4]| {
        let [a, b, c, d] = numbers;
        format!("{i}.png,{},8,{},8,{},12,{a},{b},{c},{d}", 12 + i, 18 + i, 15 + i)
    };
    let rows = |of: fn(usize) -> [usize; 4]| (0..4).map(|i| row(i, of(i))).collect::<Vec<_>>();
    let corners = own(dir.path(), BOX, &rows(|i| [11 + i, 7, 19 + i, 13])).0;
    assert_eq!(corners.len(), 1, "{corners:?}");
    assert_contains(
        &corners[0],
        &["line 2: box: expected x, y, width, height, got two corners", "(so are 4 boxes)"],
    );
    let centres = own(dir.path(), BOX, &rows(|i| [15 + i, 10, 8, 6])).0;
    assert_contains(&centres.join("\n"), &["got a centre and sides"]);
    assert_eq!(own(dir.path(), BOX, &rows(|i| [11 + i, 7, 8, 6])).0, Vec::<String>::new());
    // one face whose box fits another convention is chance
    let mut mixed = rows(|i| [11 + i, 7, 8, 6]);
    mixed[2] = row(2, [13, 7, 21, 13]);
    assert_eq!(own(dir.path(), BOX, &mixed).0, Vec::<String>::new());
}

#[test]
fn a_box_far_from_its_points_is_named() {
    let dir = folder(3);
    let rows = ["0.png,2,3,6,3,4,7,1,2,6,6", "1.png,2,3,6,3,4,7,15,10,4,4", "2.png,2,3,6,3,4,7,1,2,6,6"]
        .map(str::to_string);
    let (problems, _) = own(dir.path(), BOX, &rows);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_contains(
        &problems[0],
        &["line 3: box: expected a box about its points, got x 15, y 10, width 4, height 4"],
    );
}

#[test]
fn an_image_of_another_size_than_the_file_says_is_named_and_a_turned_one_told() {
    let dir = folder(1);
    let text = |w: u32, h: u32| {
        format!(
            r#"{{"images": [{{"id": 1, "file_name": "0.png", "width": {w}, "height": {h}}}],
"annotations": [{{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1,2,2, 9,3,2]}}],
"categories": [{{"id": 1, "name": "paw", "keypoints": ["l", "r"]}}]}}"#
        )
    };
    let problems = |w, h| {
        let path = dir.path().join("a.json");
        write(&path, text(w, h));
        checked(&coco::open(&path, dir.path()).unwrap()).0
    };
    assert_eq!(problems(24, 16), Vec::<String>::new());
    assert_eq!(problems(0, 0), Vec::<String>::new());
    assert_contains(
        &problems(16, 24)[0],
        &[
            "annotations[0] (0.png): image",
            "size: expected an image of 16x24",
            "24x16: width and height swapped",
        ],
    );
    assert_contains(&problems(48, 32)[0], &["expected an image of 48x32, as the file says, got 24x16"]);
}

fn under(names: &str) -> (Vec<String>, Vec<String>) {
    let dir = folder(1);
    write(&dir.path().join("d.toml"), format!("[scheme]\nname = \"k\"\nkeypoints = 3\n{names}"));
    write(&dir.path().join("d.tsv"), "0.png\t0,0,0,0,0,0,0,0,0,0\t1,2,3,4,5,6\t0.05\t4\t4");
    let scheme: toml::Table =
        toml::from_str(&std::fs::read_to_string(dir.path().join("d.toml")).unwrap()).unwrap();
    let scheme: Scheme = scheme["scheme"].clone().try_into().unwrap();
    let (problems, report) = checked(&tsv::open(dir.path().join("d.tsv"), dir.path(), scheme).unwrap());
    (problems, report.notes)
}

#[test]
fn left_and_right_that_do_not_swap_are_told() {
    let names = "names = [\"left_eye\", \"right_eye\", \"nose\"]\n";
    assert_eq!(under(names), (vec![], vec![]));
    assert_eq!(under(&format!("{names}flip_pairs = [[1, 0]]")), (vec![], vec![]));
    let (problems, _) = under(&format!("{names}flip_pairs = [[1, 2]]"));
    assert_contains(
        &problems[0],
        &["d.tsv: scheme: flip_pairs: expected `left_eye` and `right_eye` to swap"],
    );
    let (problems, _) = under(&names.replace("nose", "left_ear"));
    assert_contains(&problems[0], &["flip_pairs", "`left_ear` without its other side"]);
    let (problems, notes) = under(&format!("{names}flip_pairs = []"));
    assert!(problems.is_empty(), "{problems:?}");
    assert_contains(&notes[0], &["nothing swaps", "left and right"]);
    let (problems, notes) = under("");
    assert!(problems.is_empty(), "{problems:?}");
    assert_contains(
        &notes[0],
        &["scheme `k` does not say what swaps under a mirror", "flip probability of 0"],
    );
    assert_eq!(under("flip_pairs = []"), (vec![], vec![]));
}

#[test]
fn per_cent_is_asked_about_and_problems_keep_their_entry_in_a_subset() {
    let dir = tempfile::tempdir().unwrap();
    image::RgbImage::new(240, 220).save(dir.path().join("0.png")).unwrap();
    let rows: Vec<String> = (0..6).map(|i| format!("0.png,2{i},30,60,30,40,7{i}")).collect();
    let (problems, report) = own(dir.path(), "", &rows);
    assert_eq!(problems, Vec::<String>::new());
    assert_contains(&report.notes.join("\n"), &["are they per cent?"]);
    let text = r#"{"images": [{"id": 1, "file_name": "0.png"}],
"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [30,40,2, 90,90,2]},
                {"id": 2, "image_id": 1, "category_id": 1, "keypoints": [3,4,2, 900,900,2], "tags": ["far"]}],
"categories": [{"id": 1, "name": "paw", "keypoints": ["l", "r"]}]}"#;
    write(&dir.path().join("a.json"), text);
    let source =
        Source { subset: Some("far".into()), ..Source::new(Format::Coco, dir.path().join("a.json")) };
    let (problems, _) = checked(source.open().unwrap().dataset.as_ref());
    assert_contains(
        &problems[0],
        &["a.json: annotations[1] (0.png): landmarks: expected points in the image of 240x220"],
    );
}
