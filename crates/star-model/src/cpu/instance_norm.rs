//! Instance norm with its ReLU, as one sweep forward and one backward.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, FloatDType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::slices::{self, for_float};
use super::sums::{masked_sums, sums};
use crate::activation::Activation;

/// `max((x - m) / s, 0)` with the mean `m` and biased deviation `s = sqrt(v + eps)` of each map.
pub(crate) struct InstanceNormRelu {
    pub(crate) eps: f64,
}

impl InstanceNormRelu {
    /// `(m, 1 / s)` of one map.
    fn statistics<T: FloatDType>(&self, map: &[T]) -> (T, T) {
        let (centre, n) = (map[0], map.len() as f64);
        let (sum, squares) = sums(map, centre);
        let shift = sum / n;
        let variance = (squares / n - shift * shift).max(0.0);
        (T::from_f64(centre.to_f64() + shift), T::from_f64(1.0 / (variance + self.eps).sqrt()))
    }

    fn forward<T: FloatDType>(&self, x: &[T], y: &mut [T]) {
        let (mean, inverse) = self.statistics(x);
        for (y, &x) in y.iter_mut().zip(x) {
            let value = (x - mean) * inverse;
            *y = if value <= T::zero() { T::zero() } else { value };
        }
    }

    /// With `t = (x - m) / s` and `d` the gradient where `y > 0`: `dx = (d - mean d - t mean(d t)) / s`.
    fn backward<T: FloatDType>(&self, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
        let (mean, inverse) = self.statistics(x);
        let (d_sum, dt_sum) = masked_sums(dy, x, y, mean, Activation::Relu);
        let n = x.len() as f64;
        let d_mean = T::from_f64(d_sum / n);
        let along = T::from_f64(dt_sum * inverse.to_f64() * inverse.to_f64() / n);
        for ((dx, &x), (&y, &dy)) in dx.iter_mut().zip(x).zip(y.iter().zip(dy)) {
            let d = if y <= T::zero() { T::zero() } else { dy };
            *dx = inverse * (d - d_mean - along * (x - mean));
        }
    }
}

impl CustomOp1 for InstanceNormRelu {
    fn name(&self) -> &'static str {
        "instance-norm-relu-cpu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        let pixels = slices::pixels(lx.shape())?;
        for_float!(x.dtype(), T => {
            let x: &[T] = slices::of_storage(x, lx)?;
            let mut y = slices::zeros::<T>(x.len());
            y.par_chunks_exact_mut(pixels).zip(x.par_chunks_exact(pixels)).for_each(|(y, x)| self.forward(x, y));
            Ok(slices::result(y, lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let pixels = slices::pixels(x.shape())?;
        for_float!(x.dtype(), T => {
            let mut dx = slices::zeros::<T>(x.elem_count());
            slices::with::<T, _>(x, |x| slices::with::<T, _>(y, |y| slices::with::<T, _>(dy, |dy| {
                let inputs = x.par_chunks_exact(pixels).zip(y.par_chunks_exact(pixels)).zip(dy.par_chunks_exact(pixels));
                dx.par_chunks_exact_mut(pixels).zip(inputs).for_each(|(dx, ((x, y), dy))| self.backward(x, y, dy, dx));
                Ok(())
            })))?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}
