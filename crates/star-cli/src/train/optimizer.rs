//! Adam with its moments in the open, so that a run can be stopped and resumed without losing them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp2, Layout, Tensor, Var};

/// Adam (Kingma and Ba 2015) without weight decay, which the published models were trained without.
pub struct Adam {
    beta1: f64,
    beta2: f64,
    eps: f64,
    step: usize,
    slots: Vec<Slot>,
}

/// A variable and its two moments, stacked: `[2, n]`.
struct Slot {
    name: String,
    var: Var,
    moments: Tensor,
}

impl Adam {
    /// Fresh moments for `vars`, with PyTorch's constants: betas 0.9 and 0.999, eps 1e-8.
    ///
    /// # Errors
    /// When memory for the moments cannot be had.
    pub fn new(vars: Vec<(String, Var)>) -> Result<Self> {
        let slot = |(name, var): (String, Var)| -> Result<Slot> {
            let moments = Tensor::zeros((2, var.elem_count()), var.dtype(), var.device())?;
            Ok(Slot { name, var, moments })
        };
        let slots = vars.into_iter().map(slot).collect::<Result<_>>()?;
        Ok(Self { beta1: 0.9, beta2: 0.999, eps: 1e-8, step: 0, slots })
    }

    /// Moves every variable that has a gradient by one step of learning rate `rate`.
    ///
    /// # Errors
    /// When a gradient does not fit its variable.
    pub fn step(&mut self, gradients: &GradStore, rate: f64) -> Result<()> {
        self.step += 1;
        let moments = Moments { beta1: self.beta1, beta2: self.beta2 };
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        let update = Update {
            rate: rate / correction(self.beta1),
            root: correction(self.beta2).sqrt(),
            eps: self.eps,
        };
        for slot in &self.slots {
            let Some(gradient) = gradients.get(&slot.var) else { continue };
            if slot.var.device().is_cpu() {
                slot.moments.inplace_op2(&gradient.contiguous()?, &moments)?;
                slot.var.as_tensor().inplace_op2(&slot.moments, &update)?;
            } else {
                slot.step_composed(gradient, &moments, &update)?;
            }
        }
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// The moments by variable name, `[2, n]` each, sharing storage with this optimiser.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.moments.clone())).collect()
    }

    /// Takes moments and step count from an earlier run.
    ///
    /// # Errors
    /// When a variable's moments are missing or misshapen.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, step: usize) -> Result<()> {
        for slot in &mut self.slots {
            let saved = state.get(&slot.name);
            ensure!(
                saved.is_some_and(|saved| saved.dims() == slot.moments.dims()),
                "optimiser state: {}: expected moments {:?}, got {:?}",
                slot.name,
                slot.moments.dims(),
                saved.map(|saved| saved.dims())
            );
            if let Some(saved) = saved {
                slot.moments = saved
                    .to_dtype(slot.moments.dtype())?
                    .to_device(slot.moments.device())?
                    .force_contiguous()?;
            }
        }
        self.step = step;
        Ok(())
    }
}

impl Slot {
    /// The same arithmetic by tensor ops, for devices without the kernels.
    fn step_composed(
        &self,
        gradient: &Tensor,
        moments: &Moments,
        update: &Update,
    ) -> candle_core::Result<()> {
        let g = gradient.flatten_all()?;
        let blend = |old: Tensor, new: Tensor, beta: f64| (old * beta)? + (new * (1.0 - beta))?;
        let m = blend(self.moments.get(0)?, g.clone(), moments.beta1)?;
        let v = blend(self.moments.get(1)?, g.sqr()?, moments.beta2)?;
        self.moments.slice_set(&Tensor::stack(&[&m, &v], 0)?, 0, 0)?;
        let delta = (m * update.rate)?.div(&((v.sqrt()? / update.root)? + update.eps)?)?;
        self.var.set(&(self.var.as_detached_tensor() - delta.reshape(self.var.shape())?)?)
    }
}

struct Moments {
    beta1: f64,
    beta2: f64,
}

struct Update {
    rate: f64,
    root: f64,
    eps: f64,
}

/// Runs `f` on the elements of both storages, which must be contiguous, as f64 slices' worth of either float type.
macro_rules! on_floats {
    ($op:expr, $a:expr, $la:expr, $b:expr, $lb:expr, $f:ident, $self:expr) => {{
        let (Some((a0, a1)), Some((b0, b1))) = ($la.contiguous_offsets(), $lb.contiguous_offsets()) else {
            candle_core::bail!("{}: expected contiguous tensors", $op)
        };
        match ($a, $b) {
            (CpuStorage::F32(a), CpuStorage::F32(b)) => $f($self, &mut a[a0..a1], &b[b0..b1]),
            (CpuStorage::F64(a), CpuStorage::F64(b)) => $f($self, &mut a[a0..a1], &b[b0..b1]),
            _ => candle_core::bail!("{}: expected f32 or f64, both alike", $op),
        }
        Ok(())
    }};
}

