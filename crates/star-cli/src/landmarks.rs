//! From heatmaps to landmarks and ellipses in a picture's own pixels.

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use star_data::affine::Affine;
use star_data::crop::denormalize;
use star_data::{FaceBox, warp};
use star_loss::moments;
use star_model::checkpoint::Folder;
use star_model::{CompileOptions, CompiledModel, InputSpec, LandmarkModel};

use crate::batch;

/// One predicted landmark's spread: standard deviations along the principal axes of its heatmap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ellipse {
    /// Standard deviation along the longer axis, pixels of the picture.
    pub major: f32,
    /// Standard deviation along the shorter axis, pixels of the picture.
    pub minor: f32,
    /// Direction of the longer axis in degrees from the x axis towards the y axis (down), in `(-90, 90]`.
    pub angle: f32,
}

impl Ellipse {
    /// From a covariance `[[xx, xy], [xy, yy]]` in pixels.
    pub fn from_covariance(xx: f64, xy: f64, yy: f64) -> Self {
        let (mean, half) = ((xx + yy) / 2.0, ((xx - yy) / 2.0).hypot(xy));
        let deviation = |eigenvalue: f64| eigenvalue.max(0.0).sqrt() as f32;
        let angle = (0.5 * (2.0 * xy).atan2(xx - yy)).to_degrees();
        Self { major: deviation(mean + half), minor: deviation(mean - half), angle: angle as f32 }
    }
}

/// The landmarks of one face.
#[derive(Clone, Debug, Default)]
pub struct Landmarks {
    /// `(x, y)` in pixels of the picture.
    pub points: Vec<[f32; 2]>,
    /// One a landmark.
    pub ellipses: Vec<Ellipse>,
}

/// A network with what is needed to run it on faces in pictures.
pub struct Predictor {
    network: Network,
    device: Device,
    dtype: DType,
}

enum Network {
    /// On the CPU in f32: landmarks without a map being written.
    Compiled(Box<CompiledModel>),
    Layers(Box<dyn LandmarkModel>),
}

impl Predictor {
    /// Runs `model` on `device` in `dtype`.
    pub fn new(model: Box<dyn LandmarkModel>, dtype: DType, device: &Device) -> Self {
        Self { network: Network::Layers(model), device: device.clone(), dtype }
    }

    /// The fastest way to run the network of `folder` on `device` in f32: compiled on the CPU, layer by layer elsewhere.
    ///
    /// # Errors
    /// When the network cannot be built.
    pub fn fastest(folder: &Folder, device: &Device, options: &CompileOptions) -> Result<Self> {
        if !device.is_cpu() {
            return Ok(Self::new(folder.model(DType::F32, device)?, DType::F32, device));
        }
        let compiled = CompiledModel::of(folder, options)?;
        Ok(Self { network: Network::Compiled(Box::new(compiled)), device: Device::Cpu, dtype: DType::F32 })
    }

    /// What the network expects of its input.
    pub fn input(&self) -> &InputSpec {
        match &self.network {
            Network::Compiled(model) => model.input(),
            Network::Layers(model) => model.input(),
        }
    }

    /// Side of the network's input in pixels.
    pub fn image_size(&self) -> usize {
        self.input().image_size
    }

    /// Landmarks of `faces` in one picture, `batch_size` at a time.
    ///
    /// # Errors
    /// When a box is empty, or the network fails.
    pub fn faces(&self, image: &RgbImage, faces: &[FaceBox], batch_size: usize) -> Result<Vec<Landmarks>> {
        let crop = batch::crop(self.input());
        let mut found = Vec::with_capacity(faces.len());
        for chunk in faces.chunks(batch_size.max(1)) {
            let transforms: Vec<Affine> =
                chunk.iter().map(|face| crop.transform(face)).collect::<Result<_, _>>()?;
            let mut pixels = Vec::with_capacity(chunk.len() * 3 * self.image_size().pow(2));
            for transform in &transforms {
                pixels.extend_from_slice(warp::warp(image, transform, self.image_size())?.as_raw());
            }
            found.extend(self.crops(&pixels, &transforms)?);
        }
        Ok(found)
    }

