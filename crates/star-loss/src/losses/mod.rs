//! STAR and the losses it is compared with, behind one trait.

mod adl;
mod dsnt;
mod heatmap_loss;
mod map;
mod regression;
mod targets;

pub use adl::{AnisotropicDirectionLoss, Edge};
pub use dsnt::DsntLoss;
pub use heatmap_loss::{HeatmapLoss, LossParts};
pub use map::{AwingMapLoss, MseMapLoss, gaussian_targets};
pub use regression::SoftArgmaxLoss;
