//! menpo's `.ljson` files.

use star_data::crop::CropRule;
use star_data::formats::{Format, Source, ljson};
use star_data::{Dataset, Scheme};

use super::{assert_contains, image, write};

const THIRD: &str = r#"{"version": 3, "groups": {"PTS": {"labels": [{"label": "all", "mask": [0, 1, 2]}],
    "landmarks": {"connectivity": [[0, 1]], "points": [[2.0, 1.5], [4, 11], [6, 5]]}}}}"#;
const SECOND: &str = r#"{"version": 2, "labels": [{"label": "all", "mask": [0, 1, 2]}],
    "landmarks": {"connectivity": [], "points": [[2.0, 1.5], [4, 11], [6, 5]]}}"#;
const FIRST: &str = r#"{"version": 1, "groups": [{"label": "a", "connectivity": [], "landmarks": [{"point": [2.0, 1.5]}]},
    {"label": "b", "landmarks": [{"point": [4, 11]}, {"point": [6, 5]}]}]}"#;

fn scheme() -> Scheme {
    toml::from_str("name = \"some\"\nkeypoints = 3").unwrap()
}

/// A folder with one image and one file of its points, and the error of reading it, if any.
fn refusal(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("a.png"), 7);
    write(&dir.path().join("a.ljson"), text);
    ljson::open(dir.path(), scheme()).err().map_or(String::new(), |error| error.to_string())
}

#[test]
fn points_of_every_version_come_back_as_x_and_y() {
    for text in [FIRST, SECOND, THIRD] {
        let dir = tempfile::tempdir().unwrap();
        image(&dir.path().join("b.v2.jpg"), 7);
        write(&dir.path().join("b.v2.ljson"), text);
        let set = ljson::open(dir.path(), scheme()).unwrap();
        let sample = set.get(0).unwrap();
        assert_eq!(sample.points, [[1.5, 2.0], [11.0, 4.0], [5.0, 6.0]]);
        assert_eq!(sample.face, CropRule::LandmarkTight.face(&sample.points).unwrap());
        assert_eq!((set.len(), sample.image.dimensions()), (1, (24, 16)));
        let one = ljson::open(dir.path().join("b.v2.ljson"), scheme()).unwrap();
        assert_eq!(one.annotations(), set.annotations(), "one file alone");
    }
}

#[test]
fn absent_points_are_null_or_nan() {
    for absent in ["null", "[null, null]", "[NaN, NaN]", "[ NaN,NaN ]"] {
        let dir = tempfile::tempdir().unwrap();
        image(&dir.path().join("a.png"), 7);
        write(&dir.path().join("a.ljson"), THIRD.replace("[4, 11]", absent));
        let set = ljson::open(dir.path(), scheme()).unwrap();
        let points = &set.annotations()[0].points;
        assert!(points[1].iter().all(|v| v.is_nan()), "{absent}");
        assert_eq!(points[2], [5.0, 6.0]);
    }
}

#[test]
fn of_several_groups_the_one_that_fits_the_scheme_is_taken() {
    let other = r#""eyes": {"landmarks": {"points": [[1, 1]]}}, "PTS""#;
    assert_eq!(refusal(&THIRD.replace("\"PTS\"", other)), "");
    let same = r#""eyes": {"landmarks": {"points": [[1, 1], [2, 2], [3, 4]]}}, "PTS""#;
    let both = refusal(&THIRD.replace("\"PTS\"", same));
    assert_contains(&both, &["a.ljson: groups: expected one group of 3 points, got PTS (3), eyes (3)"]);
}

#[test]
fn it_is_opened_by_name_with_images_beside_or_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("images/a.webp"), 7);
    write(&dir.path().join("points/a.ljson"), THIRD);
    assert_eq!("ljson".parse::<Format>().unwrap(), Format::Ljson);
    let source = Source::new(Format::Ljson, dir.path().join("points"));
    assert_contains(&source.open().err().unwrap().to_string(), &["which format ljson does not say"]);
    let source = Source { scheme: Some(scheme()), ..source };
    let beside = source.open().unwrap().strict().err().unwrap().to_string();
    assert_contains(&beside, &["a.ljson", "image: expected", "no such file"]);
    let source = Source { images: Some(dir.path().join("images")), ..source };
    source.open().unwrap().strict().unwrap().get(0).unwrap();
}

#[test]
fn damaged_files_are_named() {
    for (from, to, part) in [
        ("[4, 11]", "[4, 11, 3]", "point 1: expected [y, x], got 3 numbers"),
        ("[4, 11]", "[4]", "point 1: expected [y, x], got 1 numbers"),
        ("[4, 11], ", "", "points: expected 3 points of scheme `some`, got 2"),
        ("[4, 11]", "\"left\"", "expected an .ljson file of menpo"),
        ("\"groups\"", "\"group\"", "points: expected `landmarks` or `groups`, got neither, in version 3"),
        ("\"PTS\": {", "\"PTS\": null, \"x\": {", "expected an .ljson file of menpo"),
        ("}}}}", "}}}", "expected an .ljson file of menpo"),
    ] {
        let text = THIRD.replacen(from, to, 1);
        assert_ne!(text, THIRD);
        assert_contains(&refusal(&text), &["a.ljson", part]);
    }
    let empty = tempfile::tempdir().unwrap();
    assert_contains(
        &ljson::open(empty.path(), scheme()).err().unwrap().to_string(),
        &[".ljson files beside"],
    );
}
