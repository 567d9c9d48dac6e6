//! Learning rate over epochs.

use serde::{Deserialize, Serialize};

/// A constant rate that falls by a factor at milestones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StepSchedule {
    /// Rate of the first epochs.
    pub learning_rate: f64,
    /// Epochs (counted from 0) from which on the rate is multiplied by `gamma` once more.
    pub milestones: Vec<usize>,
    /// Factor at each milestone.
    pub gamma: f64,
}

/// The recipe of the published models: 1e-3, a tenth of it from epochs 200, 350 and 450 on.
impl Default for StepSchedule {
    fn default() -> Self {
        Self { learning_rate: 1e-3, milestones: vec![200, 350, 450], gamma: 0.1 }
    }
}

impl StepSchedule {
    /// The rate of `epoch`, counted from 0.
    pub fn rate(&self, epoch: usize) -> f64 {
        let passed = self.milestones.iter().filter(|&&milestone| epoch >= milestone).count();
        self.learning_rate * self.gamma.powf(passed as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_at_each_milestone() {
        let schedule = StepSchedule { learning_rate: 1.0, milestones: vec![2, 4], gamma: 0.5 };
        assert_eq!([0, 1, 2, 3, 4, 9].map(|epoch| schedule.rate(epoch)), [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }
}
