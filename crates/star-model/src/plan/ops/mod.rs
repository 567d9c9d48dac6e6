//! The operations of a plan: each checks its slices, shares the work over a team of threads and calls the kernels.

pub(super) mod coordinates;
pub(super) mod heads;
pub(super) mod image;
pub(super) mod moments;
pub(super) mod panels;
pub(super) mod pointwise;
mod shared;
pub(super) mod spatial;
mod split;
pub(super) mod stem;
pub(super) mod team;
#[cfg(test)]
mod tests;
pub(super) mod window;
pub(super) mod winograd;

use super::kernels::Kernels;
use split::Split;
use team::Team;

/// What an operation runs on.
pub(super) struct Machine<'a> {
    pub(super) kernels: &'static dyn Kernels,
    pub(super) team: &'a mut Team,
}
