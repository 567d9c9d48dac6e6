#![doc = include_str!("../README.md")]

mod activation;
mod awing;
mod composed;
mod config;
#[cfg(feature = "cuda")]
mod cuda;
mod distance;
pub mod eigen2;
mod fused;
mod grid;
#[doc = include_str!("guide.md")]
pub mod guide {}
pub mod losses;
mod maps;
pub mod moments;
mod reading;
mod reduce;
mod restriction;
mod star;
mod surrogate;

pub use activation::Activation;
pub use awing::awing;
pub use config::{AwingConfig, Form, StarLossConfig};
pub use distance::Distance;
pub use eigen2::SymEigen2;
pub use grid::Grid;
pub use losses::HeatmapLoss;
pub use reduce::Reduction;
pub use restriction::Restriction;
pub use star::{StarLoss, StarTerms, star};
