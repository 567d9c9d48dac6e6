//! A parametric face in three dimensions, in the order of the 98-point WFLW markup.
//!
//! Unit: the mean face's distance between the outer eye corners. Axes: x to the right of the image, y down, z towards the camera;
//! the origin is midway between the eyes. The proportions are round numbers close to those of an adult face (eyes a third of the
//! inter-ocular distance wide, mouth 0.55, face 1.56 wide, chin 1.25 below the eyes); they are chosen by eye, not fitted to anybody.

mod brows;
mod contour;
mod eyes;
mod mouth;
mod nose;
mod surface;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

pub(super) use contour::evenly_spaced;
pub(super) use surface::{Point3, on_face};

/// Keypoints of the markup.
pub(super) const KEYPOINTS: usize = 98;
/// Draws further out than this many standard deviations are pulled back to it.
const CLIP: f64 = 2.5;

/// What makes one face and its expression; factors are 1 and offsets 0 on the mean face.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    /// Factor on the half width of the face.
    pub(super) face_width: f64,
    /// Factor on the distance from the eyes to the chin.
    pub(super) face_height: f64,
    /// Exponent of the jaw's superellipse: 2 is an ellipse, above it squarer.
    pub(super) jaw_power: f64,
    /// Factors on the width of the eyes and the distance between their centres.
    pub(super) eye_size: f64,
    pub(super) eye_spacing: f64,
    /// Opening of the image-left and image-right eye: 0 shut, 1 at rest.
    pub(super) eye_open: [f64; 2],
    /// Rise of the outer eye corners, radians.
    pub(super) eye_tilt: f64,
    /// Direction of gaze: right and down, in half widths of an eye.
    pub(super) gaze: [f64; 2],
    /// Rise of the image-left and image-right brow.
    pub(super) brow_raise: [f64; 2],
    /// Factors on the arch and the thickness of the brows, and their fall towards the nose.
    pub(super) brow_arch: f64,
    pub(super) brow_thickness: f64,
    pub(super) brow_frown: f64,
    /// Factors on the length and width of the nose.
    pub(super) nose_length: f64,
    pub(super) nose_width: f64,
    /// Factors on the width of the mouth and the thickness of the lips.
    pub(super) mouth_width: f64,
    pub(super) lip_thickness: f64,
    /// Opening of the mouth: 0 shut, 1 wide open.
    pub(super) mouth_open: f64,
    /// Rise of the image-left and image-right mouth corner: 0 neutral, 1 a broad smile, negative a grimace.
    pub(super) smile: [f64; 2],
}

impl Shape {
    /// The mean face at rest, mirror-symmetric.
    #[cfg(test)]
    pub(super) fn mean() -> Self {
        Self {
            face_width: 1.0,
            face_height: 1.0,
            jaw_power: 2.25,
            eye_size: 1.0,
            eye_spacing: 1.0,
            eye_open: [1.0; 2],
            eye_tilt: 0.04,
            gaze: [0.0; 2],
            brow_raise: [0.0; 2],
            brow_arch: 1.0,
            brow_thickness: 1.0,
            brow_frown: 0.0,
            nose_length: 1.0,
            nose_width: 1.0,
            mouth_width: 1.0,
            lip_thickness: 1.0,
            mouth_open: 0.0,
            smile: [0.0; 2],
        }
    }

    /// A random person with a random expression.
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let open = (1.0 + 0.18 * normal(rng)).max(0.25);
        // One face in twelve has its eyes nearly shut, one in three its mouth open.
        let open = if rng.random_bool(1.0 / 12.0) { 0.12 } else { open };
        let mouth_open = if rng.random_bool(0.35) { rng.random_range(0.05..1.0) } else { 0.0 };
        let smile = 0.15 + 0.4 * normal(rng);
        let raise = 0.01 + 0.02 * normal(rng);
        Self {
            face_width: 1.0 + 0.06 * normal(rng),
            face_height: 1.0 + 0.06 * normal(rng),
            jaw_power: (2.25 + 0.2 * normal(rng)).max(1.95),
            eye_size: 1.0 + 0.07 * normal(rng),
            eye_spacing: 1.0 + 0.04 * normal(rng),
            eye_open: [open, open * (1.0 + 0.06 * normal(rng))],
            eye_tilt: 0.04 + 0.06 * normal(rng),
            gaze: [0.22 * normal(rng), 0.08 * normal(rng)],
            brow_raise: [raise + 0.008 * normal(rng), raise + 0.008 * normal(rng)],
            brow_arch: 1.0 + 0.28 * normal(rng),
            brow_thickness: 1.0 + 0.2 * normal(rng),
            brow_frown: 0.02 * normal(rng),
            nose_length: 1.0 + 0.08 * normal(rng),
            nose_width: 1.0 + 0.12 * normal(rng),
            mouth_width: 1.0 + 0.1 * normal(rng),
            lip_thickness: 1.0 + 0.22 * normal(rng),
            mouth_open,
            smile: [smile + 0.08 * normal(rng), smile + 0.08 * normal(rng)],
        }
    }

    /// Half the width of the face at the level of the eyes.
    pub(super) fn half_width(&self) -> f64 {
        0.78 * self.face_width
    }

    /// The 98 landmarks, `(x, y, z)`.
    pub(super) fn landmarks(&self) -> Vec<Point3> {
        let mut points = Vec::with_capacity(KEYPOINTS);
        points.extend(self.contour());
        points.extend(self.brow(0));
        points.extend(self.right_brow());
        points.extend(self.nose());
        points.extend(self.eye(0));
        points.extend(self.right_eye());
        points.extend(self.mouth());
        points.extend((0..2).map(|side| self.pupil(side)));
        points
    }
}

/// A standard normal draw, clipped.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let value: f64 = rng.sample(StandardNormal);
    value.clamp(-CLIP, CLIP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smile_lifts_the_corners_and_an_open_mouth_parts_the_lips() {
        let rest = Shape::mean().landmarks();
        let smile = Shape { smile: [1.0; 2], ..Shape::mean() }.landmarks();
        assert!(smile[76][1] < rest[76][1] && smile[82][1] < rest[82][1]);
        let open = Shape { mouth_open: 1.0, ..Shape::mean() }.landmarks();
        assert!(open[94][1] - open[90][1] > 0.15 && rest[94][1] - rest[90][1] < 0.02);
        assert!(open[16][1] > rest[16][1], "the chin follows");
    }

    #[test]
    fn features_stay_in_their_places_on_every_face() {
        use rand::SeedableRng;
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for i in 0..500 {
            // Without tilt, so that the lids are above and below in every eye.
            let p = Shape { eye_tilt: 0.0, ..Shape::draw(&mut rng) }.landmarks();
            // Brows above lids, pupils between them, nose above mouth above chin, features between the cheeks.
            assert!(p[40][1] < p[62][1] && p[49][1] < p[70][1], "face {i}: brows");
            assert!(p[62][1] < p[96][1] && p[96][1] < p[66][1], "face {i}: pupil");
            assert!(p[57][1] < p[79][1] && p[85][1] < p[16][1], "face {i}: mouth {:?} {:?}", p[57], p[79]);
            assert!(p[0][0] < p[33][0] && p[37][0] < p[42][0] && p[46][0] < p[32][0], "face {i}: brow ends");
            assert!(p[76][0] < p[88][0] && p[92][0] < p[82][0], "face {i}: lips");
        }
    }
}
