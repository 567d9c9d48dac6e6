//! The published data sets: where they are looked for, how they are laid out, whose they are, what is measured on them.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use star_data::formats::{Compat, Format, Opened, Source, Split};
use star_data::{Error, Scheme};

use crate::args::Profile;

/// One data set.
pub(crate) struct RealSet {
    /// As it is typed after `--profile`.
    pub(crate) key: &'static str,
    /// As readers know it.
    pub(crate) name: &'static str,
    format: Format,
    /// Names of its folder below `--data`, the usual one first.
    folders: &'static [&'static str],
    /// What the folder holds.
    pub(crate) layout: &'static str,
    /// Where its owners give it out, and on which terms.
    pub(crate) terms: &'static str,
    pub(crate) scheme: &'static str,
    /// Normalizer of its tables.
    pub(crate) normalizer: &'static str,
    /// Thresholds of failure rate and area, fractions.
    pub(crate) thresholds: &'static [f64],
    /// Published weights by name; `None` where none are known.
    pub(crate) weights: Option<&'static str>,
    /// Subsets of the test split that tables have a row for.
    pub(crate) subsets: &'static [&'static str],
}

const SETS: [RealSet; 4] = [
    RealSet {
        key: "wflw",
        name: "WFLW",
        format: Format::Wflw,
        folders: &["WFLW", "wflw"],
        layout: "WFLW_images/0--Parade/...jpg\n  WFLW_annotations/list_98pt_rect_attr_train_test/list_98pt_rect_attr_{train,test}.txt",
        terms: "https://wywu.github.io/projects/LAB/WFLW.html; photographs under CC BY-NC-ND: not for commercial use, not to be passed on changed",
        scheme: "wflw98",
        normalizer: "inter-ocular",
        thresholds: &[0.10],
        weights: Some("star-wflw"),
        subsets: &["pose", "expression", "illumination", "make-up", "occlusion", "blur"],
    },
    RealSet {
        key: "300w",
        name: "300W",
        format: Format::Face300w,
        folders: &["300W", "300w", "ibug_300W_large_face_landmark_dataset"],
        layout: "afw/  helen/{trainset,testset}/  lfpw/{trainset,testset}/  ibug/\n  each with NAME.pts beside NAME.jpg or NAME.png",
        terms: "https://ibug.doc.ic.ac.uk/resources/300-W/; for research only, which its owners extend to models trained on it",
        scheme: "ibug68",
        normalizer: "inter-ocular",
        thresholds: &[0.05, 0.08, 0.10],
        weights: Some("star-300w"),
        subsets: &["common", "challenging"],
    },
    RealSet {
        key: "cofw",
        name: "COFW",
        format: Format::Cofw,
        folders: &["COFW", "COFW_color", "cofw"],
        layout: "COFW_train_color.mat  COFW_test_color.mat (MATLAB v7.3)",
        terms: "https://data.caltech.edu/records/20099 (Caltech Occluded Faces in the Wild), under the terms stated there",
        scheme: "cofw29",
        normalizer: "inter-pupil",
        thresholds: &[0.10],
        weights: None,
        subsets: &[],
    },
    RealSet {
        key: "300vw",
        name: "300VW",
        format: Format::Face300vw,
        folders: &["300VW", "300VW_Dataset_2015_12_14", "300vw"],
        layout: "001/vid.avi  001/annot/000001.pts ...  (frames/ beside annot/ where the videos are unpacked)",
        terms: "https://ibug.doc.ic.ac.uk/resources/300-VW/; given out on registration, for research only",
        scheme: "ibug68",
        normalizer: "inter-ocular",
        thresholds: &[0.05, 0.08],
        weights: Some("star-300w"),
        subsets: &["category1", "category2", "category3"],
    },
];

/// A set that was found.
pub(crate) struct Located {
    pub(crate) dir: PathBuf,
    format: Format,
}

