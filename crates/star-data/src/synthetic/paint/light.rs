//! From painted colours to a photograph: uneven light, gain, blur, noise.

use image::RgbImage;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::Canvas;
use super::look::Look;

/// Standard deviation of the sum of four uniform bytes: `sqrt(4 (256^2 - 1) / 12)`.
const FOUR_BYTES: f32 = 147.8;

/// Lights the painted image; `unit` is the size of the face in pixels per inter-ocular distance, `centre` its middle.
pub(super) fn expose(
    canvas: &Canvas,
    look: &Look,
    centre: [f32; 2],
    unit: f32,
    rng: &mut ChaCha8Rng,
) -> RgbImage {
    let size = canvas.size() as usize;
    let mut values = vec![0.0f32; size * size * 3];
    let bias = 255.0 * look.bias;
    let slope = [look.unevenness * look.light[0] / unit, look.unevenness * look.light[1] / unit];
    for (y, (out, row)) in
        values.chunks_exact_mut(3 * size).zip(canvas.pixels().chunks_exact(4 * size)).enumerate()
    {
        let start = 1.0 + (y as f32 - centre[1]) * slope[1] - centre[0] * slope[0];
        for (x, (out, pixel)) in out.chunks_exact_mut(3).zip(row.chunks_exact(4)).enumerate() {
            let factor = look.gain * (start + x as f32 * slope[0]).clamp(0.25, 1.8);
            for (out, &value) in out.iter_mut().zip(pixel) {
                *out = f32::from(value) * factor + bias;
            }
        }
    }
    for _ in 0..2 {
        // Two passes of a box are close to a Gaussian.
        if look.blur > 0 {
            values = box_blur(&values, size, look.blur);
        }
    }
    let mut bytes = vec![0u8; values.len()];
    let spread = 255.0 * look.noise / FOUR_BYTES;
    for (out, pixel) in bytes.chunks_exact_mut(3).zip(values.chunks_exact(3)) {
        // Four bytes of a draw move all channels together, the other four each on its own.
        let draw = rng.next_u64().to_le_bytes().map(|b| spread * f32::from(b));
        let grey = draw[0] + draw[1] + draw[2] + draw[3] - 510.0 * spread;
        let tints = [draw[4] - draw[5], draw[5] - draw[6], draw[6] - draw[7]];
        for channel in 0..3 {
            // The cast rounds down and saturates.
            out[channel] = (pixel[channel] + grey + tints[channel] + 0.5) as u8;
        }
    }
    RgbImage::from_raw(size as u32, size as u32, bytes)
        .unwrap_or_else(|| RgbImage::new(size as u32, size as u32))
}

/// Mean over a square of side `2 radius + 1`, the border repeated; three channels, interleaved.
fn box_blur(values: &[f32], size: usize, radius: usize) -> Vec<f32> {
    let pass = |from: &[f32], step: usize, other: usize| {
        let mut to = vec![0.0f32; from.len()];
        let width = (2 * radius + 1) as f32;
        for line in 0..size {
            for channel in 0..3 {
                let at =
                    |i: isize| from[line * other + (i.clamp(0, size as isize - 1) as usize) * step + channel];
                let r = radius as isize;
                let mut sum: f32 = (-r..=r).map(at).sum();
                for i in 0..size {
                    to[line * other + i * step + channel] = sum / width;
                    sum += at(i as isize + r + 1) - at(i as isize - r);
                }
            }
        }
        to
    };
    let across = pass(values, 3, 3 * size);
    pass(&across, 3 * size, 3)
}
