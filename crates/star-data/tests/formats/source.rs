//! `Source`: every format by its name, with subsets, crops, mapped schemes and the reference's faults.

use star_data::crop::CropRule;
use star_data::formats::tsv::{self, format_annotation};
use star_data::formats::{Compat, Format, Source, Split};
use star_data::scheme_map::Detail;
use star_data::{Dataset, Scheme};

use super::{assert_contains, image, points, wflw, write};

#[test]
fn a_data_set_is_opened_by_name_with_its_published_number() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(dir.path());
    let source = Source { subset: Some("makeup".into()), ..Source::new(Format::Wflw, dir.path()) };
    let opened = source.open().unwrap();
    assert_eq!((opened.dataset.len(), opened.published), (1, Some(206)));
    let train = Source { split: Some(Split::Train), ..Source::new(Format::Wflw, dir.path()) };
    assert_eq!((train.open().unwrap().published, train.open().unwrap().dataset.len()), (Some(7500), 1));
    let none = Source { split: Some(Split::Private), ..train };
    assert_contains(&none.open().err().unwrap().to_string(), &["split: expected train, test, got private"]);
}

#[test]
fn ninety_eight_points_become_sixty_eight_with_their_own_crop() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(dir.path());
    let wanted =
        Source { scheme: Some(Scheme::named("300w").unwrap()), ..Source::new(Format::Wflw, dir.path()) };
    assert_contains(
        &wanted.open().err().unwrap().to_string(),
        &["68 points of scheme `ibug68`", "map the points"],
    );
    let mapped = Source { map: Some(Detail::Pick), ..wanted }.open().unwrap().strict().unwrap();
    let (sample, all) = (mapped.get(0).unwrap(), points(98, 1.0));
    assert_eq!((mapped.scheme().keypoints, sample.points[36], sample.points[67]), (68, all[60], all[95]));
    assert_eq!(sample.face, CropRule::LandmarkTight.face(&sample.points).unwrap());
}

#[test]
fn a_scheme_of_ones_own_for_the_same_points_goes_before_the_formats() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(dir.path());
    let mine: Scheme = toml::from_str("name = \"mine\"\nkeypoints = 98").unwrap();
    let source = Source { scheme: Some(mine.clone()), ..Source::new(Format::Wflw, dir.path()) };
    let set = source.open().unwrap().strict().unwrap();
    assert_eq!((set.scheme(), set.get(0).unwrap().points), (&mine, points(98, 1.0)));
}

#[test]
fn the_crop_rule_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(dir.path());
    let side = |crop| {
        let source = Source { crop, ..Source::new(Format::Wflw, dir.path()) };
        let set = source.open().unwrap().strict().unwrap();
        assert_eq!(set.get(0).unwrap().face, set.annotation(0).unwrap().face);
        set.get(0).unwrap().face.side()
    };
    // points 24.25 x 18; rectangle 30 x 50
    assert!((side(None) - 25.0).abs() < 1e-4);
    assert!((side(Some(CropRule::ReferenceDemo)) - 1.05 * 18.0).abs() < 1e-4);
    assert_eq!(side(Some(CropRule::Stated)), 50.0);
}

#[test]
fn rows_written_from_the_raw_archive_are_read_as_the_same_faces() {
    let dir = tempfile::tempdir().unwrap();
    wflw::archive(dir.path());
    let raw = Source::new(Format::Wflw, dir.path()).open().unwrap().strict().unwrap();
    let rows: Vec<String> = (0..raw.len())
        .map(|i| {
            format_annotation(&raw.annotation(i).unwrap(), raw.scheme(), CropRule::LandmarkTight).unwrap()
        })
        .collect();
    let path = dir.path().join("test.tsv");
    write(&path, rows.join("\n"));
    let images = dir.path().join("WFLW_images");
    let tsv = tsv::open(&path, &images, raw.scheme().clone()).unwrap();
    assert_eq!(tsv.len(), raw.len());
    for i in 0..raw.len() {
        let (a, b) = (raw.get(i).unwrap(), tsv.get(i).unwrap());
        assert_eq!((a.points, a.face, a.tags, a.image), (b.points, b.face, b.tags, b.image));
    }
    // and the reference's reader loses the first of them
    let scheme = Some(raw.scheme().clone());
    let source =
        Source { images: Some(images), compat: Compat::Reference, scheme, ..Source::new(Format::Tsv, path) };
    let opened = source.open().unwrap();
    assert_eq!((opened.dataset.len(), opened.dataset.source(0)), (3, raw.source(1)));
    assert_contains(&opened.notes[0], &["first row is dropped"]);
    let blurred = Source { subset: Some("Expression".into()), ..source };
    assert_eq!(blurred.open().unwrap().dataset.len(), 1);
    let none = Source { subset: Some("hats".into()), ..blurred };
    assert_contains(&none.open().err().unwrap().to_string(), &["empty", "faces of subset `hats`"]);
}

#[test]
fn forms_that_say_no_scheme_need_one() {
    let dir = tempfile::tempdir().unwrap();
    image(&dir.path().join("a.png"), 1);
    let message = Source::new(Format::Pts, dir.path()).open().err().unwrap().to_string();
    let names = "one of wflw98, ibug68, cofw29, or a TOML file";
    assert_contains(&message, &["scheme: expected a scheme, which format pts does not say", names]);
}