impl RealSet {
    /// The sets of a profile.
    pub(crate) fn of(profile: Profile) -> Vec<&'static RealSet> {
        SETS.iter().filter(|set| profile == Profile::All || set.key == profile.name()).collect()
    }

    /// The set that is typed so.
    pub(crate) fn named(key: &str) -> Option<&'static RealSet> {
        SETS.iter().find(|set| set.key == key)
    }

    /// The scheme of its points.
    ///
    /// # Errors
    /// Never in practice: the schemes are built in.
    pub(crate) fn scheme(&self) -> Result<Scheme> {
        Ok(Scheme::named(self.scheme)?)
    }

    /// Number of faces that was published for a split and subset.
    pub(crate) fn published(&self, split: Split, subset: &str) -> Option<usize> {
        self.format.published(split, Some(subset).filter(|name| *name != "full"))
    }

    /// Its folder below `data`: the first of its names that is there, or `data` itself where a test split can be read from it. Under
    /// the reference's reading the published `test.tsv` goes before the archive, because only it has the order of the rows.
    pub(crate) fn locate(&self, data: Option<&Path>, compat: Compat) -> Option<Located> {
        let data = data?;
        let named = self.folders.iter().map(|name| data.join(name)).filter(|dir| dir.is_dir());
        for dir in named.chain([data.to_path_buf()]) {
            if compat == Compat::Reference && dir.join("test.tsv").is_file() {
                return Some(Located { dir, format: Format::Tsv });
            }
            let found = Located { dir, format: self.format };
            if found.source(self, Split::Test, compat).ok().is_some_and(|source| source.open().is_ok()) {
                return Some(found);
            }
        }
        None
    }

    /// What a person needs who does not have it.
    pub(crate) fn missing(&self, data: Option<&Path>) -> String {
        let asked: Vec<String> = match data {
            Some(data) => self
                .folders
                .iter()
                .map(|name| data.join(name).display().to_string())
                .chain([format!("{} itself", data.display())])
                .collect(),
            None => vec![format!("nowhere: name the folder that holds {} with --data", self.folders[0])],
        };
        // What keeps the usual folder from being read, where there is one.
        let wrong = data.and_then(|data| {
            let dir = self.folders.iter().map(|name| data.join(name)).find(|dir| dir.is_dir())?;
            Source::new(self.format, dir)
                .open()
                .err()
                .map(|error: Error| format!("\n  what is there: {error}"))
        });
        format!(
            "{} is not there; it is never downloaded.\n  looked for in: {}\n  expected in it: {}\n  from: {}{}",
            self.name,
            asked.join(", "),
            self.layout,
            self.terms,
            wrong.unwrap_or_default()
        )
    }
}

impl Located {
    /// A split as it is read.
    ///
    /// # Errors
    /// For a training split of a TSV folder without it.
    pub(crate) fn source(&self, set: &RealSet, split: Split, compat: Compat) -> Result<Source> {
        if self.format == Format::Tsv {
            let file = self.dir.join(format!("{split}.tsv"));
            if !file.is_file() {
                bail!("{}: no such file, which --compat reference reads", file.display())
            }
            return Ok(Source { scheme: Some(set.scheme()?), compat, ..Source::new(Format::Tsv, file) });
        }
        Ok(Source {
            split: Some(split),
            scheme: Some(set.scheme()?),
            compat,
            ..Source::new(self.format, &self.dir)
        })
    }

    /// Opens a split; rows that cannot be used are an error, but for 300VW, where some always are.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn open(&self, set: &RealSet, split: Split, compat: Compat) -> Result<Opened> {
        let opened = self.source(set, split, compat)?.open()?;
        let problems = match self.format {
            Format::Face300vw => star_train::config::Problems::LeaveOut,
            _ => star_train::config::Problems::Refuse,
        };
        star_train::config::usable(opened, problems, &mut |text| eprintln!("{text}"))
    }

    /// Format, for a training file.
    pub(crate) fn format(&self) -> Format {
        self.format
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_says_where_how_and_whose() {
        let dir = tempfile::tempdir().unwrap();
        for set in RealSet::of(Profile::All) {
            assert!(set.locate(Some(dir.path()), Compat::None).is_none());
            let text = set.missing(Some(dir.path()));
            for part in [set.name, set.folders[0], "never downloaded", "https://", "expected in it"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(set.missing(None).contains("--data"));
        }
        assert_eq!(RealSet::of(Profile::Face300w).len(), 1);
    }

    #[test]
    fn a_folder_of_the_right_name_with_something_else_says_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("WFLW")).unwrap();
        let set = RealSet::of(Profile::Wflw)[0];
        assert!(set.locate(Some(dir.path()), Compat::None).is_none());
        assert!(set.missing(Some(dir.path())).contains("what is there: "));
    }
}
