//! COCO's JSON as annotation tools and people's scripts write it.

use star_data::formats::{AnnotatedImages, Format, Source, coco};
use star_data::scheme::Flips;
use star_data::{Dataset, Error, FaceBox};

use super::{assert_contains, image, write};

/// A document of one image, one category of three points, and these annotations.
fn document(annotations: &str) -> String {
    format!(
        r#"{{"info": {{"year": 2026}}, "licenses": [{{"id": 4, "name": "free"}}],
"images": [{{"id": 1, "file_name": "a.png", "width": 24, "height": 16, "license": 4}},
           {{"id": 2, "file_name": "b.png"}}],
"annotations": [{annotations}],
"categories": [{{"id": 1, "name": "paw", "supercategory": "cat", "keypoints": ["l_toe", "r_toe", "heel"], "skeleton": [[1, 3], [3, 2]]}}]}}"#
    )
}

const GOOD: &str = r#"{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1,2,2, 11,3,1, 6,9,2]}"#;

fn read(text: &str) -> Result<(AnnotatedImages, Vec<Error>), Error> {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.json"), text);
    coco::read(&dir.path().join("a.json"), dir.path(), None, None)
}

fn faces(text: &str) -> AnnotatedImages {
    let (set, problems) = read(text).unwrap();
    assert!(problems.is_empty(), "{problems:?}\n{text}");
    set
}

