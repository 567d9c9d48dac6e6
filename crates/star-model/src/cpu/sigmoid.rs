//! The sigmoid of point and edge maps.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, FloatDType, Layout, Result, Shape, Tensor};
use num_traits::Float;
use rayon::prelude::*;

use super::slices::{self, for_float};

/// `1 / (1 + exp(-x))`.
pub(crate) struct Sigmoid;

impl Sigmoid {
    fn value<T: FloatDType + Float>(x: T) -> T {
        T::one() / (T::one() + (T::zero() - x).exp())
    }

    /// The derivative where the value is `y`.
    fn derivative<T: FloatDType>(y: T) -> T {
        y * (T::one() - y)
    }
}

impl CustomOp1 for Sigmoid {
    fn name(&self) -> &'static str {
        "sigmoid-cpu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, lx: &Layout) -> Result<(CpuStorage, Shape)> {
        for_float!(x.dtype(), T => {
            let x: &[T] = slices::of_storage(x, lx)?;
            let mut y = slices::zeros::<T>(x.len());
            y.par_iter_mut().with_min_len(1 << 12).zip(x).for_each(|(y, &x)| {
                *y = Sigmoid::value(x);
            });
            Ok(slices::result(y, lx.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        for_float!(x.dtype(), T => {
            let mut dx = slices::zeros::<T>(x.elem_count());
            slices::with::<T, _>(y, |y| slices::with::<T, _>(dy, |dy| {
                dx.par_iter_mut().with_min_len(1 << 14).zip(y).zip(dy).for_each(|((dx, &y), &dy)| {
                    *dx = Sigmoid::derivative(y) * dy;
                });
                Ok(())
            }))?;
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}
