//! CSV, TSV, lists and `.pts` as spreadsheets, scripts and other tools write them.

use std::path::Path;

use star_data::formats::{AnnotatedImages, Format, Source, imglab, ljson, own, pts, tsv};
use star_data::{Dataset, Error, FaceBox, Scheme};

use super::{assert_contains, image, wflw, write};

fn read(rows: impl AsRef<[u8]>) -> Result<(AnnotatedImages, Vec<Error>), Error> {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("d.toml"), "[scheme]\nname = \"three\"\nkeypoints = 3");
    write(&dir.path().join("d.csv"), rows);
    own::read(&dir.path().join("d.toml"), None, None)
}

fn faces(rows: &str) -> AnnotatedImages {
    let (set, problems) = read(rows).unwrap();
    assert!(problems.is_empty(), "{problems:?}\n{rows}");
    set
}

fn refusal(rows: impl AsRef<[u8]>) -> String {
    read(rows).unwrap_err().to_string()
}

const HEAD: &str = "image,x0,y0,x1,y1,x2,y2";

#[test]
fn the_sign_between_columns_is_named_where_it_is_no_comma() {
    let whole = format!("{HEAD}\na.png,1,2,3,4,5,6\n");
    for (sign, name) in [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")] {
        let message = refusal(whole.replace(',', sign));
        assert_contains(
            &message,
            &["d.csv: line 1: header: expected commas between columns", name, "`image"],
        );
    }
    assert_contains(
        &refusal(whole.replace("image", "Image")),
        &["a column `image`, got none of that name in `Image,x0"],
    );
    // with decimal commas the header has no comma, the rows have
    let decimal = whole.replace(',', ";").replace("1;2", "1,5;2");
    assert_contains(&refusal(decimal), &["semicolons"]);
    let dir = tempfile::tempdir().unwrap();
    for (sign, name) in [(";", "semicolons"), (",", "commas")] {
        let row = format!("a.png\t{}\t1\t2\t3", "1,2").replace('\t', sign);
        write(&dir.path().join("d.tsv"), row);
        let (_, problems) =
            tsv::read(&dir.path().join("d.tsv"), dir.path(), Scheme::new("three", 3)).unwrap();
        assert_contains(&problems[0].to_string(), &["line 1: columns: expected 6 or 7 tab-separated", name]);
    }
}

#[test]
fn visibility_may_be_written_as_fractions_and_left_out_where_the_point_is() {
    let set = faces(&format!("{HEAD},v0,v1,v2\na.png,1,2,3,4,9,6,2.0,1.0,0.0\nb.png,1,2,3,4,,,2,1,nan\n"));
    for face in set.annotations() {
        assert_eq!(face.visibility, Some(vec![true, false, false]));
        assert!(face.points[2][0].is_nan());
    }
    for v in ["3", "0.5", "yes"] {
        let (_, problems) = read(format!("{HEAD},v2\na.png,1,2,3,4,9,6,{v}\n")).unwrap();
        assert_contains(&problems[0].to_string(), &["line 2: point: expected x, y and a v of 0, 1 or 2"]);
    }
}

