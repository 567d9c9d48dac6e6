//! The settings of STAR and of Adaptive Wing.

use candle_core::{Result, bail};

use crate::{Distance, Restriction};

/// Added under the square root; below it `1 / sqrt(l)` amplifies f32 noise. Reference value.
pub(crate) const EPS: f64 = 1e-5;

/// The loss's parameterisation: how the residual meets the two axes of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `sum_i d(v_i . e) / sqrt(l_i + eps)`: the paper's formula, the reference's second version.
    PerAxis,
    /// `d(s)` with `s_i = (v_i . e) / sqrt(l_i + eps)`: the reference's first version. Smooth-L1 and Wing take the norm of `s`, L1
    /// and L2 the mean over its two components.
    Whitened,
}

/// Settings of [`StarLoss`](crate::StarLoss); the default is the reference's.
///
/// ```
/// use star_loss::{Distance, StarLossConfig};
/// let config = StarLossConfig { distance: Distance::L1, ..Default::default() };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StarLossConfig {
    /// The parameterisation.
    pub form: Form,
    /// Distance of a residual.
    pub distance: Distance,
    /// What keeps the eigenvalues small.
    pub restriction: Restriction,
    /// Added to each eigenvalue under the square root, in squared units of the coordinates.
    pub eps: f64,
}

impl Default for StarLossConfig {
    fn default() -> Self {
        Self {
            form: Form::PerAxis,
            distance: Distance::smooth_l1(),
            restriction: Restriction::Value { weight: 1.0 },
            eps: EPS,
        }
    }
}

impl StarLossConfig {
    /// Checks every number; [`StarLoss::new`](crate::StarLoss::new) calls it.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub fn validate(&self) -> Result<()> {
        self.distance.validate()?;
        self.restriction.validate()?;
        if !(self.eps.is_finite() && self.eps > 0.0) {
            bail!("eps: expected a positive finite number, got {}", self.eps)
        }
        Ok(())
    }
}

/// Constants of [`awing`](crate::awing); the default is the reference's.
#[derive(Debug, Clone, PartialEq)]
pub struct AwingConfig {
    /// Height of the logarithm.
    pub omega: f64,
    /// Residual at which the logarithm becomes a line.
    pub theta: f64,
    /// Curvature of the logarithm.
    pub epsilon: f64,
    /// Exponent at a target of 0; at a target `t` it is `alpha - t`.
    pub alpha: f64,
    /// Pixels whose 3x3 neighbourhood reaches `threshold` in the target weigh `weight + 1`, the others 1.
    pub weight: f64,
    /// See `weight`.
    pub threshold: f64,
}

impl Default for AwingConfig {
    fn default() -> Self {
        Self { omega: 14.0, theta: 0.5, epsilon: 1.0, alpha: 2.1, weight: 10.0, threshold: 0.2 }
    }
}

impl AwingConfig {
    /// Checks every number; [`awing`](crate::awing) calls it.
    ///
    /// # Errors
    /// Names the setting and its value.
    pub fn validate(&self) -> Result<()> {
        let positive =
            [("omega", self.omega), ("theta", self.theta), ("epsilon", self.epsilon), ("alpha", self.alpha)];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                bail!("awing {name}: expected a positive finite number, got {value}")
            }
        }
        // Targets reach 1, and the derivative at a residual of 0 is finite for exponents above 1.
        if self.alpha <= 2.0 {
            bail!("awing alpha: expected more than 2, got {}", self.alpha)
        }
        if !(self.weight.is_finite() && self.weight >= 0.0) {
            bail!("awing weight: expected a finite number >= 0, got {}", self.weight)
        }
        if !self.threshold.is_finite() {
            bail!("awing threshold: expected a finite number, got {}", self.threshold)
        }
        Ok(())
    }
}
