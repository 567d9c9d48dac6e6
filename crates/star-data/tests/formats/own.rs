//! One's own TOML and CSV.

use std::path::Path;

use star_data::formats::own;
use star_data::{Dataset, FaceBox};

use super::{assert_contains, image, write};

const HEAD: &str = r#"
images = "images"
[scheme]
name = "paw"
keypoints = 3
names = ["left_toe", "right_toe", "heel"]
flip_pairs = [[0, 1]]
inter_ocular = [[0], [1]]
normalizer = "inter-ocular"
edges = [{ name = "sole", closed = false, points = [0, 2, 1] }]
"#;

const ROWS: &str = "\
image,left_toe_x,left_toe_y,right_toe_x,right_toe_y,x2,y2,v2,split,tags
a.png,1.5,2,11,3.25,6,9,2,train,wet dark
\"b, c.png\",1,2,11,3,,,0,train,
a.png,1,2,11,3,6,9,1,test,dark
";

fn data(dir: &Path, rows: &str) {
    write(&dir.join("paws.toml"), HEAD);
    write(&dir.join("paws.csv"), rows);
    image(&dir.join("images/a.png"), 1);
    image(&dir.join("images/b, c.png"), 2);
}

#[test]
fn every_number_comes_back_with_the_scheme() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), ROWS);
    let open = |split| own::read(&dir.path().join("paws.toml"), None, split).unwrap();
    let (set, problems) = open(None);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!((set.len(), set.scheme().inter_ocular.clone()), (3, Some([vec![0], vec![1]])));
    let faces = set.annotations();
    assert_eq!(faces[0].points, [[1.5, 2.0], [11.0, 3.25], [6.0, 9.0]]);
    assert_eq!(faces[0].tags, ["wet", "dark"]);
    assert!(faces[1].points[2][0].is_nan());
    assert_eq!(faces[2].visibility, Some(vec![true, true, false]));
    // x 1..11, y 2..4 (9 is absent): side 10
    assert_eq!(faces[1].face.side(), 10.0);
    assert_eq!(set.get(1).unwrap().image.get_pixel(0, 0).0[0], 2);
    assert_eq!((open(Some("train")).0.len(), open(Some("test")).0.len()), (2, 1));
}

#[test]
fn boxes_are_taken_where_rows_have_them() {
    let dir = tempfile::tempdir().unwrap();
    data(
        dir.path(),
        "image,x0,y0,x1,y1,x2,y2,box_x,box_y,box_width,box_height\na.png,1,2,3,4,5,6,-1,0,8,9\na.png,1,2,3,4,5,6,,,,\n",
    );
    let (set, problems) = own::read(&dir.path().join("paws.toml"), None, None).unwrap();
    assert!(problems.is_empty());
    assert_eq!(set.annotations()[0].face, FaceBox { x: -1.0, y: 0.0, width: 8.0, height: 9.0 });
    assert_eq!((set.annotations()[1].face.side(), set.annotations()[1].visibility.clone()), (4.0, None));
}

#[test]
fn what_is_written_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path(), ROWS);
    let (set, _) = own::read(&dir.path().join("paws.toml"), None, None).unwrap();
    let (head, rows) = own::to_files(
        set.annotations(),
        set.scheme(),
        Some("all"),
        Path::new("again.csv"),
        Path::new("images"),
    )
    .unwrap();
    write(&dir.path().join("again.toml"), head);
    write(&dir.path().join("again.csv"), rows);
    let (again, problems) = own::read(&dir.path().join("again.toml"), None, Some("all")).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!((again.scheme(), again.len()), (set.scheme(), 3));
    for (a, b) in set.annotations().iter().zip(again.annotations()) {
        assert_eq!(
            format!("{:?}", (&a.points, &a.visibility, a.face)),
            format!("{:?}", (&b.points, &b.visibility, b.face))
        );
        assert_eq!((&a.tags, &a.image), (&b.tags, &b.image));
    }
    again.get(1).unwrap();
}

#[test]
fn damaged_rows_headers_and_descriptions_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let read = || own::read(&dir.path().join("paws.toml"), None, None);
    for (good, bad, part) in [
        ("11,3.25", "11,", "line 2: point: expected a finite number, got ``"),
        (",2,train,wet dark", ",5,train,wet dark", "line 2: point: expected x, y and a v of 0, 1 or 2"),
        (",wet dark", "", "line 2: columns: expected 10, as the header has, got 9"),
        ("a.png,1.5", "/a.png,1.5", "line 2: image: expected a path below the image folder"),
    ] {
        data(dir.path(), &ROWS.replace(good, bad));
        let (set, problems) = read().unwrap();
        assert_eq!((set.len(), problems.len()), (2, 1), "{part}");
        assert_contains(&problems[0].to_string(), &["paws.csv", part]);
    }
    for (good, bad, part) in [
        ("left_toe_x", "toe_x", "header: expected a column `left_toe_x`"),
        ("tags", "tag", "header: expected image, points"),
        ("tags", "split", "header: expected each column once, got `split`"),
    ] {
        data(dir.path(), &ROWS.replacen(good, bad, 1));
        assert_contains(&read().unwrap_err().to_string(), &["paws.csv: line 1", part]);
    }
    data(dir.path(), "");
    assert_contains(&read().unwrap_err().to_string(), &["paws.csv", "empty", "a header"]);
    for (good, bad, part) in [
        ("keypoints = 3", "keypoints = 2", "names"),
        ("images =", "picturs =", "picturs"),
        ("name = \"paw\"", "nam = \"paw\"", "nam"),
    ] {
        write(&dir.path().join("paws.toml"), HEAD.replace(good, bad));
        assert_contains(&read().unwrap_err().to_string(), &[part]);
    }
}
