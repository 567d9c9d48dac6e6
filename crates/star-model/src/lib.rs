#![doc = include_str!("../README.md")]

mod activation;
mod builder;
pub mod checkpoint;
mod coord_conv;
mod cost;
#[cfg(feature = "cuda")]
pub mod cuda;
mod gate;
#[cfg(test)]
mod gradient_check;
mod graph;
mod heatmap_activation;
#[cfg(feature = "hub")]
pub mod hub;
mod init;
mod input;
pub mod interpolate;
mod layers;
mod model;
mod networks;
mod norm;
pub mod onnx;
mod plan;
mod process_group;
mod slices;
mod training;

pub use builder::TrainingOptions;
pub use cost::StageCost;
pub use heatmap_activation::HeatmapActivation;
pub use init::Parameters;
pub use input::{ChannelOrder, InputSpec, MAP_STRIDE};
pub use model::{AuxMaps, LandmarkModel, Stage};
pub use networks::{
    FaceMaps, HrNet, HrNetConfig, LightPyramid, LightPyramidConfig, SlimHourglassConfig, StackedHourglass,
    StackedHourglassConfig, YuNet,
};
pub use plan::{
    CompileOptions, CompiledModel, Isa, Moments, Precision, Quantization, QuantizationSamples, StepTime,
    gemm_peak, register_peak,
};
pub use process_group::AllReduce;
