//! Crops turned so that the eyes are level, for faces that are tilted further than networks are trained on.

use star_data::affine::Affine;
use star_data::crop::Crop;
use star_data::{FaceBox, Result, Scheme};

use crate::align;

/// The crop turned about its middle by a quarter either way and by a half.
pub(crate) fn quarters(crop: &Crop, transform: &Affine) -> [Affine; 3] {
    let middle = (crop.size as f64 - 1.0) / 2.0;
    [1.0, -1.0, 2.0].map(|quarters| {
        transform.then(Affine::similarity(1.0, quarters * std::f64::consts::FRAC_PI_2, [middle; 2]))
    })
}

/// The crop turned and placed anew by landmarks that were found in it, where the eyes slope by more than `tilt` degrees; `None` where
/// they do not, or the scheme names no eyes. `transform` leads from the image to the crop that `points`, in the image, were found in.
///
/// # Errors
/// Where the landmarks span nothing.
pub(crate) fn levelled(
    crop: &Crop,
    scheme: &Scheme,
    transform: &Affine,
    points: &[[f32; 2]],
    tilt: f64,
) -> Result<Option<Affine>> {
    let within: Vec<[f32; 2]> = points.iter().map(|point| transform.apply(*point)).collect();
    let Some([[x0, y0], [x1, y1]]) = align::eyes(scheme, &within) else { return Ok(None) };
    let slope = (y1 - y0).atan2(x1 - x0);
    if slope.is_nan() || slope.abs().to_degrees() <= tilt {
        return Ok(None);
    }
    let turned = transform.then(Affine::similarity(1.0, -slope, [0.0; 2]));
    let upright: Vec<[f32; 2]> = points.iter().map(|point| turned.apply(*point)).collect();
    let bounds = |axis: usize| {
        let ends = upright.iter().map(|point| point[axis]);
        ends.fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], v| [low.min(v), high.max(v)])
    };
    let ([left, right], [top, bottom]) = (bounds(0), bounds(1));
    let tight = FaceBox { x: left, y: top, width: right - left, height: bottom - top };
    Ok(Some(turned.then(crop.transform(&tight)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_is_turned_about_its_middle() {
        let crop = Crop { size: 65, target_face_scale: 0.8 };
        let turned = quarters(&crop, &Affine::IDENTITY).map(|turned| turned.apply([64.0, 32.0]));
        for (at, wanted) in turned.into_iter().zip([[32.0, 64.0], [32.0, 0.0], [0.0, 32.0]]) {
            assert!((at[0] - wanted[0]).hypot(at[1] - wanted[1]) < 1e-3, "{at:?} {wanted:?}");
        }
    }

    #[test]
    fn a_tilted_face_is_level_in_its_new_crop_and_fills_as_much_of_it() {
        let mut scheme = Scheme::new("four", 4);
        scheme.inter_pupil = Some([vec![0], vec![1]]);
        let crop = Crop { size: 128, target_face_scale: 0.8 };
        // Eyes at the upper corners of a square of 100 pixels about (300, 200), turned by 50 degrees.
        let turn = Affine::similarity(1.0, 50f64.to_radians(), [300.0, 200.0]);
        let square = [[250.0, 150.0], [350.0, 150.0], [250.0, 250.0], [350.0, 250.0]];
        let points = square.map(|point| turn.apply(point));
        let first = crop.transform(&FaceBox::around(&points).unwrap()).unwrap();
        let level = levelled(&crop, &scheme, &first, &points, 15.0).unwrap().unwrap();
        let [a, b, c, d] = points.map(|point| level.apply(point));
        let close = |a: f32, b: f32, by: f32| (a - b).abs() < by;
        assert!(close(a[1], b[1], 1e-2) && close(c[1], d[1], 1e-2) && close(a[0], c[0], 1e-2), "{a:?} {b:?}");
        assert!(close(b[0] - a[0], 0.8 * 128.0, 1e-2), "{a:?} {b:?}");
        assert!(close((a[0] + d[0]) / 2.0, 63.5, 1e-2) && close((a[1] + d[1]) / 2.0, 63.5, 1e-2));
        assert_eq!(levelled(&crop, &scheme, &first, &points, 60.0).unwrap(), None);
        assert_eq!(levelled(&crop, &Scheme::new("none", 4), &first, &points, 15.0).unwrap(), None);
    }
}
