//! Terms and derivatives of the loss of one keypoint, in f64: what `composed/terms.rs` computes on tensors by candle ops.

use crate::eigen2::scalar::Frame;
use crate::restriction::ROUNDING;
use crate::{Distance, Form, Restriction, StarLossConfig};

/// The loss of one keypoint, as the terms that it is the sum of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Terms {
    pub(crate) distance: f64,
    pub(crate) restriction: f64,
}

/// Derivative of the loss by the residual and by the entries `a, b, c` of the covariance `[[a, b], [b, c]]`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Derivative {
    pub(crate) residual: [f64; 2],
    pub(crate) covariance: [f64; 3],
}

/// `l + eps` under the root, negative `l` counting as 0.
fn root(l: f64, eps: f64) -> f64 {
    (l.max(0.0) + eps).sqrt()
}

/// Terms of a finite residual under a covariance; NaN for one that is not finite.
pub(crate) fn terms(config: &StarLossConfig, residual: [f64; 2], covariance: [f64; 3]) -> Terms {
    let frame = Frame::new(covariance);
    let [l1, l2] = frame.values();
    let restriction = match config.restriction {
        Restriction::Value { weight } => weight * (l1.abs() + l2.abs()),
        Restriction::Detach | Restriction::None => 0.0,
    };
    if !residual.iter().all(|e| e.is_finite()) {
        return Terms { distance: f64::NAN, restriction };
    }
    let e = frame.project(residual);
    let s = [root(l1, config.eps), root(l2, config.eps)];
    let d = &config.distance;
    let distance = match config.form {
        Form::PerAxis => d.at(e[0])[0] / s[0] + d.at(e[1])[0] / s[1],
        Form::Whitened => {
            let w = [e[0] / s[0], e[1] / s[1]];
            match d {
                Distance::L1 | Distance::L2 => 0.5 * (d.at(w[0])[0] + d.at(w[1])[0]),
                Distance::SmoothL1 { .. } | Distance::Wing { .. } => {
                    d.at_squared(w[0] * w[0] + w[1] * w[1])[0]
                }
            }
        }
    };
    Terms { distance, restriction }
}

/// Derivative of `by.distance * distance + by.restriction * restriction`; a residual that is not finite has none.
pub(crate) fn derivative(
    config: &StarLossConfig,
    residual: [f64; 2],
    covariance: [f64; 3],
    by: Terms,
) -> Derivative {
    let frame = Frame::new(covariance);
    let [l1, l2] = frame.values();
    // By l1 and l2, by the rotation n' . (dd, db), and by the residual.
    let (mut by_value, mut by_rotation, mut by_residual) = ([0.0; 2], 0.0, [0.0; 2]);
    if let Restriction::Value { weight } = config.restriction {
        let sign = |l: f64| if l < -ROUNDING { -1.0 } else { 1.0 };
        by_value = [by.restriction * weight * sign(l1), by.restriction * weight * sign(l2)];
    }
    if by.distance != 0.0 && residual.iter().all(|e| e.is_finite()) {
        let e = frame.project(residual);
        let s = [root(l1, config.eps), root(l2, config.eps)];
        // dF/de_i = u_i c_i with the factors c of the axes, and dF/dl_i.
        let (u, values) = axis_derivatives(config, e, s);
        let (factors, difference) = match config.form {
            Form::PerAxis => ([1.0 / s[0], 1.0 / s[1]], -1.0 / (s[0] * s[1] * (s[0] + s[1]))),
            Form::Whitened => ([(s[0] * s[0]).recip(), (s[1] * s[1]).recip()], -(s[0] * s[1]).powi(-2)),
        };
        if !config.restriction.detaches() {
            by_value = [by_value[0] + by.distance * values[0], by_value[1] + by.distance * values[1]];
        }
        // See `Axes::rotation` in composed/terms.rs.
        let (a, b) = (e[0] * u[1], e[1] * u[0]);
        let regular = 0.5 * (a + b) * difference;
        let singular = 0.25 * (a - b) * (factors[0] + factors[1]) * frame.inverse_radius(config.eps);
        by_rotation = by.distance * (regular + singular);
        let along = [by.distance * u[0] * factors[0], by.distance * u[1] * factors[1]];
        let [x, y] = frame.major;
        by_residual = [x * along[1] - y * along[0], y * along[1] + x * along[0]];
    }
    let [cosine, sine] = frame.direction;
    let (by_mean, by_radius) = (by_value[0] + by_value[1], by_value[1] - by_value[0]);
    let by_difference = cosine * by_radius - sine * by_rotation;
    let by_off_diagonal = sine * by_radius + cosine * by_rotation;
    let covariance = [0.5 * (by_mean + by_difference), by_off_diagonal, 0.5 * (by_mean - by_difference)];
    Derivative { residual: by_residual, covariance }
}

/// `u_i = dF/de_i / c_i`, and `dF/dl_i`.
fn axis_derivatives(config: &StarLossConfig, e: [f64; 2], s: [f64; 2]) -> ([f64; 2], [f64; 2]) {
    let d = &config.distance;
    match (config.form, d) {
        (Form::PerAxis, _) => {
            let ([d1, u1], [d2, u2]) = (d.at(e[0]), d.at(e[1]));
            ([u1, u2], [-0.5 * d1 * s[0].powi(-3), -0.5 * d2 * s[1].powi(-3)])
        }
        (Form::Whitened, Distance::L1 | Distance::L2) => {
            let p = [0.5 * d.at(e[0] / s[0])[1], 0.5 * d.at(e[1] / s[1])[1]];
            let values = [-0.5 * p[0] * e[0] * s[0].powi(-3), -0.5 * p[1] * e[1] * s[1].powi(-3)];
            ([p[0] * s[0], p[1] * s[1]], values)
        }
        (Form::Whitened, Distance::SmoothL1 { .. } | Distance::Wing { .. }) => {
            let w = [e[0] / s[0], e[1] / s[1]];
            let by_norm = d.at_squared(w[0] * w[0] + w[1] * w[1])[1];
            let values = [-by_norm * (w[0] / s[0]).powi(2), -by_norm * (w[1] / s[1]).powi(2)];
            ([2.0 * by_norm * e[0], 2.0 * by_norm * e[1]], values)
        }
    }
}
