//! Learning rate over a run.

mod decay;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

pub use self::decay::{Constant, Cosine, Decay, OneCycle, StepDecay};

/// How the learning rate moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// The highest rate.
    pub learning_rate: f64,
    /// Epochs over which the rate first climbs from 0 to what `decay` says, in equal steps; may be a fraction.
    pub warmup_epochs: f64,
    /// What follows.
    pub decay: Decay,
}

/// The recipe of the published models: 1e-3, a tenth of it from epochs 200, 350 and 450 on.
impl Default for Schedule {
    fn default() -> Self {
        Self { learning_rate: 1e-3, warmup_epochs: 0.0, decay: StepDecay::default().into() }
    }
}

impl Schedule {
    /// The rate of the step that begins when `done` epochs (a fraction inside an epoch) of `epochs` are behind it.
    pub fn rate(&self, done: f64, epochs: usize) -> f64 {
        let share = (done / epochs as f64).clamp(0.0, 1.0);
        let factor = match &self.decay {
            Decay::Constant => 1.0,
            Decay::Step(StepDecay { milestones, gamma }) => {
                let passed = milestones.iter().filter(|&&milestone| done >= milestone as f64).count();
                gamma.powf(passed as f64)
            }
            Decay::Cosine(Cosine { min_lr }) => cosine_factor(1.0, min_lr / self.learning_rate, share),
            Decay::OneCycle(OneCycle { pct_start, div_factor, final_div_factor }) => {
                let first = 1.0 / div_factor;
                if share < *pct_start {
                    cosine_factor(first, 1.0, share / pct_start)
                } else {
                    cosine_factor(1.0, first / final_div_factor, (share - pct_start) / (1.0 - pct_start))
                }
            }
        };
        let warm_up = if self.warmup_epochs > 0.0 { (done / self.warmup_epochs).min(1.0) } else { 1.0 };
        self.learning_rate * factor * warm_up
    }

    /// Whether the rate of an epoch depends on how many there are, so that a run cannot be made longer afterwards.
    pub fn needs_the_end(&self) -> bool {
        matches!(self.decay, Decay::Cosine(_) | Decay::OneCycle(_))
    }

    /// Checks every number.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        let positive = |name: &str, value: f64| {
            ensure!(
                value.is_finite() && value > 0.0,
                "schedule.{name}: expected a positive number, got {value}"
            );
            Ok(())
        };
        positive("learning_rate", self.learning_rate)?;
        ensure!(
            self.warmup_epochs.is_finite() && self.warmup_epochs >= 0.0,
            "schedule.warmup_epochs: expected a number of at least 0, got {}",
            self.warmup_epochs
        );
        match &self.decay {
            Decay::Constant => Ok(()),
            Decay::Step(StepDecay { gamma, .. }) => positive("decay.gamma", *gamma),
            Decay::Cosine(Cosine { min_lr }) => {
                ensure!(
                    (0.0..=self.learning_rate).contains(min_lr),
                    "schedule.decay.min_lr: expected a rate between 0 and learning_rate {}, got {min_lr}",
                    self.learning_rate
                );
                Ok(())
            }
            Decay::OneCycle(OneCycle { pct_start, div_factor, final_div_factor }) => {
                ensure!(
                    *pct_start > 0.0 && *pct_start < 1.0,
                    "schedule.decay.pct_start: expected a share between 0 and 1, got {pct_start}"
                );
                positive("decay.div_factor", *div_factor)?;
                positive("decay.final_div_factor", *final_div_factor)
            }
        }
    }
}

/// From `from` to `to` along half a cosine.
fn cosine_factor(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;

    fn rates(decay: impl Into<Decay>, at: &[f64], epochs: usize) -> Vec<f64> {
        let schedule = Schedule { learning_rate: 1.0, warmup_epochs: 0.0, decay: decay.into() };
        schedule.validate().unwrap();
        at.iter().map(|&done| schedule.rate(done, epochs)).collect()
    }

    fn assert_rates(got: &[f64], expected: &[f64]) {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < TOLERANCE), "{got:?}, {expected:?}");
    }

    #[test]
    fn the_rate_falls_at_each_milestone() {
        let step = StepDecay { milestones: vec![2, 4], gamma: 0.5 };
        assert_rates(&rates(step, &[0.0, 1.9, 2.0, 3.5, 4.0, 9.0], 10), &[1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_cosine_is_halfway_in_the_middle_and_ends_at_its_min_lr() {
        let at = [0.0, 2.5, 5.0, 10.0];
        // (1 + cos 45 deg) / 2 of the way from 0.2 to 1 after a quarter
        let quarter = 0.2 + 0.8 * (1.0 + 0.5f64.sqrt()) / 2.0;
        assert_rates(&rates(Cosine { min_lr: 0.2 }, &at, 10), &[1.0, quarter, 0.6, 0.2]);
    }

    #[test]
    fn one_cycle_climbs_then_falls() {
        let cycle = OneCycle { pct_start: 0.25, div_factor: 4.0, final_div_factor: 10.0 };
        assert_rates(&rates(cycle, &[0.0, 1.25, 2.5, 10.0], 10), &[0.25, 0.625, 1.0, 0.025]);
    }

    #[test]
    fn warm_up_is_a_ramp_on_top_of_the_decay() {
        let schedule = Schedule { learning_rate: 2.0, warmup_epochs: 0.5, decay: Constant.into() };
        assert_rates(&[0.0, 0.25, 0.5, 3.0].map(|done| schedule.rate(done, 4)), &[0.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let cosine = Schedule { decay: Cosine { min_lr: 1.0 }.into(), ..Default::default() };
        assert!(cosine.validate().unwrap_err().to_string().contains("schedule.decay.min_lr"));
        let cycle = OneCycle { pct_start: 1.0, ..Default::default() };
        let cycle = Schedule { decay: cycle.into(), ..Default::default() };
        assert!(cycle.validate().unwrap_err().to_string().contains("schedule.decay.pct_start"));
        let error = toml::from_str::<Schedule>("[decay]\nkind = \"cosine\"\nmin_l = 1.0").unwrap_err();
        assert!(error.to_string().contains("min_l"), "{error}");
    }
}
