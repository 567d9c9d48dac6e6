//! Symmetric 2x2 matrices: eigenvalues and eigenvectors in closed form, with finite gradients everywhere.
//!
//! With `m = (a + c) / 2`, `d = (a - c) / 2` and `r = sqrt(d^2 + b^2)` the matrix `[[a, b], [b, c]]` has the eigenvalues `m - r` and
//! `m + r`. The unit vector `n = (d, b) / r` is the larger axis at doubled angle: `v2 = (cos t, sin t)`, `n = (cos 2t, sin 2t)`.
//! `dt = n' . (dd, db) / 2r` with `n'` perpendicular to `n`; this `1 / r`, the reference's `1 / (l2 - l1)`, is the only term that
//! is not finite. It is replaced by `q^3 / (1 + q^4) / u` with `q = r / u`, where `u = 1e-6 * scale`: equal to `1 / r` within
//! 1e-8 for `r > 1e-4 * scale`, at most `0.57 / u`, and 0 for a round matrix, whose axes are x and y.

use candle_core::{Result, Tensor, bail};

use crate::surrogate::{linear, with_slope};

/// Roundness, relative to the size of the matrix, below which the axes are no longer turned.
pub(crate) const ROUND: f64 = 1e-6;

/// Eigenvalues and unit eigenvectors of symmetric 2x2 matrices.
#[derive(Debug, Clone)]
pub struct SymEigen2 {
    /// `[.., 2]`, ascending.
    pub values: Tensor,
    /// `[.., 2, 2]`, the columns are the eigenvectors; a round matrix has the axes y, x up to sign.
    pub vectors: Tensor,
}

impl SymEigen2 {
    /// Decomposes `[.., 2, 2]`, reading the mean of both off-diagonal entries.
    ///
    /// # Errors
    /// When the last two axes are not 2 long.
    pub fn new(matrices: &Tensor) -> Result<Self> {
        let frame = Frame::of(&Entries::split(matrices)?)?;
        let scale = (frame.mean.abs()? + &frame.radius)?.detach();
        // The angle of both vectors, zero in value.
        let angle = (frame.turn()? * frame.inverse_radius(&scale)?.affine(0.5, 0.0)?)?;
        let [v1, v2] = frame.axes()?;
        let turned = |v: &[Tensor; 2], by: &[Tensor; 2], sign: f64| -> Result<Tensor> {
            let angle = angle.affine(sign, 0.0)?;
            let x = (&v[0] + (&angle * &by[0])?)?;
            let y = (&v[1] + (&angle * &by[1])?)?;
            Tensor::stack(&[x, y], candle_core::D::Minus1)
        };
        let rank = frame.mean.rank();
        let vectors = Tensor::stack(&[turned(&v1, &v2, -1.0)?, turned(&v2, &v1, 1.0)?], rank + 1)?;
        let [l1, l2] = frame.values()?;
        Ok(Self { values: Tensor::stack(&[l1, l2], rank)?, vectors })
    }
}

/// Eigenvalues and eigenvectors of `[.., 2, 2]`: [`SymEigen2::new`].
///
/// # Errors
/// When the last two axes are not 2 long.
pub fn sym_eigen2(matrices: &Tensor) -> Result<SymEigen2> {
    SymEigen2::new(matrices)
}

/// The three entries `a, b, c` of `[[a, b], [b, c]]`.
pub(crate) struct Entries {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    pub(crate) c: Tensor,
}

impl Entries {
    pub(crate) fn split(matrices: &Tensor) -> Result<Self> {
        let rank = matrices.rank();
        if rank < 2 || matrices.dims()[rank - 2..] != [2, 2] {
            bail!("matrices: expected [.., 2, 2], got {:?}", matrices.shape())
        }
        let entry = |i: usize, j: usize| -> Result<Tensor> {
            matrices.narrow(rank - 2, i, 1)?.narrow(rank - 1, j, 1)?.squeeze(rank - 1)?.squeeze(rank - 2)
        };
        let b = (entry(0, 1)? + entry(1, 0)?)?.affine(0.5, 0.0)?;
        Ok(Self { a: entry(0, 0)?, b, c: entry(1, 1)? })
    }

    pub(crate) fn join(&self) -> Result<Tensor> {
        let rank = self.a.rank();
        let rows = [Tensor::stack(&[&self.a, &self.b], rank)?, Tensor::stack(&[&self.b, &self.c], rank)?];
        Tensor::stack(&rows, rank)
    }
}

/// The decomposition with the axes outside the graph: callers add their derivative through [`Frame::turn`].
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
        let round = size.eq(0.0)?;
        let safe = round.where_cond(&size.ones_like()?, &size)?;
        let (d, b) = ((&d / &safe)?, (&b / &safe)?);
        let d = round.where_cond(&d.ones_like()?, &d)?;
        let norm = (d.sqr()? + b.sqr()?)?.sqrt()?;
        let radius = (&norm * &size)?;
        let direction = [(d / &norm)?, (b / &norm)?];
        let radius =
            (with_slope(&radius, &difference, &direction[0])? + linear(&off_diagonal, &direction[1])?)?;
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
    pub(crate) fn turn(&self) -> Result<Tensor> {
        let [cosine, sine] = &self.direction;
        linear(&self.off_diagonal, cosine)? - linear(&self.difference, sine)?
    }

    /// `1 / r`, bounded by `0.57 / (1e-6 scale)` and 0 at `r = 0`, outside the graph.
    pub(crate) fn inverse_radius(&self, scale: &Tensor) -> Result<Tensor> {
        let unit = scale.affine(ROUND, 0.0)?;
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
