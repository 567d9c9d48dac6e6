#![doc = include_str!("../README.md")]

pub mod ambiguity;
pub mod ced;
pub mod error;
pub mod nme;
pub mod plot;
pub mod report;
pub mod ruler;

pub use ambiguity::{Ambiguity, spread_over_models};
pub use ced::Ced;
pub use error::{Error, Result};
pub use nme::{keypoint_errors, nme};
pub use plot::{bars_svg, ced_svg, curves_svg};
pub use report::{Evaluation, Group, Report, Setting, markdown_table};
pub use ruler::Ruler;
