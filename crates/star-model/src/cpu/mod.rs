//! CPU fast paths with their own gradients, tested against composed tensor ops.
//!
//! Each file holds one operation as plain loops over slices, generic over `f32` and `f64`, and the candle custom
//! op around it. Callers choose: `layers`, `norm`, `interpolate` and `hourglass::attention` use these where the data lives on the
//! CPU, composed ops elsewhere.

pub(crate) mod batch_norm;
pub(crate) mod conv;
pub(crate) mod gate;
mod gemm;
pub(crate) mod instance_norm;
pub(crate) mod pool;
pub(crate) mod sigmoid;
mod slices;
mod sums;
pub(crate) mod upsample;
mod window;

pub(crate) use slices::supported as slices_supported;
pub(crate) use slices::with as with_slice;
