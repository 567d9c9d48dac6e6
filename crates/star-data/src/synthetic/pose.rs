//! Head pose.

use rand_chacha::ChaCha8Rng;

use super::shape::{Point3, normal};

/// Head rotation in radians; see [`Pose::rotate`] for the order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    /// Rotation to the right of the image.
    pub(super) yaw: f64,
    /// Rotation downwards.
    pub(super) pitch: f64,
    /// Clockwise rotation in the image.
    pub(super) roll: f64,
}

impl Pose {
    /// A random pose; yaw beyond 45 degrees would hide half of the face and does not occur.
    pub(super) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let limit = 45f64.to_radians();
        Self {
            yaw: (18f64.to_radians() * normal(rng)).clamp(-limit, limit),
            pitch: 9f64.to_radians() * normal(rng),
            roll: 11f64.to_radians() * normal(rng),
        }
    }

    /// Pitch, then yaw, then roll about a centre inside the head.
    pub(super) fn rotate(&self, [x, y, z]: Point3) -> Point3 {
        let (y, z) = (y - 0.35, z + 0.3);
        let (sin, cos) = self.pitch.sin_cos();
        let (y, z) = (cos * y + sin * z, cos * z - sin * y);
        let (sin, cos) = self.yaw.sin_cos();
        let (x, z) = (cos * x + sin * z, cos * z - sin * x);
        let (sin, cos) = self.roll.sin_cos();
        [cos * x - sin * y, sin * x + cos * y, z]
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;

    const TOLERANCE: f64 = 1e-9;

    #[test]
    fn poses_keep_distances() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..50 {
            let pose = Pose::draw(&mut rng);
            let mut point = || [0; 3].map(|_| rng.random_range(-1.0..1.0f64));
            let (a, b) = (point(), point());
            let squared = |a: Point3, b: Point3| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>();
            assert!((squared(a, b) - squared(pose.rotate(a), pose.rotate(b))).abs() < TOLERANCE);
        }
    }

    #[test]
    fn a_turn_to_the_right_moves_the_nose_right_and_a_nod_moves_it_down() {
        let nose = [0.0, 0.43, 0.3];
        let ahead = Pose { yaw: 0.0, pitch: 0.0, roll: 0.0 };
        let start = ahead.rotate(nose);
        assert!(Pose { yaw: 0.3, ..ahead }.rotate(nose)[0] > start[0]);
        assert!(Pose { pitch: 0.3, ..ahead }.rotate(nose)[1] > start[1]);
        // Clockwise as seen: what is right of the centre goes down.
        assert!(Pose { roll: 0.3, ..ahead }.rotate([1.0, 0.35, 0.0])[1] > 0.0);
    }
}
