//! Centres of mass and covariances straight from channels-last maps: what decoding needs, without writing a map.

use super::Machine;
use super::heads::{Gate, Layout};
use super::panels::Panels;
use super::shared::Shared;

/// A map with less mass is not normalised further. As `star_loss::moments`, which follows the reference.
const MASS_FLOOR: f64 = 1e-6;

/// Added to both masses of the unbiased covariance. As `star_loss::moments`.
const MASS_EPS: f64 = 1e-5;

/// The divisor of the covariance is at least this. As `star_loss::moments`.
const DIVISOR_FLOOR: f64 = 0.5 * MASS_EPS;

/// Mean `(x, y)` and covariance `(xx, xy, yy)` of one map, on an axis from -1 to 1.
pub(crate) type Moment = ([f64; 2], [f64; 3]);

/// The moments of each heatmap.
pub(crate) fn moments(
    machine: &mut Machine,
    layout: &Layout,
    gates: Option<&Panels>,
    maps: &[f32],
    side: usize,
) -> Vec<Moment> {
    let (kernels, heat, channels) = (machine.kernels, layout.heat, layout.channels);
    assert_eq!(maps.len(), side * side * channels, "moments: maps of another size");
    let last = side.saturating_sub(1).max(1) as f64;
    let axis = |i: usize| if side == 1 { 0.0 } else { 2.0 * i as f64 / last - 1.0 };
    // Each row's sums in f32, over rows in f64.
    let mut sums = vec![0.0; side * 4 * heat];
    {
        let sums = Shared::new(&mut sums);
        let tasks = side.div_ceil(4);
        machine.team.each(tasks, |task, scratch| {
            for y in side * task / tasks..side * (task + 1) / tasks {
                let (rows, stride) = match gates {
                    Some(gates) => {
                        let fused = scratch.take(side * heat);
                        Gate { layout, maps, gates }.fused(kernels, y * side, side, fused);
                        (&*fused, heat)
                    }
                    None => (&maps[y * side * channels..(y + 1) * side * channels], channels),
                };
                let out = sums.part(y * 4 * heat, 4 * heat);
                let (first, step) = (axis(0) as f32, (2.0 / last) as f32);
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: `rows` holds `side` rows of `stride >= heat` values, `out` the sums of this row alone.
                unsafe {
                    kernels.row_moments(rows.as_ptr(), stride, side, heat, first, step, out);
                }
            }
        });
    }
    (0..layout.points)
        .map(|k| {
            let (mut mass, mut square, mut at, mut spread) = (0.0, 0.0, [0.0; 2], [0.0; 3]);
            for y in 0..side {
                let row = |i: usize| f64::from(sums[(y * 4 + i) * heat + k]);
                let v = axis(y);
                mass += row(0);
                square += row(3);
                at[0] += row(1);
                at[1] += v * row(0);
                spread[0] += row(2);
                spread[1] += v * row(1);
                spread[2] += v * v * row(0);
            }
            finish(mass, square, at, spread)
        })
        .collect()
}

/// From sums of `f`, `f^2`, `(x, y) f` and `(xx, xy, yy) f` to mean and covariance.
fn finish(mass: f64, square: f64, at: [f64; 2], spread: [f64; 3]) -> Moment {
    let norm = mass.max(MASS_FLOOR);
    let (p, square) = (mass / norm, square / (norm * norm));
    let mean = at.map(|sum| sum / norm);
    let [x, y] = mean;
    // sum p (c - mu)(c - mu)^T, where the masses p may add up to less than 1
    let about = |raw: f64, a: f64, b: f64| raw / norm - (2.0 - p) * a * b;
    let divisor = (p + MASS_EPS - (square + MASS_EPS) / (p + MASS_EPS)).max(DIVISOR_FLOOR);
    let spread = [about(spread[0], x, x), about(spread[1], x, y), about(spread[2], y, y)];
    (mean, spread.map(|sum| sum / divisor))
}
