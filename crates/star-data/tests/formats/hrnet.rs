//! HRNet's CSV files.

use std::path::Path;

use star_data::crop::CropRule;
use star_data::formats::{Format, Source, hrnet};
use star_data::{Dataset, FaceBox, Scheme};

use super::{assert_contains, image, points, write};

fn scheme(keypoints: usize) -> Scheme {
    toml::from_str(&format!("name = \"some\"\nkeypoints = {keypoints}")).unwrap()
}

fn header(keypoints: usize) -> String {
    let points = (0..keypoints).map(|k| format!(",original_{k}_x,original_{k}_y"));
    format!("image_name,scale,center_w,center_h{}\n", points.collect::<String>())
}

fn row(image: &str, keypoints: usize, shift: f32) -> String {
    let points = points(keypoints, shift);
    let points = points.iter().map(|[x, y]| format!(",{x},{y}"));
    format!("{image},0.125,{},9.5{}\n", 8.0 + shift, points.collect::<String>())
}

/// The project's layout: a CSV file, and the images in a folder of their own.
fn project(root: &Path, keypoints: usize) {
    image(&root.join("images/0--Parade/a_1.png"), 40);
    image(&root.join("images/b, c.png"), 80);
    let rows = [
        header(keypoints),
        row("0--Parade/a_1.png", keypoints, 1.0),
        row("\"b, c.png\"", keypoints, 2.0),
        "\r\n".into(),
        row("0--Parade/a_1.png", keypoints, -3.5).replace('\n', "\r\n"),
    ];
    write(&root.join("faces.csv"), rows.concat());
}

#[test]
fn every_number_of_the_rows_comes_back_for_any_number_of_points() {
    for keypoints in [3, 29, 98] {
        let dir = tempfile::tempdir().unwrap();
        project(dir.path(), keypoints);
        let set =
            hrnet::open(dir.path().join("faces.csv"), dir.path().join("images"), scheme(keypoints)).unwrap();
        assert_eq!((set.len(), set.scheme()), (3, &scheme(keypoints)));
        for (face, (line, shift)) in set.annotations().iter().zip([(2, 1.0), (3, 2.0), (5, -3.5)]) {
            assert_eq!((face.line, &face.points), (line, &points(keypoints, shift)));
            // 200 * 0.125 = 25 a side about (8 + shift, 9.5)
            let square = FaceBox { x: 8.0 + shift - 12.5, y: -3.0, width: 25.0, height: 25.0 };
            assert_eq!((face.face, face.stated), (square, Some(square)));
            assert_eq!((&face.visibility, face.tags.len()), (&None, 0));
        }
        let reds = [0, 1, 2].map(|i| set.get(i).unwrap().image.get_pixel(0, 0).0[0]);
        assert_eq!(reds, [40, 80, 40]);
    }
}

#[test]
fn it_is_opened_by_name_with_a_scheme_and_boxes_as_stated() {
    let dir = tempfile::tempdir().unwrap();
    project(dir.path(), 29);
    assert_eq!("hrnet".parse::<Format>().unwrap(), Format::Hrnet);
    let source = Source::new(Format::Hrnet, dir.path().join("faces.csv"));
    assert_contains(&source.open().err().unwrap().to_string(), &["which format hrnet does not say"]);
    let scheme = Some(Scheme::named("cofw").unwrap());
    let source = Source { scheme, images: Some(dir.path().join("images")), ..source };
    let set = source.open().unwrap().strict().unwrap();
    assert_eq!((set.len(), set.get(1).unwrap().face.side()), (3, 25.0));
    let tight = Source { crop: Some(CropRule::LandmarkTight), ..source };
    let face = tight.open().unwrap().strict().unwrap().get(1).unwrap();
    assert_eq!(face.face, CropRule::LandmarkTight.face(&face.points).unwrap());
}

#[test]
fn images_lie_beside_the_file_where_no_folder_is_given() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("a.png"), 7);
    write(&dir.path().join("faces.csv"), header(3) + &row("a.png", 3, 1.0));
    let source =
        Source { scheme: Some(scheme(3)), ..Source::new(Format::Hrnet, dir.path().join("faces.csv")) };
    source.open().unwrap().strict().unwrap().get(0).unwrap();
}

#[test]
fn damaged_rows_are_named_and_the_others_kept() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faces.csv");
    let good = row("a.png", 3, 1.0);
    for (from, to, what, got) in [
        ("9.5,1", "9.5,one", "landmarks: expected a finite number", "`one`"),
        ("9.5,1", "9.5,", "landmarks: expected a finite number", "``"),
        ("9.5,1", "9.5", "columns: expected 10 columns (image_name, scale, center_w", "got 9"),
        ("9.5,1", "9.5,0,0,1", "columns: expected 10 columns", "got 12"),
        ("0.125", "-0.125", "scale: expected a positive number", "`-0.125`"),
        ("0.125", "NaN", "scale: expected a finite number", "`NaN`"),
        (",9,", ",left,", "center_w: expected a finite number", "`left`"),
        ("9.5", "inf", "center_h: expected a finite number", "`inf`"),
        ("a.png", "../a.png", "image: expected a path below the image folder", "`../a.png`"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(good, bad, "{what}");
        write(&file, header(3) + &good + &bad + &good);
        let (faces, problems) = hrnet::read(&file, dir.path(), scheme(3)).unwrap();
        assert_eq!((faces.len(), problems.len()), (2, 1), "{what}");
        assert_contains(&problems[0].to_string(), &["faces.csv: line 3: ", what, got]);
        let message = hrnet::open(&file, dir.path(), scheme(3)).unwrap_err().to_string();
        assert_eq!(message, problems[0].to_string());
    }
}

#[test]
fn a_header_that_does_not_fit_the_scheme_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("faces.csv");
    let refusal = |text: String| {
        write(&file, text);
        hrnet::open(&file, dir.path(), scheme(3)).unwrap_err().to_string()
    };
    for (text, part) in [
        (header(2), "line 1: header: expected 10 columns (image_name, scale, center_w, center_h, 3 points"),
        (header(4), "line 1: header: expected 10 columns"),
        (
            header(3).replace("center_w", "box_size,center_w"),
            "expected `center_w` in column 3, got `box_size`",
        ),
        (header(3).replace("_0_", "_1_"), "expected `original_0_x` in column 5, got `original_1_x`"),
        (row("a.png", 3, 1.0), "line 1: header: expected `image_name` in column 1, got `a.png`"),
        (header(3), "the data set is empty: expected a header with image_name"),
        ("\n".into(), "the data set is empty: expected a header with image_name"),
    ] {
        assert_contains(&refusal(text), &["faces.csv", part]);
    }
}
