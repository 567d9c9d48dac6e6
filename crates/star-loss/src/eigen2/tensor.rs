//! The closed form on tensors, by candle operations, in the graph.

use candle_core::{Result, Tensor};

use super::entries::Entries;
use super::scalar::ISOTROPIC;
use crate::surrogate::{linear, with_derivative};

/// The decomposition with the axes outside the graph: callers add their derivative through [`Frame::rotation`].
pub(crate) struct Frame {
    /// `m`, half the trace, in the graph.
    pub(crate) mean: Tensor,
    /// `r`, half the gap between the eigenvalues, in the graph.
    pub(crate) radius: Tensor,
    difference: Tensor,
    off_diagonal: Tensor,
    direction: [Tensor; 2],
}

impl Frame {
    pub(crate) fn of(entries: &Entries) -> Result<Self> {
        let mean = (&entries.a + &entries.c)?.affine(0.5, 0.0)?;
        let difference = (&entries.a - &entries.c)?.affine(0.5, 0.0)?;
        let off_diagonal = entries.b.clone();
        let (d, b) = (difference.detach(), off_diagonal.detach());
        // Scaled by the larger entry: squares of small numbers leave f32.
        let size = d.abs()?.maximum(&b.abs()?)?;
        let isotropic = size.eq(0.0)?;
        let safe = isotropic.where_cond(&size.ones_like()?, &size)?;
        let (d, b) = ((&d / &safe)?, (&b / &safe)?);
        let d = isotropic.where_cond(&d.ones_like()?, &d)?;
        let norm = (d.sqr()? + b.sqr()?)?.sqrt()?;
        let radius = (&norm * &size)?;
        let direction = [(d / &norm)?, (b / &norm)?];
        let radius =
            (with_derivative(&radius, &difference, &direction[0])? + linear(&off_diagonal, &direction[1])?)?;
        Ok(Self { mean, radius, difference, off_diagonal, direction })
    }

    /// Both eigenvalues, ascending, in the graph.
    pub(crate) fn values(&self) -> Result<[Tensor; 2]> {
        Ok([(&self.mean - &self.radius)?, (&self.mean + &self.radius)?])
    }

    /// Both eigenvectors as (x, y), outside the graph: `v1 = (-sin t, cos t)`, `v2 = (cos t, sin t)`.
    pub(crate) fn axes(&self) -> Result<[[Tensor; 2]; 2]> {
        let [cosine, sine] = &self.direction;
        // Half the angle by whichever of the two formulas does not cancel.
        let wide = cosine.ge(0.0)?;
        let x = wide.where_cond(&cosine.affine(1.0, 1.0)?, sine)?;
        let y = wide.where_cond(sine, &cosine.affine(-1.0, 1.0)?)?;
        let norm = (x.sqr()? + y.sqr()?)?.sqrt()?;
        let (x, y) = ((x / &norm)?, (y / &norm)?);
        Ok([[y.neg()?, x.clone()], [x, y]])
    }

    /// `n' . (dd, db)`: zero in value, `2 r dt` in derivative.
    pub(crate) fn rotation(&self) -> Result<Tensor> {
        let [cosine, sine] = &self.direction;
        linear(&self.off_diagonal, cosine)? - linear(&self.difference, sine)?
    }

    /// `1 / r`, bounded by `0.57 / (1e-6 scale)` and 0 at `r = 0`, outside the graph.
    pub(crate) fn inverse_radius(&self, scale: &Tensor) -> Result<Tensor> {
        let unit = scale.affine(ISOTROPIC, 0.0)?;
        let flat = unit.le(0.0)?;
        let unit = flat.where_cond(&unit.ones_like()?, &unit)?;
        let q = (self.radius.detach() / &unit)?;
        // q^3 / (1 + q^4) is 1/q / (1 + 1/q^4): each half where its powers stay small.
        let large = q.gt(1.0)?;
        let tame = large.where_cond(&q.ones_like()?, &q)?;
        let small = ((tame.sqr()? * &tame)? / (tame.sqr()?.sqr()? + 1.0)?)?;
        let safe = large.where_cond(&q, &q.ones_like()?)?;
        let inverse = safe.recip()?;
        let big = (&inverse / (inverse.sqr()?.sqr()? + 1.0)?)?;
        large.where_cond(&big, &small)? / unit
    }
}
