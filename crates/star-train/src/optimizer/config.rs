//! Which optimiser moves the weights, and its constants.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Which optimiser moves the weights. The default is the published models': Adam without weight decay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimizerConfig {
    /// Adam.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    AdamW(AdamW),
    /// Stochastic gradient descent with momentum.
    Sgd(Sgd),
}

/// Adam (Kingma and Ba 2015).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of that mean.
    pub eps: f64,
}

/// The paper's constants.
impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, eps: 1e-8 }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamW {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of that mean.
    pub eps: f64,
    /// Share of every weight, times the learning rate, that each step takes away.
    pub weight_decay: f64,
}

/// Adam's constants and PyTorch's weight decay.
impl Default for AdamW {
    fn default() -> Self {
        let Adam { beta1, beta2, eps } = Adam::default();
        Self { beta1, beta2, eps, weight_decay: 0.01 }
    }
}

/// Stochastic gradient descent with momentum, as PyTorch counts it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Share of the earlier direction that is kept.
    pub momentum: f64,
    /// Looks ahead along the direction (Nesterov).
    pub nesterov: bool,
    /// Times the weight, added to its gradient.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { momentum: 0.9, nesterov: false, weight_decay: 0.0 }
    }
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl From<Adam> for OptimizerConfig {
    fn from(adam: Adam) -> Self {
        Self::Adam(adam)
    }
}

impl From<AdamW> for OptimizerConfig {
    fn from(adam_w: AdamW) -> Self {
        Self::AdamW(adam_w)
    }
}

impl From<Sgd> for OptimizerConfig {
    fn from(sgd: Sgd) -> Self {
        Self::Sgd(sgd)
    }
}

impl OptimizerConfig {
    /// Checks every number.
    ///
    /// # Errors
    /// Names the first that is out of range.
    pub fn validate(&self) -> Result<()> {
        match *self {
            Self::Adam(Adam { beta1, beta2, eps }) => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                size("eps", eps)
            }
            Self::AdamW(AdamW { beta1, beta2, eps, weight_decay }) => {
                share("beta1", beta1)?;
                share("beta2", beta2)?;
                size("eps", eps)?;
                size("weight_decay", weight_decay)
            }
            Self::Sgd(Sgd { momentum, nesterov, weight_decay }) => {
                ensure!(
                    !nesterov || momentum > 0.0,
                    "optimizer.nesterov: needs a momentum above 0, got {momentum}"
                );
                share("momentum", momentum)?;
                size("weight_decay", weight_decay)
            }
        }
    }

    /// Numbers kept beside each weight.
    pub(super) fn rows(&self) -> usize {
        match self {
            Self::Adam(_) | Self::AdamW(_) => 2,
            Self::Sgd(_) => 1,
        }
    }
}

fn share(name: &str, value: f64) -> Result<()> {
    ensure!(
        (0.0..1.0).contains(&value),
        "optimizer.{name}: expected a number from 0 to below 1, got {value}"
    );
    Ok(())
}

fn size(name: &str, value: f64) -> Result<()> {
    ensure!(
        value.is_finite() && value >= 0.0,
        "optimizer.{name}: expected a number of at least 0, got {value}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_and_unknown_ones_are_named() {
        let sgd = OptimizerConfig::from(Sgd { momentum: 1.0, ..Default::default() });
        assert!(sgd.validate().unwrap_err().to_string().contains("optimizer.momentum"));
        let read: OptimizerConfig = toml::from_str("kind = \"adam_w\"\nbeta1 = 0.5").unwrap();
        assert_eq!(read, AdamW { beta1: 0.5, ..Default::default() }.into());
        let error = toml::from_str::<OptimizerConfig>("kind = \"adam\"\nweight_decay = 0.1").unwrap_err();
        assert!(error.to_string().contains("weight_decay"), "{error}");
    }
}
