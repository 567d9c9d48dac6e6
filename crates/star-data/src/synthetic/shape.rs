//! A parametric face in three dimensions, in the order of the 98-point WFLW markup.
//!
//! Unit: the mean face's distance between the outer eye corners. Axes: x to the right of the image, y down, z towards the camera;
//! the origin is midway between the eyes. The proportions are round numbers close to those of an adult face (eyes a third of the
//! inter-ocular distance wide, mouth 0.55, face 1.56 wide, chin 1.25 below the eyes); they are chosen by eye, not fitted to anybody.

use std::f64::consts::{FRAC_PI_2, PI};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

/// Keypoints of the markup.
pub(super) const KEYPOINTS: usize = 98;
/// Corners of the jaw line from which its evenly spaced points are taken.
const CONTOUR_SAMPLES: usize = 256;
/// Draws further out than this many standard deviations are pulled back to it.
const CLIP: f64 = 2.5;

/// Point of the model.
pub(super) type Point3 = [f64; 3];

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

    /// 0..=32, evenly spaced along the jaw from the image-left temple over the chin.
    fn contour(&self) -> Vec<Point3> {
        let top = -0.02;
        let height = 1.25 * self.face_height + 0.13 * self.mouth_open - top;
        let dense: Vec<[f64; 2]> = (0..=CONTOUR_SAMPLES)
            .map(|i| {
                let angle = PI * i as f64 / CONTOUR_SAMPLES as f64;
                // The exact middle, so that the chin lies on the axis of symmetry.
                let (cos, sin) =
                    if 2 * i == CONTOUR_SAMPLES { (0.0, 1.0) } else { (angle.cos(), angle.sin()) };
                let power = 2.0 / self.jaw_power;
                [
                    -self.half_width() * cos.signum() * cos.abs().powf(power),
                    top + height * sin.abs().powf(power),
                ]
            })
            .collect();
        evenly_spaced(&dense, 33).into_iter().map(|[x, y]| on_face(x, y, 0.0)).collect()
    }

    /// 33..=41 for side 0: the upper edge from the outer end inwards, the lower edge back. Side 1 mirrors it.
    fn brow(&self, side: usize) -> Vec<Point3> {
        let edge = |t: f64, drop: f64| {
            // t is 0 at the outer end and 1 at the inner end.
            let arch = 0.085 * self.brow_arch * (PI * (0.12 + 0.8 * t)).sin();
            let y = -0.185 - arch - 0.02 * t + self.brow_frown * t - self.brow_raise[side] + drop;
            on_face(-0.59 + 0.45 * t, y, 0.05)
        };
        let thick = 0.062 * self.brow_thickness;
        let upper = [0.0, 0.25, 0.5, 0.75, 1.0].map(|t| edge(t, 0.0));
        let lower =
            [(0.98, 1.1), (0.72, 1.0), (0.46, 0.88), (0.2, 0.62)].map(|(t, part)| edge(t, thick * part));
        upper.into_iter().chain(lower).collect()
    }

    /// 42..=50: upper edge from the inner end outwards, lower edge back.
    fn right_brow(&self) -> Vec<Point3> {
        let brow = self.brow(1);
        [4, 3, 2, 1, 0, 8, 7, 6, 5].map(|i| mirror(brow[i])).into()
    }

    /// 51..=54 down the ridge, 55..=59 along the base.
    fn nose(&self) -> Vec<Point3> {
        let tip = 0.43 * self.nose_length;
        let ridge = (0..4).map(|i| {
            let t = f64::from(i) / 3.0;
            on_face(0.0, 0.02 + t * (tip - 0.02), 0.05 + 0.27 * t.powf(1.3))
        });
        let wing = 0.175 * self.nose_width;
        let base = [
            (-1.0, 0.065, 0.05),
            (-0.52, 0.118, 0.14),
            (0.0, 0.14, 0.18),
            (0.52, 0.118, 0.14),
            (1.0, 0.065, 0.05),
        ];
        ridge.chain(base.map(|(part, below, bulge)| on_face(part * wing, tip + below, bulge))).collect()
    }

    /// 60..=67 for side 0: outer corner, upper lid inwards, inner corner, lower lid outwards.
    fn eye(&self, side: usize) -> Vec<Point3> {
        let lid = |t: f64, rise: f64| {
            let bow = 1.0 - t.abs().powf(2.2);
            self.in_eye([t, rise * self.eye_open[side] * bow])
        };
        let (upper, lower) = (-0.46, 0.27);
        [
            (-1.0, 0.0),
            (-0.5, upper),
            (0.0, upper),
            (0.5, upper),
            (1.0, 0.0),
            (0.5, lower),
            (0.0, lower),
            (-0.5, lower),
        ]
        .map(|(t, rise)| lid(t, rise))
        .into()
    }

    /// 68..=75: inner corner, upper lid outwards, outer corner, lower lid inwards.
    fn right_eye(&self) -> Vec<Point3> {
        let eye = self.eye(1);
        [4, 3, 2, 1, 0, 7, 6, 5].map(|i| mirror(eye[i])).into()
    }

    /// 96 (side 0) and 97: between the lids, moved by the gaze.
    fn pupil(&self, side: usize) -> Point3 {
        let open = self.eye_open[side];
        let middle = (-0.46 + 0.27) / 2.0 * open;
        let down = middle + (self.gaze[1]).clamp(-0.12, 0.12) * open;
        let across = self.gaze[0].clamp(-0.5, 0.5);
        if side == 0 { self.in_eye([across, down]) } else { mirror(self.in_eye([-across, down])) }
    }

    /// A point of the image-left eye from its own axes: right and down in half widths of the eye.
    fn in_eye(&self, [right, down]: [f64; 2]) -> Point3 {
        let half = 0.158 * self.eye_size;
        let (sin, cos) = self.eye_tilt.sin_cos();
        let x = -0.342 * self.eye_spacing + half * (cos * right - sin * down);
        let y = half * (sin * right + cos * down);
        on_face(x, y, -0.02)
    }

    /// Half the width of an iris.
    pub(super) fn iris_radius(&self) -> f64 {
        0.158 * self.eye_size * 0.43
    }

    /// 76..=87 around the outer edge of the lips from the image-left corner over the upper lip, 88..=95 around the inner edge.
    fn mouth(&self) -> Vec<Point3> {
        let middle =
            0.80 + 0.3 * 0.43 * (self.nose_length - 1.0) + 0.6 * 1.25 * (self.face_height - 1.0) / 2.0;
        let broad = self.smile[0].midpoint(self.smile[1]);
        let half = 0.265 * self.mouth_width + 0.04 * broad - 0.03 * self.mouth_open;
        let lip = self.lip_thickness;
        let gap = 0.2 * self.mouth_open;
        // How far the line between the lips lies above the middle: the corners follow the smile.
        let lift = |t: f64| {
            let side = if t < 0.0 { self.smile[0] } else { self.smile[1] };
            0.055 * side * t.abs().powf(1.6)
        };
        let at = |t: f64, down: f64| {
            let bow = 1.0 - t * t;
            let open_centre = 0.35 * gap * t.abs();
            on_face(half * t, middle - lift(t) + down + open_centre, 0.03 + 0.08 * bow)
        };
        let outer_upper = [
            (-1.0, 0.0),
            (-0.62, 0.052),
            (-0.22, 0.088),
            (0.0, 0.074),
            (0.22, 0.088),
            (0.62, 0.052),
            (1.0, 0.0),
        ]
        .map(|(t, rise)| at(t, -lip * rise - 0.12 * gap * bump(t)));
        let outer_lower = [(0.66, 0.066), (0.34, 0.103), (0.0, 0.115), (-0.34, 0.103), (-0.66, 0.066)]
            .map(|(t, fall)| at(t, lip * fall + gap * bump(t)));
        let inner_upper = [(-0.86, 0.0), (-0.45, 0.006), (0.0, 0.0), (0.45, 0.006), (0.86, 0.0)]
            .map(|(t, rise)| at(t, -lip * rise - 0.12 * gap * bump(t)));
        let inner_lower = [0.45, 0.0, -0.45].map(|t| at(t, 0.008 * lip + gap * bump(t)));
        outer_upper.into_iter().chain(outer_lower).chain(inner_upper).chain(inner_lower).collect()
    }
}

