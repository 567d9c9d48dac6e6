//! Frames of videos among the samples of a data set, and how much landmarks jitter in them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use star_eval::{Case, Jitter, JitterSummary};

/// Folders that hold the frames of the video whose folder is above them.
const FRAME_FOLDERS: [&str; 6] = ["annot", "frames", "images", "imgs", "img", "extraction"];

/// Jitter of all videos, of each subset that frames are tagged with, and of each video; frames are put in the order of the numbers
/// that their names end in, and numbers left out are not stepped over.
///
/// # Errors
/// Names the frame that does not fit.
pub fn measure(cases: &[Case]) -> Result<Vec<JitterSummary>> {
    let mut videos: BTreeMap<(String, usize), Vec<(u64, usize)>> = BTreeMap::new();
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, case) in cases.iter().enumerate() {
        let (video, frame) = place(&case.name);
        // A second face of the same frame is another sequence.
        let face = taken.entry(&case.name).or_default();
        videos.entry((video, *face)).or_default().push((frame.unwrap_or(index as u64), index));
        *face += 1;
    }
    let mut all: Vec<(String, Jitter, usize)> = Vec::new();
    let mut each = Vec::new();
    for ((name, face), mut frames) in videos {
        frames.sort_unstable();
        let mut jitter = Jitter::new(cases[frames[0].1].truth.len())?;
        let mut before: Option<u64> = None;
        for &(frame, index) in &frames {
            if before.is_some_and(|before| frame != before + 1) {
                jitter.cut();
            }
            before = Some(frame);
            let case = &cases[index];
            jitter.frame(case.predicted.as_deref(), &case.truth).with_context(|| case.name.clone())?;
        }
        let mut sums = vec!["all".to_string()];
        sums.extend(cases[frames[0].1].subsets.iter().cloned());
        for sum in sums {
            match all.iter_mut().find(|(name, ..)| *name == sum) {
                Some((_, total, videos)) => {
                    total.merge(&jitter)?;
                    *videos += 1;
                }
                None => all.push((sum, jitter.clone(), 1)),
            }
        }
        let name =
            if face == 0 { format!("video {name}") } else { format!("video {name}, face {}", face + 1) };
        each.push(jitter.summary(name, 1));
    }
    Ok(all.into_iter().map(|(name, jitter, videos)| jitter.summary(name, videos)).chain(each).collect())
}

/// The video that a frame is of.
pub fn of(frame: &Path) -> String {
    place(&frame.to_string_lossy()).0
}

/// The video's name and the frame's number.
fn place(name: &str) -> (String, Option<u64>) {
    let name = name.replace('\\', "/");
    let path = Path::new(&name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let digits = stem.len() - stem.chars().rev().take_while(char::is_ascii_digit).count();
    let mut folder = path.parent().unwrap_or(Path::new(""));
    if folder.file_name().is_some_and(|last| FRAME_FOLDERS.iter().any(|f| last.eq_ignore_ascii_case(f))) {
        folder = folder.parent().unwrap_or(folder);
    }
    let video =
        folder.file_name().map_or_else(|| ".".to_string(), |last| last.to_string_lossy().into_owned());
    (video, stem[digits..].parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, off: f32, tag: &str) -> Case {
        let truth = vec![[0.0, 0.0], [256.0, 256.0]];
        Case {
            name: name.into(),
            subsets: vec![tag.into()],
            predicted: Some(truth.iter().map(|[x, y]| [x + off, *y]).collect()),
            truth,
            ..Default::default()
        }
    }

    #[test]
    fn a_frame_is_known_by_its_folder_and_number() {
        assert_eq!(place("300VW/114/annot/000012.pts"), ("114".into(), Some(12)));
        assert_eq!(place("vids\\a\\frame_7.jpg"), ("a".into(), Some(7)));
        assert_eq!(place("still.png"), (".".into(), None));
    }

    #[test]
    fn videos_are_summed_by_tag_and_frames_are_put_in_order() {
        let cases = [
            frame("a/3.jpg", 2.0, "category1"),
            frame("a/1.jpg", 0.0, "category1"),
            frame("a/2.jpg", 1.0, "category1"),
            frame("a/9.jpg", 50.0, "category1"),
            frame("b/1.jpg", 0.0, "category2"),
            frame("b/2.jpg", 3.0, "category2"),
        ];
        let rows = measure(&cases).unwrap();
        let names: Vec<(&str, usize, usize)> =
            rows.iter().map(|r| (r.name.as_str(), r.videos, r.pairs)).collect();
        let expected =
            [("all", 2, 3), ("category1", 1, 2), ("category2", 1, 1), ("video a", 1, 2), ("video b", 1, 1)];
        assert_eq!(names, expected);
        // Steps of one pixel on a face of 256 px, and one of three.
        let nmj: Vec<f64> = rows.iter().map(|r| r.nmj.unwrap()).collect();
        for (found, wanted) in nmj.iter().zip([500.0 / 3.0, 100.0, 300.0, 100.0, 300.0]) {
            assert!((found - wanted).abs() < 1e-6, "{nmj:?}");
        }
    }
}
