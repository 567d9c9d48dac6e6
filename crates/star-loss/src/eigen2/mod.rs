//! Symmetric 2x2 matrices: eigenvalues and eigenvectors in closed form, with finite gradients everywhere.
//!
//! With `m = (a + c) / 2`, `d = (a - c) / 2` and `r = sqrt(d^2 + b^2)` the matrix `[[a, b], [b, c]]` has the eigenvalues `m - r` and
//! `m + r`. The unit vector `n = (d, b) / r` is the larger axis at doubled angle: `v2 = (cos t, sin t)`, `n = (cos 2t, sin 2t)`.
//! `dt = n' . (dd, db) / 2r` with `n'` perpendicular to `n`; this `1 / r`, the reference's `1 / (l2 - l1)`, is the only term that
//! is not finite. It is replaced by `q^3 / (1 + q^4) / u` with `q = r / u`, where `u = 1e-6 * scale`: equal to `1 / r` within
//! 1e-8 for `r > 1e-4 * scale`, at most `0.57 / u`, and 0 for an isotropic matrix, whose axes are x and y.
//!
//! `tensor` computes this by candle operations and `scalar` in f64 for the sweeps of the CPU path; the laws of the loss hold both to each other.

mod entries;
pub(crate) mod scalar;
mod tensor;

use candle_core::{D, Result, Tensor};

pub(crate) use entries::Entries;
pub(crate) use tensor::Frame;

/// Eigenvalues and unit eigenvectors of symmetric 2x2 matrices.
#[derive(Debug, Clone)]
pub struct SymEigen2 {
    /// `[.., 2]`, ascending.
    pub values: Tensor,
    /// `[.., 2, 2]`, the columns are the eigenvectors; an isotropic matrix has the axes y, x up to sign.
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
        let angle = (frame.rotation()? * frame.inverse_radius(&scale)?.affine(0.5, 0.0)?)?;
        let [v1, v2] = frame.axes()?;
        let rotated = |v: &[Tensor; 2], by: &[Tensor; 2], sign: f64| -> Result<Tensor> {
            let angle = angle.affine(sign, 0.0)?;
            let x = (&v[0] + (&angle * &by[0])?)?;
            let y = (&v[1] + (&angle * &by[1])?)?;
            Tensor::stack(&[x, y], D::Minus1)
        };
        let rank = frame.mean.rank();
        let vectors = Tensor::stack(&[rotated(&v1, &v2, -1.0)?, rotated(&v2, &v1, 1.0)?], rank + 1)?;
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
