//! The heads of a stack, channels-last: one 1x1 convolution for all maps, their activations, the attention, and the gradients of it all.
//!
//! With a heatmap's values brought to zero mean and unit variance `z`, point map `p`, edge maps `e` and the edge-to-point matrix `M`:
//! `h = max(0, z)`, `g = M e + b`, and what the network returns is `h p g`. Kept are `z`, `p` and `e`.

use super::memory::Floats;
use super::parameters::ConvAt;
use super::{Maps, Passes};
use crate::activation::Activation;
use crate::plan::kernels::gemm::{Run, Strip};
use crate::plan::memory::Buffer;
use crate::plan::ops::heads::{Layout, Planes, planes, statistics};
use crate::plan::ops::panels::Panels;
use crate::plan::ops::shared::{Shared, part};

/// Pixels a task, and a partial sum: fixed, so that threads change nothing.
const BLOCK: usize = 64;

/// A convolution for each kind of map: the heads, or those of a merge.
pub(super) struct MapConvs {
    pub(super) heatmaps: ConvAt,
    /// Point maps and edge maps.
    pub(super) aux: Option<[ConvAt; 2]>,
}

/// The edge-to-point matrix, packed for both directions.
pub(super) struct Gates {
    forward: Panels,
    back: Panels,
}

/// The maps of a stage as planes: heatmaps, point maps, edge maps; the last two empty without attention.
pub(super) type Stage = [Vec<f32>; 3];

/// What a forward pass leaves for its backward pass, and for the next stack.
pub(super) struct KeptMaps {
    /// `[pixels, layout.channels]`: `z`, `p`, `e`.
    pub(super) maps: Floats,
    /// One over each heatmap's deviation, an image after the other.
    scales: Vec<f32>,
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

impl MapConvs {
    /// Each with the first channel of its maps.
    pub(super) fn parts(&self, layout: &Layout) -> Vec<(ConvAt, usize)> {
        let mut parts = vec![(self.heatmaps, 0)];
        parts.extend(self.aux.iter().flat_map(|[p, e]| [(*p, layout.heat), (*e, layout.first_edge())]));
        parts
    }

    /// Heads as one matrix `[layout.channels, inputs]` and its bias.
    pub(super) fn heads(&self, passes: &Passes, layout: &Layout) -> (Vec<f32>, Vec<f32>) {
        let inputs = self.heatmaps.inputs;
        let (mut weights, mut biases) = (vec![0.0; layout.channels * inputs], vec![0.0; layout.channels]);
        for (conv, first) in self.parts(layout) {
            weights[first * inputs..][..conv.outputs * inputs].copy_from_slice(passes.values[conv.weight]);
            biases[first..][..conv.outputs].copy_from_slice(passes.values[conv.bias]);
        }
        (weights, biases)
    }