fn refusal(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn problem(text: &str) -> String {
    read(text).unwrap().1.first().expect(text).to_string()
}

#[test]
fn annotations_whose_keypoints_are_null_are_passed_over_as_those_without() {
    for none in ["null", "[]"] {
        let other = format!(
            r#"{{"id": 2, "image_id": 1, "category_id": 1, "keypoints": {none}, "bbox": [1, 2, 3, 4]}}"#
        );
        assert_eq!(faces(&document(&format!("{GOOD}, {other}"))).len(), 1, "{none}");
    }
    assert_eq!(faces(&document(GOOD)).scheme().flips(), Flips::Known(vec![[0, 1]]));
}

#[test]
fn fields_that_are_null_fractions_or_of_another_tool_do_not_refuse_the_file() {
    for extra in [
        r#""num_keypoints": 3.0"#,
        r#""num_keypoints": null"#,
        r#""iscrowd": false"#,
        r#""iscrowd": null"#,
        r#""area": "96""#,
        r#""bbox": []"#,
        r#""tags": [{"id": 3}]"#,
        r#""tags": null"#,
        r#""center": null, "scale": null"#,
        r#""segmentation": {"counts": "abc", "size": [16, 24]}"#,
    ] {
        let annotation = GOOD.replace(r#""id": 1, "image_id""#, &format!(r#""id": 1, {extra}, "image_id""#));
        assert_eq!(faces(&document(&annotation)).len(), 1, "{extra}");
    }
    let text = document(GOOD)
        .replace(r#""width": 24"#, r#""width": 24.0"#)
        .replace(r#""height": 16"#, r#""height": "16""#)
        .replace("[[1, 3], [3, 2]]", "null");
    assert!(faces(&text).scheme().edges.is_empty());
    assert_eq!(faces(&document(&GOOD.replace(r#""id": 1, "image_id""#, r#""image_id""#))).len(), 1);
}

#[test]
fn ids_are_the_same_as_numbers_fractions_and_text() {
    for id in ["\"1\"", "1.0", "\"1.0\""] {
        for field in ["category_id", "image_id"] {
            let text = document(&GOOD.replace(&format!("\"{field}\": 1"), &format!("\"{field}\": {id}")));
            assert_eq!(faces(&text).len(), 1, "{field} {id}");
        }
    }
    let text = document(&GOOD.replace(r#""image_id": 1"#, r#""image_id": "001""#));
    assert_contains(&problem(&text), &["image_id: expected the id of one of the images, got 001"]);
}

#[test]
fn numbers_that_json_does_not_have_are_named_with_line_and_field() {
    for (word, good, field) in [
        ("NaN", "11,3,1", "annotations[0].keypoints[3]"),
        ("Infinity", "11,3,1", "annotations[0].keypoints[3]"),
        ("-Infinity", "11,3,1", "annotations[0].keypoints[3]"),
    ] {
        let text = document(&GOOD.replace(good, &format!("{word},3,1")));
        assert_contains(
            &refusal(&text),
            &["a.json: line 4: ", field, "expected a number", word, "write null"],
        );
    }
    let unused =
        document(&GOOD.replace(r#""id": 1,"#, "\"id\": 1, \"say\": \"[{NaN\\\"\",\n \"score\": NaN,"));
    assert_contains(&refusal(&unused), &["line 5: annotations[0].score: expected a number, got NaN"]);
    let broken = document(GOOD).replace("24, \"height\"", "wide, \"height\"");
    assert_contains(&refusal(&broken), &["line 2", "in images[0].width"]);
    assert_contains(&refusal(&document(GOOD)[..300]), &["EOF", "in annotations"]);
    let typed = document(&GOOD.replace("11,3,1", "\"11\",3,1"));
    assert_contains(&refusal(&typed), &["invalid type", "annotations[0].keypoints[3]"]);
}

#[test]
fn points_that_are_null_or_minus_one_are_absent_whatever_their_v() {
    for triple in ["null,null,0", "null,null,null", "null,null,2", "-1,-1,2", "-1,-1,0", "0,0,0"] {
        let set = faces(&document(&GOOD.replace("11,3,1", triple)));
        let face = &set.annotations()[0];
        assert!(face.points[1].iter().all(|v| v.is_nan()), "{triple}");
        assert_eq!(face.visibility, Some(vec![true, false, true]), "{triple}");
        assert_eq!(face.face.side(), 7.0, "{triple}");
    }
    for triple in ["null,3,2", "11,null,1", "11,3,null"] {
        assert_contains(
            &problem(&document(&GOOD.replace("11,3,1", triple))),
            &["annotations[0] (id 1, a.png): keypoint 1"],
        );
    }
    let pairs = problem(&document(&GOOD.replace("1,2,2, 11,3,1, 6,9,2", "1,2, 11,3, 6,9")));
    assert_contains(&pairs, &["expected 9 numbers", "got 6, x and y without v"]);
    // negative by chance is outside the image, not absent
    assert_eq!(faces(&document(&GOOD.replace("11,3,1", "-1,-2,2"))).annotations()[0].points[1], [-1.0, -2.0]);
}

#[test]
fn a_skeleton_counted_from_zero_is_taken_with_a_note_and_one_of_neither_kind_refused() {
    let zero = document(GOOD).replace("[[1, 3], [3, 2]]", "[[0, 2], [2, 1]]");
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.json"), &zero);
    let opened = Source::new(Format::Coco, dir.path().join("a.json")).open().unwrap();
    assert_eq!(opened.dataset.scheme().edge_points(), [vec![0, 2], vec![2, 1]]);
    assert_contains(&opened.notes[0], &["skeleton of `paw` is counted from 0"]);
    assert_eq!(faces(&document(GOOD)).scheme().edge_points(), [vec![0, 2], vec![2, 1]]);
    for (skeleton, part) in
        [("[[0, 3]]", "from 1 to 3"), ("[[0, 7]]", "from 0 to 2"), ("[[-1, 2]]", "from 1 to 3")]
    {
        let text = document(GOOD).replace("[[1, 3], [3, 2]]", skeleton);
        assert_contains(&refusal(&text), &["skeleton[0]", part]);
    }
}

#[test]
fn a_box_of_zeros_or_nulls_is_none_and_is_made_of_the_points() {
    for bbox in ["[0, 0, 0, 0]", "null", "[null, null, null, null]", "[5, 5, 0, 0]", "[0.0, 0.0, 0.0, 0.0]"] {
        let text = document(&GOOD.replace("\"id\": 1,", &format!("\"id\": 1, \"bbox\": {bbox},")));
        let set = faces(&text);
        // x 1..11, y 2..9
        assert_eq!((set.annotations()[0].face.side(), set.annotations()[0].stated), (10.0, None), "{bbox}");
    }
    for (bbox, part) in
        [("[1, 2, 0, 8]", "a box with an area"), ("[1, 2, 3]", "4 numbers: x, y, width, height, got 3")]
    {
        let text = document(&GOOD.replace("\"id\": 1,", &format!("\"id\": 1, \"bbox\": {bbox},")));
        assert_contains(&problem(&text), &["annotations[0] (id 1, a.png): bbox", part]);
    }
    let lone = GOOD.replace("11,3,1, 6,9,2", "0,0,0, 0,0,0");
    assert_contains(
        &problem(&document(&lone)),
        &["keypoints: expected points apart from each other, or a bbox"],
    );
}

#[test]
fn files_without_annotations_keypoints_or_categories_are_told_apart() {
    assert_contains(
        &refusal(&document("")),
        &["annotations: expected at least one with keypoints, got no annotations"],
    );
    let boxes = r#"{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}"#;
    assert_contains(&refusal(&document(boxes)), &["1 annotations, none with keypoints"]);
    let other = document(&GOOD.replace("\"category_id\": 1", "\"category_id\": 9"));
    assert_contains(&refusal(&other), &["category_id 9, which `categories` does not have"]);
}

#[test]
fn lists_and_other_json_are_named_for_what_they_are() {
    for (text, parts) in [
        (
            r#"[{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "score": 0.5}]"#.to_string(),
            &["a list of 1 objects", "this is a results file"][..],
        ),
        (format!("[{GOOD}, {GOOD}]"), &["a list of 2 objects", "annotations without their images"]),
        ("[]".into(), &["a list of 0 objects"]),
        (" \n".into(), &["got an empty file"]),
        (format!("{0}{0}", document(GOOD)), &["trailing characters at line"]),
        (
            r#"{"version": "5.0", "shapes": [], "imagePath": "a.png"}"#.into(),
            &["an object without `images`", "`imagePath, shapes, version`"],
        ),
        (r#"{"images": [], "annotations": []}"#.into(), &["an object without `categories`"]),
        ("<annotations></annotations>".into(), &["got XML"]),
        (r#"{"images": 3, "annotations": [], "categories": []}"#.into(), &["invalid type", "in images"]),
    ] {
        assert_contains(&refusal(&text), &["a.json: annotations: expected COCO keypoints"]);
        assert!(!refusal(&text).ends_with("in "), "{text}");
        assert_contains(&refusal(&text), parts);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let wide: Vec<u8> = document(GOOD).encode_utf16().flat_map(u16::to_le_bytes).collect();
    write(&path, [&b"\xff\xfe"[..], &wide].concat());
    assert_contains(&coco::open(&path, dir.path()).unwrap_err().to_string(), &["a.json", "UTF-16"]);
}

#[test]
fn an_id_of_two_images_is_a_problem_of_the_annotations_that_name_it() {
    let text = document(GOOD).replace(r#"{"id": 2, "file_name""#, r#"{"id": 1, "file_name""#);
    assert_contains(
        &problem(&text),
        &["annotations[0] (id 1, a.png): image_id: expected the id of one image alone", "images[1] (b.png)"],
    );
    let same = text.replace("b.png", "a.png");
    assert_eq!(faces(&same).len(), 1);
}

#[test]
fn what_other_programs_read_survives_writing_coco_from_coco() {
    let first = r#"{"id": 71, "image_id": 1, "category_id": 1, "keypoints": [1,2,2, 11,3,1, 6,9,2], "area": 33.5,
        "bbox": [1, 2, 10, 7], "segmentation": [[1, 2, 3, 4, 5, 6]], "attributes": {"wet": true}}"#;
    let second = r#"{"id": 72, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4]}"#;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    write(&path, document(&format!("{second}, {first}")));
    let set = coco::open(&path, dir.path()).unwrap();
    let faces: Vec<_> = set.annotations().iter().map(|face| (face.clone(), [24, 16])).collect();
    let (text, notes) = coco::to_json_keeping(&faces, set.scheme(), &path).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let original: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for pointer in ["/info", "/licenses", "/images/0", "/categories/0"] {
        assert_eq!(kept.pointer(pointer), original.pointer(pointer), "{pointer}");
    }
    for field in ["id", "image_id", "category_id", "area", "segmentation", "attributes"] {
        assert_eq!(kept["annotations"][0][field], original["annotations"][1][field], "{field}");
    }
    assert_eq!(kept["annotations"].as_array().unwrap().len(), 1);
    assert_contains(&notes.join("\n"), &["1 of 2 annotations are left out", "1 of 2 images are left out"]);
    write(&path, text);
    let again = coco::open(&path, dir.path()).unwrap();
    assert_eq!(again.annotations()[0].points, set.annotations()[0].points);
    assert_eq!(again.annotations()[0].face, FaceBox { x: 1.0, y: 2.0, width: 10.0, height: 7.0 });
    let (_, none) =
        coco::to_json_keeping(&[(again.annotations()[0].clone(), [24, 16])], again.scheme(), &path).unwrap();
    assert!(none.is_empty(), "{none:?}");
    let other = dir.path().join("b.json");
    write(&other, document(first));
    let message = coco::to_json_keeping(&faces, set.scheme(), &other).unwrap_err().to_string();
    assert_contains(&message, &["b.json", "faces of this file alone"]);
}

#[test]
fn problems_that_the_images_show_name_entry_and_image() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    write(&path, document(&format!("{}, {GOOD}", GOOD.replace("\"image_id\": 1", "\"image_id\": 2"))));
    image(&dir.path().join("a.png"), 1);
    let set = coco::open(&path, dir.path()).unwrap();
    let report = star_data::check::check(&set, &|_| {});
    let problems: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_contains(&problems[0], &["a.json: annotations[0] (b.png): image: expected a readable image"]);
}
