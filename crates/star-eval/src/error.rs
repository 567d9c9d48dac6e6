//! What can be wrong with the numbers handed to a metric.

/// A result whose error is [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a metric, a report or a plot could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two lists that must be parallel are not.
    #[error("{what}: expected {expected} entries, got {got}")]
    Length {
        /// The list that has the wrong length.
        what: &'static str,
        /// Its length if it were right.
        expected: usize,
        /// Its length.
        got: usize,
    },
    /// A list that must hold something is empty.
    #[error("{what} is empty: {hint}")]
    Empty {
        /// The list.
        what: &'static str,
        /// What to do about it.
        hint: &'static str,
    },
    /// An index list points beyond the keypoints.
    #[error("{what} names keypoint {index}, but there are only {keypoints} keypoints (0-based)")]
    Index {
        /// The list that holds the index.
        what: String,
        /// The index.
        index: usize,
        /// Number of keypoints there are.
        keypoints: usize,
    },
    /// The normalizer has no length on this truth, so that nothing can be measured by it.
    #[error(
        "normalizer {normalizer:?} has length {length}: expected a positive finite number; use another normalizer or drop the image"
    )]
    Degenerate {
        /// The normalizer's name, or "given" where only a length was handed in.
        normalizer: String,
        /// Its length.
        length: f64,
    },
    /// An annotated coordinate is NaN or infinite.
    #[error("truth of keypoint {keypoint} is ({x}, {y}): expected finite numbers; give absent keypoints weight 0", x = value[0], y = value[1])]
    Truth {
        /// The keypoint.
        keypoint: usize,
        /// Its coordinates `(x, y)`.
        value: [f32; 2],
    },
    /// A weight is negative, NaN or infinite.
    #[error("weight of keypoint {keypoint} is {value}: expected a finite number of at least 0")]
    Weight {
        /// The keypoint.
        keypoint: usize,
        /// Its weight.
        value: f32,
    },
    /// An error of an image is NaN or negative.
    #[error("error of image {index} is {value}: expected at least 0 (infinity stands for \"no prediction\")")]
    ImageError {
        /// Index in the list handed in.
        index: usize,
        /// The value.
        value: f64,
    },
    /// A number lies outside the range in which it means something.
    #[error("{what} is {value}: expected {expected}")]
    Range {
        /// The number's name.
        what: &'static str,
        /// The range in words.
        expected: &'static str,
        /// The value.
        value: f64,
    },
    /// A name that readers of a report rely on is missing.
    #[error("{field} of the evaluation is empty: every figure is printed with it, so it must be named")]
    Unnamed {
        /// The empty field of [`Setting`](crate::Setting).
        field: &'static str,
    },
    /// A stored report could not be read.
    #[error("report: {reason}; expected what `Report::to_json` writes")]
    Json {
        /// What does not fit, with line and column.
        reason: String,
    },
    /// An image of a set does not fit; wraps what is wrong with it.
    #[error("image {image:?}: {source}")]
    Image {
        /// The image's name.
        image: String,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// Two runs cannot be compared.
    #[error("{first} and {second} cannot be compared: {reason}")]
    Incomparable {
        /// The first run.
        first: String,
        /// The second run.
        second: String,
        /// Why, and what to do.
        reason: String,
    },
}

impl Error {
    /// The same error with the name of the image that it is about.
    pub(crate) fn of_image(self, image: &str) -> Self {
        Self::Image { image: image.to_owned(), source: Box::new(self) }
    }
}
