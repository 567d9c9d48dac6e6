//! COCO's JSON.

use std::path::Path;

use star_data::formats::coco;
use star_data::scheme::Flips;
use star_data::{Dataset, FaceBox, Scheme};

use super::{assert_contains, image, write};

const DOCUMENT: &str = r#"{
 "info": {"year": 2026}, "licenses": [],
 "images": [{"id": 7, "file_name": "train/a.png", "width": 24, "height": 16, "coco_url": ""},
            {"id": "b", "file_name": "b.png", "width": 24, "height": 16}],
 "annotations": [
  {"id": 1, "image_id": 7, "category_id": 3, "keypoints": [1.5,2,2, 11,3,1, 0,0,0], "num_keypoints": 2,
   "bbox": [0.5, 1, 12, 8], "area": 96, "iscrowd": 0, "segmentation": [[0, 0, 1, 1]]},
  {"id": 2, "image_id": "b", "category_id": 3, "keypoints": [1,2,2, 3,4,2, 5,6,2], "center": [6, 7], "scale": 0.05,
   "bbox": [0, 0, 1, 1]},
  {"id": 3, "image_id": "b", "category_id": 3, "keypoints": [1,2,2, 3,4,2, 5,6.5,2]},
  {"id": 4, "image_id": "b", "category_id": 3, "keypoints": [0,0,0, 0,0,0, 0,0,0], "num_keypoints": 0},
  {"id": 5, "image_id": "b", "category_id": 3, "keypoints": [1,2,2, 3,4,2, 5,6,2], "iscrowd": 1},
  {"id": 6, "image_id": 7, "category_id": 1, "bbox": [0, 0, 5, 5]}],
 "categories": [{"id": 1, "name": "ball"},
                {"id": 3, "name": "paw", "supercategory": "cat", "keypoints": ["left_toe", "right_toe", "heel"],
                 "skeleton": [[1, 3], [3, 2]]}]}"#;

fn open(text: &str) -> (star_data::formats::AnnotatedImages, Vec<star_data::Error>) {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.json"), text);
    coco::read(&dir.path().join("a.json"), dir.path(), None, None).unwrap()
}

#[test]
fn every_number_comes_back_with_visibility_and_a_scheme_of_the_category() {
    let (set, problems) = open(DOCUMENT);
    assert!(problems.is_empty(), "{problems:?}");
    let scheme = set.scheme();
    assert_eq!(
        (scheme.name.as_str(), scheme.keypoints, scheme.flips()),
        ("paw", 3, Flips::Known(vec![[0, 1]]))
    );
    assert_eq!(scheme.names, ["left_toe", "right_toe", "heel"]);
    assert_eq!(scheme.edge_points(), [vec![0, 2], vec![2, 1]]);
    let faces = set.annotations();
    assert_eq!(faces.len(), 3);
    assert_eq!(faces[0].points[..2], [[1.5, 2.0], [11.0, 3.0]]);
    assert!(faces[0].points[2].iter().all(|v| v.is_nan()));
    assert_eq!(faces[0].visibility, Some(vec![true, false, false]));
    assert_eq!(faces[0].face, FaceBox { x: 0.5, y: 1.0, width: 12.0, height: 8.0 });
    assert_eq!(faces[0].image, Path::new("train/a.png"));
    // scale 0.05 of 200 pixels about (6, 7)
    assert_eq!(faces[1].face, FaceBox { x: 1.0, y: 2.0, width: 10.0, height: 10.0 });
    // no box: x 1..5, y 2..7 by the landmark-tight rule
    assert_eq!((faces[2].face.side(), faces[2].face.centre()), (5.0, [3.0, 4.5]));
}

#[test]
fn what_is_written_is_read_back() {
    let (set, _) = open(DOCUMENT);
    let faces: Vec<_> = set.annotations().iter().map(|face| (face.clone(), [24, 16])).collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("again.json");
    write(&path, coco::to_json(&faces, set.scheme()).unwrap());
    image(&dir.path().join("b.png"), 5);
    let (again, problems) = coco::read(&path, dir.path(), Some("PAW"), None).unwrap();
    assert!(problems.is_empty());
    assert_eq!(
        (again.scheme(), again.len()),
        (&Scheme { edges: again.scheme().edges.clone(), ..set.scheme().clone() }, 3)
    );
    for (a, b) in set.annotations().iter().zip(again.annotations()) {
        assert_eq!(format!("{:?}", a.points), format!("{:?}", b.points));
        assert_eq!((&a.visibility.clone().or(Some(vec![true; 3])), &a.image), (&b.visibility, &b.image));
        assert!((a.face.side() - b.face.side()).abs() < 1e-4 && a.face.centre() == b.face.centre());
    }
    again.get(1).unwrap();
}

#[test]
fn damaged_entries_are_named_and_the_others_kept() {
    let cases = [
        (
            "[1,2,2, 3,4,2, 5,6.5,2]",
            "[1,2,2, 3,4]",
            "annotations[2] (id 3, b.png): keypoints: expected 9 numbers",
        ),
        (
            "[1,2,2, 3,4,2, 5,6.5,2]",
            "[1,2,2, 3,4,2, 5,6.5,5]",
            "(id 3, b.png): keypoint 2: expected finite x, y and a v",
        ),
        ("\"id\": \"b\"", "\"id\": \"c\"", "(id 2): image_id: expected the id of one of the images, got b"),
        ("\"b.png\"", "\"../b.png\"", "(id 2, ../b.png): file_name: expected a path below the image folder"),
        ("[0.5, 1, 12, 8]", "[0.5, 1, 0, 8]", "(id 1, train/a.png): bbox: expected a box with an area"),
    ];
    for (good, bad, part) in cases {
        let (set, problems) = open(&DOCUMENT.replace(good, bad));
        assert_eq!(set.len() + problems.len(), 3, "{part}");
        assert_contains(&problems[0].to_string(), &["a.json", part]);
    }
}

#[test]
fn another_json_and_an_unknown_category_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let refusal = |text: &str, category| {
        write(&path, text);
        coco::read(&path, dir.path(), category, None).unwrap_err().to_string()
    };
    assert_contains(&refusal("[]", None), &["a.json", "COCO keypoints"]);
    assert_contains(&refusal(&DOCUMENT[..200], None), &["a.json", "line"]);
    assert_contains(&refusal(DOCUMENT, Some("dog")), &["category: expected one of ball, paw, got `dog`"]);
    assert_contains(&refusal(&DOCUMENT.replace("[3, 2]", "[3, 9]"), None), &["skeleton[1]", "[3, 9]"]);
    let two = DOCUMENT.replace("\"category_id\": 1,", "\"category_id\": 1, \"keypoints\": [1, 2, 2],");
    assert_contains(&refusal(&two, None), &["--category", "2 of them"]);
}