    /// Convolutions of maps as one matrix `[outputs, layout.channels]`.
    pub(super) fn merge(&self, passes: &Passes, layout: &Layout) -> Vec<f32> {
        let mut weights = vec![0.0; self.heatmaps.outputs * layout.channels];
        for (conv, first) in self.parts(layout) {
            let rows = passes.values[conv.weight].chunks_exact(conv.inputs);
            for (to, from) in weights.chunks_exact_mut(layout.channels).zip(rows) {
                to[first..][..conv.inputs].copy_from_slice(from);
            }
        }
        weights
    }
}

/// From the heads' products `maps` to what is kept of them and what the network returns.
pub(super) fn forward(
    passes: &Passes,
    layout: &Layout,
    gates: Option<&Gates>,
    size: Maps,
    mut maps: Floats,
) -> (Stage, KeptMaps) {
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
            let (centre, scale) = statistics(machine, layout, maps);
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

/// From the gradients by what the network returned (`stage`, planes) and by the kept maps (`besides`, from the next stack) to those by
/// the heads' products.
pub(super) fn backward(
    passes: &Passes,
    layout: &Layout,
    gates: Option<&Gates>,
    size: Maps,
    kept: &KeptMaps,
    stage: [Option<&[f32]>; 3],
    besides: Option<Floats>,
) -> Floats {
    let (pixels, channels, heat) = (size.height * size.width, layout.channels, layout.heat);
    let mut d = besides.unwrap_or_else(|| passes.memory.zeros(size.pixels() * channels));
    let blocks = pixels.div_ceil(BLOCK);
    let mut sums = passes.memory.zeros(size.images * blocks * 2 * heat);
    let target = Shared::new(&mut d);
    let partial = Shared::new(&mut sums);
    passes.memory.each(size.images * blocks, |task, scratch| {
        let (n, first) = (task / blocks, task % blocks * BLOCK);
        let count = BLOCK.min(pixels - first);
        let at = n * pixels + first;
        let block = Block { passes, layout, maps: &kept.maps[at * channels..][..count * channels], count };
        #[expect(unsafe_code, reason = "blocks are written by different threads")]
        // SAFETY: `part` checks the lengths; each block and its sums are touched by one task.
        let (d, sums) = unsafe {
            let d = std::slice::from_raw_parts_mut(
                target.part(at * channels, count * channels),
                count * channels,
            );
            (d, std::slice::from_raw_parts_mut(partial.part(task * 2 * heat, 2 * heat), 2 * heat))
        };
        let planes_of = |which: usize, maps: usize| {
            stage[which].map(|values| PlanesAt {
                values: &values[n * maps * pixels..][..maps * pixels],
                pixels,
                first,
            })
        };
        let by = [planes_of(0, layout.points), planes_of(1, layout.points), planes_of(2, layout.edges)];
        match gates {
            Some(gates) => block.attention(gates, by, d, scratch),
            None => by[0].into_iter().for_each(|planes| planes.add_to(d, channels, 0..layout.points)),
        }
        block.mask(d, sums);
    });
    // The second half of the instance norm: without the mean and the part along z.
    passes.memory.each(size.images * blocks, |task, _| {
        let (n, first) = (task / blocks, task % blocks * BLOCK);
        let count = BLOCK.min(pixels - first);
        let at = n * pixels + first;
        let mut means = vec![0.0f64; 2 * heat];
        for row in sums[n * blocks * 2 * heat..][..blocks * 2 * heat].chunks_exact(2 * heat) {
            means.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let means: Vec<f32> = means.iter().map(|sum| (sum / pixels as f64) as f32).collect();
        let (mean, along) = means.split_at(heat);
        let scales = &kept.scales[n * heat..][..heat];
        #[expect(unsafe_code, reason = "blocks are written by different threads")]
        // SAFETY: as above; the first pass has ended.
        let d = unsafe {
            std::slice::from_raw_parts_mut(target.part(at * channels, count * channels), count * channels)
        };
        let maps = &kept.maps[at * channels..][..count * channels];
        for (d, z) in d.chunks_exact_mut(channels).zip(maps.chunks_exact(channels)) {
            let (d, z) = (&mut d[..heat], &z[..heat]);
            for k in 0..heat {
                d[k] = scales[k] * (d[k] - mean[k] - z[k] * along[k]);
            }
        }
    });
    drop(sums);
    d
}

/// Some pixels of an image, with their kept maps.
struct Block<'a> {
    passes: &'a Passes<'a>,
    layout: &'a Layout,
    /// `[count, channels]`
    maps: &'a [f32],
    count: usize,
}

/// Planes of an image from one pixel on.
#[derive(Clone, Copy)]
struct PlanesAt<'a> {
    values: &'a [f32],
    pixels: usize,
    first: usize,
}

impl PlanesAt<'_> {
    /// Adds plane `k` to channel `which.start + k` of every pixel of `rows`.
    fn add_to(&self, rows: &mut [f32], stride: usize, which: std::ops::Range<usize>) {
        let count = rows.len() / stride;
        for (k, channel) in which.enumerate() {
            let plane = &self.values[k * self.pixels + self.first..][..count];
            for (row, &value) in rows.chunks_exact_mut(stride).zip(plane) {
                row[channel] += value;
            }
        }
    }
}

