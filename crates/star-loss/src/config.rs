//! The settings of the loss.

use candle_core::{Result, bail};

use crate::{Distance, Restriction};

/// Added under the square root; below it `1 / sqrt(l)` amplifies f32 noise. Reference value.
pub(crate) const EPS: f64 = 1e-5;

/// How the residual meets the two axes of the distribution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `sum_i d(v_i . e) / sqrt(l_i + eps)`: the paper's formula, the reference's second version.
    PerAxis,
    /// `d(s)` with `s_i = (v_i . e) / sqrt(l_i + eps)`: the reference's first version. Smooth-L1 and Wing price the norm of `s`, L1
    /// and L2 the mean over its two components.
    Whitened,
    /// `sum_i d(v_i . e) (1 / s_1 + 1 / s_2) / 2` with `s_i = sqrt(l_i + eps)`: per axis, under the mean of both factors. Not in the
    /// paper; a control, for what it does as well as `PerAxis` is not owed to the direction of the ambiguity.
    Isotropic,
    /// `sum_i d(v_i . e)`: per axis without factors. Not in the paper; a control, for what it does as well as the others is owed to the
    /// restriction alone.
    Unscaled,
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
    /// How residual and axes meet.
    pub form: Form,
    /// Price of a residual.
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
