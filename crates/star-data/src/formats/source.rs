//! Any data set by what a person says about it: format, place, split, subset, scheme, crop.

use std::path::PathBuf;
use std::sync::Arc;

use super::definition::{Compat, Found, Request, Split};
use super::paths::Paths;
use super::{Format, wflw};
use crate::crop::CropRule;
use crate::dataset::Subset;
use crate::recrop::Recropped;
use crate::scheme_map::{Detail, Mapped, SchemeMap};
use crate::{Dataset, Error, Result, Scheme};

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
    /// Split by a word of one's own, for [`own`](super::own).
    pub own_split: Option<String>,
    /// Subset of the split; for formats without published ones, the tag that faces must have.
    pub subset: Option<String>,
    /// Category, for [`coco`](super::coco).
    pub category: Option<String>,
    /// Scheme that points are to follow; needed by formats that have none of their own.
    pub scheme: Option<Scheme>,
    /// Make 68 points of 98.
    pub map: Option<Detail>,
    /// Crop rule instead of the format's.
    pub crop: Option<CropRule>,
    /// Repeat faults of the reference.
    pub compat: Compat,
    /// Beginning of the images' paths that is cut off, such as that of another machine; `/` and `\` are the same.
    pub strip_prefix: Option<String>,
    /// Of the images' paths only the name of the file counts.
    pub basename: bool,
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
            strip_prefix: None,
            basename: false,
        }
    }

    /// Opens it, keeping the rows that can be used.
    ///
    /// # Errors
    /// What keeps the whole from being read: no such file, folder, split, subset or scheme; [`Error::Empty`] where neither a face
    /// nor a problem is left.
    pub fn open(&self) -> Result<Opened> {
        let split = self.split()?;
        let Found { faces: mut dataset, problems, notes } = self.read(split)?;
        if dataset.is_empty() && problems.is_empty() {
            let expected = match &self.subset {
                Some(name) => format!("faces of subset `{name}`"),
                None => "annotated faces".into(),
            };
            return Err(Error::Empty { path: self.annotations.clone(), expected });
        }
        if self.map.is_some() || self.crop.is_some() {
            dataset = self.recropped(dataset, self.crop.unwrap_or(self.format.crop()))?;
        }
        if let Some(wanted) = &self.scheme {
            dataset = self.under(dataset, wanted)?;
        }
        let named = self.format.splits().contains(&split);
        let published = named.then(|| self.format.published(split, self.subset.as_deref())).flatten();
        Ok(Opened { dataset, problems, notes, published })
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

    fn read(&self, split: Split) -> Result<Found> {
        let mapped = self.map.map(|_| Scheme::named(wflw::SCHEME)).transpose()?;
        if (self.strip_prefix.is_some() || self.basename) && !self.format.cuts_paths() {
            let known: Vec<&str> =
                Format::ALL.iter().filter(|format| format.cuts_paths()).map(|format| format.name()).collect();
            let expected = format!("neither but for format {}", known.join(", "));
            let got = format!("one of them for format {}", self.format);
            return Err(Error::content(&self.annotations, "strip_prefix, basename", expected, got));
        }
        let paths = Paths::new(self.strip_prefix.as_deref(), self.basename);
        let mut found = self.format.read(&Request {
            format: self.format.name(),
            path: &self.annotations,
            images: self.images.as_deref(),
            split,
            own_split: self.own_split.as_deref(),
            subset: self.subset.as_deref(),
            category: self.category.as_deref(),
            scheme: mapped.as_ref().or(self.scheme.as_ref()),
            compat: self.compat,
            paths: &paths,
        })?;
        if !self.format.has_subsets() {
            found.faces = self.tagged(found.faces)?;
        }
        Ok(found)
    }

    /// The faces with the tag asked for, in a format that has no published subsets.
    fn tagged(&self, faces: Arc<dyn Dataset>) -> Result<Arc<dyn Dataset>> {
        let Some(name) = &self.subset else { return Ok(faces) };
        let mut kept = Vec::new();
        for i in 0..faces.len() {
            if faces.annotation(i)?.tags.iter().any(|tag| tag.eq_ignore_ascii_case(name)) {
                kept.push(i);
            }
        }
        Ok(Arc::new(Subset::new(faces, kept)))
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
}
