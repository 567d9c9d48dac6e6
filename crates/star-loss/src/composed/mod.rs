//! The same loss by candle operations: the path of every device but the CPU, and what the CPU path is tested against.

mod price;
mod sums;

pub(crate) use price::prices;
pub(crate) use sums::moments;
