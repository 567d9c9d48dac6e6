//! The heads' maps, channels-last: activations in place, and the attention that joins them.

use super::super::kernels::Kernels;
use super::super::kernels::gemm::{Run, Strip};
use super::super::kernels::maps::Summed;
use super::Machine;
use super::panels::Panels;
use super::shared::{Shared, part};
use crate::activation::Activation;
use crate::heatmap_activation::{HeatmapActivation, PEAK_SHARE};
use crate::norm::EPS;

/// Pixels a task, and a partial sum: fixed, so that the number of threads does not change a result.
const BLOCK: usize = 64;

/// Where the maps of a stack lie among the channels of one pixel: heatmaps first, then point maps and edge maps.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Heatmaps, and point maps.
    pub(crate) points: usize,
    /// Edge maps.
    pub(crate) edges: usize,
    /// Whether there are point and edge maps.
    pub(crate) attention: bool,
    /// Heatmaps padded to whole registers: where the point maps begin.
    pub(crate) heat: usize,
    /// All channels, padded; at least `2 heat` with attention, so that a register read past the point maps stays inside.
    pub(crate) channels: usize,
}

impl Layout {
    /// `edges` is the number of edge maps of a network with attention.
    pub(crate) fn new(points: usize, edges: Option<usize>, lanes: usize) -> Self {
        let heat = points.next_multiple_of(lanes);
        let rest = edges.map_or(0, |edges| (points + edges).max(heat));
        let channels = (heat + rest).next_multiple_of(lanes);
        Self { points, edges: edges.unwrap_or(0), attention: edges.is_some(), heat, channels }
    }

    /// Channels up to and with the last map.
    pub(crate) fn used(&self) -> usize {
        if self.attention { self.heat + self.points + self.edges } else { self.heat }
    }

    /// Where the edge maps begin.
    pub(crate) fn first_edge(&self) -> usize {
        self.heat + self.points
    }
}

/// In place: `heatmaps` on the heatmaps, the sigmoid on the others.
pub(crate) fn activate(
    machine: &mut Machine,
    layout: &Layout,
    heatmaps: HeatmapActivation,
    maps: &mut [f32],
) {
    let (kernels, heat, channels) = (machine.kernels, layout.heat, layout.channels);
    let (centre, scale) = centre_and_scale(machine, layout, heatmaps, maps);
    let pixels = maps.len() / channels;
    let maps = Shared::new(maps);
    machine.team.each(pixels.div_ceil(BLOCK), |block, _| {
        let count = BLOCK.min(pixels - block * BLOCK);
        let x = maps.part(block * BLOCK * channels, count * channels);
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: `x` holds count rows, centre and scale `heat` values; blocks are disjoint.
        unsafe {
            kernels.activate(x, count, channels, heat, centre.as_ptr(), scale.as_ptr(), 0.0);
        }
    });
}

/// What an activation subtracts from each heatmap, and what it multiplies the difference by, before the ReLU.
pub(crate) fn centre_and_scale(
    machine: &mut Machine,
    layout: &Layout,
    activation: HeatmapActivation,
    maps: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    match activation {
        HeatmapActivation::InstanceNormRelu => statistics(machine, layout, maps),
        HeatmapActivation::Relu => (vec![0.0; layout.heat], vec![1.0; layout.heat]),
        HeatmapActivation::Peak => (thresholds(layout, maps), vec![1.0; layout.heat]),
    }
}

/// Each heatmap's mean, and one over its deviation; 0 for the padding.
fn statistics(machine: &mut Machine, layout: &Layout, maps: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let (kernels, heat, channels) = (machine.kernels, layout.heat, layout.channels);
    let pixels = maps.len() / channels;
    let blocks = pixels.div_ceil(BLOCK);
    // Sums are taken about the first pixel: what is left of the mean then costs the variance no digits.
    let reference = &maps[..heat];
    let mut partial = vec![0.0; blocks * 2 * heat];
    {
        let partial = Shared::new(&mut partial);
        machine.team.each(blocks, |block, _| {
            let count = BLOCK.min(pixels - block * BLOCK);
            let (first, second) =
                (partial.part(2 * block * heat, heat), partial.part((2 * block + 1) * heat, heat));
            let x = part(maps, block * BLOCK * channels, count * channels);
            let (reference, pairs) = (reference.as_ptr(), false);
            let summed = Summed {
                x,
                stride: channels,
                pairs,
                pixels: count,
                channels: heat,
                reference,
                first,
                second,
            };
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: `x` holds count rows, reference and sums `heat` values; each block has sums of its own.
            unsafe {
                kernels.sums(&summed);
            }
        });
    }
    let (mut centre, mut scale) = (vec![0.0; heat], vec![0.0; heat]);
    for c in 0..layout.points {
        let sum = |which: usize| -> f64 {
            let parts = (0..blocks).map(|block| f64::from(partial[(2 * block + which) * heat + c]));
            parts.sum::<f64>() / pixels as f64
        };
        let (offset, square) = (sum(0), sum(1));
        centre[c] = (f64::from(reference[c]) + offset) as f32;
        scale[c] = (1.0 / ((square - offset * offset).max(0.0) + EPS).sqrt()) as f32;
    }
    (centre, scale)
}

