#![doc = include_str!("../README.md")]

pub mod ambiguity;
pub mod bootstrap;
pub mod calibration;
pub mod ced;
pub mod covariance;
pub mod error;
pub mod nme;
pub mod oks;
pub mod paired;
pub mod pck;
pub mod plot;
pub mod report;
pub mod ruler;
pub mod shape;
pub mod video;

pub use ambiguity::{Ambiguity, spread_over_models};
pub use bootstrap::{Bootstrap, Interval};
pub use calibration::{Calibration, CalibrationSummary};
pub use ced::Ced;
pub use covariance::Covariance;
pub use error::{Error, Result};
pub use nme::{keypoint_errors, nme};
pub use paired::{Paired, compare};
pub use pck::Pck;
pub use plot::{bars_svg, ced_svg, curves_svg};
pub use report::{Evaluation, Group, Report, Setting, markdown_table};
pub use ruler::Ruler;
pub use video::{Jitter, JitterSummary};
