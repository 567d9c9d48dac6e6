//! From the sums of one map to its moments, and from derivatives by the moments to its gradient.

use super::sweep::{Level, Quadratic, Real, Sums, sums};
use crate::grid::GridAxis;
use crate::maps::{DIVISOR_FLOOR, MASS_EPS, MASS_FLOOR};

/// Both axes of the grid, x then y.
pub(crate) type Axes = [GridAxis; 2];

/// Mean and covariance of one map, and what their derivative needs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct MapMoments {
    /// On the grid.
    pub(crate) mean: [f64; 2],
    /// `a, b, c` of `[[a, b], [b, c]]`, on the grid.
    pub(crate) covariance: [f64; 3],
    /// `1 / max(sum h, floor)`.
    inverse_mass: f64,
    /// `sum p`: 1 unless the map has less mass than the floor.
    mass: f64,
    /// `sum p^2`.
    squares: f64,
    /// Mean in pixels from the middle of the map.
    offset: [f64; 2],
    /// `V1 - V2 / V1`.
    divisor: f64,
}

impl MapMoments {
    pub(crate) fn of<T: Real, const RELU: bool>(
        level: Level,
        map: &[T],
        [xs, ys]: [&[f64]; 2],
        axes: &Axes,
    ) -> Self {
        let raw = sums::<T, RELU>(level, map, xs, ys);
        if raw.squares.is_finite() && raw.xx.is_finite() && raw.yy.is_finite() {
            return Self::new(&raw, 1.0, axes);
        }
        // Only f64 maps above 1e150 come here: bring the largest value to 1.
        let peak = map.iter().fold(1.0f64, |m, h| m.max(h.as_()));
        let scaled: Vec<f64> = map.iter().map(|h| h.as_() / peak).collect();
        Self::new(&sums::<f64, RELU>(level, &scaled, xs, ys), peak, axes)
    }

    /// `peak` is what the map was divided by before it was summed.
    fn new(raw: &Sums, peak: f64, axes: &Axes) -> Self {
        let norm = raw.mass.max(MASS_FLOOR);
        let (mass, squares) = (raw.mass / norm, raw.squares / norm / norm);
        let [mx, my] = [raw.x / norm, raw.y / norm];
        // sum h (u - mx)(v - my) = (sum huv - mx sum hv) - my (sum hu - mx sum h): 0 without rounding for a one-hot f32 map, and
        // a covariance divides by as little as 1e-5.
        let (rest_x, rest_y) = ((-mx).mul_add(raw.mass, raw.x), (-my).mul_add(raw.mass, raw.y));
        let central = [
            ((-mx).mul_add(raw.x, raw.xx) - mx * rest_x) / norm,
            ((-mx).mul_add(raw.y, raw.xy) - my * rest_x) / norm,
            ((-my).mul_add(raw.y, raw.yy) - my * rest_y) / norm,
        ];
        let v1 = mass + MASS_EPS;
        let divisor = (v1 - (squares + MASS_EPS) / v1).max(DIVISOR_FLOOR);
        let [x, y] = axes;
        let units = [x.step * x.step, x.step * y.step, y.step * y.step];
        Self {
            mean: [x.centre + x.step * mx, y.centre + y.step * my],
            // Variances are negative only by rounding.
            covariance: [
                (central[0] * units[0] / divisor).max(0.0),
                central[1] * units[1] / divisor,
                (central[2] * units[2] / divisor).max(0.0),
            ],
            inverse_mass: 1.0 / norm / peak,
            mass,
            squares,
            offset: [mx, my],
            divisor,
        }
    }

    /// The gradient by the pixels, from the derivatives by `mean` and by the entries `a, b, c`.
    ///
    /// With `G` the matrix of the derivatives by the covariance, `D` the divisor and `t = <G, Sigma>`, a map of mass above the floor has
    /// `dL/dh = (g . d + d^T G d / D - t + 2 t (p - sum p^2) / (D V1)) / sum h`, where `d = c - mu`. Below the floor the mass is
    /// no longer divided out, and four more terms stay.
    pub(crate) fn gradient(&self, by_mean: [f64; 2], by_covariance: [f64; 3], axes: &Axes) -> Quadratic {
        // A divisor at its floor belongs to a map without a covariance.
        let [ga, gb, gc] = if self.divisor > DIVISOR_FLOOR { by_covariance } else { [0.0; 3] };
        let [a, b, c] = self.covariance;
        let ([sx, sy], [mx, my]) = ([axes[0].step, axes[1].step], self.offset);
        let t = ga * a + gb * b + gc * c;
        let v1 = self.mass + MASS_EPS;
        let over = 1.0 / self.divisor;
        let kp = 2.0 * t * over / v1;
        // G in pixels.
        let (gxx, gxy, gyy) = (ga * sx * sx * over, gb * sx * sy * over, gc * sy * sy * over);
        let (gx, gy) = (by_mean[0] * sx, by_mean[1] * sy);
        let mut q = Quadratic {
            mean: self.offset,
            k: -t - kp * self.squares,
            kx: gx,
            ky: gy,
            kxx: gxx,
            kxy: gxy,
            kyy: gyy,
            kp,
            scale: self.inverse_mass,
        };
        if self.inverse_mass >= 1.0 / MASS_FLOOR {
            let excess = 2.0 * self.mass - 2.0;
            let (gm_x, gm_y) = (gxx * mx + 0.5 * gxy * my, 0.5 * gxy * mx + gyy * my);
            q.kx += excess * gm_x;
            q.ky += excess * gm_y;
            let v2 = self.squares + MASS_EPS;
            q.k = gx * mx + gy * my + excess * (gm_x * mx + gm_y * my) - t * over * (1.0 + v2 / (v1 * v1));
        }
        for k in [&mut q.k, &mut q.kx, &mut q.ky, &mut q.kxx, &mut q.kxy, &mut q.kyy, &mut q.kp] {
            *k *= self.inverse_mass;
        }
        q
    }
}
