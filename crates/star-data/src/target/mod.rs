//! Auxiliary targets of the attention branch, as the reference draws them: one bump a keypoint, one curve an edge.

mod edgemap;
mod pointmap;
mod spline;

pub use edgemap::edgemap;
pub use pointmap::pointmap;
pub use spline::{Ends, SAMPLES_PER_SPAN, through};

/// The two pixels of the image grid that one pixel of the map grid is the mean of, along one axis.
///
/// Bilinear resampling with `align_corners = false` by a whole even factor `f` takes the two pixels about the middle of each block
/// of `f`, whatever lies between.
pub(crate) fn taps(map: usize, factor: usize) -> [usize; 2] {
    let middle = map * factor + factor / 2;
    if factor.is_multiple_of(2) { [middle - 1, middle] } else { [middle, middle] }
}
