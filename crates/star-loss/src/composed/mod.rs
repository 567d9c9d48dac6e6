//! The same loss by candle operations: the path of every device but the CPU, and what the CPU path is tested against.

mod sums;
mod terms;

pub(crate) use sums::moments;
pub(crate) use terms::terms;
