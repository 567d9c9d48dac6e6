//! Synthetic faces.

use rand_chacha::ChaCha8Rng;

use super::annotator::{self, Annotator, Sigma, edges, tangents};
use super::config::{Labels, SyntheticConfig, invalid};
use super::figure::Figure;
use super::paint::paint;
use super::stream::{Purpose, stream};
use super::{SyntheticDataset, shape};
use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme};

/// Outer eye corners of the markup, whose distance is the unit of the annotator's noise.
const OUTER_EYE_CORNERS: [usize; 2] = [60, 72];

/// Synthetic faces in the 98-point WFLW markup, whatever the subject of the configuration.
///
/// A face depends on the configuration and its index alone: the same bytes on any thread, in any order, in any epoch. The face box
/// is the tight box of the **exact** landmarks whatever the labels are, so that crops carry no label noise.
#[derive(Clone, Debug)]
pub struct SyntheticFaces {
    config: SyntheticConfig,
    scheme: Scheme,
}

impl SyntheticFaces {
    /// Prepares the set; faces are drawn when asked for.
    ///
    /// # Errors
    /// As [`SyntheticConfig::validate`].
    pub fn new(config: SyntheticConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config, scheme: Scheme::named("wflw98")? })
    }

    /// The configuration.
    pub fn config(&self) -> &SyntheticConfig {
        &self.config
    }

    /// The annotator of this set.
    pub fn annotator(&self) -> Annotator {
        Annotator { strength: self.config.strength }
    }

    /// Exact landmarks of a face in pixels of its image, pixel centres at whole numbers: 98 of `(x, y)`.
    pub fn truth(&self, index: usize) -> Vec<[f32; 2]> {
        self.figure(index).landmarks
    }

    /// Labels of a face as the annotator gives them, whichever labels the samples carry.
    pub fn annotated(&self, index: usize) -> Vec<[f32; 2]> {
        self.label(index, &self.truth(index))
    }

    /// Labels of a face as whoever labels face `other` gives them.
    pub fn annotated_as(&self, index: usize, other: usize) -> Vec<[f32; 2]> {
        self.label(other, &self.truth(index))
    }

    /// Unit tangent of each landmark's edge at the truth; `(1, 0)` for the pupils, which lie on no edge and whose noise is isotropic.
    pub fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        self.tangents_of(&self.truth(index))
    }

    /// Standard deviations of each landmark's label in pixels.
    pub fn sigmas(&self, index: usize) -> Vec<Sigma> {
        let truth = self.truth(index);
        annotator::sigmas(&self.config, &truth, self.described(&truth), &edges(&self.scheme))
    }

    /// What [`Annotator`] says of each landmark, in pixels.
    fn described(&self, truth: &[[f32; 2]]) -> Vec<Sigma> {
        let length = inter_ocular(truth);
        let annotator = self.annotator();
        let pixels = |keypoint| {
            let Sigma { tangential, normal } = annotator.sigma(keypoint);
            Sigma { tangential: length * tangential, normal: length * normal }
        };
        (0..shape::KEYPOINTS).map(pixels).collect()
    }

    pub(super) fn figure(&self, index: usize) -> Figure {
        Figure::draw(self.config.image_size, &mut self.stream(index, Purpose::Figure))
    }

    fn label(&self, drawn: usize, truth: &[[f32; 2]]) -> Vec<[f32; 2]> {
        annotator::label(&self.config, drawn, truth, &self.described(truth), &edges(&self.scheme))
    }

    fn tangents_of(&self, truth: &[[f32; 2]]) -> Vec<[f32; 2]> {
        tangents(truth, edges(&self.scheme).into_iter())
    }

    fn stream(&self, index: usize, purpose: Purpose) -> ChaCha8Rng {
        stream(self.config.seed, index, purpose)
    }
}

impl SyntheticDataset for SyntheticFaces {
    fn truth(&self, index: usize) -> Vec<[f32; 2]> {
        Self::truth(self, index)
    }

    fn annotated_as(&self, index: usize, other: usize) -> Vec<[f32; 2]> {
        Self::annotated_as(self, index, other)
    }

    fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        Self::tangent(self, index)
    }

    fn sigmas(&self, index: usize) -> Vec<Sigma> {
        Self::sigmas(self, index)
    }
}

impl Dataset for SyntheticFaces {
    fn len(&self) -> usize {
        self.config.count
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Draws face `index`. Tags are those of WFLW's attributes that hold: `pose` (a yaw of more than 25 or a pitch of more than 15
    /// degrees), `expression` (mouth far open, broad smile or shut eyes), `illumination`, `make-up`, `occlusion` (something covers at
    /// least 5 landmarks), `blur`.
    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.config.count {
            return Err(Error::Index { index, len: self.config.count });
        }
        let figure = self.figure(index);
        let size = self.config.image_size;
        let (marks, tangents) = (self.config.marks, self.tangents_of(&figure.landmarks));
        let painting = paint(&figure, size, marks, &tangents, &mut self.stream(index, Purpose::Paint))
            .ok_or_else(|| invalid("image_size", "a size that memory can hold".into(), size))?;
        let hidden = painting.visibility.iter().filter(|seen| !**seen).count();
        let (shape, pose) = (&figure.shape, &figure.pose);
        let tags = [
            ("pose", pose.yaw.abs().to_degrees() > 25.0 || pose.pitch.abs().to_degrees() > 15.0),
            (
                "expression",
                shape.mouth_open > 0.6
                    || shape.smile[0].max(shape.smile[1]) > 0.85
                    || shape.eye_open[0] < 0.4,
            ),
            ("illumination", painting.badly_lit),
            ("make-up", painting.makeup),
            ("occlusion", hidden >= 5),
            ("blur", painting.blurred),
        ];
        let face = FaceBox::around(&figure.landmarks)?;
        Ok(Sample {
            image: painting.image,
            points: match self.config.labels {
                Labels::Exact => figure.landmarks,
                Labels::Annotated => self.label(index, &figure.landmarks),
            },
            visibility: Some(painting.visibility),
            face,
            tags: tags.into_iter().filter(|(_, holds)| *holds).map(|(tag, _)| tag.to_owned()).collect(),
            source: format!("synthetic/{}/{index}", self.config.seed).into(),
        })
    }
}

pub(super) fn inter_ocular(truth: &[[f32; 2]]) -> f64 {
    let [a, b] = OUTER_EYE_CORNERS.map(|k| truth[k].map(f64::from));
    (a[0] - b[0]).hypot(a[1] - b[1])
}
