//! The gradient of a 3x3 convolution's weights by Winograd's tiles.

use super::linear::Input;
use super::memory::Floats;
use super::pixels::Pixels;
use super::weight_gradient::{SLICES, added};
use super::{Maps, Passes};
use crate::plan::kernels::winograd::TILE;
use crate::plan::kernels::winograd_gradient::{TileGradient, TileWeights, scratch, sums};
use crate::plan::ops::shared::{Shared, part};

/// Tiles that are transformed together: with the sums of [`GROUP`] inputs and outputs they take 1.1 MiB.
const BLOCK: usize = 32;

/// Most inputs, and most outputs, of a task.
const GROUP: usize = 64;

/// Tiles whose products are summed apart: so many that transforming the sums takes little beside them. Half of them where there is one
/// group of inputs and one of outputs, so that there is work for more threads.
const SLICE: usize = 128;

/// Ranges of whole registers, about as long as each other, of at most [`GROUP`] channels.
fn groups(channels: usize, lanes: usize) -> Vec<(usize, usize)> {
    let size = (channels / lanes).div_ceil(channels.div_ceil(GROUP)) * lanes;
    (0..channels).step_by(size).map(|first| (first, size.min(channels - first))).collect()
}

/// Tiles that maps are cut into.
pub(super) fn tiles(maps: Maps) -> usize {
    maps.images * maps.height.div_ceil(TILE) * maps.width.div_ceil(TILE)
}

/// From the gradient `d` at the output of a convolution of `x` of stride 1 to that of its weights, `[9, outputs, inputs]`; both of floats.
pub(super) fn tile_gradient(passes: &Passes, maps: Maps, x: &Input, d: Pixels, outputs: usize) -> Floats {
    let (kernels, pitch, depth, pixels) = (passes.kernels, x.x.channels, d.channels, maps.pixels());
    let Maps { height, width, .. } = maps;
    let lanes = kernels.lanes();
    assert!(!x.x.pairs && !d.pairs, "a weight gradient of pairs by tiles");
    assert!(
        pitch % lanes == 0 && depth % lanes == 0 && outputs <= depth && x.x.count() == pixels,
        "a weight gradient: sizes"
    );
    assert!(
        x.norm.is_none_or(|norm| norm.scale.len() == pitch && norm.shift.len() == pitch),
        "a norm of other channels"
    );
    let tiles = tiles(maps);
    let (of_inputs, of_outputs) = (groups(pitch, lanes), groups(depth, lanes));
    let groups = of_inputs.len() * of_outputs.len();
    let slices = tiles.div_ceil(if groups == 1 { SLICE / 2 } else { SLICE }).clamp(1, SLICES);
    let per_slice = tiles.div_ceil(slices);
    let matrix = outputs * pitch;
    let size = 9 * matrix;
    let mut parts = passes.memory.take(slices * size);
    {
        let parts = Shared::new(&mut parts);
        passes.memory.each(slices * groups, |task, memory| {
            let (slice, task) = (task / groups, task % groups);
            let (input, inputs) = of_inputs[task / of_outputs.len()];
            let (output, count) = of_outputs[task % of_outputs.len()];
            let rows = count.min(outputs.saturating_sub(output));
            if rows == 0 {
                return;
            }
            let all = sums(inputs, count);
            let (sums, rest) = memory.take(all + scratch(BLOCK, inputs, count)).split_at_mut(all);
            sums.fill(0.0);
            let end = ((slice + 1) * per_slice).min(tiles);
            let (scale, shift) = x.norm.map_or((std::ptr::null(), std::ptr::null()), |norm| {
                (part(&norm.scale, input, inputs), part(&norm.shift, input, inputs))
            });
            for first in (slice * per_slice..end).step_by(BLOCK) {
                let gradient = TileGradient {
                    x: part(x.x.values, input, (pixels - 1) * pitch + inputs),
                    x_stride: pitch,
                    scale,
                    shift,
                    d: part(d.values, output, (pixels - 1) * depth + count),
                    d_stride: depth,
                    height,
                    width,
                    first,
                    tiles: BLOCK.min(end - first),
                    inputs,
                    outputs: count,
                    sums: sums.as_mut_ptr(),
                    scratch: rest.as_mut_ptr(),
                };
                #[expect(unsafe_code, reason = "call of a kernel")]
                // SAFETY: `x` and `d` were checked to hold the pixels, the norm its channels; sums and scratch are as large as asked.
                unsafe {
                    kernels.winograd_gradient(&gradient);
                }
            }
            let at = slice * size + output * pitch + input;
            let reach = 8 * matrix + (rows - 1) * pitch + inputs;
            let weights = TileWeights {
                sums: sums.as_ptr(),
                outputs: count,
                inputs,
                rows,
                out: parts.part(at, reach),
                tap_stride: matrix,
                out_stride: pitch,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `sums` were just filled, the part was checked; tasks have disjoint slices, inputs or outputs.
            unsafe {
                kernels.winograd_weights(&weights);
            }
        });
    }
    added(passes, parts, size)
}
