//! Drawn faces with exact truth and labels as ambiguous as people's.
//!
//! Every landmark of the 98-point WFLW markup lies on something painted: the rim of the skin, of the brows, of the eyes and lips,
//! the ridge and base of the nose, the irises. People, expressions, poses, light, hair, glasses and occlusions vary. Labels are the
//! truth plus noise that is large along the landmark's edge and small across it ([`Annotator`]), drawn once per image.
//! The faces are for tests, examples and experiments on ambiguity without any licence; they are no substitute for photographs.
//! [`Subject::Hand`] draws hands instead, a second domain with a scheme and an annotator of its own.
//!
//! ```
//! use star_data::Dataset;
//! use star_data::synthetic::{SyntheticConfig, SyntheticFaces};
//!
//! let faces = SyntheticFaces::new(SyntheticConfig { count: 10, seed: 7, ..Default::default() })?;
//! let sample = faces.get(3)?;
//! assert_eq!((sample.image.width(), sample.points.len()), (160, 98));
//! // Labels miss the truth along the jaw more than across it.
//! let sigma = faces.sigmas(3)[8];
//! assert!(sigma.tangential > 6.0 * sigma.normal);
//! # Ok::<(), star_data::Error>(())
//! ```

mod annotator;
mod figure;
mod hand;
mod paint;
mod pose;
mod shape;

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use annotator::{Annotator, Sigma};
pub use hand::{HAND_SCHEME, SyntheticHands};

use crate::{Dataset, Error, FaceBox, Result, Sample, Scheme};
use annotator::tangents;
use figure::Figure;
use paint::paint;

/// Outer eye corners of the markup, whose distance is the unit of the annotator's noise.
const OUTER_EYE_CORNERS: [usize; 2] = [60, 72];
/// Smallest image in which eyelids are still further apart than a pixel.
const SMALLEST: u32 = 32;
/// Largest image; a face painted larger shows no more.
const LARGEST: u32 = 4096;

/// Which coordinates a sample carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labels {
    /// As the imagined annotator labels: for training.
    #[default]
    Annotated,
    /// The truth: for evaluation.
    Exact,
}

/// What is in the images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A face in the 98-point WFLW markup.
    #[default]
    Face,
    /// A hand in the 21-point markup `hand21`.
    Hand,
}

impl Subject {
    /// Name of the scheme of its keypoints.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Face => "wflw98",
            Self::Hand => HAND_SCHEME,
        }
    }
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyntheticConfig {
    /// What is in the images.
    pub subject: Subject,
    /// Number of faces, one an image.
    pub count: usize,
    /// Sets with different seeds share no face; train and test sets differ by it.
    pub seed: u64,
    /// Side of the square images, 32 to 4096 pixels.
    pub image_size: u32,
    /// Factor on the label noise; see [`Annotator`]. It changes no image.
    pub strength: f64,
    /// Which coordinates samples carry.
    pub labels: Labels,
}

/// 1000 faces of 160 pixels, annotated at strength 1.
impl Default for SyntheticConfig {
    fn default() -> Self {
        Self {
            subject: Subject::Face,
            count: 1000,
            seed: 0,
            image_size: 160,
            strength: 1.0,
            labels: Labels::Annotated,
        }
    }
}

impl SyntheticConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] with the field, what it may be and what it is.
    pub fn validate(&self) -> Result<()> {
        if !(SMALLEST..=LARGEST).contains(&self.image_size) {
            return Err(invalid("image_size", format!("{SMALLEST} to {LARGEST} pixels"), self.image_size));
        }
        if !(self.strength.is_finite() && self.strength >= 0.0) {
            return Err(invalid("strength", "a finite number of at least 0".into(), self.strength));
        }
        Ok(())
    }
}

/// A drawn data set: the exact truth is known, and how far and in which direction its annotator errs.
pub trait Drawn: Dataset {
    /// Exact keypoints of an image in its pixels, pixel centres at whole numbers.
    fn truth(&self, index: usize) -> Vec<[f32; 2]>;

    /// Labels as the annotator gives them, whichever labels the samples carry.
    fn annotated(&self, index: usize) -> Vec<[f32; 2]>;

    /// Unit direction in which the label of each keypoint is least sure; `(1, 0)` for keypoints whose noise is round.
    fn tangent(&self, index: usize) -> Vec<[f32; 2]>;

