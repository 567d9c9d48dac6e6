#![doc = include_str!("../README.md")]

mod activation;
mod builder;
pub mod checkpoint;
mod config;
mod coord_conv;
mod cost;
mod cpu;
#[cfg(test)]
mod gradient_check;
mod heatmap_activation;
mod hourglass;
mod hrnet;
#[cfg(feature = "hub")]
pub mod hub;
mod init;
pub mod interpolate;
mod layers;
mod model;
mod norm;
pub mod onnx;
mod plan;
mod process_group;
mod training;

pub use builder::TrainingOptions;
pub use config::{ChannelOrder, InputSpec, MAP_STRIDE, SlimHourglassConfig, StackedHourglassConfig};
pub use cost::StageCost;
pub use heatmap_activation::HeatmapActivation;
pub use hourglass::StackedHourglass;
pub use hrnet::{HrNet, HrNetConfig};
pub use init::Parameters;
pub use model::{AuxMaps, LandmarkModel, Stage};
pub use plan::{CompileOptions, CompiledModel, Isa, Moments, StepTime, gemm_peak};
pub use process_group::AllReduce;