    /// Landmarks of crops given as RGB bytes `[B, S, S, 3]`, each made by its `transform` from picture to crop.
    ///
    /// # Errors
    /// When the bytes do not fit, or the network fails.
    pub fn crops(&self, pixels: &[u8], transforms: &[Affine]) -> Result<Vec<Landmarks>> {
        let images = batch::images(pixels, self.image_size(), self.input(), self.dtype, &self.device)?;
        match &self.network {
            Network::Compiled(model) => {
                let found = model.moments(&images)?;
                landmarks(&found.means, &found.covariances, transforms, self.image_size())
            }
            Network::Layers(model) => {
                let stages = model.forward_t(&images, false)?;
                let last = stages.last().ok_or_else(|| anyhow::anyhow!("the network returned no stage"))?;
                decode(&last.heatmaps, transforms, self.image_size())
            }
        }
    }
}

/// Means and covariances of heatmaps `[B, K, M, M]`, mapped back through each crop's transform.
///
/// # Errors
/// When the number of transforms is not `B`.
pub fn decode(heatmaps: &Tensor, transforms: &[Affine], image_size: usize) -> Result<Vec<Landmarks>> {
    let (means, covariances) = (moments::soft_argmax(heatmaps)?, moments::covariance(heatmaps)?);
    landmarks(&means, &covariances, transforms, image_size)
}

/// Means `[B, K, 2]` and covariances `[B, K, 2, 2]`, mapped back through each crop's transform.
fn landmarks(
    means: &Tensor,
    covariances: &Tensor,
    transforms: &[Affine],
    image_size: usize,
) -> Result<Vec<Landmarks>> {
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
        let mut face = Landmarks::default();
        for point in i * k..(i + 1) * k {
            let [x, y] = [means[2 * point] as f32, means[2 * point + 1] as f32];
            face.points.push(back.apply(denormalize([x, y], image_size)));
            let [xx, xy, yy] =
                [covariances[4 * point], covariances[4 * point + 1], covariances[4 * point + 3]];
            let [xx, xy, yy] = [xx, xy, yy].map(|v| v * unit * unit);
            // A S A^T for the linear part A of the way back
            face.ellipses.push(Ellipse::from_covariance(
                a * a * xx + 2.0 * a * b * xy + b * b * yy,
                a * c * xx + (a * d + b * c) * xy + b * d * yy,
                c * c * xx + 2.0 * c * d * xy + d * d * yy,
            ));
        }
        found.push(face);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use star_data::crop::Crop;

    use super::*;

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
    fn a_bump_comes_back_as_a_point_and_an_ellipse_in_picture_pixels() {
        let face = FaceBox { x: 100.0, y: 50.0, width: 128.0, height: 128.0 };
        let transform = Crop::new(256).transform(&face).unwrap();
        // In the map one pixel is 2/63 of normalised length, so 256/63 crop pixels and 128/63 picture pixels.
        let found = decode(&bump(64, (31.5, 31.5), (3.0, 1.5), 0.5), &[transform], 256).unwrap();
        let ([x, y], ellipse) = (found[0].points[0], found[0].ellipses[0]);
        // the middle of the crop is the middle of the box
        assert!((x - 164.0).abs() < 0.1 && (y - 114.0).abs() < 0.1, "{x} {y}");
        let step = 128.0 / 63.0;
        // the unbiased estimate is wider than the bump by the effective number of pixels; 3 % at these widths
        assert!((ellipse.major / (3.0 * step) - 1.0).abs() < 0.05, "{ellipse:?}");
        assert!((ellipse.minor / (1.5 * step) - 1.0).abs() < 0.05, "{ellipse:?}");
        assert!((ellipse.angle - 0.5f32.to_degrees()).abs() < TOLERANCE * 90.0, "{ellipse:?}");
    }

    #[test]
    fn a_diagonal_covariance_has_axis_aligned_ellipses() {
        // variances 9 along y and 4 along x
        let ellipse = Ellipse::from_covariance(4.0, 0.0, 9.0);
        assert_eq!((ellipse.major, ellipse.minor, ellipse.angle), (3.0, 2.0, 90.0));
    }
}
