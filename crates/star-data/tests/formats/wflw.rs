//! WFLW's list files.

use std::path::Path;

use star_data::formats::{Split, wflw};
use star_data::{Dataset, FaceBox};

use super::{assert_contains, image, points, write};

/// A line of 207 fields.
pub(super) fn line(shift: f32, flags: [u8; 6], image: &str) -> String {
    let mut fields: Vec<String> = points(98, shift).iter().flatten().map(|v| format!("{v:.6}")).collect();
    fields.extend([3, 4, 33, 54].map(|v| v.to_string()));
    fields.extend(flags.map(|v| v.to_string()));
    fields.push(image.to_string());
    fields.join(" ") + "\n"
}

fn short_line(shift: f32, image: &str) -> String {
    let fields: Vec<String> = points(98, shift).iter().flatten().map(|v| format!("{v:.6}")).collect();
    format!("{} {image}\n", fields.join(" "))
}

const LISTS: &str = "WFLW_annotations/list_98pt_rect_attr_train_test";

/// The archive as it is unpacked: one training face, four test faces, two of them on one image.
pub(super) fn archive(root: &Path) {
    let names = ["0--Parade/a_1.jpg", "1--Handshaking/b_2.jpg", "37--Soccer/c_3.jpg"];
    for (i, name) in names.iter().enumerate() {
        image(&root.join("WFLW_images").join(name), 40 * i as u8);
    }
    write(&root.join(LISTS).join("list_98pt_rect_attr_train.txt"), line(5.0, [0; 6], names[0]));
    let test = [
        line(1.0, [1, 0, 0, 0, 0, 1], names[0]),
        line(2.0, [0, 1, 0, 0, 0, 0], names[1]),
        line(3.0, [0, 0, 1, 1, 1, 0], names[1]),
        line(4.0, [0; 6], names[2]),
    ];
    write(&root.join(LISTS).join("list_98pt_rect_attr_test.txt"), test.concat());
    write(&root.join("WFLW_annotations/list_98pt_test/list_98pt_test_blur.txt"), short_line(1.0, names[0]));
}

#[test]
fn every_number_of_the_lists_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let (test, problems) = wflw::read(dir.path(), None, Split::Test, None).unwrap();
    assert!(problems.is_empty());
    assert_eq!((test.len(), test.scheme().name.as_str()), (4, "wflw98"));
    for (i, face) in test.annotations().iter().enumerate() {
        let shift = 1.0 + i as f32;
        assert_eq!(face.points, points(98, shift));
        assert_eq!(face.stated, Some(FaceBox { x: 3.0, y: 4.0, width: 30.0, height: 50.0 }));
        assert_eq!(face.line, i + 1);
        // x shift..shift + 24.25, y shift..shift + 18: rounded outwards 25 x 18
        assert!((face.face.side() - 25.0).abs() < 1e-4);
        assert_eq!(face.face.centre(), [shift + 12.5, shift + 9.0]);
    }
    let tags: Vec<String> = test.annotations().iter().map(|face| face.tags.join(" ")).collect();
    assert_eq!(tags, ["pose blur", "expression", "illumination make-up occlusion", ""]);
    assert_eq!(test.source(3), Path::new("37--Soccer/c_3.jpg"));
    // JPEG keeps flat red within a few levels
    assert!(test.get(3).unwrap().image.get_pixel(0, 0).0[0].abs_diff(80) < 12);
    let (train, _) = wflw::read(dir.path(), None, Split::Train, None).unwrap();
    assert_eq!(train.annotations()[0].points, points(98, 5.0));
}

#[test]
fn subsets_come_from_attributes_or_from_their_own_lists() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let count = |name: &str| wflw::read(dir.path(), None, Split::Test, Some(name)).unwrap().0.len();
    let names = ["pose", "largepose", "expression", "illumination", "make-up", "makeup", "occlusion", "blur"];
    assert_eq!(names.map(count), [1; 8]);
    let lists = dir.path().join("WFLW_annotations");
    std::fs::remove_dir_all(lists.join("list_98pt_rect_attr_train_test")).unwrap();
    // the archive's other folder, alone
    let (blur, problems) = wflw::read(&lists, None, Split::Test, Some("blur")).unwrap();
    assert!(problems.is_empty());
    let face = &blur.annotations()[0];
    assert_eq!(
        (face.points.clone(), face.tags.clone(), face.stated),
        (points(98, 1.0), vec!["blur".into()], None)
    );
    blur.get(0).unwrap();
    // the list file itself
    let file = lists.join("list_98pt_test/list_98pt_test_blur.txt");
    let (same, _) = wflw::read(&file, None, Split::Test, None).unwrap();
    assert_eq!(same.annotations()[0].points, face.points);
    same.get(0).unwrap();
}

#[test]
fn damaged_lines_are_named_and_the_others_kept() {
    let dir = tempfile::tempdir().unwrap();
    let good = line(1.0, [0; 6], "a.jpg");
    let cases = [
        (good.replace(" 54 ", " "), "fields: expected 207", "got 206"),
        (good.replacen("1.000000", "one", 1), "landmarks: expected a finite number", "`one`"),
        (good.replace("54 0", "54 7"), "attributes: expected six of 0 or 1", "`7`"),
        (good.replace("a.jpg", "../a.jpg"), "image: expected a path below", "`../a.jpg`"),
    ];
    for (bad, what, got) in cases {
        write(&dir.path().join("list.txt"), format!("{good}{bad}"));
        let (faces, problems) = wflw::read(&dir.path().join("list.txt"), None, Split::Test, None).unwrap();
        assert_eq!((faces.len(), problems.len()), (1, 1), "{what}");
        assert_contains(&problems[0].to_string(), &["list.txt: line 2: ", what, got]);
    }
    let message = wflw::read(dir.path(), None, Split::Test, None).unwrap_err().to_string();
    assert_contains(&message, &["list_98pt_rect_attr_test.txt", "none of them below"]);
    let message = wflw::read(dir.path(), None, Split::Test, Some("hats")).unwrap_err().to_string();
    assert_contains(&message, &["subset: expected pose, expression", "`hats`"]);
}
