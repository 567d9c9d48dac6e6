//! Optimisers with their state in the open, so that a run can be stopped and resumed without losing it.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use super::collective::{self, Collective};
use super::update::{AdamStep, MomentumStep};

/// Which optimiser moves the weights. The default is the published models': Adam without weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerSection {
    /// Adam (Kingma and Ba 2015).
    Adam {
        /// Decay of the mean of gradients.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root of that mean.
        #[serde(default = "default_eps")]
        eps: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Decay of the mean of gradients.
        #[serde(default = "default_beta1")]
        beta1: f64,
        /// Decay of the mean of squared gradients.
        #[serde(default = "default_beta2")]
        beta2: f64,
        /// Added to the root of that mean.
        #[serde(default = "default_eps")]
        eps: f64,
        /// Share of every weight, times the learning rate, that each step takes away.
        #[serde(default = "default_decoupled_decay")]
        weight_decay: f64,
    },
    /// Stochastic gradient descent with momentum, as PyTorch counts it.
    Sgd {
        /// Share of the earlier direction that is kept.
        #[serde(default = "default_momentum")]
        momentum: f64,
        /// Looks ahead along the direction (Nesterov).
        #[serde(default)]
        nesterov: bool,
        /// Times the weight, added to its gradient.
        #[serde(default)]
        weight_decay: f64,
    },
}

fn default_beta1() -> f64 {
    0.9
}

fn default_beta2() -> f64 {
    0.999
}

fn default_eps() -> f64 {
    1e-8
}

fn default_decoupled_decay() -> f64 {
    0.01
}

fn default_momentum() -> f64 {
    0.9
}

impl Default for OptimizerSection {
    fn default() -> Self {
        Self::Adam { beta1: default_beta1(), beta2: default_beta2(), eps: default_eps() }
    }
}

impl OptimizerSection {
    /// Checks every number.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        let share = |name: &str, value: f64| {
            ensure!(
                (0.0..1.0).contains(&value),
                "optimizer.{name}: expected a number from 0 to below 1, got {value}"
            );
            Ok(())
        };
        let size = |name: &str, value: f64| {
            ensure!(
                value.is_finite() && value >= 0.0,
                "optimizer.{name}: expected a number of at least 0, got {value}"
            );
            Ok(())
        };
        match *self {
            Self::Adam { beta1, beta2, eps } => {
                share("beta1", beta1).and_then(|()| share("beta2", beta2)).and_then(|()| size("eps", eps))
            }
            Self::AdamW { beta1, beta2, eps, weight_decay } => share("beta1", beta1)
                .and_then(|()| share("beta2", beta2))
                .and_then(|()| size("eps", eps))
                .and_then(|()| size("weight_decay", weight_decay)),
            Self::Sgd { momentum, nesterov, weight_decay } => {
                ensure!(
                    !nesterov || momentum > 0.0,
                    "optimizer.nesterov: needs a momentum above 0, got {momentum}"
                );
                share("momentum", momentum).and_then(|()| size("weight_decay", weight_decay))
            }
        }
    }

    /// Numbers kept beside each weight.
    fn rows(&self) -> usize {
        match self {
            Self::Adam { .. } | Self::AdamW { .. } => 2,
            Self::Sgd { .. } => 1,
        }
    }
}

/// An optimiser over named variables.
pub struct Optimizer {
    section: OptimizerSection,
    step: usize,
    slots: Vec<Slot>,
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
    pub fn new(section: &OptimizerSection, vars: Vec<(String, Var)>) -> Result<Self> {
        section.validate()?;
        let slot = |(name, var): (String, Var)| -> Result<Slot> {
            let kept = Tensor::zeros((section.rows(), var.elem_count()), var.dtype(), var.device())?;
            Ok(Slot { name, var, kept })
        };
        let slots = vars.into_iter().map(slot).collect::<Result<_>>()?;
        Ok(Self { section: section.clone(), step: 0, slots })
    }

