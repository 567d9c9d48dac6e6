//! A step of an optimiser as a single sweep over each variable on the CPU. Each element is worked out in f64 and rounded once.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Storage, Tensor, Var, bail};
use num_traits::AsPrimitive;

/// A step in two halves, since an in-place op writes one tensor.
pub(super) trait Rule {
    /// Takes the gradient into what is kept.
    fn gather<T: AsPrimitive<f64>>(&self, kept: &mut [T], gradient: &[T], values: &[T])
    where
        f64: AsPrimitive<T>;
    /// Moves the values by what is kept.
    fn shift<T: AsPrimitive<f64>>(&self, values: &mut [T], kept: &[T], gradient: &[T])
    where
        f64: AsPrimitive<T>;
}

pub(super) fn sweep<R: Rule>(rule: &R, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
    let gradient = gradient.contiguous()?;
    kept.inplace_op3(&gradient, var.as_tensor(), &Gather(rule))?;
    var.as_tensor().inplace_op3(kept, &gradient, &Shift(rule))
}

struct Gather<'a, R>(&'a R);
struct Shift<'a, R>(&'a R);

/// Calls `$f` on the elements of three contiguous storages of one dtype.
macro_rules! on_floats {
    ($name:expr, ($a:expr, $la:expr), ($b:expr, $lb:expr), ($c:expr, $lc:expr), $f:expr) => {{
        let offsets = [$la, $lb, $lc].map(Layout::contiguous_offsets);
        let [Some((a0, a1)), Some((b0, b1)), Some((c0, c1))] = offsets else {
            bail!("{}: expected contiguous tensors", $name)
        };
        match ($a, $b, $c) {
            (CpuStorage::F32(a), CpuStorage::F32(b), CpuStorage::F32(c)) => {
                $f(&mut a[a0..a1], &b[b0..b1], &c[c0..c1])
            }
            (CpuStorage::F64(a), CpuStorage::F64(b), CpuStorage::F64(c)) => {
                $f(&mut a[a0..a1], &b[b0..b1], &c[c0..c1])
            }
            _ => bail!("{}: expected f32 or f64, all alike", $name),
        }
        Ok(())
    }};
}

macro_rules! in_place {
    ($op:ident, $name:literal, $half:ident) => {
        impl<R: Rule> InplaceOp3 for $op<'_, R> {
            fn name(&self) -> &'static str {
                $name
            }

            fn cpu_fwd(
                &self,
                a: &mut CpuStorage,
                la: &Layout,
                b: &CpuStorage,
                lb: &Layout,
                c: &CpuStorage,
                lc: &Layout,
            ) -> Result<()> {
                on_floats!($name, (a, la), (b, lb), (c, lc), |a, b, c| self.0.$half(a, b, c))
            }
        }
    };
}
in_place!(Gather, "optimiser-gather", gather);
in_place!(Shift, "optimiser-shift", shift);

/// Sum of the squares of a tensor's elements, in f64.
pub(super) fn sum_of_squares(tensor: &Tensor) -> Result<f64> {
    if !tensor.device().is_cpu() {
        // On the host: Metal has no f64.
        let total = tensor.sqr()?.sum_all()?.to_device(&candle_core::Device::Cpu)?;
        return total.to_dtype(candle_core::DType::F64)?.to_scalar();
    }
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { bail!("gradient: expected a tensor on the CPU") };
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("gradient: expected a contiguous tensor")
    };
    match storage {
        CpuStorage::F32(values) => Ok(squares(&values[start..end])),
        CpuStorage::F64(values) => Ok(squares(&values[start..end])),
        other => bail!(
            "gradient: expected f32 or f64, got {:?}",
            candle_core::backend::BackendStorage::dtype(other)
        ),
    }
}

/// In lanes, so that the loop vectorises.
fn squares<T: AsPrimitive<f64>>(values: &[T]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| v.as_() * v.as_()).sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v.as_() * v.as_();
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::optimizer::adam::AdamStep;
    use crate::optimizer::sgd::MomentumStep;
    use crate::optimizer::{Adam, Sgd};

    const TOLERANCE: f64 = 1e-12;

    fn values(tensor: &Tensor) -> Vec<f64> {
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Three steps both ways from one start, with gradients that differ from step to step.
    fn both(rows: usize, step: impl Fn(usize, &Var, &Tensor, &Tensor, bool)) {
        let start = || Var::new(&[[1.0f64, -2.0], [0.25, 3.0]], &Device::Cpu).unwrap();
        let kept = || Tensor::zeros((rows, 4), DType::F64, &Device::Cpu).unwrap();
        let (swept, composed) = ((start(), kept()), (start(), kept()));
        for i in 1..=3 {
            let gradient = Tensor::new(&[[0.5, -1.0], [2.0, 0.1 * i as f64]], &Device::Cpu).unwrap();
            step(i, &swept.0, &swept.1, &gradient, true);
            step(i, &composed.0, &composed.1, &gradient, false);
        }
        for (a, b) in [(swept.0.as_tensor(), composed.0.as_tensor()), (&swept.1, &composed.1)] {
            let (a, b) = (values(a), values(b));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < TOLERANCE), "{a:?} against {b:?}");
        }
    }

    #[test]
    fn sweeps_and_tensor_ops_take_the_same_steps() {
        both(2, |i, var, kept, gradient, swept| {
            let step = AdamStep::new(Adam { beta1: 0.9, beta2: 0.99, eps: 1e-8 }, 0.1, 0.05, 0.5, i);
            if swept { step.apply(var, kept, gradient) } else { step.composed(var, kept, gradient) }.unwrap();
        });
        for nesterov in [false, true] {
            both(1, |i, var, kept, gradient, swept| {
                let sgd = Sgd { momentum: 0.9, nesterov, weight_decay: 0.01 };
                let step = MomentumStep { sgd, rate: 0.1, scale: 2.0, first: i == 1 };
                if swept { step.apply(var, kept, gradient) } else { step.composed(var, kept, gradient) }
                    .unwrap();
            });
        }
    }

    #[test]
    fn squares_are_summed_over_every_element() {
        // 1 + 4 + .. + 121 = 506
        let tensor = Tensor::arange(1f32, 12f32, &Device::Cpu).unwrap();
        assert!((sum_of_squares(&tensor).unwrap() - 506.0).abs() < TOLERANCE);
    }
}
