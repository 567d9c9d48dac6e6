//! The one place where images become tensors.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(test)]
#[cfg(feature = "cuda")]
mod on_a_card;
mod upload;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, bail};
use star_data::crop::Crop;
use star_data::loader::Batch;
use star_model::{ChannelOrder, InputSpec};

pub use upload::{Sent, Uploader};

/// A batch as a network and its loss want it.
pub struct BatchTensors {
    /// `[B, 3, S, S]`, channel order and scaling of the network's input.
    pub images: Tensor,
    /// True landmarks `[B, K, 2]` in `[-1, 1]`, x then y.
    pub points: Tensor,
    /// What each landmark's loss is multiplied by: `[B, K]`.
    pub weights: Tensor,
    /// Auxiliary targets, where the loader made them.
    pub maps: Option<MapTargets>,
}

/// Targets of the attention branch.
pub struct MapTargets {
    /// `[B, K, M, M]`
    pub pointmaps: Tensor,
    /// `[B, E, M, M]`
    pub edgemaps: Tensor,
}

/// How a network wants faces cut out of images.
pub fn crop(input: &InputSpec) -> Crop {
    Crop { size: input.image_size, target_face_scale: input.face_scale.into() }
}

/// RGB bytes `[B, S, S, 3]` as the network's input `[B, 3, S, S]`.
///
/// On a CPU one pass over the bytes does all of it. Elsewhere the bytes travel, a quarter of what `f32` would be, and the device
/// normalises them, on a CUDA card by one kernel; the arithmetic is the same.
///
/// # Errors
/// When the number of bytes does not fit.
pub fn images(
    pixels: &[u8],
    size: usize,
    input: &InputSpec,
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let plane = size * size;
    if plane == 0 || !pixels.len().is_multiple_of(3 * plane) {
        bail!("images: expected a multiple of {size} * {size} * 3 bytes, got {}", pixels.len())
    }
    match device {
        Device::Cpu => normalize_on_host(pixels, size, input)?.to_dtype(dtype),
        #[cfg(feature = "cuda")]
        Device::Cuda(card) => cuda::images(pixels, size, input, dtype, card),
        _ => normalize_on_device(pixels, size, input, device)?.to_dtype(dtype),
    }
}

/// The RGB channel that each of the network's channels is.
fn source_channels(order: ChannelOrder) -> [u32; 3] {
    match order {
        ChannelOrder::Rgb => [0, 1, 2],
        ChannelOrder::Bgr => [2, 1, 0],
    }
}

/// Looks each byte up in a table of what it becomes in its channel: one pass from bytes to planes.
fn normalize_on_host(pixels: &[u8], size: usize, input: &InputSpec) -> Result<Tensor> {
    let plane = size * size;
    let source = source_channels(input.order);
    let table: Vec<[f32; 256]> =
        (0..3).map(|c| std::array::from_fn(|byte| (byte as f32 - input.mean[c]) / input.std[c])).collect();
    let mut values = vec![0f32; pixels.len()];
    for (image, out) in pixels.chunks_exact(3 * plane).zip(values.chunks_exact_mut(3 * plane)) {
        for ((out, &from), table) in out.chunks_exact_mut(plane).zip(&source).zip(&table) {
            for (value, pixel) in out.iter_mut().zip(image.chunks_exact(3)) {
                *value = table[usize::from(pixel[from as usize])];
            }
        }
    }
    Tensor::from_vec(values, (pixels.len() / (3 * plane), 3, size, size), &Device::Cpu)
}

/// The same by the device's operations.
fn normalize_on_device(pixels: &[u8], size: usize, input: &InputSpec, device: &Device) -> Result<Tensor> {
    let batch = pixels.len() / (3 * size * size);
    let bytes = Tensor::from_slice(pixels, (batch, size, size, 3), device)?;
    let order = Tensor::from_slice(&source_channels(input.order), 3, device)?;
    let of_channels = |values: &[f32; 3]| Tensor::from_slice(values, (1, 3, 1, 1), device);
    bytes
        .to_dtype(DType::F32)?
        .index_select(&order, 3)?
        .permute((0, 3, 1, 2))?
        .contiguous()?
        .broadcast_sub(&of_channels(&input.mean)?)?
        .broadcast_div(&of_channels(&input.std)?)
}

/// What batches become.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the network expects of its images.
    pub input: InputSpec,
    /// The type of images.
    pub images: DType,
    /// The type of everything else.
    pub dtype: DType,
    /// Where all of it lies.
    pub device: Device,
}

/// A whole batch as tensors of one type.
///
/// # Errors
/// When the batch's image size is not the network's.
pub fn batch(batch: &Batch, input: &InputSpec, dtype: DType, device: &Device) -> Result<BatchTensors> {
    batch_as(batch, &Target { input: input.clone(), images: dtype, dtype, device: device.clone() })
}

