//! What a format of annotations is to the rest of the program: each module of a format has one [`Definition`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::annotated::Read;
use super::folder_of;
use super::paths::Paths;
use crate::crop::CropRule;
use crate::{Dataset, Error, Result, Scheme};

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

/// Whether known faults of the method's reference implementation are repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compat {
    /// They are not.
    #[default]
    None,
    /// They are: of a TSV file the first row is dropped, which the reference takes for a header; COFW's points stay 1-based.
    Reference,
}

/// A format of annotations.
pub(super) trait Definition: Sync {
    /// What users call it.
    fn name(&self) -> &'static str;

    /// What lies on disk, for a line of help.
    fn about(&self) -> &'static str;

    /// The scheme of its points, where the format has one.
    fn scheme(&self) -> Option<&'static str> {
        None
    }

    /// The published splits that it is divided into, none where a file is all there is.
    fn splits(&self) -> &'static [Split] {
        &[]
    }

    /// Names of the published subsets of a split. A format that has some reads `Request::subset` itself; in others a subset is a tag.
    fn subsets(&self, split: Split) -> Vec<&'static str> {
        let _ = split;
        Vec::new()
    }

    /// Number of faces that was published for a split, or for a subset of it, where one was.
    fn published(&self, split: Split, subset: Option<&str>) -> Option<usize> {
        let _ = (split, subset);
        None
    }

    /// The crop rule that the published models were trained with.
    fn crop(&self) -> CropRule {
        CropRule::LandmarkTight
    }

    /// Whether it reads images' paths by [`Request::paths`].
    fn cuts_paths(&self) -> bool {
        false
    }

    /// Reads what is asked for.
    fn read(&self, request: &Request) -> Result<Found>;
}

/// What is asked of a format.
pub(super) struct Request<'a> {
    /// The format's name.
    pub(super) format: &'static str,
    /// The annotation file or folder.
    pub(super) path: &'a Path,
    /// Folder that images' paths start from, where one is given.
    pub(super) images: Option<&'a Path>,
    /// One of the format's splits; test where nothing is said.
    pub(super) split: Split,
    /// A split that is no published one.
    pub(super) own_split: Option<&'a str>,
    /// Subset of the split.
    pub(super) subset: Option<&'a str>,
    /// Category of things.
    pub(super) category: Option<&'a str>,
    /// The scheme that the file's points follow, where it is given.
    pub(super) scheme: Option<&'a Scheme>,
    /// Repeat faults of the reference.
    pub(super) compat: Compat,
    /// What becomes of written paths of images.
    pub(super) paths: &'a Paths,
}

impl Request<'_> {
    /// The folder of images; by default the one that the annotations are in.
    pub(super) fn images_or_beside(&self) -> PathBuf {
        self.images.map_or_else(|| folder_of(self.path), Path::to_path_buf)
    }

    /// The scheme, for a format that does not say which its points follow.
    pub(super) fn needed_scheme(&self) -> Result<Scheme> {
        self.scheme.cloned().ok_or_else(|| {
            let known: Vec<String> = Scheme::built_in().into_iter().map(|scheme| scheme.name).collect();
            let expected = format!(
                "a scheme, which format {} does not say: one of {}, or a TOML file with your own",
                self.format,
                known.join(", ")
            );
            Error::content(self.path, "scheme", expected, "none")
        })
    }
}

/// What a format found.
pub(super) struct Found {
    /// The faces that can be used.
    pub(super) faces: Arc<dyn Dataset>,
    /// What is wrong with the others.
    pub(super) problems: Vec<Error>,
    /// What a reader of figures should know.
    pub(super) notes: Vec<String>,
}

impl From<Read> for Found {
    fn from((faces, problems): Read) -> Self {
        Self { faces: Arc::new(faces), problems, notes: Vec::new() }
    }
}
