//! Matrix products over slices: the only file that calls the `gemm` crate.

use candle_core::FloatDType;

/// A matrix inside a slice: `rows x cols`, `row` and `col` being the strides in elements.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row: usize,
    pub(crate) col: usize,
}

impl Matrix {
    /// A row-major matrix whose rows are `stride` elements apart.
    pub(crate) fn strided(rows: usize, cols: usize, stride: usize) -> Self {
        Self { rows, cols, row: stride, col: 1 }
    }

    /// A dense row-major matrix.
    pub(crate) fn dense(rows: usize, cols: usize) -> Self {
        Self::strided(rows, cols, cols)
    }

    /// The same elements with rows and columns exchanged.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row: self.col, col: self.row }
    }

    /// Elements from the first to the last, inclusive.
    fn span(self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            0
        } else {
            (self.rows - 1) * self.row + (self.cols - 1) * self.col + 1
        }
    }
}

/// Whether a product replaces the destination or adds to it.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Into {
    /// `dst = a b`
    Replace,
    /// `dst += a b`
    Add,
}

/// `dst = a b` or `dst += a b`; `threads` > 1 lets the product use the current rayon pool.
pub(crate) fn gemm<T: FloatDType>(
    dst: (&mut [T], Matrix),
    a: (&[T], Matrix),
    b: (&[T], Matrix),
    into: Into,
    threads: usize,
) {
    let ((d, dm), (a, am), (b, bm)) = (dst, a, b);
    assert!(dm.rows == am.rows && dm.cols == bm.cols && am.cols == bm.rows, "gemm: sizes do not fit");
    assert!(d.len() >= dm.span() && a.len() >= am.span() && b.len() >= bm.span(), "gemm: slice too short");
    let parallelism = if threads > 1 { gemm::Parallelism::Rayon(threads) } else { gemm::Parallelism::None };
    let stride = |n: usize| n as isize;
    #[expect(
        unsafe_code,
        reason = "the gemm crate takes pointers; sizes and strides were checked just above"
    )]
    // SAFETY: every element that the strides reach lies inside its slice (asserted), `d` is borrowed mutably and so
    // overlaps neither input, and gemm panics for a `T` that it does not support.
    unsafe {
        gemm::gemm(
            dm.rows,
            dm.cols,
            am.cols,
            d.as_mut_ptr(),
            stride(dm.col),
            stride(dm.row),
            into == Into::Add,
            a.as_ptr(),
            stride(am.col),
            stride(am.row),
            b.as_ptr(),
            stride(bm.col),
            stride(bm.row),
            T::one(),
            T::one(),
            false,
            false,
            false,
            parallelism,
        );
    }
}