/// A standard normal draw, clipped.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let value: f64 = rng.sample(StandardNormal);
    value.clamp(-CLIP, CLIP)
}

/// Puts a point on the curved front of the head, `bulge` in front of it.
pub(super) fn on_face(x: f64, y: f64, bulge: f64) -> Point3 {
    let down = (y - 0.4) / 0.85;
    [x, y, bulge - 0.55 * x * x - 0.1 * down * down]
}

fn mirror([x, y, z]: Point3) -> Point3 {
    [-x, y, z]
}

/// 1 in the middle of the mouth, 0 at the corners.
fn bump(t: f64) -> f64 {
    (FRAC_PI_2 * t).cos().max(0.0)
}

/// `count` points on a polyline at equal distances along it, both ends included.
fn evenly_spaced(line: &[[f64; 2]], count: usize) -> Vec<[f64; 2]> {
    let mut lengths = vec![0.0];
    for pair in line.windows(2) {
        let step = (pair[1][0] - pair[0][0]).hypot(pair[1][1] - pair[0][1]);
        lengths.push(lengths[lengths.len() - 1] + step);
    }
    let total = lengths[lengths.len() - 1];
    (0..count)
        .map(|i| {
            let wanted = total * i as f64 / (count - 1) as f64;
            let after = lengths.partition_point(|l| *l < wanted).clamp(1, line.len() - 1);
            let (a, b) = (line[after - 1], line[after]);
            let span = lengths[after] - lengths[after - 1];
            let t = if span > 0.0 { (wanted - lengths[after - 1]) / span } else { 0.0 };
            [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_spread_by_length_and_not_by_corner() {
        // An L of length 4 whose corners are unevenly set: five points, one unit apart.
        let line = [[0.0, 0.0], [0.5, 0.0], [2.0, 0.0], [2.0, 2.0]];
        let points = evenly_spaced(&line, 5);
        let expected = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [2.0, 2.0]];
        for (got, want) in points.iter().zip(expected) {
            assert!((got[0] - want[0]).abs() < 1e-12 && (got[1] - want[1]).abs() < 1e-12, "{points:?}");
        }
    }

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
