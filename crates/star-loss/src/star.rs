//! The STAR loss.

use candle_core::{Result, Tensor, bail};

use crate::eigen2::{Entries, Frame};
use crate::moments::Sums;
use crate::surrogate::with_slope;
use crate::{Distance, Form, Reduction, StarLossConfig};

/// The STAR loss with the reference's settings: a scalar from heatmaps `[B, K, H, W] >= 0` and targets `[B, K, 2]` in `[-1, 1]`.
///
/// # Errors
/// When a shape or dtype is not as stated.
pub fn star(heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
    StarLoss::new(StarLossConfig::default())?.forward(heatmaps, targets)?.reduce(None, Reduction::Mean)
}

/// The loss of Zhou et al., CVPR 2023 (arXiv 2306.02763), per keypoint.
#[derive(Debug, Clone)]
pub struct StarLoss {
    config: StarLossConfig,
}

/// Prices of each keypoint before reduction, f32 or f64.
#[derive(Debug, Clone)]
pub struct StarTerms {
    /// `[B, K]`: price of the residual along both axes. NaN where a target is not finite.
    pub distance: Tensor,
    /// `[B, K]`: price of the eigenvalues, weighted.
    pub restriction: Tensor,
    /// `[B, K, 2]`: centres of mass, x then y; the decoded keypoints.
    pub means: Tensor,
}

impl StarTerms {
    /// Sums `distance + restriction` into a scalar under optional weights `[B, K]`.
    ///
    /// `reduce(None, Mean)` is the reference's number in both forms. With weights the mean is `sum(w l) / sum(w)`, and 0 if all
    /// weights are 0. A keypoint of weight 0 has no part in value or gradient, even where its target is NaN.
    ///
    /// # Errors
    /// When `weights` is not `[B, K]`.
    pub fn reduce(&self, weights: Option<&Tensor>, how: Reduction) -> Result<Tensor> {
        how.apply(&(&self.distance + &self.restriction)?, weights)
    }
}

impl StarLoss {
    /// Checks the settings.
    ///
    /// # Errors
    /// As [`StarLossConfig::validate`].
    pub fn new(config: StarLossConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &StarLossConfig {
        &self.config
    }

    /// Prices heatmaps `[B, K, H, W] >= 0` against targets `[B, K, 2]`, x then y.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    pub fn forward(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<StarTerms> {
        let sums = Sums::of(heatmaps)?;
        self.price(&sums.means()?, &sums.covariances()?, targets)
    }

    /// The same loss on means `[B, K, 2]` and covariances `[B, K, 2, 2]` that some other head predicts.
    ///
    /// # Errors
    /// When a shape or dtype is not as stated.
    pub fn forward_moments(
        &self,
        means: &Tensor,
        covariances: &Tensor,
        targets: &Tensor,
    ) -> Result<StarTerms> {
        let &[b, k, 2] = means.dims() else { bail!("means: expected [B, K, 2], got {:?}", means.shape()) };
        if covariances.dims() != [b, k, 2, 2] {
            bail!("covariances: expected [{b}, {k}, 2, 2], got {:?}", covariances.shape())
        }
        let dtype = crate::moments::working_dtype(means.dtype())?;
        self.price(&means.to_dtype(dtype)?, &Entries::split(&covariances.to_dtype(dtype)?)?, targets)
    }

    fn price(&self, means: &Tensor, covariances: &Entries, targets: &Tensor) -> Result<StarTerms> {
        let (b, k, _) = means.dims3()?;
        if targets.dims() != [b, k, 2] {
            bail!("targets: expected [{b}, {k}, 2], got {:?}", targets.shape())
        }
        let targets = targets.to_dtype(means.dtype())?;
        // A target that is not finite must not reach the gradient: it is priced at the mean, and the price replaced by NaN.
        let known = (&targets - &targets)?.eq(0.0)?;
        let residual = (known.where_cond(&targets, &means.detach())? - means)?;
        let lost = (targets.detach() - targets.detach())?.sum(2)?;

        let frame = Frame::of(covariances)?;
        let [l1, l2] = frame.values()?;
        let restriction = self.config.restriction.price(&l1, &l2)?;
        let distance = Axes::new(self, &frame, &residual, [l1, l2])?.distance(self)?;
        let known = lost.eq(0.0)?;
        let distance = known.where_cond(&distance, &lost)?;
        Ok(StarTerms { distance, restriction, means: means.clone() })
    }
}

/// The residual in the frame of one distribution; each tensor `[B, K]`.
struct Axes<'a> {
    frame: &'a Frame,
    /// `e_i = v_i . e`.
    e: [Tensor; 2],
    /// `s_i = sqrt(l_i + eps)`.
    s: [Tensor; 2],
    /// `1 / s_i`, outside the graph where the restriction says so.
    gain: [Tensor; 2],
}

