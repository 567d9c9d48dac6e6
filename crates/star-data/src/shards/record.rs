//! What lies beside each image of a shard: its annotation as JSON.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::region::Place;
use crate::{Error, FaceBox, Result, Sample, Scheme};

/// The annotation of one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Landmarks in pixels of the image beside it; `null` where unknown.
    pub(super) points: Vec<Option<[f32; 2]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) visibility: Option<Vec<bool>>,
    pub(super) face: FaceBox,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    /// Where the sample came from.
    #[serde(default)]
    pub(super) source: String,
    /// Where in its original the image lies, if it was cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<Place>,
}

impl Record {
    /// What is written down about `sample`.
    pub(super) fn new(sample: &Sample, region: Option<Place>) -> Self {
        let known = |point: &[f32; 2]| point.iter().all(|v| v.is_finite()).then_some(*point);
        Self {
            points: sample.points.iter().map(known).collect(),
            visibility: sample.visibility.clone(),
            face: sample.face,
            tags: sample.tags.clone(),
            source: sample.source.to_string_lossy().into_owned(),
            region,
        }
    }

    /// Reads a record and checks that it follows `scheme`; `place` is for messages.
    pub(super) fn parse(bytes: &[u8], place: &Path, scheme: &Scheme) -> Result<Self> {
        let record: Self = serde_json::from_slice(bytes).map_err(|error| {
            Error::content(place, "annotation", "points, face and tags as JSON", error.to_string())
        })?;
        let count = |field: &str, got: usize| {
            let expected = format!("{} of scheme `{}`", scheme.keypoints, scheme.name);
            if got == scheme.keypoints {
                Ok(())
            } else {
                Err(Error::content(place, field, expected, got.to_string()))
            }
        };
        count("points", record.points.len())?;
        record.visibility.as_ref().map_or(Ok(()), |seen| count("visibility", seen.len()))?;
        Ok(record)
    }

    /// The landmarks, NaN where unknown.
    pub(super) fn landmarks(&self) -> Vec<[f32; 2]> {
        self.points.iter().map(|point| point.unwrap_or([f32::NAN; 2])).collect()
    }
}
