//! Faces cut out upright and of one size, as face recognition wants them.

use anyhow::{Result, ensure};
use image::{RgbImage, imageops};
use star_data::affine::Affine;
use star_data::{Scheme, warp};

/// Where the right eye, left eye, nose tip, right and left corner of the mouth of the subject lie in a crop of 112 pixels: the template
/// that ArcFace's and most later face recognisers were trained on (InsightFace, `arcface_dst`).
const TEMPLATE: [[f64; 2]; 5] =
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]];

/// Side of the template's crop.
const TEMPLATE_SIDE: f64 = 112.0;

/// Largest side of a crop, pixels.
const LARGEST: usize = 2048;

/// The crop of `size` pixels whose eyes, nose tip and corners of the mouth lie nearest to the template's, by a rotation, a scale and a
/// shift; of keypoints that name the eyes alone, by these. `None` where the scheme names neither, or the eyes coincide.
///
/// # Errors
/// For a size of 0 or above 2048.
pub fn crop(image: &RgbImage, scheme: &Scheme, points: &[[f32; 2]], size: usize) -> Result<Option<RgbImage>> {
    ensure!((1..=LARGEST).contains(&size), "expected a side of 1 to {LARGEST} pixels, got {size}");
    let Some(map) = similarity(scheme, points, size) else { return Ok(None) };
    // A large face is sampled finer and averaged, so that no pixel of it is skipped.
    let [[a, b, _], _] = map.matrix();
    let finer = (1.0 / a.hypot(b)).ceil().clamp(1.0, (4 * LARGEST / size) as f64);
    if finer <= 1.0 {
        return Ok(Some(warp::warp(image, &map, size)?));
    }
    let middle = (finer - 1.0) / 2.0;
    let map = map.then(Affine::new([[finer, 0.0, middle], [0.0, finer, middle]]));
    let large = warp::warp(image, &map, size * finer as usize)?;
    Ok(Some(imageops::thumbnail(&large, size as u32, size as u32)))
}

/// The middles of the subject's right and left eye; `None` where the scheme does not name them.
pub(crate) fn eyes(scheme: &Scheme, points: &[[f32; 2]]) -> Option<[[f64; 2]; 2]> {
    if let Some([right, left, ..]) = scheme.five(points) {
        return Some([right, left].map(|p| p.map(f64::from)));
    }
    let mean = |group: &Vec<usize>| {
        let sum = group.iter().try_fold([0.0; 2], |[x, y], k| {
            points.get(*k).map(|p| [x + f64::from(p[0]), y + f64::from(p[1])])
        })?;
        Some(sum.map(|v| v / group.len() as f64))
    };
    let [right, left] = scheme.inter_pupil.as_ref()?;
    Some([mean(right)?, mean(left)?])
}

/// From the image to the crop: least squares over the points that the scheme names.
fn similarity(scheme: &Scheme, points: &[[f32; 2]], size: usize) -> Option<Affine> {
    let found: Vec<[f64; 2]> = match scheme.five(points) {
        Some(five) => five.iter().map(|p| p.map(f64::from)).collect(),
        None => eyes(scheme, points)?.to_vec(),
    };
    // Pixel centres at whole numbers: the template's edges scale, not its centres.
    let scale = size as f64 / TEMPLATE_SIDE;
    let wanted: Vec<[f64; 2]> =
        TEMPLATE[..found.len()].iter().map(|p| p.map(|v| (v + 0.5) * scale - 0.5)).collect();
    let mean =
        |points: &[[f64; 2]]| [0, 1].map(|i| points.iter().map(|p| p[i]).sum::<f64>() / points.len() as f64);
    let (from, to) = (mean(&found), mean(&wanted));
    // As complex numbers: the factor (a + ib) that leads from the one to the other.
    let (mut a, mut b, mut norm) = (0.0, 0.0, 0.0);
    for (p, q) in found.iter().zip(&wanted) {
        let ([x, y], [u, v]) = ([p[0] - from[0], p[1] - from[1]], [q[0] - to[0], q[1] - to[1]]);
        a += x * u + y * v;
        b += x * v - y * u;
        norm += x * x + y * y;
    }
    let (a, b) = (a / norm, b / norm);
    let map =
        Affine::new([[a, -b, to[0] - a * from[0] + b * from[1]], [b, a, to[1] - b * from[0] - a * from[1]]]);
    (a.is_finite() && b.is_finite() && a.hypot(b) > 1e-6).then_some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn five_points() -> Scheme {
        let mut scheme = Scheme::new("five", 5);
        scheme.five_points = Some([vec![0], vec![1], vec![2], vec![3], vec![4]]);
        scheme
    }

    #[test]
    fn the_template_turned_and_scaled_comes_back_onto_itself() {
        let (sin, cos) = 0.4f64.sin_cos();
        let moved = TEMPLATE.map(|[x, y]| {
            [(3.0 * (cos * x - sin * y) + 40.0) as f32, (3.0 * (sin * x + cos * y) - 10.0) as f32]
        });
        let map = similarity(&five_points(), &moved, 112).unwrap();
        for (point, [x, y]) in moved.iter().zip(TEMPLATE) {
            let [u, v] = map.apply(*point);
            assert!((f64::from(u) - x).abs() < 1e-3 && (f64::from(v) - y).abs() < 1e-3, "{u} {v} {x} {y}");
        }
    }

    #[test]
    fn an_eye_of_a_large_face_lies_where_the_template_has_it() {
        // Five times the template's size, its right eye a white disc.
        let points = TEMPLATE.map(|p| p.map(|v| (5.0 * v + 100.0) as f32));
        let [x, y] = points[0];
        let image = RgbImage::from_fn(800, 800, |u, v| {
            let inside = (u as f32 - x).hypot(v as f32 - y) < 20.0;
            image::Rgb([if inside { 255 } else { 0 }; 3])
        });
        let found = crop(&image, &five_points(), &points, 224).unwrap().unwrap();
        assert_eq!(found.dimensions(), (224, 224));
        let (mut sum, mut mass) = ([0.0; 2], 0.0);
        for (u, v, pixel) in found.enumerate_pixels() {
            let weight = f64::from(pixel.0[0]);
            sum = [sum[0] + weight * f64::from(u), sum[1] + weight * f64::from(v)];
            mass += weight;
        }
        let expected = TEMPLATE[0].map(|v| (v + 0.5) * 2.0 - 0.5);
        assert!((sum[0] / mass - expected[0]).abs() < 0.2 && (sum[1] / mass - expected[1]).abs() < 0.2);
        assert!(crop(&image, &five_points(), &points, 0).is_err());
        assert!(crop(&image, &Scheme::new("none", 5), &points, 112).unwrap().is_none());
    }
}
