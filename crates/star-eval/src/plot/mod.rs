//! Curves, bars, scatters, heat maps and shapes as SVG text, whose colours follow the page's light or dark theme and whose points have
//! names under the pointer: what the SVG of `plotters` has no place for.

mod axis;
mod bars;
mod colour;
mod frame;
mod heat;
mod lines;
mod scatter;
mod shape;
mod size;
mod svg;
mod whiskers;

pub use bars::bars_svg;
pub use lines::{ced_svg, curves_svg, log_curves_svg};

pub(crate) use axis::Scale;
pub(crate) use bars::{Keypoints, bars_sized, change_bars, keypoint_bars};
pub(crate) use colour::{group_name, of_line, of_run, themed};
pub(crate) use heat::heat_svg;
pub(crate) use lines::{ced_sized, confidence_svg, curves_sized, reliability_svg, spread_svg};
pub(crate) use scatter::scatter_svg;
pub(crate) use shape::shape_svg;
pub(crate) use size::Size;
pub(crate) use whiskers::whiskers_sized;
