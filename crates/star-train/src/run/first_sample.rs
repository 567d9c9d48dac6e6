//! One validation sample with the network's heatmaps and landmarks, to watch a training by.

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use star_data::affine::Affine;
use star_data::{Dataset, FaceBox, warp};
use star_predict::overlay::Style;
use star_predict::{Face, overlay, tensors};

use crate::network::Network;

/// PNG bytes of the first of `samples` as the network sees it.
///
/// # Errors
/// When the sample cannot be read, or the network fails.
pub(super) fn draw(network: &Network, samples: &dyn Dataset) -> Result<Vec<u8>> {
    let (model, input) = (&network.model, network.model.input());
    let size = input.image_size;
    let sample = samples.get(0)?;
    let crop = warp::warp(&sample.image, &tensors::crop(input).transform(&sample.face)?, size)?;
    let images = tensors::images(crop.as_raw(), size, input, network.dtype, &network.device)?;
    let stages = model.forward_t(&images, false)?;
    let heatmaps = &stages.last().context("the network returned no stage")?.heatmaps;
    let found = star_predict::decode(heatmaps, &[Affine::IDENTITY], size)?;
    let whole = FaceBox { x: 0.0, y: 0.0, width: size as f32 - 1.0, height: size as f32 - 1.0 };
    let found = found.into_iter().next().context("the network returned no sample")?;
    let face = Face { face_box: whole, score: None, landmarks: found.into(), pose: None };
    overlay::draw(&glow(&crop, heatmaps)?, &[face], samples.scheme(), Style::default())
}

/// The image, darkened, with the largest heatmap value of each pixel in it as a glow.
fn glow(crop: &RgbImage, heatmaps: &Tensor) -> Result<RgbImage> {
    // Each map by its own peak: [1, K, M, M] -> [M, M]
    let peaks = heatmaps.max_keepdim(3)?.max_keepdim(2)?;
    let glow = heatmaps.broadcast_div(&(peaks + 1e-12)?)?.max(1)?.squeeze(0)?;
    let glow = glow.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
    let (rows, columns) = (glow.len(), glow.first().map_or(0, Vec::len));
    ensure!(rows > 0 && columns > 0, "heatmaps: expected at least one pixel");
    let (w, h) = crop.dimensions();
    Ok(RgbImage::from_fn(w, h, |x, y| {
        let shine = glow[y as usize * rows / h as usize][x as usize * columns / w as usize];
        let image::Rgb(colour) = *crop.get_pixel(x, y);
        let lit = [1.0, 0.85, 0.3].map(|share| 255.0 * share * shine);
        image::Rgb(std::array::from_fn(|c| (0.5 * f32::from(colour[c]) * (1.0 - shine) + lit[c]) as u8))
    }))
}
