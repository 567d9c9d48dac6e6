//! 2x2 max-pooling of stride 2 with a correct gradient.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, FloatDType, Layout, Result, Shape, Tensor};
use num_traits::Float;
use rayon::prelude::*;

use super::slices::{self, for_float};

/// The larger of each 2x2 block; its gradient goes to the first largest value, in row order.
pub(crate) struct MaxPool2x2;

/// Index of the first largest of a block: NaN wins, as in PyTorch, so that it is not hidden.
fn winner<T: FloatDType + Float>(block: [T; 4]) -> usize {
    let mut best = 0;
    for i in 1..4 {
        if block[i] > block[best] || block[i].is_nan() && !block[best].is_nan() {
            best = i;
        }
    }
    best
}

fn block<T: FloatDType + Float>(plane: &[T], w: usize, y: usize, x: usize) -> [T; 4] {
    let at = 2 * y * w + 2 * x;
    [plane[at], plane[at + 1], plane[at + w], plane[at + w + 1]]
}

fn forward<T: FloatDType + Float>(x: &[T], (h, w): (usize, usize)) -> Vec<T> {
    let (oh, ow) = (h / 2, w / 2);
    let mut out = vec![T::zero(); x.len() / 4];
    out.par_chunks_exact_mut(oh * ow).zip(x.par_chunks_exact(h * w)).for_each(|(out, plane)| {
        for (y, line) in out.chunks_exact_mut(ow).enumerate() {
            for (x, value) in line.iter_mut().enumerate() {
                let block = block(plane, w, y, x);
                *value = block[winner(block)];
            }
        }
    });
    out
}

fn backward<T: FloatDType + Float>(x: &[T], dy: &[T], (h, w): (usize, usize)) -> Vec<T> {
    let (oh, ow) = (h / 2, w / 2);
    let mut dx = vec![T::zero(); x.len()];
    let planes = x.par_chunks_exact(h * w).zip(dy.par_chunks_exact(oh * ow));
    dx.par_chunks_exact_mut(h * w).zip(planes).for_each(|(dx, (plane, dy))| {
        for (y, line) in dy.chunks_exact(ow).enumerate() {
            for (x, &gradient) in line.iter().enumerate() {
                let best = winner(block(plane, w, y, x));
                dx[(2 * y + best / 2) * w + 2 * x + best % 2] = gradient;
            }
        }
    });
    dx
}

impl CustomOp1 for MaxPool2x2 {
    fn name(&self) -> &'static str {
        "max-pool-2x2-cpu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, c, h, w) = layout.shape().dims4()?;
        for_float!(x.dtype(), T => {
            Ok(slices::result(forward::<T>(slices::of_storage(x, layout)?, (h, w)), (n, c, h / 2, w / 2)))
        })
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let (_, _, h, w) = x.dims4()?;
        for_float!(x.dtype(), T => {
            let dx = slices::with::<T, _>(x, |x| slices::with::<T, _>(dy, |dy| Ok(backward(x, dy, (h, w)))))?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}
