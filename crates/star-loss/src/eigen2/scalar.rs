//! The closed form on one matrix in f64, which the sweeps of the CPU path work with.

/// `r` relative to the size of the matrix below which it counts as isotropic: the derivative of its axes fades to 0.
pub(super) const ISOTROPIC: f64 = 1e-6;

/// One matrix as half trace, half gap and the doubled-angle direction of its larger axis.
pub(crate) struct Frame {
    /// `m`.
    mean: f64,
    /// `r`.
    radius: f64,
    /// `n`; (1, 0) for an isotropic matrix.
    pub(crate) direction: [f64; 2],
    /// `v2`; `v1 = (-y, x)`.
    pub(crate) major: [f64; 2],
}

impl Frame {
    /// Of `[[a, b], [b, c]]`.
    pub(crate) fn new([a, b, c]: [f64; 3]) -> Self {
        let (mean, d) = (0.5 * (a + c), 0.5 * (a - c));
        let radius = d.hypot(b);
        let direction = if radius > 0.0 { [d / radius, b / radius] } else { [1.0, 0.0] };
        let [cosine, sine] = direction;
        let (x, y) = if cosine >= 0.0 { (1.0 + cosine, sine) } else { (sine, 1.0 - cosine) };
        let norm = x.hypot(y);
        Self { mean, radius, direction, major: [x / norm, y / norm] }
    }

    /// Both eigenvalues, ascending.
    pub(crate) fn values(&self) -> [f64; 2] {
        [self.mean - self.radius, self.mean + self.radius]
    }

    /// `(v1 . e, v2 . e)`.
    pub(crate) fn project(&self, [ex, ey]: [f64; 2]) -> [f64; 2] {
        let [x, y] = self.major;
        [x * ey - y * ex, x * ex + y * ey]
    }

    /// `1 / r`, bounded as the module above states for a scale of `|m| + eps`.
    pub(crate) fn inverse_radius(&self, eps: f64) -> f64 {
        let unit = ISOTROPIC * (self.mean.abs() + eps);
        let q = self.radius / unit;
        if q > 1.0 {
            let inverse = 1.0 / q;
            inverse / (1.0 + inverse.powi(4)) / unit
        } else {
            q.powi(3) / (1.0 + q.powi(4)) / unit
        }
    }
}
