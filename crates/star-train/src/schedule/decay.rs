//! Shapes of the learning rate.

use serde::{Deserialize, Serialize};

/// Shape of the learning rate over the epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Decay {
    /// Always the same.
    Constant,
    /// Falls by a factor at milestones.
    Step(StepDecay),
    /// Half a cosine from the highest rate down.
    Cosine(Cosine),
    /// Climbs to the highest rate and falls far below where it began.
    OneCycle(OneCycle),
}

/// Always the highest rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Constant;

/// Falls by a factor at milestones. The default is the recipe of the published models: a tenth from epochs 200, 350 and 450 on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepDecay {
    /// Epochs (counted from 0) from which on the rate is multiplied by `gamma` once more.
    pub milestones: Vec<usize>,
    /// Factor at each milestone.
    pub gamma: f64,
}

impl Default for StepDecay {
    fn default() -> Self {
        Self { milestones: vec![200, 350, 450], gamma: 0.1 }
    }
}

/// Half a cosine from the highest rate at the start down to `min_lr` at the end (Loshchilov and Hutter 2017, without restarts).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cosine {
    /// Rate at the end of the last epoch.
    pub min_lr: f64,
}

/// Climbs to the highest rate and falls far below the first, both along half a cosine (Smith 2018); names and defaults are those of
/// PyTorch's `OneCycleLR`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OneCycle {
    /// Share of the run in which the rate climbs.
    pub pct_start: f64,
    /// The first rate is the highest over this.
    pub div_factor: f64,
    /// The last rate is the first over this.
    pub final_div_factor: f64,
}

impl Default for OneCycle {
    fn default() -> Self {
        Self { pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 }
    }
}

impl From<Constant> for Decay {
    fn from(_: Constant) -> Self {
        Self::Constant
    }
}

impl From<StepDecay> for Decay {
    fn from(step: StepDecay) -> Self {
        Self::Step(step)
    }
}

impl From<Cosine> for Decay {
    fn from(cosine: Cosine) -> Self {
        Self::Cosine(cosine)
    }
}

impl From<OneCycle> for Decay {
    fn from(cycle: OneCycle) -> Self {
        Self::OneCycle(cycle)
    }
}