    /// Standard deviations of each keypoint's label in pixels.
    fn sigmas(&self, index: usize) -> Vec<Sigma>;
}

/// The set that `config` describes, whatever its subject.
///
/// # Errors
/// As [`SyntheticConfig::validate`].
pub fn open(config: SyntheticConfig) -> Result<Arc<dyn Drawn>> {
    Ok(match config.subject {
        Subject::Face => Arc::new(SyntheticFaces::new(config)?),
        Subject::Hand => Arc::new(SyntheticHands::new(config)?),
    })
}

/// Drawn faces in the 98-point WFLW markup, whatever the subject of the configuration.
///
/// A face depends on the configuration and its index alone: the same bytes on any thread, in any order, in any epoch. The face box
/// is the tight box of the **exact** landmarks whatever the labels are, so that crops carry no label noise.
#[derive(Clone, Debug)]
pub struct SyntheticFaces {
    config: SyntheticConfig,
    scheme: Scheme,
}

/// What a random stream is for: streams of one face never meet.
#[derive(Clone, Copy)]
enum Purpose {
    Figure,
    Paint,
    Label,
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

    /// Unit tangent of each landmark's edge at the truth; `(1, 0)` for the pupils, which lie on no edge and whose noise is round.
    pub fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        self.tangents_of(&self.truth(index))
    }

    /// Standard deviations of each landmark's label in pixels.
    pub fn sigmas(&self, index: usize) -> Vec<Sigma> {
        let length = inter_ocular(&self.truth(index));
        let annotator = self.annotator();
        let pixels = |keypoint| {
            let Sigma { tangential, normal } = annotator.sigma(keypoint);
            Sigma { tangential: length * tangential, normal: length * normal }
        };
        (0..shape::KEYPOINTS).map(pixels).collect()
    }

    fn figure(&self, index: usize) -> Figure {
        Figure::draw(self.config.image_size, &mut self.stream(index, Purpose::Figure))
    }

    fn label(&self, index: usize, truth: &[[f32; 2]]) -> Vec<[f32; 2]> {
        let mut rng = self.stream(index, Purpose::Label);
        annotator::scatter(truth, &self.tangents_of(truth), &self.sigmas(index), &mut rng)
    }

    fn tangents_of(&self, truth: &[[f32; 2]]) -> Vec<[f32; 2]> {
        tangents(truth, self.scheme.edges.iter().map(|edge| (edge.points.as_slice(), edge.closed)))
    }

    fn stream(&self, index: usize, purpose: Purpose) -> ChaCha8Rng {
        stream(self.config.seed, index, purpose)
    }
}

impl Drawn for SyntheticFaces {
    fn truth(&self, index: usize) -> Vec<[f32; 2]> {
        Self::truth(self, index)
    }

    fn annotated(&self, index: usize) -> Vec<[f32; 2]> {
        Self::annotated(self, index)
    }

    fn tangent(&self, index: usize) -> Vec<[f32; 2]> {
        Self::tangent(self, index)
    }

    fn sigmas(&self, index: usize) -> Vec<Sigma> {
        Self::sigmas(self, index)
    }
}

/// One of the random streams of an image.
fn stream(seed: u64, index: usize, purpose: Purpose) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(4 * index as u64 + purpose as u64);
    rng
}

impl Dataset for SyntheticFaces {
    fn len(&self) -> usize {
        self.config.count
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Draws face `index`. Tags are those of WFLW's attributes that hold: `pose` (turned more than 25 or nodding more than 15
    /// degrees), `expression` (mouth far open, broad smile or shut eyes), `illumination`, `make-up`, `occlusion` (something covers at
    /// least 5 landmarks), `blur`.
    fn get(&self, index: usize) -> Result<Sample> {
        if index >= self.config.count {
            return Err(Error::Index { index, len: self.config.count });
        }
        let figure = self.figure(index);
        let size = self.config.image_size;
        let painting = paint(&figure, size, &mut self.stream(index, Purpose::Paint))
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

fn inter_ocular(truth: &[[f32; 2]]) -> f64 {
    let [a, b] = OUTER_EYE_CORNERS.map(|k| truth[k].map(f64::from));
    (a[0] - b[0]).hypot(a[1] - b[1])
}

fn invalid(field: &'static str, expected: String, got: impl ToString) -> Error {
    Error::Config { field, expected, got: got.to_string() }
}

#[cfg(test)]
mod tests;
