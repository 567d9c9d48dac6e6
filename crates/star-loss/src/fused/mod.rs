//! The CPU path: moments, losses and gradients by hand-written sweeps instead of candle ops. Its operations run on CUDA cards, too,
//! by the kernels of `cuda`.

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
#[cfg(feature = "cuda")]
pub(crate) use {map::Axes, op::MOMENTS};
