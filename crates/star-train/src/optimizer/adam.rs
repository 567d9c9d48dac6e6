//! The arithmetic of one step of Adam.

use candle_core::{Result, Tensor, Var};
use num_traits::AsPrimitive;

use super::Adam;
use super::sweep::{Rule, sweep};

/// One step of Adam, with decoupled weight decay where it is not 0.
pub(super) struct AdamStep {
    pub(super) beta1: f64,
    pub(super) beta2: f64,
    pub(super) eps: f64,
    /// What the weight is multiplied by first.
    pub(super) keep: f64,
    /// Learning rate over the bias correction of the first mean.
    pub(super) rate: f64,
    /// Root of the bias correction of the second.
    pub(super) root: f64,
    pub(super) scale: f64,
}

impl AdamStep {
    pub(super) fn new(
        Adam { beta1, beta2, eps }: Adam,
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

    /// The same by tensor operations.
    pub(super) fn composed(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
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
    fn gather<T: AsPrimitive<f64>>(&self, kept: &mut [T], gradient: &[T], _values: &[T])
    where
        f64: AsPrimitive<T>,
    {
        let (first, second) = kept.split_at_mut(gradient.len());
        for ((m, v), &g) in first.iter_mut().zip(second).zip(gradient) {
            let g = g.as_() * self.scale;
            *m = (m.as_() * self.beta1 + g * (1.0 - self.beta1)).as_();
            *v = (v.as_() * self.beta2 + g * g * (1.0 - self.beta2)).as_();
        }
    }

    fn shift<T: AsPrimitive<f64>>(&self, values: &mut [T], kept: &[T], _gradient: &[T])
    where
        f64: AsPrimitive<T>,
    {
        let (first, second) = kept.split_at(values.len());
        for ((value, m), v) in values.iter_mut().zip(first).zip(second) {
            let delta = self.rate * m.as_() / (v.as_().sqrt() / self.root + self.eps);
            *value = (value.as_() * self.keep - delta).as_();
        }
    }
}
