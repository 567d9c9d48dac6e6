//! The distance of a residual: L1, L2, smooth-L1 and Wing.

use candle_core::{Result, Tensor, bail};

use crate::surrogate::{full_like, with_derivative};

/// Squared norms are raised to this before the root is taken, so that the root has a finite derivative. Reference value.
const SQUARED_FLOOR: f64 = 1e-6;

/// The distance of a residual `x` (one number) or of a vector with Euclidean norm `r = sqrt(max(r2, 1e-6))`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// `|x|`; robust, with a constant pull even next to the target.
    L1,
    /// `x^2`; smooth and rotation-invariant, dominated by the worst keypoints.
    L2,
    /// `0.5 / scale * r2` where `r < scale`, else `r - 0.5 * scale`.
    SmoothL1 {
        /// Where the parabola ends, in units of the coordinates.
        scale: f64,
    },
    /// `omega * ln(1 + r / epsilon)` where `r < omega`, else `r - C`, continuous at `omega` (Feng et al., CVPR 2018).
    Wing {
        /// Where the logarithm ends, in units of the coordinates.
        omega: f64,
        /// Curvature of the logarithm.
        epsilon: f64,
    },
}

impl Distance {
    /// L1.
    #[must_use]
    pub const fn l1() -> Self {
        Self::L1
    }

    /// L2.
    #[must_use]
    pub const fn l2() -> Self {
        Self::L2
    }

    /// Smooth-L1 with the reference's `scale = 0.01`, which is 0.3 pixels of a 64-wide map.
    #[must_use]
    pub const fn smooth_l1() -> Self {
        Self::SmoothL1 { scale: 0.01 }
    }

    /// Wing with the reference's `omega = 0.01`, `epsilon = 2`.
    #[must_use]
    pub const fn wing() -> Self {
        Self::Wing { omega: 0.01, epsilon: 2.0 }
    }

    /// Checks that every constant is positive and finite.
    ///
    /// # Errors
    /// Names the constant and its value.
    pub fn validate(&self) -> Result<()> {
        let constants: &[(&str, f64)] = match self {
            Self::L1 | Self::L2 => &[],
            Self::SmoothL1 { scale } => &[("smooth-L1 scale", *scale)],
            Self::Wing { omega, epsilon } => &[("wing omega", *omega), ("wing epsilon", *epsilon)],
        };
        for (name, value) in constants {
            if !(value.is_finite() && *value > 0.0) {
                bail!("{name}: expected a positive finite number, got {value}")
            }
        }
        Ok(())
    }

    /// Value and derivative at one number.
    pub(crate) fn at(&self, x: f64) -> [f64; 2] {
        if matches!(self, Self::L1) {
            return [x.abs(), if x == 0.0 { 0.0 } else { x.signum() }];
        }
        let [value, derivative] = self.at_squared(x * x);
        [value, 2.0 * x * derivative]
    }

    /// Value and derivative at one squared norm.
    pub(crate) fn at_squared(&self, r2: f64) -> [f64; 2] {
        let r = r2.max(SQUARED_FLOOR).sqrt();
        let root_derivative = if r2 >= SQUARED_FLOOR { 0.5 / r } else { 0.0 };
        match *self {
            Self::L1 => [r, root_derivative],
            Self::L2 => [r2, 1.0],
            Self::SmoothL1 { scale } if r2 < scale * scale => [0.5 / scale * r2, 0.5 / scale],
            Self::SmoothL1 { scale } => [r - 0.5 * scale, root_derivative],
            Self::Wing { omega, epsilon } if r < omega => {
                [omega * (r / epsilon).ln_1p(), omega / (epsilon + r) * root_derivative]
            }
            Self::Wing { omega, epsilon } => {
                [r - (omega - omega * (omega / epsilon).ln_1p()), root_derivative]
            }
        }
    }

    /// Value and derivative at each element of `x`, both outside the graph.
    pub(crate) fn of(&self, x: &Tensor) -> Result<[Tensor; 2]> {
        if matches!(self, Self::L1) {
            return Ok([x.abs()?, x.sign()?]);
        }
        let [value, derivative] = self.of_squared(&x.sqr()?)?;
        Ok([value, (derivative * x)?.affine(2.0, 0.0)?])
    }

    /// The distance of vectors with these squared norms, in the graph.
    pub(crate) fn of_norm(&self, squared: &Tensor) -> Result<Tensor> {
        let [value, derivative] = self.of_squared(squared)?;
        with_derivative(&value, squared, &derivative)
    }

    /// Value and derivative at each squared norm of `r2`, both outside the graph.
    pub(crate) fn of_squared(&self, r2: &Tensor) -> Result<[Tensor; 2]> {
        let r2 = r2.detach();
        let r = r2.maximum(SQUARED_FLOOR)?.sqrt()?;
        // d sqrt(max(r2, floor)) / d r2
        let root_derivative = (r2.ge(SQUARED_FLOOR)?.to_dtype(r.dtype())? / r.affine(2.0, 0.0)?)?;
        match *self {
            Self::L1 => Ok([r, root_derivative]),
            Self::L2 => Ok([r2.clone(), r2.ones_like()?]),
            Self::SmoothL1 { scale } => {
                let near = r2.lt(scale * scale)?;
                let value = near.where_cond(&r2.affine(0.5 / scale, 0.0)?, &r.affine(1.0, -0.5 * scale)?)?;
                let derivative = near.where_cond(&full_like(&r2, 0.5 / scale)?, &root_derivative)?;
                Ok([value, derivative])
            }
            Self::Wing { omega, epsilon } => {
                let offset = omega - omega * (omega / epsilon).ln_1p();
                let near = r.lt(omega)?;
                let log = ln_1p(&r.affine(1.0 / epsilon, 0.0)?)?.affine(omega, 0.0)?;
                let value = near.where_cond(&log, &r.affine(1.0, -offset)?)?;
                let log_derivative = r.affine(1.0, epsilon)?.recip()?.affine(omega, 0.0)?;
                let derivative = (near.where_cond(&log_derivative, &r.ones_like()?)? * root_derivative)?;
                Ok([value, derivative])
            }
        }
    }
}

/// `ln(1 + x)` for `x > 0` without the loss of digits at small `x` (Kahan's correction).
fn ln_1p(x: &Tensor) -> Result<Tensor> {
    let u = x.affine(1.0, 1.0)?;
    let difference = u.affine(1.0, -1.0)?;
    let cancelled = difference.eq(0.0)?;
    let safe = cancelled.where_cond(&x.ones_like()?, &difference)?;
    cancelled.where_cond(x, &((u.log()? * x)? / safe)?)
}
