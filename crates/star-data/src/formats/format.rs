//! The formats by name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::definition::{Definition, Found, Request, Split};
use crate::crop::CropRule;
use crate::{Error, Result};

macro_rules! formats {
    ($($(#[doc = $doc:literal])* $name:ident => $definition:expr,)*) => {
        /// A format of annotations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum Format {
            $($(#[doc = $doc])* $name,)*
        }

        impl Format {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            fn definition(self) -> &'static dyn Definition {
                match self {
                    $(Self::$name => &$definition,)*
                }
            }
        }
    };
}

formats! {
    /// Rows as the method's reference reads them: [`super::tsv`].
    Tsv => super::tsv::Tsv,
    /// One folder of `.pts` files: [`super::pts`].
    Pts => super::pts::Pts,
    /// WFLW: [`super::wflw`].
    Wflw => super::wflw::Wflw,
    /// 300W: [`super::face300w`].
    Face300w => super::face300w::Face300w,
    /// COFW: [`super::cofw`].
    Cofw => super::cofw::Mat,
    /// 300VW: [`super::face300vw`].
    Face300vw => super::face300vw::Videos,
    /// COCO keypoints: [`super::coco`].
    Coco => super::coco::Coco,
    /// CSV files of HRNet-Facial-Landmark-Detection: [`super::hrnet`].
    Hrnet => super::hrnet::Hrnet,
    /// XML files of dlib's imglab: [`super::imglab`].
    Imglab => super::imglab::Imglab,
    /// menpo's `.ljson` files: [`super::ljson`].
    Ljson => super::ljson::Ljson,
    /// TOML and CSV: [`super::own`].
    Own => super::own::Own,
}

impl Format {
    /// What users call it: `wflw`, `300w`, ...
    pub fn name(self) -> &'static str {
        self.definition().name()
    }

    /// What lies on disk, in a line.
    pub fn about(self) -> &'static str {
        self.definition().about()
    }

    /// The scheme of its points, where the format has one.
    pub fn scheme(self) -> Option<&'static str> {
        self.definition().scheme()
    }

    /// The published splits that it is divided into, none where a file is all there is.
    pub fn splits(self) -> &'static [Split] {
        self.definition().splits()
    }

    /// Names of the published subsets of a split.
    pub fn subsets(self, split: Split) -> Vec<&'static str> {
        self.definition().subsets(split)
    }

    /// Number of faces that was published for a split, or for a subset of it, where one was.
    pub fn published(self, split: Split, subset: Option<&str>) -> Option<usize> {
        self.definition().published(split, subset)
    }

    /// The crop rule that the published models were trained with on data of this format.
    pub fn crop(self) -> CropRule {
        self.definition().crop()
    }

    /// Whether some split has published subsets; elsewhere a subset is a tag.
    pub(super) fn cuts_paths(self) -> bool {
        self.definition().cuts_paths()
    }

    pub(super) fn has_subsets(self) -> bool {
        self.splits().iter().any(|split| !self.subsets(*split).is_empty())
    }

    pub(super) fn read(self, request: &Request) -> Result<Found> {
        self.definition().read(request)
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Format> for &'static str {
    fn from(format: Format) -> Self {
        format.name()
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.iter().find(|format| format.name() == name).copied().ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|format| format.name()).collect();
            Error::Config { field: "format", expected: known.join(", "), got: format!("`{name}`") }
        })
    }
}

impl TryFrom<String> for Format {
    type Error = Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_under_its_name_and_others_are_refused() {
        for format in Format::ALL {
            assert_eq!(format.name().parse::<Format>().unwrap(), *format);
            assert!(!format.about().is_empty());
        }
        let message = "xml".parse::<Format>().unwrap_err().to_string();
        assert!(message.contains("tsv, pts, wflw") && message.contains("`xml`"), "{message}");
    }

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
