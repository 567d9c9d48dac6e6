//! The arithmetic of one optimiser step: a single sweep over each variable on the CPU, tensor ops elsewhere.
//!
//! Each element is worked out in f64 and rounded once.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Storage, Tensor, Var, bail};

/// One step of Adam, with decoupled weight decay where it is not 0.
pub(super) struct AdamStep {
    beta1: f64,
    beta2: f64,
    eps: f64,
    /// What the weight is multiplied by first.
    keep: f64,
    /// Learning rate over the bias correction of the first mean.
    rate: f64,
    /// Root of the bias correction of the second.
    root: f64,
    scale: f64,
}

impl AdamStep {
    pub(super) fn new(
        (beta1, beta2, eps): (f64, f64, f64),
        weight_decay: f64,
        rate: f64,
        scale: f64,
        step: usize,
    ) -> Self {
        let correction = |beta: f64| 1.0 - beta.powf(step as f64);
        Self {
            beta1,
            beta2,
            eps,
            keep: 1.0 - rate * weight_decay,
            rate: rate / correction(beta1),
            root: correction(beta2).sqrt(),
            scale,
        }
    }

    /// `kept` is `[2, n]`: the means of gradients and of their squares.
    pub(super) fn apply(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        if var.device().is_cpu() {
            sweep(self, var, kept, gradient)
        } else {
            self.composed(var, kept, gradient)
        }
    }

    fn composed(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        let g = (gradient.flatten_all()? * self.scale)?;
        let blend = |old: Tensor, new: Tensor, beta: f64| (old * beta)? + (new * (1.0 - beta))?;
        let m = blend(kept.get(0)?, g.clone(), self.beta1)?;
        let v = blend(kept.get(1)?, g.sqr()?, self.beta2)?;
        kept.slice_set(&Tensor::stack(&[&m, &v], 0)?, 0, 0)?;
        let delta = (m * self.rate)?.div(&((v.sqrt()? / self.root)? + self.eps)?)?;
        var.set(&((var.as_detached_tensor() * self.keep)? - delta.reshape(var.shape())?)?)
    }
}

impl Rule for AdamStep {
    fn gather<T: Float>(&self, kept: &mut [T], gradient: &[T], _values: &[T]) {
        let (first, second) = kept.split_at_mut(gradient.len());
        for ((m, v), &g) in first.iter_mut().zip(second).zip(gradient) {
            let g = g.wide() * self.scale;
            *m = T::narrow(m.wide() * self.beta1 + g * (1.0 - self.beta1));
            *v = T::narrow(v.wide() * self.beta2 + g * g * (1.0 - self.beta2));
        }
    }

    fn shift<T: Float>(&self, values: &mut [T], kept: &[T], _gradient: &[T]) {
        let (first, second) = kept.split_at(values.len());
        for ((value, m), v) in values.iter_mut().zip(first).zip(second) {
            let delta = self.rate * m.wide() / (v.wide().sqrt() / self.root + self.eps);
            *value = T::narrow(value.wide() * self.keep - delta);
        }
    }
}

/// One step of gradient descent with momentum.
pub(super) struct MomentumStep {
    pub(super) momentum: f64,
    pub(super) nesterov: bool,
    pub(super) weight_decay: f64,
    pub(super) rate: f64,
    pub(super) scale: f64,
    /// The first direction is the gradient itself.
    pub(super) first: bool,
}

impl MomentumStep {
    /// `kept` is `[1, n]`: the direction.
    pub(super) fn apply(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        if var.device().is_cpu() {
            sweep(self, var, kept, gradient)
        } else {
            self.composed(var, kept, gradient)
        }
    }

    fn composed(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        let values = var.as_detached_tensor().flatten_all()?;
        let g = ((gradient.flatten_all()? * self.scale)? + (&values * self.weight_decay)?)?;
        let d = if self.first { g.clone() } else { ((kept.get(0)? * self.momentum)? + &g)? };
        kept.slice_set(&d.unsqueeze(0)?, 0, 0)?;
        let along = if self.nesterov { (g + (d * self.momentum)?)? } else { d };
        var.set(&(values - (along * self.rate)?)?.reshape(var.shape())?)
    }
}

impl MomentumStep {
    fn pull<T: Float>(&self, gradient: T, value: T) -> f64 {
        gradient.wide() * self.scale + value.wide() * self.weight_decay
    }
}

impl Rule for MomentumStep {
    fn gather<T: Float>(&self, kept: &mut [T], gradient: &[T], values: &[T]) {
        for ((d, &g), &value) in kept.iter_mut().zip(gradient).zip(values) {
            let pull = self.pull(g, value);
            *d = T::narrow(if self.first { pull } else { d.wide() * self.momentum + pull });
        }
    }

    fn shift<T: Float>(&self, values: &mut [T], kept: &[T], gradient: &[T]) {
        for ((value, d), &g) in values.iter_mut().zip(kept).zip(gradient) {
            let ahead =
                if self.nesterov { self.pull(g, *value) + d.wide() * self.momentum } else { d.wide() };
            *value = T::narrow(value.wide() - self.rate * ahead);
        }
    }
}

/// A step in two halves, since an in-place op writes one tensor.
trait Rule {
    /// Takes the gradient into what is kept.
    fn gather<T: Float>(&self, kept: &mut [T], gradient: &[T], values: &[T]);
    /// Moves the values by what is kept.
    fn shift<T: Float>(&self, values: &mut [T], kept: &[T], gradient: &[T]);
}

fn sweep<R: Rule>(rule: &R, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
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

/// f32 or f64, worked on in f64.
trait Float: Copy {
    fn wide(self) -> f64;
    fn narrow(value: f64) -> Self;
}

impl Float for f32 {
    fn wide(self) -> f64 {
        f64::from(self)
    }
    fn narrow(value: f64) -> Self {
        value as f32
    }
}

impl Float for f64 {
    fn wide(self) -> f64 {
        self
    }
    fn narrow(value: f64) -> Self {
        value
    }
}

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
fn squares<T: Float>(values: &[T]) -> f64 {
    const LANES: usize = 8;
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| v.wide() * v.wide()).sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v.wide() * v.wide();
        }
    }
    lanes.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

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
            let step = AdamStep::new((0.9, 0.99, 1e-8), 0.1, 0.05, 0.5, i);
            if swept { step.apply(var, kept, gradient) } else { step.composed(var, kept, gradient) }.unwrap();
        });
        for nesterov in [false, true] {
            both(1, |i, var, kept, gradient, swept| {
                let (momentum, weight_decay, rate, scale) = (0.9, 0.01, 0.1, 2.0);
                let step = MomentumStep { momentum, nesterov, weight_decay, rate, scale, first: i == 1 };
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
