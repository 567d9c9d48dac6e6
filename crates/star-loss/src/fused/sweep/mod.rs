//! The two sweeps over one map: seven sums, and the gradient.
//!
//! Sums are kept in f64 over pixel offsets from the middle of the map: for f32 maps every product but `h^2 x^2` is exact. The
//! loops are written in lanes that the compiler turns into vectors, and compiled three times: for any machine, for AVX2 with FMA
//! and for AVX-512, chosen when the program runs.

mod gradient;
mod level;
mod real;
mod stream;
mod sums;

pub(crate) use gradient::{Quadratic, gradient};
pub(crate) use level::Level;
pub(crate) use real::Real;
pub(crate) use stream::stream;
pub(crate) use sums::{Sums, sums};

/// Offsets of the pixels of an axis from its middle.
pub(crate) fn offsets(n: usize) -> Vec<f64> {
    (0..n).map(|i| i as f64 - crate::grid::middle(n)).collect()
}

#[cfg(test)]
mod tests {
    use super::{Level, Quadratic, Sums, gradient, offsets, stream, sums};

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    }

    fn map(area: usize) -> Vec<f32> {
        (0..area).map(|i| (0.7 * i as f32).sin()).collect()
    }

    #[test]
    fn the_sums_of_a_3x2_map_are_those_by_hand() {
        // Columns at -1/2, 1/2; rows at -1, 0, 1.
        let map = [1f32, 2., 0., 0., 4., 0.];
        let by_hand = Sums { mass: 7., x: -1.5, y: 1., xx: 1.75, xy: -2.5, yy: 7., squares: 21. };
        for level in Level::all() {
            assert_eq!(sums::<f32, false>(level, &map, &offsets(2), &offsets(3)), by_hand, "{level:?}");
        }
    }

    #[test]
    fn every_level_of_instructions_gives_the_same_sums_and_gradient() {
        for (h, w) in [(1, 1), (3, 7), (5, 16), (4, 33), (64, 64)] {
            let (map, xs, ys) = (map(h * w), offsets(w), offsets(h));
            let q = Quadratic {
                mean: [0.3, -0.2],
                k: 0.1,
                kx: 0.2,
                ky: -0.3,
                kxx: 0.4,
                kxy: 0.5,
                kyy: -0.6,
                kp: 0.7,
                scale: 0.8,
            };
            let run = |level| {
                let mut out = vec![0f32; h * w];
                gradient::<f32, true>(level, &map, &q, [&xs, &ys], &mut Vec::new(), &mut out);
                (sums::<f32, true>(level, &map, &xs, &ys), out)
            };
            let (expected, gradient) = run(Level::Portable);
            for level in Level::all() {
                let (got, out) = run(level);
                assert!(
                    close(got.mass, expected.mass)
                        && close(got.xx, expected.xx)
                        && close(got.squares, expected.squares)
                );
                assert!(
                    (got.xy - expected.xy).abs() <= 1e-12 * expected.xx.max(expected.yy),
                    "{level:?} {h}x{w}"
                );
                let error = out.iter().zip(&gradient).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                let size = gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
                assert!(error <= 1e-6 * size, "{level:?} {h}x{w}: {error} of {size}");
            }
        }
    }

    #[test]
    fn a_gradient_that_would_overflow_is_shrunk_as_a_whole() {
        let q = Quadratic { kx: 1e300, k: 1e299, ..Default::default() };
        let mut out = vec![0f32; 4];
        gradient::<f32, false>(
            Level::Portable,
            &[1.0; 4],
            &q,
            [&offsets(4), &offsets(1)],
            &mut Vec::new(),
            &mut out,
        );
        assert!(out.iter().all(|g| g.is_finite()));
        assert!(out[0] < out[1] && out[1] < out[2] && out[2] < out[3]);
    }

    #[test]
    fn streaming_copies_aligned_and_unaligned_slices() {
        let from = map(64);
        for start in 0..5 {
            for end in [start, start + 3, start + 32] {
                let mut to = vec![0f32; 64];
                stream(&from[start..end], &mut to[start..end]);
                assert_eq!(&to[start..end], &from[start..end]);
                assert!(to[end..].iter().all(|t| *t == 0.0));
            }
        }
    }
}
