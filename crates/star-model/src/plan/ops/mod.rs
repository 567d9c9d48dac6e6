//! The operations of a plan: each checks its slices, shares the work over a team of threads and calls the kernels.

pub(crate) mod coordinates;
pub(crate) mod depthwise;
mod direct;
pub(crate) mod heads;
pub(crate) mod image;
pub(crate) mod moments;
pub(crate) mod panels;
pub(crate) mod pointwise;
pub(crate) mod shared;
pub(crate) mod spatial;
mod split;
pub(crate) mod stem;
pub(crate) mod team;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_bf16;
pub(crate) mod window;
pub(crate) mod winograd;

use super::kernels::Kernels;
use split::Split;
use team::Team;

/// What lies in memory as pairs in bf16 instead of floats.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stored {
    pub(crate) input: bool,
    pub(crate) output: bool,
}

/// What an operation runs on.
pub(crate) struct Machine<'a> {
    pub(crate) kernels: &'static dyn Kernels,
    pub(crate) team: &'a mut Team,
}