    /// Moves every variable that has a gradient by one step of learning rate `rate`; gradients count `scale` times.
    ///
    /// # Errors
    /// When a gradient does not fit its variable.
    pub fn step(&mut self, gradients: &Gradients, rate: f64, scale: f64) -> Result<()> {
        self.step += 1;
        for slot in &self.slots {
            let Some(gradient) = gradients.by_name.get(&slot.name) else { continue };
            match self.section {
                OptimizerSection::Adam { beta1, beta2, eps } => {
                    AdamStep::new((beta1, beta2, eps), 0.0, rate, scale, self.step)
                        .apply(&slot.var, &slot.kept, gradient)?;
                }
                OptimizerSection::AdamW { beta1, beta2, eps, weight_decay } => {
                    AdamStep::new((beta1, beta2, eps), weight_decay, rate, scale, self.step)
                        .apply(&slot.var, &slot.kept, gradient)?;
                }
                OptimizerSection::Sgd { momentum, nesterov, weight_decay } => {
                    let first = self.step == 1;
                    MomentumStep { momentum, nesterov, weight_decay, rate, scale, first }
                        .apply(&slot.var, &slot.kept, gradient)?;
                }
            }
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

/// Gradients by the name of their variable, summed over the batches of one step.
#[derive(Default)]
pub struct Gradients {
    by_name: BTreeMap<String, Tensor>,
}

impl Gradients {
    /// Adds those of one backward pass.
    ///
    /// # Errors
    /// When two passes disagree on a shape.
    pub fn add(&mut self, vars: &[(String, Var)], mut store: GradStore) -> Result<()> {
        for (name, var) in vars {
            let Some(gradient) = store.remove(var) else { continue };
            let sum = match self.by_name.get(name) {
                Some(earlier) => (earlier + gradient)?,
                None => gradient.contiguous()?,
            };
            self.by_name.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// Adds those of the other ranks.
    ///
    /// # Errors
    /// When another rank has given up.
    pub fn gather(&mut self, collective: &dyn Collective) -> Result<()> {
        collective::sum_gradients(collective, &mut self.by_name)
    }

    /// Euclidean norm over all of them.
    ///
    /// # Errors
    /// When a gradient cannot be read.
    pub fn norm(&self) -> Result<f64> {
        let mut total = 0.0;
        for gradient in self.by_name.values() {
            total += super::update::sum_of_squares(gradient)?;
        }
        Ok(total.sqrt())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};

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

    fn sections() -> [OptimizerSection; 3] {
        let adam_w = OptimizerSection::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
        let sgd = OptimizerSection::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
        [OptimizerSection::default(), adam_w, sgd]
    }

    #[test]
    fn five_steps_agree_with_candles_adamw_with_and_without_decay() {
        for (section, weight_decay) in sections().into_iter().zip([0.0, 0.1]) {
            let (ours, theirs) = (vars(), vars());
            let mut adam = Optimizer::new(&section, ours.clone()).unwrap();
            let params = ParamsAdamW { lr: 0.1, weight_decay, ..Default::default() };
            let mut adamw = AdamW::new(theirs.iter().map(|(_, v)| v.clone()).collect(), params).unwrap();
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
        let section = OptimizerSection::Sgd { momentum: 0.5, nesterov: false, weight_decay: 0.0 };
        let mut sgd = Optimizer::new(&section, x.clone()).unwrap();
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
        let section = OptimizerSection::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
        Optimizer::new(&section, once.clone()).unwrap().step(&gradients(&once), 0.1, 1.0).unwrap();
        Optimizer::new(&section, halved.clone()).unwrap().step(&twice, 0.1, 0.5).unwrap();
        assert_same(&values(&once), &values(&halved));
    }

    #[test]
    fn a_restored_optimiser_goes_on_as_if_never_stopped() {
        for section in sections() {
            let whole = vars();
            let mut optimizer = Optimizer::new(&section, whole.clone()).unwrap();
            for _ in 0..4 {
                optimizer.step(&gradients(&whole), 0.1, 1.0).unwrap();
            }
            let parts = vars();
            let mut first = Optimizer::new(&section, parts.clone()).unwrap();
            for _ in 0..2 {
                first.step(&gradients(&parts), 0.1, 1.0).unwrap();
            }
            let mut second = Optimizer::new(&section, parts.clone()).unwrap();
            second.restore(&first.state(), first.steps()).unwrap();
            for _ in 0..2 {
                second.step(&gradients(&parts), 0.1, 1.0).unwrap();
            }
            assert_eq!(values(&whole), values(&parts));
        }
    }

    #[test]
    fn missing_moments_and_settings_out_of_range_are_named() {
        let mut adam = Optimizer::new(&OptimizerSection::default(), vars()).unwrap();
        let message = adam.restore(&BTreeMap::new(), 1).unwrap_err().to_string();
        assert!(message.contains("a: expected moments [2, 3]"), "{message}");
        let section = OptimizerSection::Sgd { momentum: 1.0, nesterov: false, weight_decay: 0.0 };
        assert!(section.validate().unwrap_err().to_string().contains("optimizer.momentum"));
    }
}
