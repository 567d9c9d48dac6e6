//! Symmetric 2x2 matrices as three tensors.

use candle_core::{Result, Tensor, bail};

/// The three entries `a, b, c` of `[[a, b], [b, c]]`.
pub(crate) struct Entries {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
    pub(crate) c: Tensor,
}

impl Entries {
    /// Of matrices `[.., 2, 2]`, the mean of both off-diagonal entries.
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

    /// The covariances of packed moments `[B, K, 5]`, each entry `[B, K]`.
    pub(crate) fn of_moments(packed: &Tensor) -> Result<Self> {
        let entry = |i: usize| packed.narrow(2, i, 1)?.squeeze(2);
        Ok(Self { a: entry(2)?, b: entry(3)?, c: entry(4)? })
    }

    /// As matrices `[.., 2, 2]`.
    pub(crate) fn join(&self) -> Result<Tensor> {
        let rank = self.a.rank();
        let rows = [Tensor::stack(&[&self.a, &self.b], rank)?, Tensor::stack(&[&self.b, &self.c], rank)?];
        Tensor::stack(&rows, rank)
    }
}
