//! The CPU path: moments, losses and gradients by hand-written sweeps instead of candle ops.

mod access;
mod awing;
mod kernel;
mod keypoint;
mod map;
mod op;
mod sweep;

pub(crate) use awing::awing_means;
pub(crate) use kernel::Kernel;
pub(crate) use op::{moments, terms_of};
