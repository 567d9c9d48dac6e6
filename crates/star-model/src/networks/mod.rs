//! The networks: each a folder that writes its graph, names its tensors and reads its shape off a checkpoint.

mod architecture;
pub(crate) mod hourglass;
pub(crate) mod hrnet;
pub(crate) mod light_pyramid;
mod network;
mod yunet;

pub use architecture::Architecture;
pub use hourglass::StackedHourglass;
pub use hourglass::config::{SlimHourglassConfig, StackedHourglassConfig};
pub use hrnet::HrNet;
pub use hrnet::config::HrNetConfig;
pub use light_pyramid::LightPyramid;
pub use light_pyramid::config::LightPyramidConfig;
pub(crate) use network::Network;
pub use yunet::{FaceMaps, YuNet};
