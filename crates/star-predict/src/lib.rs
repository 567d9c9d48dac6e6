#![doc = include_str!("../README.md")]

pub mod detector;
pub mod device;
mod ellipse;
pub mod failure;
pub mod files;
mod landmarks;
pub mod overlay;
mod predictor;
pub mod records;
pub mod smooth;
pub mod tensors;
pub mod weights;

pub use ellipse::Ellipse;
pub use landmarks::{Decoded, Face, Landmarks, Pose, decode};
pub use predictor::Predictor;
