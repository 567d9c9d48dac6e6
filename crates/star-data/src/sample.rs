//! One annotated face.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

/// A point that is not labelled.
pub(crate) const ABSENT: [f32; 2] = [f32::NAN; 2];

/// A point as annotations write it; absent where both coordinates are the same negative whole number: `-1,-1` is how tools of many kinds say
/// that a point is not labelled.
pub(crate) fn or_absent([x, y]: [f32; 2]) -> [f32; 2] {
    if x == y && x < 0.0 && x.fract() == 0.0 { ABSENT } else { [x, y] }
}

/// Whether a point is labelled.
pub(crate) fn is_labelled(point: &[f32; 2]) -> bool {
    point.iter().all(|v| v.is_finite())
}

/// One annotated face, in the pixels of its own image (pixel centres at whole numbers, origin top left).
#[derive(Clone, Debug)]
pub struct Sample {
    /// The decoded image.
    pub image: RgbImage,
    /// Landmarks `(x, y)` in pixels, in the order of the data set's scheme.
    pub points: Vec<[f32; 2]>,
    /// Which landmarks are visible; `None` where the data set does not say.
    pub visibility: Option<Vec<bool>>,
    /// The box that the crop is made from.
    pub face: FaceBox,
    /// Subset names and attributes of the annotation row.
    pub tags: Vec<String>,
    /// The image's file, or a description of where it came from.
    pub source: PathBuf,
}

impl Sample {
    /// A sample that was made in memory: all that is in `image` is of it, and all of `points` are known.
    ///
    /// ```
    /// use star_data::Sample;
    ///
    /// let sample = Sample::new(image::RgbImage::new(64, 32), vec![[10.0, 12.5]]);
    /// assert_eq!((sample.face.width, sample.face.height), (63.0, 31.0));
    /// ```
    pub fn new(image: RgbImage, points: Vec<[f32; 2]>) -> Self {
        let [width, height] = [image.width(), image.height()].map(|side| side as f32 - 1.0);
        let face = FaceBox { x: 0.0, y: 0.0, width, height };
        Self { image, points, visibility: None, face, tags: Vec::new(), source: PathBuf::from("in memory") }
    }
}

/// What is written down about one face: a [`Sample`] before its image is decoded.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// The file that says it.
    pub file: Arc<Path>,
    /// Line of that file, or entry where the format has no lines, counted from 1.
    pub line: usize,
    /// The image, relative to the image folder.
    pub image: PathBuf,
    /// Landmarks `(x, y)` in pixels; NaN where the annotation says that a point is absent.
    pub points: Vec<[f32; 2]>,
    /// Which landmarks are visible; `None` where the format does not say.
    pub visibility: Option<Vec<bool>>,
    /// The face's box as the format itself states it, where it does.
    pub stated: Option<FaceBox>,
    /// The box that the crop is made from, by the crop rule in use.
    pub face: FaceBox,
    /// Subset names and attributes.
    pub tags: Vec<String>,
}

impl Annotation {
    /// The sample, with its image.
    pub fn with_image(self, image: RgbImage) -> Sample {
        let Self { image: source, points, visibility, face, tags, .. } = self;
        Sample { image, points, visibility, face, tags, source }
    }
}

/// An axis-aligned box in pixels.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FaceBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, positive.
    pub width: f32,
    /// Height, positive.
    pub height: f32,
}

impl FaceBox {
    /// Pixels that one unit of `scale` stands for in reference-style annotation rows.
    pub const PIXELS_PER_SCALE: f32 = 200.0;

    /// The square box that a reference-style row `(scale, center_w, center_h)` means: side `200 * scale`.
    pub fn from_scale_and_centre(scale: f32, centre: [f32; 2]) -> Self {
        let side = Self::PIXELS_PER_SCALE * scale;
        Self { x: centre[0] - side / 2.0, y: centre[1] - side / 2.0, width: side, height: side }
    }

    /// A box as annotations write it, `[x, y, width, height]`; none where all numbers are missing, or both sides are 0, by which tools
    /// say that they have no box.
    pub(crate) fn stated([x, y, width, height]: [f32; 4]) -> Option<Self> {
        let missing = [x, y, width, height].iter().all(|v| v.is_nan());
        let empty = width == 0.0 && height == 0.0;
        (!missing && !empty).then_some(Self { x, y, width, height })
    }

    /// The stated box of a sample whose source keeps the crop's box alone: a single point spans none that could be made of it.
    pub(crate) fn of_a_single_point(keypoints: usize, face: Self) -> Option<Self> {
        (keypoints == 1).then_some(face)
    }

    /// The middle of the box, `(x, y)`.
    pub fn centre(&self) -> [f32; 2] {
        [self.x + self.width / 2.0, self.y + self.height / 2.0]
    }

    /// The longer of width and height.
    pub fn side(&self) -> f32 {
        self.width.max(self.height)
    }
}
