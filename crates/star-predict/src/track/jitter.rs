//! How much landmarks tremble where nobody knows the truth: what is left of their motion after speed and direction.

use std::collections::HashMap;

use crate::Face;

/// Longest time between frames that belong together, seconds.
const GAP: f64 = 0.2;

/// A time and the landmarks at it.
type Seen = (f64, Vec<[f32; 2]>);

/// Root mean square deviation of a landmark along an axis from the straight line through its neighbours in time.
///
/// If each frame's error is of its own, with standard deviation `s`, the second difference of three frames has `s sqrt(6)`; motion of
/// constant speed has none. Given in shares of the face's side.
#[derive(Clone, Debug, Default)]
pub struct Jitter {
    squares: f64,
    count: usize,
    last: HashMap<usize, Vec<Seen>>,
}

impl Jitter {
    /// Adds the face of a track at a time.
    pub fn add(&mut self, track: usize, seconds: f64, face: &Face) {
        let last = self.last.entry(track).or_default();
        if last.last().is_some_and(|(before, _)| seconds - before > GAP) {
            last.clear();
        }
        if let [(t0, first), (t1, middle)] = last.as_slice() {
            let side = f64::from(face.face_box.side());
            // Frames need not be equally far apart.
            let share = (t1 - t0) / (seconds - t0);
            let noise = (1.0 + share * share + (1.0 - share).powi(2)).sqrt();
            for ((a, b), c) in first.iter().zip(middle).zip(&face.landmarks.points) {
                for axis in 0..2 {
                    let [a, b, c] = [a, b, c].map(|p| f64::from(p[axis]));
                    let off = (b - (1.0 - share) * a - share * c) / noise / side;
                    self.squares += off * off;
                    self.count += 1;
                }
            }
            last.remove(0);
        }
        last.push((seconds, face.landmarks.points.clone()));
    }

    /// In shares of the face's side; `None` before three frames of one face.
    #[must_use]
    pub fn rms(&self) -> Option<f64> {
        (self.count > 0).then(|| (self.squares / self.count as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use star_data::FaceBox;

    use super::*;
    use crate::Landmarks;

    #[test]
    fn motion_of_constant_speed_does_not_tremble_and_noise_is_measured() {
        let face = |x: f32, y: f32| Face {
            face_box: FaceBox { x: 0.0, y: 0.0, width: 200.0, height: 200.0 },
            score: None,
            landmarks: Landmarks { points: vec![[x, y]], ..Default::default() },
            pose: None,
        };
        let (mut still, mut noisy) = (Jitter::default(), Jitter::default());
        let mut state = 1u64;
        for i in 0..2000 {
            // Unequal steps of time.
            let t = f64::from(i) / 30.0 + if i % 2 == 0 { 0.005 } else { 0.0 };
            still.add(0, t, &face((100.0 * t) as f32, 5.0));
            // Uniform noise of +-1 pixel: deviation 1 / sqrt(3), 0.29 % of the side.
            let mut noise = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            };
            noisy.add(0, t, &face((10.0 * t) as f32 + noise(), noise()));
        }
        assert!(still.rms().unwrap() < 1e-5, "{:?}", still.rms());
        let expected = 1.0 / 3f64.sqrt() / 200.0;
        assert!((noisy.rms().unwrap() / expected - 1.0).abs() < 0.05, "{:?}", noisy.rms());
        assert_eq!(Jitter::default().rms(), None);
    }
}
