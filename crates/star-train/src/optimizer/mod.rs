//! Optimisers with their state in the open, so that a run can be stopped and resumed without losing it.

mod adam;
mod config;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod gradients;
mod sgd;
mod step;
mod sweep;

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use candle_core::{Tensor, Var};

use self::step::Step;

pub use self::config::{Adam, AdamW, OptimizerConfig, Sgd};
pub use self::gradients::Gradients;

/// An optimiser over named variables.
pub struct Optimizer {
    config: OptimizerConfig,
    step: usize,
    slots: Vec<Slot>,
    #[cfg(feature = "cuda")]
    launches: cuda::Launches,
}

/// A variable and what is kept beside it: `[2, n]` for both of Adam's means, `[1, n]` for SGD's direction.
struct Slot {
    name: String,
    var: Var,
    kept: Tensor,
}

impl Optimizer {
    /// A fresh optimiser over `vars`.
    ///
    /// # Errors
    /// When a setting is out of range, or memory for the state cannot be had.
    pub fn new(config: &OptimizerConfig, vars: Vec<(String, Var)>) -> Result<Self> {
        config.validate()?;
        let slot = |(name, var): (String, Var)| -> Result<Slot> {
            let kept = Tensor::zeros((config.rows(), var.elem_count()), var.dtype(), var.device())?;
            Ok(Slot { name, var, kept })
        };
        let slots = vars.into_iter().map(slot).collect::<Result<_>>()?;
        Ok(Self {
            config: config.clone(),
            step: 0,
            slots,
            #[cfg(feature = "cuda")]
            launches: cuda::Launches::default(),
        })
    }

    /// Moves every variable that has a gradient by one step of learning rate `rate`; gradients count `scale` times.
    ///
    /// # Errors
    /// When a gradient does not fit its variable.
    pub fn step(&mut self, gradients: &Gradients, rate: f64, scale: f64) -> Result<()> {
        self.step += 1;
        let step = Step::new(&self.config, rate, scale, self.step);
        let moved = self.slots.iter().filter_map(|slot| Some((slot, gradients.by_name.get(&slot.name)?)));
        let moved: Vec<(&Slot, &Tensor)> = moved.collect();
        #[cfg(feature = "cuda")]
        let moved = self.launches.step(&step, moved)?;
        for (slot, gradient) in moved {
            step.apply(&slot.var, &slot.kept, gradient)?;
        }
        Ok(())
    }

    /// Steps taken.
    pub fn steps(&self) -> usize {
        self.step
    }

    /// Numbers that the state holds.
    pub fn state_numbers(&self) -> usize {
        self.slots.iter().map(|slot| slot.kept.elem_count()).sum()
    }

