//! One step of any optimiser.

use candle_core::{Result, Tensor, Var};

use super::adam::AdamStep;
use super::sgd::MomentumStep;
use super::{Adam, AdamW, OptimizerConfig};

/// What one step does to every variable.
pub(super) enum Step {
    Adam(AdamStep),
    Momentum(MomentumStep),
}

impl Step {
    /// Step number `number`, from 1.
    pub(super) fn new(config: &OptimizerConfig, rate: f64, scale: f64, number: usize) -> Self {
        match *config {
            OptimizerConfig::Adam(adam) => Self::Adam(AdamStep::new(adam, 0.0, rate, scale, number)),
            OptimizerConfig::AdamW(AdamW { beta1, beta2, eps, weight_decay }) => {
                let adam = Adam { beta1, beta2, eps };
                Self::Adam(AdamStep::new(adam, weight_decay, rate, scale, number))
            }
            OptimizerConfig::Sgd(sgd) => {
                Self::Momentum(MomentumStep { sgd, rate, scale, first: number == 1 })
            }
        }
    }

    /// Moves one variable.
    pub(super) fn apply(&self, var: &Var, kept: &Tensor, gradient: &Tensor) -> Result<()> {
        match self {
            Self::Adam(step) => step.apply(var, kept, gradient),
            Self::Momentum(step) => step.apply(var, kept, gradient),
        }
    }
}
