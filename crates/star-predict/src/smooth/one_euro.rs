//! The one-euro filter (Casiez, Roussel, Vogel; CHI 2012): a low-pass whose cutoff grows with speed, so that a point at rest is
//! steady and a point that moves is not late.

/// Cutoff of the speed's own low-pass, Hz. The authors' value.
const SPEED_CUTOFF: f64 = 1.0;

/// The filter of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct OneEuro {
    min_cutoff: f64,
    beta: f64,
    /// Filtered position, and filtered speed in sides a second; `None` before the first sample.
    state: Option<([f64; 2], [f64; 2])>,
}

impl OneEuro {
    /// A filter with a cutoff of `min_cutoff` Hz at rest, and `beta` Hz more per unit of speed.
    pub fn new(min_cutoff: f64, beta: f64) -> Self {
        Self { min_cutoff, beta, state: None }
    }

    /// The filtered position of the next sample, `elapsed` seconds after the one before; speed is measured in `side`s a second. A
    /// sample that is not finite comes back as it is and is forgotten.
    pub fn next(&mut self, sample: [f64; 2], elapsed: f64, side: f64) -> [f64; 2] {
        if !sample.iter().all(|v| v.is_finite()) {
            return sample;
        }
        let Some((position, speed)) = self.state else {
            self.state = Some((sample, [0.0; 2]));
            return sample;
        };
        let mix = |part: f64, new: [f64; 2], old: [f64; 2]| {
            [0, 1].map(|axis| part * new[axis] + (1.0 - part) * old[axis])
        };
        let raw_speed = [0, 1].map(|axis| (sample[axis] - position[axis]) / elapsed / side);
        let speed = mix(share(SPEED_CUTOFF, elapsed), raw_speed, speed);
        let cutoff = self.min_cutoff + self.beta * speed[0].hypot(speed[1]);
        let position = mix(share(cutoff, elapsed), sample, position);
        self.state = Some((position, speed));
        position
    }
}

/// Share of the new sample in an exponential filter of that cutoff.
fn share(cutoff: f64, elapsed: f64) -> f64 {
    let tau = 1.0 / (std::f64::consts::TAU * cutoff);
    1.0 / (1.0 + tau / elapsed)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const TOLERANCE: f64 = 1e-9;

    #[derive(Deserialize)]
    struct Golden {
        fps: f64,
        min_cutoff: f64,
        beta: f64,
        samples: Vec<f64>,
        filtered: Vec<f64>,
    }

    #[test]
    fn a_point_that_moves_along_one_axis_is_filtered_as_by_the_authors_program() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/one_euro.json"))
                .unwrap();
        for golden in serde_json::from_str::<Vec<Golden>>(&text).unwrap() {
            let mut filter = OneEuro::new(golden.min_cutoff, golden.beta);
            for (sample, expected) in golden.samples.iter().zip(&golden.filtered) {
                let [x, y] = filter.next([*sample, 7.0], 1.0 / golden.fps, 1.0);
                assert!((x - expected).abs() < TOLERANCE, "{x} against {expected}");
                assert!((y - 7.0).abs() < TOLERANCE);
            }
        }
    }

    #[test]
    fn a_large_face_is_smoothed_like_a_small_one_and_nan_is_forgotten() {
        let (mut small, mut large) = (OneEuro::new(1.0, 5.0), OneEuro::new(1.0, 5.0));
        for t in 0..20 {
            let sample = [f64::from(t % 5), f64::from(t % 3)];
            let a = small.next(sample, 0.04, 10.0);
            let b = large.next(sample.map(|v| 30.0 * v), 0.04, 300.0);
            assert!((30.0 * a[0] - b[0]).abs() < TOLERANCE && (30.0 * a[1] - b[1]).abs() < TOLERANCE);
        }
        let before = small.clone();
        assert!(small.next([f64::NAN, 0.0], 0.04, 10.0)[0].is_nan());
        assert_eq!(small, before);
    }
}