    /// What is kept beside each variable, by its name, sharing storage with this optimiser.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        self.slots.iter().map(|slot| (slot.name.clone(), slot.kept.clone())).collect()
    }

    /// Takes state and step count from an earlier run.
    ///
    /// # Errors
    /// When a variable's state is missing or misshapen.
    pub fn restore(&mut self, state: &BTreeMap<String, Tensor>, step: usize) -> Result<()> {
        for slot in &mut self.slots {
            let saved = state.get(&slot.name);
            ensure!(
                saved.is_some_and(|saved| saved.dims() == slot.kept.dims()),
                "optimiser state: {}: expected moments {:?}, got {:?}",
                slot.name,
                slot.kept.dims(),
                saved.map(|saved| saved.dims())
            );
            if let Some(saved) = saved {
                slot.kept =
                    saved.to_dtype(slot.kept.dtype())?.to_device(slot.kept.device())?.force_contiguous()?;
            }
        }
        self.step = step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::{Optimizer as _, ParamsAdamW};

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

    fn gradients(vars: &[(String, Var)]) -> Gradients {
        let mut gradients = Gradients::default();
        gradients.add(vars, loss(vars).backward().unwrap()).unwrap();
        gradients
    }

    fn values(vars: &[(String, Var)]) -> Vec<f64> {
        vars.iter().flat_map(|(_, v)| v.to_vec1::<f64>().unwrap()).collect()
    }

    fn assert_same(a: &[f64], b: &[f64]) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < TOLERANCE), "{a:?} against {b:?}");
    }

    fn configs() -> [OptimizerConfig; 3] {
        let adam_w = AdamW { weight_decay: 0.1, ..Default::default() };
        let sgd = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        [Adam::default().into(), adam_w.into(), sgd.into()]
    }

    #[test]
    fn five_steps_agree_with_candles_adamw_with_and_without_decay() {
        for (config, weight_decay) in configs().into_iter().zip([0.0, 0.1]) {
            let (ours, theirs) = (vars(), vars());
            let mut adam = Optimizer::new(&config, ours.clone()).unwrap();
            let params = ParamsAdamW { lr: 0.1, weight_decay, ..Default::default() };
            let mut adamw =
                candle_nn::AdamW::new(theirs.iter().map(|(_, v)| v.clone()).collect(), params).unwrap();
            for _ in 0..5 {
                adam.step(&gradients(&ours), 0.1, 1.0).unwrap();
                adamw.backward_step(&loss(&theirs)).unwrap();
            }
            assert_same(&values(&ours), &values(&theirs));
        }
    }

    #[test]
    fn momentum_steps_are_those_worked_out_by_hand() {
        // Gradient 3 x; rate 0.1, momentum 0.5. x: 1 -> direction 3 -> 0.7 -> direction 1.5 + 2.1 -> 0.34.
        let x = vec![("x".to_string(), Var::new(&[1.0f64], &Device::Cpu).unwrap())];
        let config = Sgd { momentum: 0.5, ..Default::default() }.into();
        let mut sgd = Optimizer::new(&config, x.clone()).unwrap();
        sgd.step(&gradients(&x), 0.1, 1.0).unwrap();
        sgd.step(&gradients(&x), 0.1, 1.0).unwrap();
        assert_same(&values(&x), &[0.34]);
    }

    #[test]
    fn gradients_of_two_passes_add_up_and_have_one_norm() {
        let vars = vars();
        let mut twice = gradients(&vars);
        twice.add(&vars, loss(&vars).backward().unwrap()).unwrap();
        // 2 * 3 * (1, -2, 3, 0.5): norm 6 sqrt(14.25)
        assert!((twice.norm().unwrap() - 6.0 * 14.25f64.sqrt()).abs() < TOLERANCE);
        let (once, halved) = (self::vars(), self::vars());
        let config = Sgd { momentum: 0.0, ..Default::default() }.into();
        Optimizer::new(&config, once.clone()).unwrap().step(&gradients(&once), 0.1, 1.0).unwrap();
        Optimizer::new(&config, halved.clone()).unwrap().step(&twice, 0.1, 0.5).unwrap();
        assert_same(&values(&once), &values(&halved));
    }

    #[test]
    fn a_restored_optimiser_goes_on_as_if_never_stopped() {
        for config in configs() {
            let whole = vars();
            let mut optimizer = Optimizer::new(&config, whole.clone()).unwrap();
            for _ in 0..4 {
                optimizer.step(&gradients(&whole), 0.1, 1.0).unwrap();
            }
            let parts = vars();
            let mut first = Optimizer::new(&config, parts.clone()).unwrap();
            for _ in 0..2 {
                first.step(&gradients(&parts), 0.1, 1.0).unwrap();
            }
            let mut second = Optimizer::new(&config, parts.clone()).unwrap();
            second.restore(&first.state(), first.steps()).unwrap();
            for _ in 0..2 {
                second.step(&gradients(&parts), 0.1, 1.0).unwrap();
            }
            assert_eq!(values(&whole), values(&parts));
        }
    }

    #[test]
    fn missing_moments_are_named() {
        let mut adam = Optimizer::new(&OptimizerConfig::default(), vars()).unwrap();
        let message = adam.restore(&BTreeMap::new(), 1).unwrap_err().to_string();
        assert!(message.contains("a: expected moments [2, 3]"), "{message}");
    }
}
