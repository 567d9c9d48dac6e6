#![doc = include_str!("../README.md")]

mod awing;
mod config;
mod distance;
pub mod eigen2;
pub mod moments;
mod reduce;
mod restriction;
mod star;
mod surrogate;

pub use awing::{AwingConfig, awing};
pub use config::{Form, StarLossConfig};
pub use distance::Distance;
pub use eigen2::SymEigen2;
pub use reduce::Reduction;
pub use restriction::Restriction;
pub use star::{StarLoss, StarTerms, star};
