//! Which videos of 300VW belong to which split and category, and which frames are known to be broken.

use std::collections::{BTreeMap, BTreeSet};

/// Well lit, still heads: category 1 of the test, 31 videos.
pub(super) const CATEGORY_1: &[&str] = &[
    "114", "124", "125", "126", "150", "158", "401", "402", "505", "506", "507", "508", "509", "510", "511",
    "514", "515", "518", "519", "520", "521", "522", "524", "525", "537", "538", "540", "541", "546", "547",
    "548",
];

/// Other lighting: category 2 of the test, 19 videos.
pub(super) const CATEGORY_2: &[&str] = &[
    "203", "208", "211", "212", "213", "214", "218", "224", "403", "404", "405", "406", "407", "408", "409",
    "412", "550", "551", "553",
];

/// Anything at all: category 3 of the test, 14 videos.
pub(super) const CATEGORY_3: &[&str] =
    &["410", "411", "516", "517", "526", "528", "529", "530", "531", "533", "557", "558", "559", "562"];

/// The training videos, 50.
pub(super) const TRAIN: &[&str] = &[
    "001", "002", "003", "004", "007", "009", "010", "011", "013", "015", "016", "017", "018", "019", "020",
    "022", "025", "027", "028", "029", "031", "033", "034", "035", "037", "039", "041", "043", "044", "046",
    "047", "048", "049", "053", "057", "059", "112", "113", "115", "119", "120", "123", "138", "143", "144",
    "160", "204", "205", "223", "225",
];

/// Frames known to be broken, with their source.
const BROKEN: &str = include_str!("../../tables/face300vw_broken.txt");

/// The broken frames of each video, by the number of their `.pts` file.
pub(super) fn broken() -> BTreeMap<&'static str, BTreeSet<u32>> {
    let rows = BROKEN.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(':'));
    rows.map(|(video, ranges)| (video, ranges.split_whitespace().filter_map(range).flatten().collect()))
        .collect()
}

fn range(text: &str) -> Option<std::ops::RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_video_stands_once_and_the_numbers_are_the_published_ones() {
        let lists = [TRAIN, CATEGORY_1, CATEGORY_2, CATEGORY_3];
        assert_eq!(lists.map(<[_]>::len), [50, 31, 19, 14]);
        let all: BTreeSet<&str> = lists.concat().into_iter().collect();
        assert_eq!(all.len(), 114);
    }

    #[test]
    fn sixteen_test_videos_hold_2127_broken_frames() {
        let broken = broken();
        assert_eq!((broken.len(), broken.values().map(BTreeSet::len).sum::<usize>()), (16, 2127));
        let test = [CATEGORY_1, CATEGORY_2, CATEGORY_3].concat();
        assert!(broken.keys().all(|video| test.contains(video)));
        assert!(broken["540"].contains(&744) && !broken["540"].contains(&745));
    }
}