fn blend_moments<T: Copy + Into<f64> + FromF64>(op: &Moments, moments: &mut [T], gradient: &[T]) {
    let (first, second) = moments.split_at_mut(gradient.len());
    for ((m, v), &g) in first.iter_mut().zip(second).zip(gradient) {
        let g: f64 = g.into();
        *m = T::from_f64((*m).into() * op.beta1 + g * (1.0 - op.beta1));
        *v = T::from_f64((*v).into() * op.beta2 + g * g * (1.0 - op.beta2));
    }
}

fn apply_update<T: Copy + Into<f64> + FromF64>(op: &Update, values: &mut [T], moments: &[T]) {
    let (first, second) = moments.split_at(values.len());
    for ((value, &m), &v) in values.iter_mut().zip(first).zip(second) {
        let (m, v): (f64, f64) = (m.into(), v.into());
        *value = T::from_f64((*value).into() - op.rate * m / (v.sqrt() / op.root + op.eps));
    }
}

/// Rounding from the f64 that each element is worked out in.
trait FromF64 {
    fn from_f64(value: f64) -> Self;
}

impl FromF64 for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
}

impl FromF64 for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
}

impl InplaceOp2 for Moments {
    fn name(&self) -> &'static str {
        "adam-moments"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<()> {
        on_floats!(self.name(), a, la, b, lb, blend_moments, self)
    }
}

impl InplaceOp2 for Update {
    fn name(&self) -> &'static str {
        "adam-update"
    }

    fn cpu_fwd(
        &self,
        a: &mut CpuStorage,
        la: &Layout,
        b: &CpuStorage,
        lb: &Layout,
    ) -> candle_core::Result<()> {
        on_floats!(self.name(), a, la, b, lb, apply_update, self)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::{AdamW, Optimizer, ParamsAdamW};

    use super::*;

    const TOLERANCE: f64 = 1e-12;

    fn vars() -> Vec<(String, Var)> {
        let var = |values: &[f64]| Var::new(values, &Device::Cpu).unwrap();
        vec![("a".into(), var(&[1.0, -2.0, 3.0])), ("b".into(), var(&[0.5]))]
    }

    fn loss(vars: &[(String, Var)]) -> Tensor {
        let squares = vars.iter().map(|(_, v)| (v.sqr().unwrap() * 1.5).unwrap().sum_all().unwrap());
        squares.reduce(|a, b| (a + b).unwrap()).unwrap()
    }

    fn values(vars: &[(String, Var)]) -> Vec<f64> {
        vars.iter().flat_map(|(_, v)| v.to_vec1::<f64>().unwrap()).collect()
    }

    fn assert_same(a: &[f64], b: &[f64]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < TOLERANCE), "{a:?} against {b:?}");
    }

    #[test]
    fn five_steps_agree_with_candles_adamw_without_decay() {
        let (ours, theirs) = (vars(), vars());
        let mut adam = Adam::new(ours.clone()).unwrap();
        let params = ParamsAdamW { lr: 0.1, weight_decay: 0.0, ..Default::default() };
        let mut adamw = AdamW::new(theirs.iter().map(|(_, v)| v.clone()).collect(), params).unwrap();
        for _ in 0..5 {
            adam.step(&loss(&ours).backward().unwrap(), 0.1).unwrap();
            adamw.backward_step(&loss(&theirs)).unwrap();
        }
        assert_same(&values(&ours), &values(&theirs));
    }

    #[test]
    fn the_composed_step_is_the_same_step() {
        let (a, b) = (vars(), vars());
        let (mut fused, composed) = (Adam::new(a.clone()).unwrap(), Adam::new(b.clone()).unwrap());
        fused.step(&loss(&a).backward().unwrap(), 0.1).unwrap();
        let gradients = loss(&b).backward().unwrap();
        let update = Update { rate: 0.1 / (1.0 - 0.9), root: (1.0f64 - 0.999).sqrt(), eps: 1e-8 };
        for slot in &composed.slots {
            let moments = Moments { beta1: 0.9, beta2: 0.999 };
            slot.step_composed(gradients.get(&slot.var).unwrap(), &moments, &update).unwrap();
        }
        assert_same(&values(&a), &values(&b));
    }

    #[test]
    fn a_restored_optimiser_goes_on_as_if_never_stopped() {
        let whole = vars();
        let mut adam = Adam::new(whole.clone()).unwrap();
        for _ in 0..4 {
            adam.step(&loss(&whole).backward().unwrap(), 0.1).unwrap();
        }
        let parts = vars();
        let mut first = Adam::new(parts.clone()).unwrap();
        for _ in 0..2 {
            first.step(&loss(&parts).backward().unwrap(), 0.1).unwrap();
        }
        let mut second = Adam::new(parts.clone()).unwrap();
        second.restore(&first.state(), first.steps()).unwrap();
        for _ in 0..2 {
            second.step(&loss(&parts).backward().unwrap(), 0.1).unwrap();
        }
        assert_eq!(values(&whole), values(&parts));
    }

    #[test]
    fn missing_moments_are_named() {
        let mut adam = Adam::new(vars()).unwrap();
        let message = adam.restore(&BTreeMap::new(), 1).unwrap_err().to_string();
        assert!(message.contains("a: expected moments [2, 3]"), "{message}");
    }
}
