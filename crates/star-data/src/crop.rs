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

    /// The map from image to crop: the box's centre to `((size - 1) / 2, (size - 1) / 2)`, scaled by
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

/// How a face's box is made, which [`Crop`] then maps onto the network's input.
///
/// With `x0 x1 y0 y1` the bounds of the points, the box is the square of side `200 s` about `c`:
///
/// | rule | centre `c` | scale `s` |
/// |---|---|---|
/// | landmark tight | middle of `floor(x0) ceil(x1) floor(y0) ceil(y1)` | `max(ceil(x1) - floor(x0), ceil(y1) - floor(y0)) / 200` |
/// | reference demo | middle of `x0 x1 y0 y1` | `1.05 min(x1 - x0, y1 - y0) / 200` |
/// | stated | middle of the format's own box | its longer side / 200 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CropRule {
    /// Bounds rounded outwards to whole pixels, side the longer of width and height: the published 300W and COFW rows.
    #[default]
    LandmarkTight,
    /// Bounds as they are, side 1.05 times the *shorter* of width and height: the reference's demonstration program, which
    /// applies it to another detector's landmarks.
    ReferenceDemo,
    /// The box that the format itself states: the columns scale and centre of a row of TSV or of HRNet's CSV, the rectangles of WFLW, COFW and COCO.
    Stated,
}

/// Side of the box of [`CropRule::ReferenceDemo`] in units of the shorter of width and height. Reference value.
const DEMO_MARGIN: f64 = 1.05;

impl CropRule {
    /// The square around `points`.
    ///
    /// # Errors
    /// [`Error::Degenerate`] where the points have no extent or are not finite; [`Error::Config`] for the rule that needs a
    /// stated box.
    pub fn face(self, points: &[[f32; 2]]) -> Result<FaceBox> {
        let (scale, centre) = self.row(points, None)?;
        Ok(FaceBox::from_scale_and_centre(scale as f32, centre.map(|v| v as f32)))
    }

    /// The box of an annotation: from its points (those that are NaN are absent and count for nothing) or from the box it states.
    ///
    /// # Errors
    /// As [`CropRule::face`], and [`Error::Degenerate`] where the stated box has no area.
    pub fn apply(self, points: &[[f32; 2]], stated: Option<FaceBox>) -> Result<FaceBox> {
        match (self, stated) {
            (Self::Stated, Some(face)) => usable(face),
            _ => self.face(&present(points)),
        }
    }

    /// Scale (sides are 200 times that) and centre, as annotation rows carry them; in f64, so that they are written exactly.
    ///
    /// # Errors
    /// As [`CropRule::apply`].
    pub fn scale_and_centre(self, points: &[[f32; 2]], stated: Option<FaceBox>) -> Result<(f64, [f64; 2])> {
        self.row(&present(points), stated)
    }

    fn row(self, points: &[[f32; 2]], stated: Option<FaceBox>) -> Result<(f64, [f64; 2])> {
        let per_scale = f64::from(FaceBox::PIXELS_PER_SCALE);
        if let (Self::Stated, Some(face)) = (self, stated) {
            let face = usable(face)?;
            return Ok((f64::from(face.side()) / per_scale, face.centre().map(f64::from)));
        }
        let ([x0, x1, y0, y1], side) = self.bounds_and_side(points)?;
        Ok((side / per_scale, [(x0 + x1) / 2.0, (y0 + y1) / 2.0]))
    }

    /// `x0 x1 y0 y1` and the side, by a rule on points.
    fn bounds_and_side(self, points: &[[f32; 2]]) -> Result<([f64; 4], f64)> {
        let [(x0, x1), (y0, y1)] = bounds(points).map(|(low, high)| (f64::from(low), f64::from(high)));
        let (bounds, side) = match self {
            Self::LandmarkTight => {
                let [x0, x1, y0, y1] = [x0.floor(), x1.ceil(), y0.floor(), y1.ceil()];
                ([x0, x1, y0, y1], (x1 - x0).max(y1 - y0))
            }
            Self::ReferenceDemo => ([x0, x1, y0, y1], DEMO_MARGIN * (x1 - x0).min(y1 - y0)),
            Self::Stated => {
                return Err(Error::Config {
                    field: "crop",
                    expected: "a rule on landmarks, or a format that states boxes".into(),
                    got: "`stated` and a face without a box".into(),
                });
            }
        };
        if side.is_finite() && side > 0.0 && points.iter().flatten().all(|v| v.is_finite()) {
            Ok((bounds, side))
        } else {
            Err(degenerate("box around landmarks", &bounds))
        }
    }
}

