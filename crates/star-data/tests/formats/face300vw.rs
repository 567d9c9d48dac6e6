//! 300VW's videos.

use std::path::Path;

use star_data::Dataset;
use star_data::formats::face300vw::{self, Options};
use star_data::formats::{Split, pts};

use super::{assert_contains, image, points, write};

fn annotate(root: &Path, video: &str, frame: u32, shift: f32) {
    write(&root.join(format!("{video}/annot/{frame:06}.pts")), pts::format(&points(68, shift)));
}

/// Videos 001 (train), 114 (category 1), 540 (category 1, frame 744 is known to be broken), 203 (category 2), 562 (category 3).
fn archive(root: &Path) {
    for (video, folder, first) in
        [("001", "frames", 1), ("114", "imgs", 0), ("203", "extraction", 1), ("562", ".", 1)]
    {
        for frame in 1..=2 {
            annotate(root, video, frame, frame as f32 * 3.0);
            image(&root.join(format!("{video}/{folder}/{:06}.png", frame - 1 + first)), (10 * frame) as u8);
        }
    }
    for frame in 743..=745 {
        annotate(root, "540", frame, 1.0);
        image(&root.join(format!("540/frames/{frame:06}.png")), 90);
    }
}

fn read(root: &Path, split: Split, subset: Option<&str>) -> face300vw::Read {
    face300vw::read(root, &Options::default(), split, subset).unwrap()
}

#[test]
fn frames_of_every_category_come_back_and_broken_ones_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    let test = read(dir.path(), Split::Test, None);
    assert!(test.problems.is_empty(), "{:?}", test.problems);
    // 114: 2, 540: 743 and 745, 203: 2, 562: 2
    assert_eq!((test.faces.len(), test.broken, test.missing.len()), (8, 1, 60));
    for i in 0..2 {
        let sample = test.faces.get(i).unwrap();
        assert_eq!(sample.points, points(68, 3.0 + 3.0 * i as f32));
        assert_eq!(sample.image.get_pixel(0, 0).0[0], 10 * (i as u8 + 1), "{:?}", sample.source);
        assert_eq!(sample.tags, ["category1"]);
    }
    let count = |subset| read(dir.path(), Split::Test, Some(subset)).faces.len();
    assert_eq!(["category1", "Category_2", "category-3", "broken"].map(count), [4, 2, 2, 1]);
    assert_eq!(read(dir.path(), Split::Train, None).faces.len(), 2);
    let none = face300vw::read(&dir.path().join("001"), &Options::default(), Split::Test, None);
    assert_contains(&none.err().unwrap().to_string(), &["videos of test, such as 114/annot/000001.pts"]);
}

#[test]
fn damaged_and_missing_frames_are_reported_and_the_rest_read() {
    let dir = tempfile::tempdir().unwrap();
    archive(dir.path());
    write(&dir.path().join("203/annot/000003.pts"), "version: 1\n");
    annotate(dir.path(), "203", 4, 1.0);
    write(&dir.path().join("203/annot/last.pts"), pts::format(&points(68, 1.0)));
    let read = read(dir.path(), Split::Test, Some("category2"));
    assert_eq!((read.faces.len(), read.problems.len()), (2, 3));
    let text: Vec<String> = read.problems.iter().map(ToString::to_string).collect();
    assert_contains(
        &text.join(" | "),
        &["000003.pts: line 2: {", "000004.pts: line 1: image: expected frame 4", "last.pts: line 1: name"],
    );
}

/// A program that takes ffmpeg's arguments and writes two frames where the last of them says.
#[cfg(unix)]
fn stand_in(dir: &Path, frame: &Path) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join("stand-in");
    let script = format!(
        "#!/bin/sh\nfor last; do :; done\ncp '{frame}' \"$(printf \"$last\" 1)\"\ncp '{frame}' \"$(printf \"$last\" 2)\"\n\
         echo run >> '{}'\n",
        dir.join("runs").display(),
        frame = frame.display(),
    );
    write(&path, script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn frames_are_extracted_once_when_first_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (root, tools) = (dir.path().join("300VW"), dir.path().join("tools"));
    for frame in 1..=3 {
        annotate(&root, "562", frame, 1.0);
    }
    write(&root.join("562/vid.avi"), "video");
    image(&tools.join("frame.jpg"), 200);
    let ffmpeg = stand_in(&tools, &tools.join("frame.jpg"));
    let images = dir.path().join("elsewhere");
    let options = Options { images: Some(images.clone()), ffmpeg };
    let open = || face300vw::read(&root, &options, Split::Test, None).unwrap();
    let first = open().faces;
    assert_eq!((first.len(), first.to_extract()), (3, 1));
    std::thread::scope(|scope| {
        for i in [0, 1, 0, 1] {
            let first = &first;
            scope.spawn(move || assert!(first.get(i).unwrap().image.get_pixel(0, 0).0[0] > 180));
        }
    });
    // the video has two frames, the annotations three
    assert_contains(&first.get(2).unwrap_err().to_string(), &["frames", "000003.jpg"]);
    let second = open();
    assert_eq!((second.faces.len(), second.faces.to_extract(), second.problems.len()), (2, 0, 1));
    second.faces.get(1).unwrap();
    assert_eq!(std::fs::read_to_string(tools.join("runs")).unwrap(), "run\n");
    assert_eq!(std::fs::read_dir(images.join("562")).unwrap().count(), 1);
}

#[test]
fn without_frames_and_without_ffmpeg_it_is_said_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    annotate(dir.path(), "562", 1, 1.0);
    let options = Options { images: None, ffmpeg: "no-such-program".into() };
    let message = || {
        let read = face300vw::read(dir.path(), &options, Split::Test, None).unwrap();
        assert_eq!(read.faces.to_extract(), 1);
        read.faces.get(0).unwrap_err().to_string()
    };
    assert_contains(&message(), &["vid.avi", "no video to extract frames from", "000001.jpg"]);
    write(&dir.path().join("562/vid.avi"), "video");
    assert_contains(
        &message(),
        &["`no-such-program` cannot be run", "install ffmpeg", "extract the frames yourself"],
    );
}
