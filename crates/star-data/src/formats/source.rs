//! Any data set by what a person says about it: format, place, split, subset, scheme, crop.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Format, Split, coco, cofw, face300vw, face300w, folder_of, listed, own, pts, tsv, wflw};
use crate::crop::CropRule;
use crate::dataset::Subset;
use crate::recrop::Recropped;
use crate::scheme_map::{Detail, Mapped, SchemeMap};
use crate::{Dataset, Error, Result, Scheme};

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

/// A data set, not yet opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// How the annotations are written down.
    pub format: Format,
    /// Their file or folder.
    pub annotations: PathBuf,
    /// Folder that images' paths start from; by default as the format has it.
    pub images: Option<PathBuf>,
    /// Split, for formats that have them; test where nothing is said.
    pub split: Option<Split>,
    /// Split by a word of one's own, for [`own`].
    pub own_split: Option<String>,
    /// Subset of the split; for formats without published ones, the tag that faces must have.
    pub subset: Option<String>,
    /// Category, for [`coco`].
    pub category: Option<String>,
    /// Scheme that points are to follow; needed by formats that have none of their own.
    pub scheme: Option<Scheme>,
    /// Make 68 points of 98.
    pub map: Option<Detail>,
    /// Crop rule instead of the format's.
    pub crop: Option<CropRule>,
    /// Repeat faults of the reference.
    pub compat: Compat,
}

/// A data set, opened.
pub struct Opened {
    /// Its faces.
    pub dataset: Arc<dyn Dataset>,
    /// Everything wrong with rows that cannot be used.
    pub problems: Vec<Error>,
    /// What a reader of figures should know, such as frames left out.
    pub notes: Vec<String>,
    /// Number of faces that was published for it.
    pub published: Option<usize>,
}

impl Opened {
    /// The faces, if nothing is wrong.
    ///
    /// # Errors
    /// The first problem.
    pub fn strict(self) -> Result<Arc<dyn Dataset>> {
        self.problems.into_iter().next().map_or(Ok(self.dataset), Err)
    }
}

impl Source {
    /// Annotations of a format with everything else at its default.
    pub fn new(format: Format, annotations: impl Into<PathBuf>) -> Self {
        Self {
            format,
            annotations: annotations.into(),
            images: None,
            split: None,
            own_split: None,
            subset: None,
            category: None,
            scheme: None,
            map: None,
            crop: None,
            compat: Compat::None,
        }
    }

    /// Opens it, keeping the rows that can be used.
    ///
    /// # Errors
    /// What keeps the whole from being read: no such file, folder, split, subset or scheme; [`Error::Empty`] where neither a face
    /// nor a problem is left.
    pub fn open(&self) -> Result<Opened> {
        let split = self.split()?;
        let mut opened = self.read(split)?;
        if opened.dataset.is_empty() && opened.problems.is_empty() {
            let expected = match &self.subset {
                Some(name) => format!("faces of subset `{name}`"),
                None => "annotated faces".into(),
            };
            return Err(Error::Empty { path: self.annotations.clone(), expected });
        }
        if self.map.is_some() || self.crop.is_some() {
            let rule = self.crop.unwrap_or(self.format.crop());
            opened.dataset = self.recropped(opened.dataset, rule)?;
        }
        if let Some(wanted) = &self.scheme {
            opened.dataset = self.under(opened.dataset, wanted)?;
        }
        opened.published = self
            .format
            .splits()
            .contains(&split)
            .then(|| self.format.published(split, self.subset.as_deref()))
            .flatten();
        Ok(opened)
    }

    fn split(&self) -> Result<Split> {
        let splits = self.format.splits();
        match self.split {
            Some(split) if !splits.contains(&split) => {
                let known = splits.iter().map(ToString::to_string).collect::<Vec<_>>();
                let expected =
                    if known.is_empty() { "no split for this format".into() } else { known.join(", ") };
                Err(Error::content(&self.annotations, "split", expected, split.to_string()))
            }
            split => Ok(split.unwrap_or(Split::Test)),
        }
    }

