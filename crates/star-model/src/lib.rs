#![doc = include_str!("../README.md")]

mod builder;
pub mod checkpoint;
mod config;
mod coord_conv;
mod cost;
mod cpu;
mod exchange;
#[cfg(test)]
mod gradient_check;
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
mod training;

pub use builder::TrainingOptions;
pub use config::{ChannelOrder, InputSpec, MAP_STRIDE, StackedHourglassConfig};
pub use cost::StageCost;
pub use exchange::StatisticsExchange;
pub use hourglass::StackedHourglass;
pub use hrnet::{HeatmapActivation, HrNet, HrNetConfig};
pub use init::Parameters;
pub use model::{AuxMaps, LandmarkModel, Stage};
pub use plan::{CompileOptions, CompiledModel, Isa, Moments, StepTime, gemm_peak};