/// The share of each heatmap's largest value below which nothing counts.
fn thresholds(layout: &Layout, maps: &[f32]) -> Vec<f32> {
    let mut largest = maps[..layout.heat].to_vec();
    for pixel in maps.chunks_exact(layout.channels) {
        largest.iter_mut().zip(pixel).for_each(|(largest, &value)| *largest = largest.max(value));
    }
    largest.into_iter().map(|largest| (f64::from(largest) * PEAK_SHARE) as f32).collect()
}

/// What one block of pixels of activated maps is for the attention: `gates` holds the edge-to-point matrix.
pub(super) struct Gate<'a> {
    pub(super) layout: &'a Layout,
    pub(super) maps: &'a [f32],
    pub(super) gates: &'a Panels,
}

impl Gate<'_> {
    /// Fused heatmaps `[count, heat]` of `count` pixels from `pixel` on.
    pub(super) fn fused(&self, kernels: &dyn Kernels, pixel: usize, count: usize, out: &mut [f32]) {
        let Layout { heat, channels, edges, .. } = *self.layout;
        let out = &mut out[..count * heat];
        let maps = part(self.maps, pixel * channels, count * channels);
        assert!(self.gates.depth == edges && self.gates.channels == heat, "gates of another scheme");
        let (weights, bias) = self.gates.pointers(&(0..self.gates.count()));
        #[expect(unsafe_code, reason = "call of two kernels")]
        // SAFETY: `maps` holds count rows of `channels`, at least `2 heat` and `first_edge + edges` long; `out` holds
        // count rows of `heat`; the gates were just checked.
        unsafe {
            let run = Run { x: maps.add(self.layout.first_edge()), stride: channels, len: edges };
            kernels.strip(&Strip {
                pairs: false,
                runs: &[run],
                pixels: count,
                weights,
                bias,
                channels: heat,
                out: out.as_mut_ptr(),
                out_stride: heat,
                residual: std::ptr::null(),
                residual_stride: 0,
                activation: Activation::None,
            });
            kernels.gate(maps, maps.add(heat), channels, count, heat, out.as_mut_ptr());
        }
    }
}

/// The maps of one stage as planes: heatmaps `[K, pixels]`, point maps `[K, pixels]`, edge maps `[E, pixels]`.
pub(crate) struct Planes<'a> {
    pub(crate) heatmaps: &'a mut [f32],
    pub(crate) pointmaps: &'a mut [f32],
    pub(crate) edgemaps: &'a mut [f32],
}

/// Writes activated maps out as planes, the heatmaps gated where there is attention.
pub(crate) fn planes(
    machine: &mut Machine,
    layout: &Layout,
    gates: Option<&Panels>,
    maps: &[f32],
    to: &mut Planes,
) {
    let (kernels, channels, heat) = (machine.kernels, layout.channels, layout.heat);
    let pixels = maps.len() / channels;
    let targets = [&mut *to.heatmaps, &mut *to.pointmaps, &mut *to.edgemaps].map(Shared::new);
    machine.team.each(pixels.div_ceil(BLOCK), |block, scratch| {
        let (pixel, count) = (block * BLOCK, BLOCK.min(pixels - block * BLOCK));
        let rows = &maps[pixel * channels..(pixel + count) * channels];
        if let Some(gates) = gates {
            let fused = scratch.take(BLOCK * heat);
            Gate { layout, maps, gates }.fused(kernels, pixel, count, fused);
            transpose(fused, heat, 0..layout.points, count, &targets[0], pixel, pixels);
            transpose(rows, channels, heat..heat + layout.points, count, &targets[1], pixel, pixels);
            let edges = layout.first_edge()..layout.first_edge() + layout.edges;
            transpose(rows, channels, edges, count, &targets[2], pixel, pixels);
        } else {
            transpose(rows, channels, 0..layout.points, count, &targets[0], pixel, pixels);
        }
    });
}

/// Channels `which` of `count` rows to planes of `pixels` values, from `pixel` on.
fn transpose(
    rows: &[f32],
    stride: usize,
    which: std::ops::Range<usize>,
    count: usize,
    to: &Shared,
    pixel: usize,
    pixels: usize,
) {
    for (plane, channel) in which.enumerate() {
        let target = to.part(plane * pixels + pixel, count);
        for (p, row) in rows.chunks_exact(stride).take(count).enumerate() {
            #[expect(unsafe_code, reason = "write through a shared slice")]
            // SAFETY: `part` checked `count` values; blocks of pixels are disjoint.
            unsafe {
                target.add(p).write(row[channel]);
            }
        }
    }
}
