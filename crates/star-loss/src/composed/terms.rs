//! The terms of the loss of residuals under covariances, by candle ops.

use candle_core::{Result, Tensor};

use crate::eigen2::{Entries, Frame};
use crate::surrogate::with_derivative;
use crate::{Distance, Form, StarLossConfig};

/// Distance and restriction, `[B, K]` each, of moments `[B, K, 5]` against targets `[B, K, 2]`.
pub(crate) fn terms(moments: &Tensor, targets: &Tensor, config: &StarLossConfig) -> Result<[Tensor; 2]> {
    let means = moments.narrow(2, 0, 2)?;
    // A target that is not finite must not reach the gradient: it is moved to the mean, and its loss replaced by NaN.
    // 0 times a number is 0 exactly if it is finite.
    let not_finite = targets.detach().affine(0.0, 0.0)?;
    let residual = (not_finite.eq(0.0)?.where_cond(targets, &means.detach())? - means)?;
    let not_finite = not_finite.sum(2)?;

    let frame = Frame::of(&Entries::of_moments(moments)?)?;
    let [l1, l2] = frame.values()?;
    let restriction = config.restriction.penalty(&l1, &l2)?;
    let distance = Axes::new(config, &frame, &residual, [l1, l2])?.distance(config)?;
    let distance = not_finite.eq(0.0)?.where_cond(&distance, &not_finite)?;
    Ok([distance, restriction])
}

/// `sqrt(l + eps)`, and one over it, outside the graph under `Restriction::Detach`.
fn deviation(config: &StarLossConfig, l: &Tensor) -> Result<(Tensor, Tensor)> {
    // Below 0 by rounding, or by a covariance that is none: counts as 0, with the derivative at 0.
    let positive = with_derivative(&l.maximum(0.0)?, l, &l.ones_like()?)?;
    let root = positive.affine(1.0, config.eps)?.sqrt()?;
    let factor = root.recip()?;
    Ok((root, if config.restriction.detaches() { factor.detach() } else { factor }))
}

/// The residual in the frame of one distribution; each tensor `[B, K]`.
struct Axes<'a> {
    frame: &'a Frame,
    /// `e_i = v_i . e`.
    e: [Tensor; 2],
    /// `s_i = sqrt(l_i + eps)`.
    s: [Tensor; 2],
    /// `1 / s_i`, outside the graph under `Restriction::Detach`.
    factor: [Tensor; 2],
}

impl<'a> Axes<'a> {
    fn new(
        config: &StarLossConfig,
        frame: &'a Frame,
        residual: &Tensor,
        values: [Tensor; 2],
    ) -> Result<Self> {
        let (ex, ey) = (residual.narrow(2, 0, 1)?.squeeze(2)?, residual.narrow(2, 1, 1)?.squeeze(2)?);
        let [v1, v2] = frame.axes()?;
        let e = [((&v1[0] * &ex)? + (&v1[1] * &ey)?)?, ((&v2[0] * &ex)? + (&v2[1] * &ey)?)?];
        let ((s1, g1), (s2, g2)) = (deviation(config, &values[0])?, deviation(config, &values[1])?);
        Ok(Self { frame, e, s: [s1, s2], factor: [g1, g2] })
    }

    fn distance(&self, config: &StarLossConfig) -> Result<Tensor> {
        let StarLossConfig { form, distance, .. } = *config;
        let ([e1, e2], [g1, g2], [s1, s2]) = (&self.e, &self.factor, &self.s);
        // The loss with fixed axes, and `u_i = dF/de_i / c_i`; see `rotation`.
        let (loss, [u1, u2]) = match (form, distance) {
            (Form::PerAxis, _) => {
                let ([d1, u1], [d2, u2]) = (distance.of(e1)?, distance.of(e2)?);
                let (d1, d2) = (with_derivative(&d1, e1, &u1)?, with_derivative(&d2, e2, &u2)?);
                (((d1 * g1)? + (d2 * g2)?)?, [u1, u2])
            }
            (Form::Whitened, Distance::L1 | Distance::L2) => {
                let (w1, w2) = ((e1 * g1)?, (e2 * g2)?);
                let ([d1, p1], [d2, p2]) = (distance.of(&w1)?, distance.of(&w2)?);
                let loss =
                    (with_derivative(&d1, &w1, &p1)? + with_derivative(&d2, &w2, &p2)?)?.affine(0.5, 0.0)?;
                (loss, [(p1 * s1)?.affine(0.5, 0.0)?, (p2 * s2)?.affine(0.5, 0.0)?])
            }
            (Form::Whitened, Distance::SmoothL1 { .. } | Distance::Wing { .. }) => {
                let norm = ((e1 * g1)?.sqr()? + (e2 * g2)?.sqr()?)?;
                let [d, derivative] = distance.of_squared(&norm)?;
                let twice = derivative.affine(2.0, 0.0)?;
                (with_derivative(&d, &norm, &derivative)?, [(&twice * e1)?, (&twice * e2)?])
            }
        };
        loss + self.rotation(config, &u1, &u2)?
    }

    /// Zero in value; the derivative of the loss by the angle of the axes.
    ///
    /// With `A = e1 u2`, `B = e2 u1` and `c_i` the factor of the axis, `dF/dt = A c2 - B c1` and `dt = n' . (dd, db) / 2r`. The part
    /// `(A + B)(c2 - c1) / 2r` is finite, since `c2 - c1` has the factor `r`; the part `(A - B)(c2 + c1) / 2r` is not, except where
    /// the loss is rotation-invariant (`A = B`), and takes the bounded `1 / r`.
    fn rotation(&self, config: &StarLossConfig, u1: &Tensor, u2: &Tensor) -> Result<Tensor> {
        let [e1, e2] = [self.e[0].detach(), self.e[1].detach()];
        let [s1, s2] = [self.s[0].detach(), self.s[1].detach()];
        let (a, b) = ((e1 * u2.detach())?, (e2 * u1.detach())?);
        let product = (&s1 * &s2)?;
        let (sum, difference) = match config.form {
            Form::PerAxis => ((s1.recip()? + s2.recip()?)?, (&product * (&s1 + &s2)?)?.recip()?),
            Form::Whitened => ((s1.sqr()?.recip()? + s2.sqr()?.recip()?)?, product.sqr()?.recip()?),
        };
        let scale = self.frame.mean.detach().abs()?.affine(1.0, config.eps)?;
        let regular = ((&a + &b)? * difference)?.affine(-0.5, 0.0)?;
        let singular = ((((&a - &b)? * sum)? * self.frame.inverse_radius(&scale)?)?).affine(0.25, 0.0)?;
        (regular + singular)? * self.frame.rotation()?
    }
}
