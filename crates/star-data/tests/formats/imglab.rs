//! The XML files of dlib's imglab.

use star_data::formats::{AnnotatedImages, Format, Source, imglab};
use star_data::{Dataset, FaceBox, Scheme};

use super::{assert_contains, image, write};

const DOCUMENT: &str = "<?xml version='1.0' encoding='ISO-8859-1'?>
<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>
<dataset>
<name>Training faces</name>
<comment>boxes &amp; parts</comment>
<images>
  <image file='set/a &amp; b.png' width='24' height='16'>
    <box top='2' left='-1' width='10' height='12'>
      <label>face</label>
      <part name='00' x='1' y='2'/>
      <part name='01' x='3.5' y='4'/>
      <part name='02' x='5' y='6'/>
    </box>
    <box top='1' left='2' width='3' height='4' ignore='1'>
      <part name='00' x='1' y='2'/>
    </box>
    <box top='1' left='2' width='3' height='4'/>
  </image>
  <image file='gr\u{fc}n.png'>
    <box top='0' left='0' width='8' height='8'><part name='02' x='7' y='7'/><part name='00' x='0' y='0'/></box>
  </image>
</images>
</dataset>
";

fn scheme() -> Scheme {
    toml::from_str("name = \"paw\"\nkeypoints = 3\nnames = [\"tip\", \"left toe\", \"right toe\"]").unwrap()
}

fn read(text: impl AsRef<[u8]>) -> Result<(AnnotatedImages, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("faces.xml"), text);
    let read = imglab::read(&dir.path().join("faces.xml"), dir.path(), scheme());
    let (faces, problems) = read.map_err(|error| error.to_string())?;
    Ok((faces, problems.iter().map(ToString::to_string).collect()))
}

#[test]
fn boxes_and_parts_come_back_and_those_without_parts_or_ignored_are_passed_over() {
    let (faces, problems) = read(DOCUMENT).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    let [first, second] = faces.annotations() else { panic!("{} faces", faces.len()) };
    assert_eq!((first.line, first.image.to_str()), (8, Some("set/a & b.png")));
    assert_eq!(first.points, [[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]]);
    let stated = FaceBox { x: -1.0, y: 2.0, width: 10.0, height: 12.0 };
    assert_eq!((first.stated, first.face, &first.visibility), (Some(stated), stated, &None));
    assert_eq!((second.line, second.image.to_str()), (20, Some("gr\u{fc}n.png")));
    assert_eq!((second.points[0], second.points[2]), ([0.0, 0.0], [7.0, 7.0]));
    assert!(second.points[1][0].is_nan(), "a part that is not there is absent");
}

#[test]
fn it_is_opened_by_name_and_reads_its_images() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("set/a & b.png"), 40);
    image(&dir.path().join("gr\u{fc}n.png"), 80);
    write(&dir.path().join("faces.xml"), DOCUMENT);
    assert_eq!("imglab".parse::<Format>().unwrap(), Format::Imglab);
    let source = Source::new(Format::Imglab, dir.path().join("faces.xml"));
    assert_contains(&source.open().err().unwrap().to_string(), &["which format imglab does not say"]);
    let set = Source { scheme: Some(scheme()), ..source }.open().unwrap().strict().unwrap();
    assert_eq!([0, 1].map(|i| set.get(i).unwrap().image.get_pixel(0, 0).0[0]), [40, 80]);
}

#[test]
fn parts_are_numbered_from_none_or_one_or_named_as_in_the_scheme() {
    for names in [["0", "1", "2"], ["1", "2", "3"], ["01", "02", "03"], ["tip", "left toe", "right toe"]] {
        let text = ["00", "01", "02"].iter().zip(names).fold(DOCUMENT.to_string(), |text, (from, to)| {
            text.replace(&format!("name='{from}'"), &format!("name='={to}'"))
        });
        let (faces, problems) = read(text.replace("='=", "='")).unwrap();
        assert!(problems.is_empty(), "{names:?}: {problems:?}");
        assert_eq!(faces.annotations()[0].points, [[1.0, 2.0], [3.5, 4.0], [5.0, 6.0]], "{names:?}");
    }
}

#[test]
fn names_in_latin_1_are_read_as_the_file_says() {
    let latin: Vec<u8> = DOCUMENT.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    assert_eq!(read(latin).unwrap().0.annotations()[1].image.to_str(), Some("gr\u{fc}n.png"));
}

#[test]
fn damaged_boxes_are_named_and_the_others_kept() {
    for (from, to, kept, what) in [
        ("x='3.5'", "x='left'", 1, "line 11: x: expected a finite number, got `left`"),
        ("x='3.5'", "x='NaN'", 1, "line 11: x: expected a finite number"),
        ("x='3.5' ", "", 1, "line 11: x: expected an attribute of this name, got none"),
        ("x='3.5'", "x='&lol;'", 1, "line 11: row: expected XML"),
        ("name='01'", "name='00'", 1, "line 11: part: expected each name once in a box, got `00`"),
        ("name='01'", "name='0'", 1, "line 8: part name: expected point 0 once in a box"),
        (
            "name='01'",
            "name='nose'",
            1,
            "line 8: part name: expected a number from 0 to 2 or a name of scheme `paw`",
        ),
        ("width='10'", "width='0'", 1, "line 8: box: expected a box with an area"),
        ("top='2' ", "", 1, "line 8: top: expected an attribute of this name"),
        ("file='set/a", "file='../a", 1, "line 7: image: expected a path below the image folder"),
        ("height='16'", "height='tall'", 1, "line 7: height: expected a whole number, got `tall`"),
    ] {
        let text = DOCUMENT.replacen(from, to, 1);
        assert_ne!(text, DOCUMENT, "{from}");
        let (faces, problems) = read(text).unwrap();
        assert_eq!((faces.len(), problems.len()), (kept, 1), "{what}: {problems:?}");
        assert_contains(&problems[0], &["faces.xml: ", what]);
    }
}

#[test]
fn what_is_no_such_file_is_refused_with_its_line() {
    for (text, part) in [
        (DOCUMENT.replace("</image>", "</img>"), "line 18: row: expected XML"),
        (
            "<annotation><object/></annotation>".into(),
            "expected XML with an element `dataset`, as imglab writes it",
        ),
        (
            DOCUMENT.split("  <image file='gr").next().unwrap().into(),
            "expected the ends of all elements, got the end, 2 still open",
        ),
        ("x,y\n1,2\n".into(), "expected XML with an element `dataset`"),
        (String::new(), "expected XML with an element `dataset`"),
    ] {
        assert_contains(&read(text).err().unwrap(), &["faces.xml", part]);
    }
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("a.xml"), "<dataset><images/></dataset>");
    let empty = imglab::open(dir.path().join("a.xml"), dir.path(), scheme()).unwrap_err().to_string();
    assert_contains(&empty, &["a.xml", "boxes that have parts"]);
}