/// A stated box, if it has an area.
fn usable(face: FaceBox) -> Result<FaceBox> {
    let numbers = [face.x, face.y, face.width, face.height];
    let area = numbers.iter().all(|v| v.is_finite()) && face.width > 0.0 && face.height > 0.0;
    area.then_some(face).ok_or_else(|| degenerate("stated box", &numbers))
}

fn degenerate(what: &'static str, numbers: &[impl std::fmt::Display]) -> Error {
    let got = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Error::Degenerate { what, got }
}

/// Points that are not marked absent by NaN.
fn present(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    points.iter().copied().filter(|p| !p.iter().all(|v| v.is_nan())).collect()
}

/// Smallest and largest x, smallest and largest y.
fn bounds(points: &[[f32; 2]]) -> [(f32, f32); 2] {
    [0, 1].map(|axis| {
        points
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), p| (low.min(p[axis]), high.max(p[axis])))
    })
}

impl FaceBox {
    /// The landmark-tight square that the published 300W and COFW rows follow: bounds rounded outwards to whole pixels, centre in
    /// the middle, side the longer of width and height.
    ///
    /// # Errors
    /// [`Error::Degenerate`] where the points have no extent or are not finite.
    pub fn around(points: &[[f32; 2]]) -> Result<Self> {
        CropRule::LandmarkTight.face(points)
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

        #[test]
        fn a_crop_and_its_inverse_cancel(
            x in -500.0..500.0f32, y in -500.0..500.0f32, width in 1.0..800.0f32, height in 1.0..800.0f32,
            u in 0.0..1.0f32, v in 0.0..1.0f32, size in 1usize..512,
        ) {
            let face = FaceBox { x, y, width, height };
            let map = Crop::new(size).transform(&face).unwrap();
            let point = [x + u * width, y + v * height];
            let back = map.inverse().unwrap().apply(map.apply(point));
            // f32 holds crop pixels to 3e-5, worth up to 800 image pixels each
            prop_assert!((back[0] - point[0]).abs() < 3e-2 && (back[1] - point[1]).abs() < 3e-2);
            let [p, q] = map.apply(point);
            prop_assert!(p > -0.6 && p < size as f32 && q > -0.6 && q < size as f32);
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
    fn the_demo_box_has_a_margin_around_the_shorter_side() {
        let face = CropRule::ReferenceDemo.face(&[[10.4, 20.0], [30.4, 25.0]]).unwrap();
        // 20 x 5: side 1.05 * 5, centre (20.4, 22.5)
        assert!((face.side() - 5.25).abs() < 1e-4);
        assert!((face.centre()[0] - 20.4).abs() < 1e-4 && (face.centre()[1] - 22.5).abs() < 1e-4);
        assert!(CropRule::ReferenceDemo.face(&[[1.0, 2.0], [9.0, 2.0]]).is_err());
    }

    #[test]
    fn a_stated_box_is_taken_as_it_is_and_must_be_there() {
        let stated = FaceBox { x: -3.0, y: 4.0, width: 20.0, height: 30.0 };
        let points = [[1.0, 2.0], [9.0, 20.5]];
        assert_eq!(CropRule::Stated.apply(&points, Some(stated)).unwrap(), stated);
        // longer side 30, centre (7, 19)
        let row = CropRule::Stated.scale_and_centre(&points, Some(stated)).unwrap();
        assert_eq!(row, (0.15, [7.0, 19.0]));
        assert!(CropRule::Stated.apply(&points, None).unwrap_err().to_string().contains("without a box"));
        let flat = FaceBox { height: 0.0, ..stated };
        assert!(CropRule::Stated.apply(&points, Some(flat)).is_err());
    }

    #[test]
    fn absent_points_do_not_widen_the_box_and_rows_are_exact() {
        let points = [[10.4, 20.0], [f32::NAN; 2], [101.2, 25.5]];
        // x 10..102, y 20..26: side 92, centre (56, 23)
        let row = CropRule::LandmarkTight.scale_and_centre(&points, None).unwrap();
        assert_eq!(row, (0.46, [56.0, 23.0]));
        assert!((CropRule::LandmarkTight.apply(&points, None).unwrap().side() - 92.0).abs() < 1e-4);
    }

    #[test]
    fn points_without_extent_have_no_box() {
        assert!(FaceBox::around(&[[3.0, 4.0]; 5]).is_err());
        assert!(FaceBox::around(&[[f32::NAN, 1.0], [5.0, 9.0]]).is_err());
        assert!(FaceBox::around(&[]).is_err());
    }
}
