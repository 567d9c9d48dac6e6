#![doc = include_str!("../README.md")]

pub mod align;
#[cfg(feature = "bulk")]
pub mod bulk;
pub mod confidence;
pub mod detector;
pub mod device;
mod ellipse;
pub mod failure;
pub mod files;
pub mod images;
mod landmarks;
mod level;
pub mod overlay;
pub mod parallel;
pub mod pose;
mod predictor;
pub mod records;
pub mod smooth;
pub mod tensors;
pub mod track;
mod turn;
pub mod weights;

pub use ellipse::Ellipse;
pub use landmarks::{Decoded, Face, Landmarks, Pose, decode};
pub use predictor::Predictor;
