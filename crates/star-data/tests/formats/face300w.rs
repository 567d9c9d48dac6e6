//! 300W's folders.

use std::path::Path;

use star_data::Dataset;
use star_data::formats::{Split, face300w, pts};

use super::{assert_contains, image, points, write};

fn face(folder: &Path, name: &str, shift: f32, file: &str) {
    write(&folder.join(format!("{name}.pts")), pts::format(&points(68, shift)));
    image(&folder.join(file), shift as u8);
}

/// One face a folder; the images' names as different distributions have them.
pub(super) fn archive(root: &Path) {
    face(&root.join("afw"), "134212_1", 1.0, "134212_1.jpg");
    face(&root.join("helen/trainset"), "1000_1", 2.0, "1000.jpg");
    face(&root.join("helen/trainset"), "1000_1_mirror", 9.0, "1000_1_mirror.jpg");
    face(&root.join("lfpw/trainset"), "image_0001", 3.0, "image_0001.png");
    face(&root.join("helen/testset"), "2000", 4.0, "2000_1.JPG");
    face(&root.join("lfpw/testset"), "image_0002", 5.0, "image_0002.png");
    face(&root.join("ibug"), "image_092 _01", 6.0, "image_092 _01.jpg");
    face(&root.join("Test/01_Indoor"), "indoor_001", 7.0, "indoor_001.png");
    face(&root.join("Test/02_Outdoor"), "outdoor_001", 8.0, "outdoor_001.png");
}

fn shifts(root: &Path, split: Split, subset: Option<&str>) -> Vec<f32> {
    let (faces, problems) = face300w::read(root, None, split, subset).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    for (i, face) in faces.annotations().iter().enumerate() {
        let shift = face.points[0][0];
        assert_eq!(face.points, points(68, shift), "{:?}", face.image);
        assert!(faces.get(i).unwrap().image.get_pixel(0, 0).0[0].abs_diff(shift as u8) < 12);
    }
    faces.annotations().iter().map(|face| face.points[0][0]).collect()
}

#[test]
fn every_split_and_subset_holds_its_faces_in_order() {
    let dir = tempfile::tempdir().unwrap();
    // nested, as one distribution has it
    archive(&dir.path().join("300w/images"));
    let of = |split, subset| shifts(dir.path(), split, subset);
    assert_eq!(of(Split::Train, None), [1.0, 2.0, 3.0]);
    assert_eq!(of(Split::Train, Some("lfpw")), [3.0]);
    assert_eq!(of(Split::Test, None), [4.0, 5.0, 6.0]);
    assert_eq!(of(Split::Test, Some("common")), [4.0, 5.0]);
    assert_eq!(of(Split::Test, Some("Challenging")), [6.0]);
    assert_eq!(of(Split::Private, None), [7.0, 8.0]);
    assert_eq!(of(Split::Private, Some("outdoor")), [8.0]);
    // a folder with the name of a set that holds all sets
    archive(&dir.path().join("other/ibug"));
    assert_eq!(shifts(&dir.path().join("other/ibug"), Split::Test, Some("common")), [4.0, 5.0]);
    assert_eq!(shifts(&dir.path().join("other/ibug"), Split::Test, Some("challenging")), [6.0]);
    // the folder of one set alone
    assert_eq!(shifts(&dir.path().join("300w/images/ibug"), Split::Test, None), [6.0]);
}

#[test]
fn a_face_without_image_and_one_of_other_points_are_named_beside_the_good() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    write(&dir.path().join("ibug/lost.pts"), pts::format(&points(68, 1.0)));
    write(&dir.path().join("ibug/few.pts"), pts::format(&points(67, 1.0)));
    let (faces, problems) = face300w::read(dir.path(), None, Split::Test, Some("challenging")).unwrap();
    assert_eq!((faces.len(), problems.len()), (1, 2));
    let text = format!("{} | {}", problems[0], problems[1]);
    assert_contains(
        &text,
        &["lost.pts: line 1: image", "jpg,jpeg,png", "few.pts: line 1: points", "68 points"],
    );
}

#[test]
fn images_may_lie_in_a_folder_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("points/ibug/a.pts"), pts::format(&points(68, 1.0)));
    image(&dir.path().join("images/ibug/a.png"), 77);
    let images = dir.path().join("images");
    let (faces, problems) =
        face300w::read(&dir.path().join("points"), Some(&images), Split::Test, None).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(faces.get(0).unwrap().image.get_pixel(0, 0).0[0], 77);
    assert_eq!(faces.source(0), Path::new("ibug/a.png"));
}

#[test]
fn a_folder_of_something_else_and_an_unknown_subset_say_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    let message = |subset| face300w::read(dir.path(), None, Split::Train, subset).unwrap_err().to_string();
    assert_contains(&message(None), &["afw, helen/trainset, lfpw/trainset", "0 .pts files"]);
    assert_contains(&message(Some("ibug")), &["subset of train: expected afw, helen, lfpw", "`ibug`"]);
}