impl Block<'_> {
    /// Adds to `d` the gradients by `h`, and by the products of point and edge maps.
    fn attention(&self, gates: &Gates, by: [Option<PlanesAt>; 3], d: &mut [f32], scratch: &mut Buffer) {
        let Layout { points, heat, channels, edges, .. } = *self.layout;
        let first_edge = self.layout.first_edge();
        let padded = gates.back.channels;
        let scratch = scratch.take(self.count * (2 * heat + padded));
        let (fused, rest) = scratch.split_at_mut(self.count * heat);
        let (gate, edge) = rest.split_at_mut(self.count * heat);
        fused.fill(0.0);
        if let Some(planes) = by[0] {
            planes.add_to(fused, heat, 0..points);
        }
        self.product(&gates.forward, &self.maps[first_edge..], channels, gate);
        let pixels = fused.chunks_exact_mut(heat).zip(gate.chunks_exact(heat));
        for ((f, g), (d, maps)) in
            pixels.zip(d.chunks_exact_mut(channels).zip(self.maps.chunks_exact(channels)))
        {
            let (by_heat, by_point) = d.split_at_mut(heat);
            let (z, p) = maps.split_at(heat);
            let (by_heat, by_point, z, p) =
                (&mut by_heat[..points], &mut by_point[..points], &z[..points], &p[..points]);
            for k in 0..points {
                let (f, h) = (&mut f[k], z[k].max(0.0));
                by_heat[k] += *f * p[k] * g[k];
                by_point[k] += *f * h * g[k];
                *f *= h * p[k];
            }
        }
        self.product(&gates.back, fused, heat, edge);
        for (d, edge) in d.chunks_exact_mut(channels).zip(edge.chunks_exact(padded)) {
            d[first_edge..first_edge + edges].iter_mut().zip(edge).for_each(|(d, e)| *d += e);
        }
        if let Some(planes) = by[1] {
            planes.add_to(d, channels, heat..heat + points);
        }
        if let Some(planes) = by[2] {
            planes.add_to(d, channels, first_edge..first_edge + edges);
        }
        for (d, maps) in d.chunks_exact_mut(channels).zip(self.maps.chunks_exact(channels)) {
            // The padding's products are no output of anything.
            d[self.layout.used()..].fill(0.0);
            for (d, s) in d[heat..].iter_mut().zip(&maps[heat..]) {
                *d *= s * (1.0 - s);
            }
        }
    }

    /// `out = panels rows`, rows of `stride` floats.
    fn product(&self, panels: &Panels, rows: &[f32], stride: usize, out: &mut [f32]) {
        let (weights, bias) = panels.pointers(&(0..panels.count()));
        let span = (self.count - 1) * stride + panels.depth;
        assert!(out.len() >= self.count * panels.channels, "heads: sizes");
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: the rows and `out` were checked to hold what the strip reads or writes.
        unsafe {
            self.passes.kernels.strip(&Strip {
                runs: &[Run { x: part(rows, 0, span), stride, len: panels.depth }],
                pixels: self.count,
                weights,
                bias,
                channels: panels.channels,
                out: out.as_mut_ptr(),
                out_stride: panels.channels,
                residual: std::ptr::null(),
                residual_stride: 0,
                activation: Activation::None,
            });
        }
    }

    /// Cuts the gradient by `h` where the ReLU did; sums of it, and of it times `z`, a heatmap each.
    fn mask(&self, d: &mut [f32], sums: &mut [f32]) {
        let Layout { heat, channels, .. } = *self.layout;
        let (first, second) = sums.split_at_mut(heat);
        for (d, z) in d.chunks_exact_mut(channels).zip(self.maps.chunks_exact(channels)) {
            let (d, z, first, second) = (&mut d[..heat], &z[..heat], &mut first[..heat], &mut second[..heat]);
            for k in 0..heat {
                let cut = if z[k] > 0.0 { d[k] } else { 0.0 };
                d[k] = cut;
                first[k] += cut;
                second[k] += cut * z[k];
            }
        }
    }
}