#[test]
fn points_of_minus_one_nan_or_nothing_are_not_labelled_in_any_format() {
    for pair in ["-1,-1", "-1.0,-1.0", "-999,-999", "nan,nan", "NaN,NaN", ","] {
        let set = faces(&format!("{HEAD}\na.png,1,2,{pair},5,6\n"));
        let face = &set.annotations()[0];
        assert!(face.points[1].iter().all(|v| v.is_nan()), "{pair}");
        // x 1..5, y 2..6
        assert_eq!(face.face.side(), 4.0, "{pair}");
    }
    assert_eq!(
        faces(&format!("{HEAD}\na.png,1,2,-1,-2,0,0\n")).annotations()[0].points[1..],
        [[-1.0, -2.0], [0.0, 0.0]]
    );
    for pair in ["nan,3", "3,"] {
        let (_, problems) = read(format!("{HEAD}\na.png,1,2,{pair},5,6\n")).unwrap();
        assert_contains(&problems[0].to_string(), &["line 2: point: expected a finite number"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let third = |set: &AnnotatedImages| set.annotations()[0].points[2];
    for pair in ["-1,-1", "nan,nan"] {
        write(&dir.path().join("d.tsv"), format!("a.png\t0,0,0,0,0,0,0,0,0,0\t1,2,3,4,{pair}\t0.05\t4\t4"));
        let set = tsv::open(dir.path().join("d.tsv"), dir.path(), Scheme::new("three", 3)).unwrap();
        assert!(third(&set).iter().all(|v| v.is_nan()), "{pair}");
        image(&dir.path().join("f.png"), 1);
        write(
            &dir.path().join("f.pts"),
            format!("n_points: 3\n{{\n1 2\n3 4\n{}\n}}\n", pair.replace(',', " ")),
        );
        let set = pts::open(dir.path().join("f.pts"), Scheme::new("three", 3)).unwrap();
        assert!(third(&set).iter().all(|v| v.is_nan()), "{pair}");
        assert_eq!(set.annotations()[0].points[0], [0.0, 1.0]);
    }
    let scheme = Scheme::new("three", 3);
    let parts = "<part name='0' x='1' y='2'/><part name='1' x='3' y='4'/><part name='2' x='-1' y='-1'/>";
    let boxed = format!(
        "<dataset><images><image file='a.png'><box top='1' left='1' width='9' height='9'>{parts}</box></image></images></dataset>"
    );
    write(&dir.path().join("d.xml"), boxed);
    let set = imglab::open(dir.path().join("d.xml"), dir.path(), scheme.clone()).unwrap();
    assert!(third(&set).iter().all(|v| v.is_nan()));
    write(
        &dir.path().join("f.ljson"),
        r#"{"landmarks": {"points": [[2, 1], [4, 3], [-1, -1]]}, "version": 2}"#,
    );
    assert!(third(&ljson::open(dir.path().join("f.ljson"), scheme).unwrap()).iter().all(|v| v.is_nan()));
    let line = wflw::line(1.0, [0; 6], "a.png").replacen("1.000000 1.000000", "-1 -1", 1);
    write(&dir.path().join("list.txt"), line);
    let set = Source::new(Format::Wflw, dir.path().join("list.txt")).open().unwrap().strict().unwrap();
    let face = set.annotation(0).unwrap();
    assert!(face.points[0][0].is_nan() && face.points[1][0].is_finite());
    write(&dir.path().join("f.pts"), "n_points: 3\n{\n1 2\n3 4\nnan 3\n}\n");
    assert!(pts::open(dir.path().join("f.pts"), Scheme::new("three", 3)).is_err());
}

#[test]
fn a_box_of_zeros_or_nan_is_none() {
    for sides in ["0,0,0,0", "nan,nan,nan,nan", ",,,"] {
        let rows = format!(
            "{HEAD},box_x,box_y,box_width,box_height\na.png,1,2,3,4,5,6,{sides}\nb.png,1,2,3,4,5,6,1,1,8,9\n"
        );
        let set = faces(&rows);
        assert_eq!((set.annotations()[0].stated, set.annotations()[0].face.side()), (None, 4.0), "{sides}");
        assert_eq!(set.annotations()[1].stated, Some(FaceBox { x: 1.0, y: 1.0, width: 8.0, height: 9.0 }));
    }
}

#[test]
fn lines_are_counted_right_after_blank_ones_and_rows_without_a_field_are_blank() {
    let bad = "a.png,x,2,3,4,5,6\n";
    for (before, line) in [
        ("", 2),
        ("\n\n", 4),
        ("\r\n\r\n", 4),
        (",,,,,,\n", 3),
        ("   \n", 3),
        ("\"a\nb.png\",1,2,3,4,5,6\n", 4),
    ] {
        let (_, problems) = read(format!("{HEAD}\n{before}{bad}")).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_contains(&problems[0].to_string(), &[&format!("d.csv: line {line}: point")]);
    }
    let (set, _) = read(format!("\n\n{HEAD}\n\na.png,1,2,3,4,5,6\n")).unwrap();
    assert_eq!(set.annotations()[0].line, 5);
    assert_contains(&refusal("\n\nimage,x0\n"), &["line 3: header"]);
}

#[test]
fn files_of_another_kind_are_one_error_that_names_the_kind() {
    let wide = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let csv = format!("{HEAD}\na.png,1,2,3,4,5,6\n");
    let cases: [(Vec<u8>, &str); 7] = [
        ([&b"\xff\xfe"[..], &wide(&csv)].concat(), "UTF-16"),
        (wide(&csv), "UTF-16"),
        (b"<?xml version='1.0'?>\n<dataset>\n</dataset>".to_vec(), "XML"),
        (b"<!DOCTYPE html>\n<p>".to_vec(), "XML"),
        (b"{\"images\": []}".to_vec(), "JSON"),
        (b"PK\x03\x04\0\0".to_vec(), "workbook"),
        (b"\x1f\x8b\x08\0".to_vec(), "gzip"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.any");
    write(&dir.path().join("own.toml"), "points = \"d.any\"\nscheme = \"cofw29\"");
    for (bytes, kind) in &cases {
        write(&path, bytes);
        for format in [Format::Tsv, Format::Wflw, Format::Own, Format::Pts] {
            for file in [&path, &dir.path().join("own.toml")] {
                if (format == Format::Own) != file.ends_with("own.toml") {
                    continue;
                }
                let scheme = format.scheme().is_none().then(|| Scheme::named("300w").unwrap());
                let opened = Source { scheme, ..Source::new(format, file) }.open();
                let message = opened.and_then(|opened| opened.strict()).err().unwrap().to_string();
                assert_contains(&message, &["d.any", kind]);
            }
        }
    }
    write(&dir.path().join("own.toml"), "{\"scheme\": \"cofw29\"}");
    assert_contains(&own::open(dir.path().join("own.toml")).unwrap_err().to_string(), &["own.toml", "JSON"]);
    assert!(!Path::new("d.any").exists());
}