fn batch_as(batch: &Batch, target: &Target) -> Result<BatchTensors> {
    let Target { input, dtype, device, .. } = target;
    let (b, k, e, m) = (batch.batch, batch.keypoints, batch.edges, batch.map_size);
    if batch.size != input.image_size {
        bail!("batch: expected images of {} px, got {} px", input.image_size, batch.size)
    }
    let tensor =
        |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, device)?.to_dtype(*dtype);
    let maps = match (&batch.pointmaps, &batch.edgemaps) {
        (Some(points), Some(edges)) => Some(MapTargets {
            pointmaps: tensor(points, &[b, k, m, m])?,
            edgemaps: tensor(edges, &[b, e, m, m])?,
        }),
        _ => None,
    };
    Ok(BatchTensors {
        images: images(&batch.images, batch.size, input, target.images, device)?,
        points: tensor(&batch.points, &[b, k, 2])?,
        weights: tensor(&batch.weights, &[b, k])?,
        maps,
    })
}

/// A batch as it was loaded, by name, to be saved for study: `images` are bytes `[B, S, S, 3]`, RGB.
///
/// # Errors
/// When a part has not the size that the batch says.
pub fn as_loaded(batch: &Batch) -> Result<BTreeMap<String, Tensor>> {
    let (b, k, s, m) = (batch.batch, batch.keypoints, batch.size, batch.map_size);
    let device = &Device::Cpu;
    let indices: Vec<i64> = batch.indices.iter().map(|&i| i as i64).collect();
    let mut tensors = BTreeMap::from([
        ("images".to_string(), Tensor::from_slice(&batch.images, (b, s, s, 3), device)?),
        ("points".to_string(), Tensor::from_slice(&batch.points, (b, k, 2), device)?),
        ("weights".to_string(), Tensor::from_slice(&batch.weights, (b, k), device)?),
        ("indices".to_string(), Tensor::from_vec(indices, b, device)?),
    ]);
    for (name, maps, count) in
        [("pointmaps", &batch.pointmaps, k), ("edgemaps", &batch.edgemaps, batch.edges)]
    {
        if let Some(maps) = maps {
            tensors.insert(name.to_string(), Tensor::from_slice(maps, (b, count, m, m), device)?);
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_reordered_and_scaled_as_the_network_wants() {
        // one 1x1 image: red 255, green 127.5 -> not a byte, so 0; blue 51
        let input = InputSpec::reference(4);
        let x = images(&[255, 0, 51], 1, &input, DType::F32, &Device::Cpu).unwrap();
        // blue, green, red: (51 - 127.5) / 127.5 = -0.6, -1, 1
        assert_eq!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [-0.6, -1.0, 1.0]);
        let rgb = InputSpec { order: ChannelOrder::Rgb, mean: [0.0; 3], std: [255.0, 1.0, 51.0], ..input };
        let x = images(&[255, 0, 51], 1, &rgb, DType::F32, &Device::Cpu).unwrap();
        assert_eq!(x.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_face_takes_up_the_share_of_the_input_that_the_network_was_trained_on() {
        // a box of 100 px at (50, 50) on 64 px: 0.8 * 64 / 100 = 0.512 px a px, its centre at 31.5
        let input = InputSpec { face_scale: 0.8, ..InputSpec::reference(64) };
        let face = star_data::FaceBox { x: 0.0, y: 0.0, width: 100.0, height: 100.0 };
        let map = crop(&input).transform(&face).unwrap();
        let [x, y] = map.apply(face.centre());
        let [right, _] = map.apply([face.centre()[0] + 50.0, face.centre()[1]]);
        assert!((x - 31.5).abs() < 1e-4 && (y - 31.5).abs() < 1e-4, "{x} {y}");
        assert!((right - (31.5 + 25.6)).abs() < 1e-4, "{right}");
    }

    #[test]
    fn the_device_normalizes_to_the_same_bits_as_the_host() {
        let pixels: Vec<u8> = (0..2 * 3 * 9).map(|i| (i * 47 % 256) as u8).collect();
        let imagenet = InputSpec {
            order: ChannelOrder::Rgb,
            mean: [123.675, 116.28, 103.53],
            std: [58.395, 57.12, 57.375],
            ..InputSpec::reference(3)
        };
        for input in [InputSpec::reference(3), imagenet] {
            let host = normalize_on_host(&pixels, 3, &input).unwrap();
            let device = normalize_on_device(&pixels, 3, &input, &Device::Cpu).unwrap();
            assert_eq!(host.dims(), device.dims());
            let values = |t: Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(values(host), values(device));
        }
    }

    #[test]
    fn a_cut_image_is_refused() {
        let message = images(&[0; 11], 2, &InputSpec::reference(4), DType::F32, &Device::Cpu).unwrap_err();
        assert!(message.to_string().contains("11"));
    }
}
