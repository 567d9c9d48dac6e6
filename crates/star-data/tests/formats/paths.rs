//! Paths of images as annotation tools write them, through `Source`.

use std::path::Path;

use star_data::formats::{Format, Source};
use star_data::{Dataset, Scheme};

use super::{assert_contains, image, write};

/// A data set of one image that is written down as `written`, in every format that writes paths.
fn sources(dir: &Path, written: &str) -> [Source; 5] {
    let json = format!(
        r#"{{"images": [{{"id": 1, "file_name": {}}}],
"annotations": [{{"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1,2,2, 9,3,2]}}],
"categories": [{{"id": 1, "name": "paw", "keypoints": ["l", "r"]}}]}}"#,
        serde_json::to_string(written).unwrap()
    );
    write(&dir.join("a.json"), json);
    write(&dir.join("a.toml"), "[scheme]\nname = \"two\"\nkeypoints = 2");
    write(&dir.join("a.csv"), format!("image,x0,y0,x1,y1\n{written},1,2,9,3\n"));
    write(&dir.join("a.tsv"), format!("{written}\t0,0,0,0,0,0,0,0,0,0\t1,2,9,3\t0.05\t4\t4"));
    let header = "image_name,scale,center_w,center_h,original_0_x,original_0_y,original_1_x,original_1_y";
    write(&dir.join("h.csv"), format!("{header}\n{written},0.05,4,4,1,2,9,3\n"));
    let xml = format!(
        "<dataset><images><image file='{written}'><box top='1' left='1' width='9' height='9'>\
         <part name='0' x='1' y='2'/><part name='1' x='9' y='3'/></box></image></images></dataset>"
    );
    write(&dir.join("a.xml"), xml);
    let images = Some(dir.join("images"));
    let files = [
        (Format::Coco, "a.json"),
        (Format::Own, "a.toml"),
        (Format::Tsv, "a.tsv"),
        (Format::Hrnet, "h.csv"),
        (Format::Imglab, "a.xml"),
    ];
    files.map(|(format, file)| {
        let scheme = (!matches!(format, Format::Coco | Format::Own)).then(|| Scheme::new("two", 2));
        Source { images: images.clone(), scheme, ..Source::new(format, dir.join(file)) }
    })
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["top.png", "sub dir/in.png", "a/b.png"] {
        image(&dir.path().join("images").join(name), 1);
    }
    dir
}

#[test]
fn a_prefix_of_another_machine_is_cut_and_names_alone_are_enough_where_asked_for() {
    let dir = folder();
    for (written, prefix, basename) in [
        ("C:\\data\\me\\a\\b.png", Some("C:\\data\\me"), false),
        ("C:\\data\\me\\a\\b.png", Some("C:/data/me/"), false),
        ("/datasets/df/a/b.png", Some("/datasets/df/"), false),
        ("/datasets/df/top.png", None, true),
        ("D:\\x\\y\\top.png", None, true),
        ("/data/local-files/?d=sub%20dir/in.png", Some("/data/local-files/?d="), false),
        ("sub%20dir/in.png", None, false),
    ] {
        for source in sources(dir.path(), written) {
            let source = Source { strip_prefix: prefix.map(str::to_string), basename, ..source };
            let set = source.open().unwrap().strict().unwrap();
            assert!(set.get(0).is_ok(), "{written} {}: {:?}", source.format, set.get(0).err());
        }
    }
}

#[test]
fn without_the_options_the_message_names_them_and_a_name_that_two_paths_share_is_refused() {
    let dir = folder();
    for written in ["C:\\data\\me\\a\\b.png", "/datasets/df/a/b.png", "file:///datasets/b.png"] {
        for source in sources(dir.path(), written) {
            let message = source.open().unwrap().strict().err().unwrap().to_string();
            assert_contains(
                &message,
                &["expected a path below the image folder", "strip_prefix", "basename"],
            );
        }
    }
    let [_, own, ..] = sources(dir.path(), "/x/top.png");
    write(
        &dir.path().join("a.csv"),
        "image,x0,y0,x1,y1\n/x/top.png,1,2,9,3\n/x/top.png,2,2,9,3\n/y/top.png,1,2,9,3\n",
    );
    let opened = Source { basename: true, ..own }.open().unwrap();
    assert_eq!((opened.dataset.len(), opened.problems.len()), (2, 1));
    assert_contains(
        &opened.problems[0].to_string(),
        &["line 4: image: expected each name once", "/x/top.png", "/y/top.png"],
    );
}

#[test]
fn formats_that_do_not_cut_paths_refuse_to_be_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.pts"), "version: 1\nn_points: 1\n{\n1 2\n}\n");
    let source = Source { scheme: Some(Scheme::new("one", 1)), ..Source::new(Format::Pts, dir.path()) };
    for source in
        [Source { basename: true, ..source.clone() }, Source { strip_prefix: Some("/x".into()), ..source }]
    {
        assert_contains(&source.open().err().unwrap().to_string(), &["strip_prefix", "format pts"]);
    }
}