    fn read(&self, split: Split) -> Result<Opened> {
        let (path, images) = (self.annotations.as_path(), self.images.as_deref());
        let beside = || images.map_or_else(|| folder_of(path), |images| images.to_path_buf());
        let subset = self.subset.as_deref();
        let listed = |(faces, problems): listed::Read| (Arc::new(faces) as Arc<dyn Dataset>, problems);
        let mut notes = Vec::new();
        let (dataset, problems) = match self.format {
            Format::Wflw => listed(wflw::read(path, images, split, subset)?),
            Format::Face300w => listed(face300w::read(path, images, split, subset)?),
            Format::Face300vw => {
                let options = face300vw::Options { images: self.images.clone(), ..Default::default() };
                let read = face300vw::read(path, &options, split, subset)?;
                notes.extend(self.said_of_videos(&read));
                (Arc::new(read.faces) as Arc<dyn Dataset>, read.problems)
            }
            Format::Cofw => {
                let base = match self.compat {
                    Compat::None => cofw::Base::Zero,
                    Compat::Reference => cofw::Base::One,
                };
                let (faces, problems) = cofw::Cofw::open_lenient(path, split, base)?;
                self.tagged(Arc::new(faces), problems)?
            }
            Format::Coco => {
                let scheme =
                    if self.map.is_some() { Some(self.source_scheme()?) } else { self.scheme.clone() };
                let (faces, problems) =
                    listed(coco::read(path, &beside(), self.category.as_deref(), scheme)?);
                self.tagged(faces, problems)?
            }
            Format::Own => {
                let path = if path.is_dir() { path.join("dataset.toml") } else { path.to_path_buf() };
                let (faces, problems) = listed(own::read(&path, images, self.own_split.as_deref())?);
                self.tagged(faces, problems)?
            }
            Format::Pts => {
                let beside = if path.is_dir() { path.to_path_buf() } else { folder_of(path) };
                let images = images.unwrap_or(&beside);
                let (faces, problems) = listed(pts::read_folder(path, images, self.source_scheme()?)?);
                self.tagged(faces, problems)?
            }
            Format::Tsv => {
                let (set, problems) = tsv::TsvDataset::open_lenient(path, &beside(), self.source_scheme()?)?;
                let set = if self.compat == Compat::Reference { set.without_first_row() } else { set };
                self.tagged(Arc::new(set), problems)?
            }
        };
        if self.compat == Compat::Reference {
            notes.extend(match self.format {
                Format::Tsv => Some("compat reference: the first row is dropped".to_string()),
                Format::Cofw => Some("compat reference: points are 1-based".to_string()),
                _ => None,
            });
        }
        Ok(Opened { dataset, problems, notes, published: None })
    }

    /// The scheme that the annotations follow, for formats that do not say.
    fn source_scheme(&self) -> Result<Scheme> {
        if self.map.is_some() {
            return Scheme::named(wflw::SCHEME);
        }
        self.scheme.clone().ok_or_else(|| {
            let expected = format!("a scheme, which format {} does not say", self.format);
            Error::content(&self.annotations, "scheme", expected, "none")
        })
    }

    /// The faces with the tag asked for, in a format that has no published subsets.
    fn tagged(
        &self,
        faces: Arc<dyn Dataset>,
        problems: Vec<Error>,
    ) -> Result<(Arc<dyn Dataset>, Vec<Error>)> {
        let Some(name) = &self.subset else { return Ok((faces, problems)) };
        let mut kept = Vec::new();
        for i in 0..faces.len() {
            if faces.annotation(i)?.tags.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
                kept.push(i);
            }
        }
        Ok((Arc::new(Subset::new(faces, kept)), problems))
    }

    fn recropped(&self, faces: Arc<dyn Dataset>, rule: CropRule) -> Result<Arc<dyn Dataset>> {
        let faces = match self.map {
            Some(detail) => {
                Arc::new(Mapped::new(faces, SchemeMap::wflw_to_300w(detail)?)?) as Arc<dyn Dataset>
            }
            None => faces,
        };
        Ok(Arc::new(Recropped::new(faces, rule)))
    }

    /// The faces under the scheme asked for, which may have other edges and normalizers but not another number of points.
    fn under(&self, faces: Arc<dyn Dataset>, wanted: &Scheme) -> Result<Arc<dyn Dataset>> {
        let got = faces.scheme().clone();
        if got == *wanted {
            return Ok(faces);
        }
        if got.keypoints != wanted.keypoints {
            let mapped = (got.keypoints, wanted.keypoints) == (98, 68);
            let hint = if mapped { "; map the points (pick or blend)" } else { "" };
            let expected = format!("{} points of scheme `{}`", wanted.keypoints, wanted.name);
            let got = format!("{} of `{}`{hint}", got.keypoints, got.name);
            return Err(Error::content(&self.annotations, "scheme", expected, got));
        }
        let same = (0..got.keypoints).map(|k| vec![(k, 1.0)]).collect();
        Ok(Arc::new(Mapped::new(faces, SchemeMap::new(got, wanted.clone(), same)?)?))
    }

    fn said_of_videos(&self, read: &face300vw::Read) -> Vec<String> {
        let mut notes = Vec::new();
        let only_broken = self.subset.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("broken"));
        if read.broken > 0 && !only_broken {
            notes.push(format!("{} frames known to be broken are left out", read.broken));
        }
        if !read.missing.is_empty() {
            notes.push(format!(
                "{} videos of the split are not there: {}",
                read.missing.len(),
                read.missing.join(" ")
            ));
        }
        if read.faces.to_extract() > 0 {
            notes.push(format!(
                "the frames of {} videos are extracted when first asked for",
                read.faces.to_extract()
            ));
        }
        notes
    }
}

impl Format {
    /// The crop rule that the published models were trained with on data of this format.
    pub fn crop(self) -> CropRule {
        match self {
            Self::Tsv | Self::Coco => CropRule::Stated,
            _ => CropRule::LandmarkTight,
        }
    }
}
