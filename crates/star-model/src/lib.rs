#![doc = include_str!("../README.md")]

pub mod checkpoint;
mod config;
mod coord_conv;
mod cpu;
#[cfg(test)]
mod gradient_check;
mod hourglass;
mod init;
pub mod interpolate;
mod layers;
mod model;
mod norm;

pub use config::{ChannelOrder, InputSpec, MAP_STRIDE, StackedHourglassConfig};
pub use hourglass::StackedHourglass;
pub use init::Parameters;
pub use model::{AuxMaps, LandmarkModel, Stage};
