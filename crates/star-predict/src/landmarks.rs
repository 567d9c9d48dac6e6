//! Faces and their landmarks, and how they are decoded from heatmaps.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};
use star_data::FaceBox;
use star_data::affine::Affine;
use star_data::crop::denormalize;
use star_loss::moments;

/// A face in an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// The landmark-tight box, pixels of the image: the one given, the detector's, or that of the landmarks of a face that was not upright.
    pub face_box: FaceBox,
    /// The detector's probability, 0 to 1, that this is a face; `None` where the box was given.
    pub score: Option<f32>,
    /// Where its landmarks are.
    pub landmarks: Landmarks,
    /// How the head is turned; `None` for keypoints whose place on a head is not known, and where they are none of a face.
    pub pose: Option<Pose>,
}

/// The landmarks of one face, one entry a keypoint of the scheme.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Landmarks {
    /// `(x, y)` in pixels of the image, pixel centres at whole numbers.
    pub points: Vec<[f32; 2]>,
    /// Spread of each heatmap as `xx, xy, yy` in pixels squared of the image.
    pub covariances: Vec<[f32; 3]>,
    /// The probability, 0 to 1, that each landmark's error is below 5 % of the normalizer (or what the weights' calibration says instead:
    /// [`ConfidenceModel::threshold`](crate::confidence::ConfidenceModel)); empty for weights that were not calibrated (`star calibrate`).
    pub confidence: Vec<f32>,
}

/// How a head is turned, in degrees; all 0 is frontal and upright. Yaw comes first, then pitch, then roll, each about an axis of the camera's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pose {
    /// About the vertical axis, to the head's left positive: its nose moves to the right of the image.
    pub yaw: f32,
    /// About the axis from ear to ear, up positive.
    pub pitch: f32,
    /// In the plane of the image, towards the head's right shoulder positive: counter-clockwise as it is seen.
    pub roll: f32,
    /// Standard deviations of yaw, pitch and roll.
    pub deviations: [f32; 3],
}

/// Landmarks as the decoder computed them: what metrics are computed from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// `(x, y)` in pixels of the image.
    pub points: Vec<[f32; 2]>,
    /// `xx, xy, yy` in pixels squared of the image.
    pub covariances: Vec<[f64; 3]>,
    /// As in [`Landmarks`].
    pub confidence: Vec<f32>,
}

impl From<Decoded> for Landmarks {
    fn from(decoded: Decoded) -> Self {
        let covariances = decoded.covariances.iter().map(|c| c.map(|v| v as f32)).collect();
        Self { points: decoded.points, covariances, confidence: decoded.confidence }
    }
}

/// Means and covariances of heatmaps `[B, K, M, M]`, mapped back through each crop's transform from image to crop.
///
/// # Errors
/// When the number of transforms is not `B`, or one has no inverse.
pub fn decode(heatmaps: &Tensor, transforms: &[Affine], image_size: usize) -> Result<Vec<Decoded>> {
    let (means, covariances) = (moments::soft_argmax(heatmaps)?, moments::covariance(heatmaps)?);
    decode_moments(&means, &covariances, transforms, image_size)
}

/// Means `[B, K, 2]` and covariances `[B, K, 2, 2]`, mapped back through each crop's transform.
pub(crate) fn decode_moments(
    means: &Tensor,
    covariances: &Tensor,
    transforms: &[Affine],
    image_size: usize,
) -> Result<Vec<Decoded>> {
    let (b, k, _) = means.dims3()?;
    ensure!(b == transforms.len(), "expected {b} crop transforms, got {}", transforms.len());
    // On the host: Metal has no f64.
    let flat = |t: &Tensor| -> Result<Vec<f64>> {
        Ok(t.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    };
    let (means, covariances) = (flat(means)?, flat(covariances)?);
    // Normalised units to crop pixels.
    let unit = image_size as f64 / 2.0;
    let mut found = Vec::with_capacity(b);
    for (i, transform) in transforms.iter().enumerate() {
        let back = transform.inverse()?;
        let [[a, b, _], [c, d, _]] = back.matrix();
        let mut face = Decoded::default();
        for point in i * k..(i + 1) * k {
            let [x, y] = [means[2 * point] as f32, means[2 * point + 1] as f32];
            face.points.push(back.apply(denormalize([x, y], image_size)));
            let [xx, xy, yy] =
                [covariances[4 * point], covariances[4 * point + 1], covariances[4 * point + 3]];
            let [xx, xy, yy] = [xx, xy, yy].map(|v| v * unit * unit);
            // A S A^T for the linear part A of the way back
            face.covariances.push([
                a * a * xx + 2.0 * a * b * xy + b * b * yy,
                a * c * xx + (a * d + b * c) * xy + b * d * yy,
                c * c * xx + 2.0 * c * d * xy + d * d * yy,
            ]);
        }
        found.push(face);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use star_data::crop::Crop;

    use super::*;
    use crate::Ellipse;

    /// Relative tolerance for figures that went through a 64x64 map in f32.
    const TOLERANCE: f32 = 1e-2;

    /// `exp(-u^2/(2 sx^2) - v^2/(2 sy^2))` about map pixel (mx, my), `u` along the direction `angle`.
    fn bump(size: usize, (mx, my): (f64, f64), (sx, sy): (f64, f64), angle: f64) -> Tensor {
        let (sin, cos) = angle.sin_cos();
        let values: Vec<f32> = (0..size * size)
            .map(|i| {
                let (dx, dy) = ((i % size) as f64 - mx, (i / size) as f64 - my);
                let (u, v) = (cos * dx + sin * dy, -sin * dx + cos * dy);
                (-u * u / (2.0 * sx * sx) - v * v / (2.0 * sy * sy)).exp() as f32
            })
            .collect();
        Tensor::from_vec(values, (1, 1, size, size), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_bump_comes_back_as_a_point_and_a_covariance_in_image_pixels() {
        let face = FaceBox { x: 100.0, y: 50.0, width: 128.0, height: 128.0 };
        let transform = Crop::new(256).transform(&face).unwrap();
        // In the map one pixel is 2/63 of normalised length, so 256/63 crop pixels and 128/63 image pixels.
        let found = decode(&bump(64, (31.5, 31.5), (3.0, 1.5), 0.5), &[transform], 256).unwrap();
        let [x, y] = found[0].points[0];
        let ellipse = Ellipse::from_covariance(found[0].covariances[0]);
        // the middle of the crop is the middle of the box
        assert!((x - 164.0).abs() < 0.1 && (y - 114.0).abs() < 0.1, "{x} {y}");
        let step = 128.0 / 63.0;
        // the unbiased estimate is wider than the bump by the effective number of pixels; 3 % at these widths
        assert!((ellipse.major / (3.0 * step) - 1.0).abs() < 0.05, "{ellipse:?}");
        assert!((ellipse.minor / (1.5 * step) - 1.0).abs() < 0.05, "{ellipse:?}");
        assert!((ellipse.angle - 0.5f32.to_degrees()).abs() < TOLERANCE * 90.0, "{ellipse:?}");
    }
}
