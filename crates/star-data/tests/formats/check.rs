//! What `check` finds in a data set.

use star_data::check::{Report, check};
use star_data::formats::tsv;
use star_data::{Dataset, Scheme};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{assert_contains, image, write};

fn set(dir: &std::path::Path, rows: &[&str]) -> (Report, usize) {
    let path = dir.join("faces.tsv");
    write(&path, rows.join("\n"));
    let scheme: Scheme = toml::from_str("name = \"three\"\nkeypoints = 3").unwrap();
    let (set, problems) = tsv::read(&path, dir, scheme).unwrap();
    assert!(problems.is_empty());
    let done = AtomicUsize::new(0);
    let report = check(&set, &|faces| done.store(faces, Ordering::SeqCst));
    assert_eq!(report.faces, set.len());
    (report, done.load(Ordering::SeqCst))
}

fn row(image: &str, x: &str, tags: &str) -> String {
    format!("{image}\t0,0,0,0,0,0,0,0,0,0\t{x},2,3,4,5,6\t0.05\t4\t4\t{tags}")
}

#[test]
fn every_problem_is_found_in_its_row_and_every_image_decoded_once() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("good.png"), 1);
    std::fs::copy(dir.path().join("good.png"), dir.path().join("copy.png")).unwrap();
    write(&dir.path().join("bad.png"), "no image");
    let rows = [
        row("good.png", "1", "dark"),
        row("good.png", "1", "dark"),
        row("bad.png", "1", ""),
        row("none.png", "1", "wet"),
        // 24 pixels wide, the face 10: 25 is outside, 500 too far outside
        row("good.png", "25", ""),
        row("good.png", "500", ""),
        row("copy.png", "1", ""),
    ];
    let (report, done) = set(dir.path(), &rows.each_ref().map(String::as_str));
    let text: Vec<String> = report.problems.iter().map(ToString::to_string).collect();
    let expected = [
        ("line 2: row: expected each face once, got the face of ", "line 1 again"),
        ("line 6: landmarks: expected points in the image of 24x16 pixels", "(500, 2)"),
        ("line 3: image: expected a readable image", "neither"),
        ("line 4: image: expected a readable image", "none.png"),
    ];
    assert_eq!(text.len(), expected.len(), "{text:?}");
    for (line, part) in expected {
        let found =
            text.iter().find(|text| text.contains(line)).unwrap_or_else(|| panic!("{line} in {text:?}"));
        assert_contains(found, &[part]);
    }
    assert_eq!((report.images, report.outside, done), (4, 2, 7));
    assert_eq!(report.tags.iter().map(|(tag, n)| format!("{tag}{n}")).collect::<Vec<_>>(), ["dark2", "wet1"]);
    assert_eq!(report.same, [("copy.png".into(), "good.png".into())]);
}

#[test]
fn the_hash_follows_points_boxes_tags_order_and_images_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("a.png"), 1);
    image(&dir.path().join("b.png"), 2);
    let (first, second) = (row("a.png", "1", "x"), row("b.png", "2", ""));
    let hash = |rows: &[&str]| set(dir.path(), rows).0.hash;
    let whole = hash(&[&first, &second]);
    assert_eq!(whole, hash(&["", &first, "", &second]));
    let moved = second.replace("\t2,2,3", "\t2.5,2,3");
    let (tagged, boxed) = (second.clone() + "y", second.replace("0.05", "0.06"));
    for other in [[&second, &first], [&first, &moved], [&first, &tagged], [&first, &boxed]] {
        assert_ne!(whole, hash(&[other[0], other[1]]), "{other:?}");
    }
    image(&dir.path().join("b.png"), 3);
    assert_ne!(whole, hash(&[&first, &second]));
}
