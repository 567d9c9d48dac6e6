//! Nearest upsampling by two, added onto a map of the larger size.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, FloatDType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{self, for_float};

/// `base + upsample(low)`: `[B, C, 2h, 2w]` and `[B, C, h, w]`.
pub(crate) struct UpsampleAdd;

fn forward<T: FloatDType>(base: &[T], low: &[T], (h, w): (usize, usize)) -> Vec<T> {
    let mut out = vec![T::zero(); base.len()];
    let planes = base.par_chunks_exact(4 * h * w).zip(low.par_chunks_exact(h * w));
    out.par_chunks_exact_mut(4 * h * w).zip(planes).for_each(|(out, (base, low))| {
        for (y, (out, base)) in out.chunks_exact_mut(2 * w).zip(base.chunks_exact(2 * w)).enumerate() {
            let low = &low[y / 2 * w..][..w];
            for ((out, base), &low) in out.chunks_exact_mut(2).zip(base.chunks_exact(2)).zip(low) {
                out[0] = base[0] + low;
                out[1] = base[1] + low;
            }
        }
    });
    out
}

/// Sum of each 2x2 block of the gradient.
fn backward_low<T: FloatDType>(dy: &[T], (h, w): (usize, usize)) -> Vec<T> {
    let mut out = vec![T::zero(); dy.len() / 4];
    out.par_chunks_exact_mut(h * w).zip(dy.par_chunks_exact(4 * h * w)).for_each(|(out, dy)| {
        for (out, rows) in out.chunks_exact_mut(w).zip(dy.chunks_exact(4 * w)) {
            let (top, bottom) = rows.split_at(2 * w);
            for ((out, top), bottom) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                *out = (top[0] + top[1]) + (bottom[0] + bottom[1]);
            }
        }
    });
    out
}

impl CustomOp2 for UpsampleAdd {
    fn name(&self) -> &'static str {
        "upsample-add-cpu"
    }

    fn cpu_fwd(
        &self,
        base: &CpuStorage,
        lb: &Layout,
        low: &CpuStorage,
        ll: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = ll.shape().dims4()?;
        if lb.shape().dims() != [n, c, 2 * h, 2 * w] {
            candle_core::bail!(
                "upsample: expected base [{n}, {c}, {}, {}], got {:?}",
                2 * h,
                2 * w,
                lb.shape()
            )
        }
        for_float!(base.dtype(), T => {
            let out = forward::<T>(slices::of_storage(base, lb)?, slices::of_storage(low, ll)?, (h, w));
            Ok(slices::result(out, lb.shape().clone()))
        })
    }

    fn bwd(
        &self,
        _base: &Tensor,
        low: &Tensor,
        _out: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (_, _, h, w) = low.dims4()?;
        for_float!(low.dtype(), T => {
            let d_low = slices::with::<T, _>(dy, |dy| Ok(backward_low(dy, (h, w))))?;
            Ok((Some(dy.clone()), Some(Tensor::from_vec(d_low, low.shape(), low.device())?)))
        })
    }
}
