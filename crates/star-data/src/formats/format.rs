//! The formats by name: their splits, subsets, schemes, and the numbers of faces that were published.

use serde::{Deserialize, Serialize};

use super::{face300vw, face300w, wflw};

/// A format of annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Rows as the method's reference reads them: [`super::tsv`].
    Tsv,
    /// One folder of `.pts` files: [`super::pts`].
    Pts,
    /// WFLW: [`super::wflw`].
    Wflw,
    /// 300W: [`super::face300w`].
    #[serde(rename = "300w")]
    Face300w,
    /// COFW: [`super::cofw`].
    Cofw,
    /// 300VW: [`super::face300vw`].
    #[serde(rename = "300vw")]
    Face300vw,
    /// COCO keypoints: [`super::coco`].
    Coco,
    /// TOML and CSV: [`super::own`].
    Own,
}

/// A published division of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To train on.
    Train,
    /// To test on.
    Test,
    /// 300W's second test, once kept back.
    Private,
}

impl std::fmt::Display for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
            Self::Private => "private",
        })
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tsv => "tsv",
            Self::Pts => "pts",
            Self::Wflw => "wflw",
            Self::Face300w => "300w",
            Self::Cofw => "cofw",
            Self::Face300vw => "300vw",
            Self::Coco => "coco",
            Self::Own => "own",
        })
    }
}

impl Format {
    /// The scheme of its points, where the format has one.
    pub fn scheme(self) -> Option<&'static str> {
        match self {
            Self::Wflw => Some(wflw::SCHEME),
            Self::Face300w | Self::Face300vw => Some(face300w::SCHEME),
            Self::Cofw => Some(super::cofw::SCHEME),
            Self::Tsv | Self::Pts | Self::Coco | Self::Own => None,
        }
    }

    /// The published splits that it is divided into, none where a file is all there is.
    pub fn splits(self) -> &'static [Split] {
        match self {
            Self::Face300w => &[Split::Train, Split::Test, Split::Private],
            Self::Wflw | Self::Cofw | Self::Face300vw => &[Split::Train, Split::Test],
            Self::Tsv | Self::Pts | Self::Coco | Self::Own => &[],
        }
    }

    /// Names of the subsets of a split.
    pub fn subsets(self, split: Split) -> Vec<&'static str> {
        match self {
            Self::Wflw => wflw::ATTRIBUTES.to_vec(),
            Self::Face300w => face300w::subsets(split),
            Self::Face300vw if split == Split::Test => face300vw::SUBSETS.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Number of faces that was published for a split, or for a subset of it, where one was.
    pub fn published(self, split: Split, subset: Option<&str>) -> Option<usize> {
        let subset = match self {
            Self::Wflw => subset.and_then(wflw::attribute).or(subset),
            _ => subset,
        };
        Some(match (self, split, subset.map(str::to_lowercase).as_deref()) {
            (Self::Wflw, Split::Train, None) => 7500,
            (Self::Wflw, Split::Test, None) => 2500,
            (Self::Wflw, Split::Test, Some("pose")) => 326,
            (Self::Wflw, Split::Test, Some("expression")) => 314,
            (Self::Wflw, Split::Test, Some("illumination")) => 698,
            (Self::Wflw, Split::Test, Some("make-up")) => 206,
            (Self::Wflw, Split::Test, Some("occlusion")) => 736,
            (Self::Wflw, Split::Test, Some("blur")) => 773,
            (Self::Face300w, Split::Train, None) => 3148,
            (Self::Face300w, Split::Train, Some("afw")) => 337,
            (Self::Face300w, Split::Train, Some("helen")) => 2000,
            (Self::Face300w, Split::Train, Some("lfpw")) => 811,
            (Self::Face300w, Split::Test, None) => 689,
            (Self::Face300w, Split::Test, Some("common")) => 554,
            (Self::Face300w, Split::Test, Some("helen")) => 330,
            (Self::Face300w, Split::Test, Some("lfpw")) => 224,
            (Self::Face300w, Split::Test, Some("challenging" | "ibug")) => 135,
            (Self::Face300w, Split::Private, None) => 600,
            (Self::Face300w, Split::Private, Some("indoor" | "outdoor")) => 300,
            (Self::Cofw, Split::Train, None) => 1345,
            (Self::Cofw, Split::Test, None) => 507,
            (Self::Face300vw, Split::Test, Some("broken")) => 2127,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_subsets_add_up() {
        let count = |split, subset| Format::Face300w.published(split, subset).unwrap();
        let train = ["afw", "helen", "lfpw"].map(|name| count(Split::Train, Some(name)));
        assert_eq!(train.iter().sum::<usize>(), count(Split::Train, None));
        let test = ["common", "challenging"].map(|name| count(Split::Test, Some(name)));
        assert_eq!(test.iter().sum::<usize>(), count(Split::Test, None));
        assert_eq!(Format::Wflw.published(Split::Test, Some("largepose")), Some(326));
    }
}
