//! The arithmetic of one step of gradient descent with momentum.

use candle_core::{Result, Tensor, Var};
use num_traits::AsPrimitive;

use super::Sgd;
use super::sweep::{Rule, sweep};

/// One step of gradient descent with momentum.
pub(super) struct MomentumStep {
    pub(super) sgd: Sgd,
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

    /// The same by tensor operations.
    pub(super) fn composed(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        let values = var.as_detached_tensor().flatten_all()?;
        let g = ((gradient.flatten_all()? * self.scale)? + (&values * self.sgd.weight_decay)?)?;
        let d = if self.first { g.clone() } else { ((kept.get(0)? * self.sgd.momentum)? + &g)? };
        kept.slice_set(&d.unsqueeze(0)?, 0, 0)?;
        let along = if self.sgd.nesterov { (g + (d * self.sgd.momentum)?)? } else { d };
        var.set(&(values - (along * self.rate)?)?.reshape(var.shape())?)
    }
}

impl MomentumStep {
    fn pull<T: AsPrimitive<f64>>(&self, gradient: T, value: T) -> f64 {
        gradient.as_() * self.scale + value.as_() * self.sgd.weight_decay
    }
}

impl Rule for MomentumStep {
    fn gather<T: AsPrimitive<f64>>(&self, kept: &mut [T], gradient: &[T], values: &[T])
    where
        f64: AsPrimitive<T>,
    {
        for ((d, &g), &value) in kept.iter_mut().zip(gradient).zip(values) {
            let pull = self.pull(g, value);
            let direction = if self.first { pull } else { d.as_() * self.sgd.momentum + pull };
            *d = direction.as_();
        }
    }

    fn shift<T: AsPrimitive<f64>>(&self, values: &mut [T], kept: &[T], gradient: &[T])
    where
        f64: AsPrimitive<T>,
    {
        for ((value, d), &g) in values.iter_mut().zip(kept).zip(gradient) {
            let ahead =
                if self.sgd.nesterov { self.pull(g, *value) + d.as_() * self.sgd.momentum } else { d.as_() };
            *value = (value.as_() - self.rate * ahead).as_();
        }
    }
}
