//! The heads of a stack, channels-last: one 1x1 convolution for all maps, their activations, and the attention.
//!
//! With a heatmap's values brought to zero mean and unit variance `z` (or less a threshold, or as they are, as its activation has it), point map `p`, edge maps `e` and the edge-to-point matrix `M`:
//! `h = max(0, z)`, `g = M e + b`, and what the network returns is `h p g`. Kept are `z`, `p` and `e`.

use super::memory::Floats;
use super::{Maps, Passes};
use crate::HeatmapActivation;
use crate::plan::ops::heads::{Layout, Planes, centre_and_scale, planes};
use crate::plan::ops::panels::Panels;
use crate::plan::ops::shared::Shared;

/// The edge-to-point matrix, packed for both directions.
pub(super) struct Gates {
    pub(super) forward: Panels,
    pub(super) back: Panels,
}

/// The heads of one stage.
pub(super) struct Heads<'a> {
    pub(super) layout: &'a Layout,
    pub(super) gates: Option<&'a Gates>,
    pub(super) activation: HeatmapActivation,
    pub(super) size: Maps,
}

/// The maps of a stage as planes: heatmaps, point maps, edge maps; the last two empty without attention.
pub(super) type Stage = [Vec<f32>; 3];

/// What a forward pass leaves for its backward pass, and for the next stack.
pub(super) struct KeptMaps {
    /// `[pixels, layout.channels]`: `z`, `p`, `e`.
    pub(super) maps: Floats,
    /// What each heatmap was multiplied by, an image after the other.
    pub(super) scales: Vec<f32>,
}

impl Gates {
    /// `matrix` is `[points, edges]`.
    pub(super) fn new((matrix, bias): &(Vec<f32>, Vec<f32>), edges: usize, lanes: usize) -> Self {
        let points = bias.len();
        Self {
            forward: Panels::pack(matrix, bias, edges, lanes),
            back: Panels::gathered(&vec![0.0; edges], points, lanes, |edge, point| {
                matrix[point * edges + edge]
            }),
        }
    }
}

/// From the heads' products `maps` to what is kept of them and what the network returns.
pub(super) fn forward(passes: &Passes, heads: &Heads, mut maps: Floats) -> (Stage, KeptMaps) {
    let Heads { layout, gates, activation, size } = *heads;
    let (pixels, channels, heat) = (size.height * size.width, layout.channels, layout.heat);
    let mut scales = vec![0.0; size.images * heat];
    let counts = [
        layout.points,
        if layout.attention { layout.points } else { 0 },
        layout.edges * usize::from(layout.attention),
    ];
    let mut stage = counts.map(|count| vec![0.0; size.images * count * pixels]);
    {
        let (all, scales) = (Shared::new(&mut maps), Shared::new(&mut scales));
        let planes_of = stage.each_mut().map(|planes| Shared::new(planes));
        passes.each_image(size.images, |n, machine, _| {
            #[expect(unsafe_code, reason = "images are written by different threads")]
            // SAFETY: `part` checks the lengths; each image is touched by one task.
            let (maps, scales, [heatmaps, pointmaps, edgemaps]) = unsafe {
                let slice = |shared: &Shared, len: usize| {
                    std::slice::from_raw_parts_mut(shared.part(n * len, len), len)
                };
                let stage = [0, 1, 2].map(|i| slice(&planes_of[i], counts[i] * pixels));
                (slice(&all, pixels * channels), slice(&scales, heat), stage)
            };
            let (centre, scale) = centre_and_scale(machine, layout, activation, maps);
            scales.copy_from_slice(&scale);
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `maps` holds whole pixels, centre and scale `heat` values.
            unsafe {
                let (centre, scale) = (centre.as_ptr(), scale.as_ptr());
                machine.kernels.activate(
                    maps.as_mut_ptr(),
                    pixels,
                    channels,
                    heat,
                    centre,
                    scale,
                    f32::NEG_INFINITY,
                );
            }
            let mut to = Planes { heatmaps, pointmaps, edgemaps };
            planes(machine, layout, gates.map(|gates| &gates.forward), maps, &mut to);
            if gates.is_none() {
                // Not `max`, which would hide a NaN.
                to.heatmaps.iter_mut().filter(|value| **value < 0.0).for_each(|value| *value = 0.0);
            }
        });
    }
    (stage, KeptMaps { maps, scales })
}