impl<'a> Axes<'a> {
    fn new(loss: &StarLoss, frame: &'a Frame, residual: &Tensor, values: [Tensor; 2]) -> Result<Self> {
        let StarLossConfig { restriction, eps, .. } = loss.config;
        let (ex, ey) = (residual.narrow(2, 0, 1)?.squeeze(2)?, residual.narrow(2, 1, 1)?.squeeze(2)?);
        let [v1, v2] = frame.axes()?;
        let e = [((&v1[0] * &ex)? + (&v1[1] * &ey)?)?, ((&v2[0] * &ex)? + (&v2[1] * &ey)?)?];
        let root = |l: &Tensor| -> Result<Tensor> {
            // Below 0 by rounding, or by a covariance that is none: priced as 0, with the slope of 0.
            let positive = with_slope(&l.maximum(0.0)?, l, &l.ones_like()?)?;
            positive.affine(1.0, eps)?.sqrt()
        };
        let s = [root(&values[0])?, root(&values[1])?];
        let gain = [s[0].recip()?, s[1].recip()?];
        let gain = if restriction.detaches() { gain.map(|g| g.detach()) } else { gain };
        Ok(Self { frame, e, s, gain })
    }

    fn distance(&self, loss: &StarLoss) -> Result<Tensor> {
        let StarLossConfig { form, distance, .. } = loss.config;
        let ([e1, e2], [g1, g2], [s1, s2]) = (&self.e, &self.gain, &self.s);
        // The price with fixed axes, and `u_i = dF/de_i / gain_i^n`, where n is 1 per axis and 2 whitened.
        let (price, [u1, u2]) = match (form, distance) {
            (Form::PerAxis, _) => {
                let ([d1, u1], [d2, u2]) = (distance.of(e1)?, distance.of(e2)?);
                let price = ((with_slope(&d1, e1, &u1)? * g1)? + (with_slope(&d2, e2, &u2)? * g2)?)?;
                (price, [u1, u2])
            }
            (Form::Whitened, Distance::L1 | Distance::L2) => {
                let (w1, w2) = ((e1 * g1)?, (e2 * g2)?);
                let ([d1, p1], [d2, p2]) = (distance.of(&w1)?, distance.of(&w2)?);
                let price = (with_slope(&d1, &w1, &p1)? + with_slope(&d2, &w2, &p2)?)?.affine(0.5, 0.0)?;
                (price, [(p1 * s1)?.affine(0.5, 0.0)?, (p2 * s2)?.affine(0.5, 0.0)?])
            }
            (Form::Whitened, Distance::SmoothL1 { .. } | Distance::Wing { .. }) => {
                let norm = ((e1 * g1)?.sqr()? + (e2 * g2)?.sqr()?)?;
                let [d, slope] = distance.of_squared(&norm)?;
                let twice = slope.affine(2.0, 0.0)?;
                (with_slope(&d, &norm, &slope)?, [(&twice * e1)?, (&twice * e2)?])
            }
        };
        price + self.turning(loss, &u1, &u2)?
    }

    /// Zero in value; the derivative of the price by the angle of the axes.
    ///
    /// With `A = e1 u2`, `B = e2 u1` and `c_i` the power of the gain, `dF/dt = A c2 - B c1` and `dt = n' . (dd, db) / 2r`. The part
    /// `(A + B)(c2 - c1) / 2r` is finite, since `c2 - c1` has the factor `r`; the part `(A - B)(c2 + c1) / 2r` is not, except where
    /// the price is rotation-invariant (`A = B`), and takes the bounded `1 / r`.
    fn turning(&self, loss: &StarLoss, u1: &Tensor, u2: &Tensor) -> Result<Tensor> {
        let [e1, e2] = [self.e[0].detach(), self.e[1].detach()];
        let [s1, s2] = [self.s[0].detach(), self.s[1].detach()];
        let (a, b) = ((e1 * u2.detach())?, (e2 * u1.detach())?);
        let product = (&s1 * &s2)?;
        let (sum, slope) = match loss.config.form {
            Form::PerAxis => ((s1.recip()? + s2.recip()?)?, (&product * (&s1 + &s2)?)?.recip()?),
            Form::Whitened => ((s1.sqr()?.recip()? + s2.sqr()?.recip()?)?, product.sqr()?.recip()?),
        };
        let scale = self.frame.mean.detach().abs()?.affine(1.0, loss.config.eps)?;
        let regular = ((&a + &b)? * slope)?.affine(-0.5, 0.0)?;
        let singular = ((((&a - &b)? * sum)? * self.frame.inverse_radius(&scale)?)?).affine(0.25, 0.0)?;
        (regular + singular)? * self.frame.turn()?
    }
}
