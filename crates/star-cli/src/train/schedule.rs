//! Learning rate over a run.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

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

/// Shape of the rate over the epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// Always the same.
    Constant,
    /// Falls by a factor at milestones.
    Step {
        /// Epochs (counted from 0) from which on the rate is multiplied by `gamma` once more.
        milestones: Vec<usize>,
        /// Factor at each milestone.
        gamma: f64,
    },
    /// Half a cosine from the highest rate at the start down to `floor` at the end (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// Rate at the end of the last epoch.
        #[serde(default)]
        floor: f64,
    },
    /// Climbs to the highest rate and falls far below it, both along half a cosine (Smith 2018, as PyTorch's `OneCycleLR`).
    OneCycle {
        /// Share of the run in which the rate climbs.
        #[serde(default = "default_rise")]
        rise: f64,
        /// The first rate is the highest over this.
        #[serde(default = "default_start_divisor")]
        start_divisor: f64,
        /// The last rate is the first over this.
        #[serde(default = "default_end_divisor")]
        end_divisor: f64,
    },
}

fn default_rise() -> f64 {
    0.3
}

fn default_start_divisor() -> f64 {
    25.0
}

fn default_end_divisor() -> f64 {
    1e4
}

/// The recipe of the published models: 1e-3, a tenth of it from epochs 200, 350 and 450 on.
impl Default for Schedule {
    fn default() -> Self {
        let decay = Decay::Step { milestones: vec![200, 350, 450], gamma: 0.1 };
        Self { learning_rate: 1e-3, warmup_epochs: 0.0, decay }
    }
}

impl Schedule {
    /// The rate of the step that begins when `done` epochs (a fraction inside an epoch) of `epochs` are behind it.
    pub fn rate(&self, done: f64, epochs: usize) -> f64 {
        let share = (done / epochs as f64).clamp(0.0, 1.0);
        let factor = match &self.decay {
            Decay::Constant => 1.0,
            Decay::Step { milestones, gamma } => {
                let passed = milestones.iter().filter(|&&milestone| done >= milestone as f64).count();
                gamma.powf(passed as f64)
            }
            Decay::Cosine { floor } => swing(1.0, floor / self.learning_rate, share),
            Decay::OneCycle { rise, start_divisor, end_divisor } => {
                let first = 1.0 / start_divisor;
                if share < *rise {
                    swing(first, 1.0, share / rise)
                } else {
                    swing(1.0, first / end_divisor, (share - rise) / (1.0 - rise))
                }
            }
        };
        let warmth = if self.warmup_epochs > 0.0 { (done / self.warmup_epochs).min(1.0) } else { 1.0 };
        self.learning_rate * factor * warmth
    }

    /// Whether the rate of an epoch depends on how many there are, so that a run cannot be made longer afterwards.
    pub fn needs_the_end(&self) -> bool {
        matches!(self.decay, Decay::Cosine { .. } | Decay::OneCycle { .. })
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
            Decay::Step { gamma, .. } => positive("decay.gamma", *gamma),
            Decay::Cosine { floor } => {
                ensure!(
                    (0.0..=self.learning_rate).contains(floor),
                    "schedule.decay.floor: expected a rate between 0 and learning_rate {}, got {floor}",
                    self.learning_rate
                );
                Ok(())
            }
            Decay::OneCycle { rise, start_divisor, end_divisor } => {
                ensure!(
                    *rise > 0.0 && *rise < 1.0,
                    "schedule.decay.rise: expected a share between 0 and 1, got {rise}"
                );
                positive("decay.start_divisor", *start_divisor)?;
                positive("decay.end_divisor", *end_divisor)
            }
        }
    }
}

/// From `from` to `to` along half a cosine.
fn swing(from: f64, to: f64, share: f64) -> f64 {
    to + (from - to) * (1.0 + (std::f64::consts::PI * share).cos()) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1e-12;

    fn rates(decay: Decay, at: &[f64], epochs: usize) -> Vec<f64> {
        let schedule = Schedule { learning_rate: 1.0, warmup_epochs: 0.0, decay };
        schedule.validate().unwrap();
        at.iter().map(|&done| schedule.rate(done, epochs)).collect()
    }

    fn assert_rates(got: &[f64], expected: &[f64]) {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < TOLERANCE), "{got:?}, {expected:?}");
    }

    #[test]
    fn the_rate_falls_at_each_milestone() {
        let step = Decay::Step { milestones: vec![2, 4], gamma: 0.5 };
        assert_rates(&rates(step, &[0.0, 1.9, 2.0, 3.5, 4.0, 9.0], 10), &[1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_cosine_is_halfway_in_the_middle_and_ends_at_its_floor() {
        let at = [0.0, 2.5, 5.0, 10.0];
        // (1 + cos 45 deg) / 2 of the way from 0.2 to 1 after a quarter
        let quarter = 0.2 + 0.8 * (1.0 + 0.5f64.sqrt()) / 2.0;
        assert_rates(&rates(Decay::Cosine { floor: 0.2 }, &at, 10), &[1.0, quarter, 0.6, 0.2]);
    }

    #[test]
    fn one_cycle_climbs_then_falls() {
        let cycle = Decay::OneCycle { rise: 0.25, start_divisor: 4.0, end_divisor: 10.0 };
        assert_rates(&rates(cycle, &[0.0, 1.25, 2.5, 10.0], 10), &[0.25, 0.625, 1.0, 0.025]);
    }

    #[test]
    fn warm_up_is_a_ramp_on_top_of_the_decay() {
        let schedule = Schedule { learning_rate: 2.0, warmup_epochs: 0.5, decay: Decay::Constant };
        assert_rates(&[0.0, 0.25, 0.5, 3.0].map(|done| schedule.rate(done, 4)), &[0.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let cosine = Schedule { decay: Decay::Cosine { floor: 1.0 }, ..Default::default() };
        assert!(cosine.validate().unwrap_err().to_string().contains("schedule.decay.floor"));
        let rise = Decay::OneCycle { rise: 1.0, start_divisor: 25.0, end_divisor: 1e4 };
        let cycle = Schedule { decay: rise, ..Default::default() };
        assert!(cycle.validate().unwrap_err().to_string().contains("schedule.decay.rise"));
        let error = toml::from_str::<Schedule>("[decay]\nkind = \"cosine\"\nflor = 1.0").unwrap_err();
        assert!(error.to_string().contains("flor"), "{error}");
    }
}
