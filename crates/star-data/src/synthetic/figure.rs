//! A posed face placed in an image: the model's points in pixels.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::pose::Pose;
use super::shape::{Point3, Shape};

/// Longer side of the landmarks' tight box, as a share of the image's side.
const FACE_SHARE: std::ops::Range<f64> = 0.48..0.72;
/// Landmarks keep this share of the image's side away from its border.
const MARGIN: f64 = 0.03;

/// A face in an image. Projection is scaled orthographic.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) shape: Shape,
    pub(super) pose: Pose,
    /// Exact landmarks in pixels, pixel centres at whole numbers.
    pub(super) landmarks: Vec<[f32; 2]>,
    /// Pixels per unit of the model.
    pub(super) unit: f64,
    offset: [f64; 2],
}

impl Figure {
    /// A random face in a random pose, whole and somewhere in a square image of `size` pixels.
    pub(super) fn draw(size: u32, rng: &mut ChaCha8Rng) -> Self {
        let (shape, pose) = (Shape::draw(rng), Pose::draw(rng));
        let side = f64::from(size);
        let mut figure = Self { shape, pose, landmarks: Vec::new(), unit: 1.0, offset: [0.0; 2] };
        let points = figure.shape.landmarks();
        let mut low = [f64::INFINITY; 2];
        let mut high = [f64::NEG_INFINITY; 2];
        for &point in &points {
            let rotated = pose.rotate(point);
            for axis in 0..2 {
                low[axis] = low[axis].min(rotated[axis]);
                high[axis] = high[axis].max(rotated[axis]);
            }
        }
        let longer = (high[0] - low[0]).max(high[1] - low[1]);
        figure.unit = side * rng.random_range(FACE_SHARE) / longer;
        for axis in 0..2 {
            let extent = figure.unit * (high[axis] - low[axis]);
            // Faces sit near the middle more often than near the border.
            let where_ = (rng.random_range(0.0..1.0f64) + rng.random_range(0.0..1.0)) / 2.0;
            let start = MARGIN * side + where_ * (side * (1.0 - 2.0 * MARGIN) - extent);
            // Pixel centres are whole numbers, so the image spans -0.5 to side - 0.5.
            figure.offset[axis] = start - 0.5 - figure.unit * low[axis];
        }
        figure.landmarks = points.iter().map(|&p| figure.place(p)).collect();
        figure
    }

    /// Pixel position of a point of the model.
    pub(super) fn place(&self, point: Point3) -> [f32; 2] {
        let [x, y, _] = self.pose.rotate(point);
        [(self.unit * x + self.offset[0]) as f32, (self.unit * y + self.offset[1]) as f32]
    }

    /// A length of the model in pixels.
    pub(super) fn pixels(&self, length: f64) -> f32 {
        (self.unit * length) as f32
    }

    /// The landmarks at `indices`, in that order.
    pub(super) fn pick(&self, indices: impl IntoIterator<Item = usize>) -> Vec<[f32; 2]> {
        indices.into_iter().map(|i| self.landmarks[i]).collect()
    }
}
