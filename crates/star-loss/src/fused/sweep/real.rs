//! The floats that maps are stored in.

use num_traits::{AsPrimitive, Float};

/// A float that maps are stored in.
pub(crate) trait Real: Float + AsPrimitive<f64> + Send + Sync {
    /// Masses up to this count as 0 in the gradient's last term, where they are nothing beside the others: a product with a
    /// subnormal number takes some hundred cycles, and the tails of a Gaussian map are full of them.
    const TINY: Self;
    /// The nearest float to `x`.
    fn narrow(x: f64) -> Self;
}

impl Real for f32 {
    const TINY: Self = 1e-30;
    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x as Self
    }
}

impl Real for f64 {
    const TINY: Self = 1e-290;
    #[inline(always)]
    fn narrow(x: f64) -> Self {
        x
    }
}

/// `a * b + c`, rounded once if `FMA`.
#[inline(always)]
pub(super) fn times_add<T: Float, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}
