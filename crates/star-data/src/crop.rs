//! From a face's box to the network's square input, and between pixels and normalised coordinates.
//!
//! All pixel-to-normalised arithmetic of this crate is here. Normalised coordinates are `(2 p + 1) / size - 1`: `[-1, 1]` spans the
//! outer *edges* of the outer pixels. (Heatmap axes, which star-loss owns, put `-1` and `1` on the outer pixel *centres*; the
//! reference mixes the two and the published figures carry that.)

use crate::affine::Affine;
use crate::{Error, FaceBox, Result};

/// Pixels to normalised coordinates: `(2 p + 1) / size - 1`.
pub fn normalize(point: [f32; 2], size: usize) -> [f32; 2] {
    point.map(|p| ((2.0 * f64::from(p) + 1.0) / size as f64 - 1.0) as f32)
}

/// Normalised coordinates to pixels: `((v + 1) size - 1) / 2`.
pub fn denormalize(point: [f32; 2], size: usize) -> [f32; 2] {
    point.map(|v| (((f64::from(v) + 1.0) * size as f64 - 1.0) / 2.0) as f32)
}

/// How a square crop is cut around a face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Side of the crop in pixels.
    pub size: usize,
    /// Share of the crop's side that the box's longer side takes up. Reference: 1.
    pub target_face_scale: f64,
}

impl Crop {
    /// The reference's crop: the box's longer side fills the crop.
    pub fn new(size: usize) -> Self {
        Self { size, target_face_scale: 1.0 }
    }

    /// The map from picture to crop: the box's centre to `((size - 1) / 2, (size - 1) / 2)`, scaled by
    /// `size * target_face_scale / longer side` (the reference's `size / (200 scale)`).
    ///
    /// # Errors
    /// [`Error::Degenerate`] for a box without area.
    pub fn transform(&self, face: &FaceBox) -> Result<Affine> {
        let ([x, y], side) = (face.centre(), f64::from(face.side()));
        let finite = side.is_finite() && x.is_finite() && y.is_finite();
        if !(finite && side > 0.0 && self.size > 0) {
            return Err(Error::Degenerate { what: "face box", got: format!("{face:?}") });
        }
        let scale = self.size as f64 * self.target_face_scale / side;
        let middle = (self.size as f64 - 1.0) / 2.0;
        Ok(Affine::new([
            [scale, 0.0, middle - scale * f64::from(x)],
            [0.0, scale, middle - scale * f64::from(y)],
        ]))
    }
}

impl FaceBox {
    /// The landmark-tight square that the published 300W and COFW rows follow: bounds rounded outwards to whole pixels, centre in
    /// the middle, side the longer of width and height.
    ///
    /// # Errors
    /// [`Error::Degenerate`] where the points have no extent or are not finite.
    pub fn around(points: &[[f32; 2]]) -> Result<Self> {
        let bounds = |axis: usize| {
            points.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), p| {
                (low.min(p[axis]), high.max(p[axis]))
            })
        };
        let ((x0, x1), (y0, y1)) = (bounds(0), bounds(1));
        let finite = points.iter().flatten().all(|v| v.is_finite());
        let (x0, x1, y0, y1) = (x0.floor(), x1.ceil(), y0.floor(), y1.ceil());
        let side = (x1 - x0).max(y1 - y0);
        if !(finite && side > 0.0 && side.is_finite()) {
            return Err(Error::Degenerate {
                what: "box around landmarks",
                got: format!("x {x0}..{x1}, y {y0}..{y1}"),
            });
        }
        let centre = [(x0 + x1) / 2.0, (y0 + y1) / 2.0];
        Ok(Self::from_scale_and_centre(side / Self::PIXELS_PER_SCALE, centre))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn normalising_and_back_is_no_change(x in -50.0..300.0f32, y in -50.0..300.0f32, size in 1usize..512) {
            let [u, v] = denormalize(normalize([x, y], size), size);
            prop_assert!((u - x).abs() < 1e-3 && (v - y).abs() < 1e-3);
        }
    }

    #[test]
    fn the_outer_edges_of_the_outer_pixels_are_minus_one_and_one() {
        // 256 pixels: the left edge of pixel 0 lies at -0.5, the right edge of pixel 255 at 255.5
        assert_eq!(normalize([-0.5, 255.5], 256), [-1.0, 1.0]);
    }

    #[test]
    fn the_centre_of_the_box_goes_to_the_centre_of_the_crop() {
        let face = FaceBox { x: 10.0, y: 20.0, width: 100.0, height: 50.0 };
        let map = Crop::new(256).transform(&face).unwrap();
        assert_eq!(map.apply([60.0, 45.0]), [127.5, 127.5]);
        // the longer side, 100 pixels, fills 256
        assert!((map.apply([110.0, 45.0])[0] - 255.5).abs() < 1e-3);
    }

    #[test]
    fn the_tight_box_is_rounded_outwards() {
        let face = FaceBox::around(&[[10.4, 20.0], [30.2, 25.5]]).unwrap();
        // x 10..31, y 20..26: side 21, centre (20.5, 23)
        assert!((face.side() - 21.0).abs() < 1e-4);
        assert!((face.centre()[0] - 20.5).abs() < 1e-4 && (face.centre()[1] - 23.0).abs() < 1e-4);
    }

    #[test]
    fn points_without_extent_have_no_box() {
        assert!(FaceBox::around(&[[3.0, 4.0]; 5]).is_err());
        assert!(FaceBox::around(&[[f32::NAN, 1.0], [5.0, 9.0]]).is_err());
        assert!(FaceBox::around(&[]).is_err());
    }
}
