//! The gradients of the heads' activations and attention; letters as in `heads`.

use super::Passes;
use super::heads::{Gates, Heads, KeptMaps};
use super::memory::Floats;
use crate::HeatmapActivation;
use crate::activation::Activation;
use crate::plan::kernels::gemm::{Run, Strip};
use crate::plan::kernels::maps::{GateBackward, HeatBackward};
use crate::plan::memory::Buffer;
use crate::plan::ops::heads::Layout;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::shared::{Shared, part};

/// Pixels a task, and a partial sum: fixed, so that threads change nothing.
const BLOCK: usize = 64;

/// From the gradients of what the network returned (`stage`, planes) and of the kept maps (`besides`, from the next stack) to those
/// of the heads' products.
pub(super) fn backward(
    passes: &Passes,
    heads: &Heads,
    kept: &KeptMaps,
    stage: [Option<&[f32]>; 3],
    besides: Option<Floats>,
) -> Floats {
    let Heads { layout, gates, activation, size } = *heads;
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
        let planes = [planes_of(0, layout.points), planes_of(1, layout.points), planes_of(2, layout.edges)];
        match gates {
            Some(gates) => block.attention(gates, planes, d, scratch),
            None => planes[0].into_iter().for_each(|planes| planes.add_to(d, channels, 0..layout.points)),
        }
        let (first, second) = sums.split_at_mut(heat);
        block.heat(d, [first, second], None);
    });
    if activation != HeatmapActivation::InstanceNormRelu {
        // What the others subtract is held fixed.
        return d;
    }
    // The second half of the instance norm: without the mean and the part along z.
    passes.memory.each(size.images * blocks, |task, _| {
        let (n, first) = (task / blocks, task % blocks * BLOCK);
        let count = BLOCK.min(pixels - first);
        let at = n * pixels + first;
        let mut means = vec![0.0f64; 2 * heat];
        for row in sums[n * blocks * 2 * heat..][..blocks * 2 * heat].chunks_exact(2 * heat) {
            means.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let mut means: Vec<f32> = means.iter().map(|sum| (sum / pixels as f64) as f32).collect();
        let (mean, along) = means.split_at_mut(heat);
        let scales = &kept.scales[n * heat..][..heat];
        #[expect(unsafe_code, reason = "blocks are written by different threads")]
        // SAFETY: as above; the first pass has ended.
        let d = unsafe {
            std::slice::from_raw_parts_mut(target.part(at * channels, count * channels), count * channels)
        };
        let maps = &kept.maps[at * channels..][..count * channels];
        Block { passes, layout, maps, count }.heat(d, [mean, along], Some(scales));
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
    /// Adds to `d` the gradients of `h`, and of the products of point and edge maps.
    fn attention(&self, gates: &Gates, planes: [Option<PlanesAt>; 3], d: &mut [f32], scratch: &mut Buffer) {
        let Layout { points, heat, channels, edges, .. } = *self.layout;
        let first_edge = self.layout.first_edge();
        let padded = gates.back.channels;
        let scratch = scratch.take(self.count * (2 * heat + padded));
        let (fused, rest) = scratch.split_at_mut(self.count * heat);
        let (gate, edge) = rest.split_at_mut(self.count * heat);
        fused.fill(0.0);
        if let Some(given) = planes[0] {
            given.add_to(fused, heat, 0..points);
        }
        self.product(&gates.forward, &self.maps[first_edge..], channels, gate);
        let all = self.count * channels;
        assert!(self.maps.len() == all && d.len() == all && channels >= 2 * heat, "heads: sizes");
        let dz = d.as_mut_ptr();
        let backward = GateBackward {
            z: self.maps.as_ptr(),
            p: self.maps[heat..].as_ptr(),
            dz,
            dp: dz.wrapping_add(heat),
            stride: channels,
            g: gate.as_ptr(),
            fused: fused.as_mut_ptr(),
            pixels: self.count,
            channels: heat,
        };
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: maps and gradients hold two times `heat` values of each pixel, checked just above, gate and fused `heat`; the gradients by
        // heatmaps and point maps lie side by side.
        unsafe {
            self.passes.kernels.gate_backward(&backward);
        }
        self.product(&gates.back, fused, heat, edge);
        for (d, edge) in d.chunks_exact_mut(channels).zip(edge.chunks_exact(padded)) {
            d[first_edge..first_edge + edges].iter_mut().zip(edge).for_each(|(d, e)| *d += e);
        }
        if let Some(given) = planes[1] {
            given.add_to(d, channels, heat..heat + points);
        }
        if let Some(given) = planes[2] {
            given.add_to(d, channels, first_edge..first_edge + edges);
        }
        for (d, maps) in d.chunks_exact_mut(channels).zip(self.maps.chunks_exact(channels)) {
            // The padding's products are no output of anything.
            d[self.layout.used()..].fill(0.0);
            let (d, s) = (&mut d[heat..], &maps[heat..]);
            #[expect(unsafe_code, reason = "call of a kernel")]
            // SAFETY: both hold the channels behind the heatmaps, whole registers.
            unsafe {
                self.passes.kernels.sigmoid_backward(s.as_ptr(), s.len(), d.as_mut_ptr());
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
                pairs: false,
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

    /// Cuts the gradient of `h` where the ReLU did; `sums` of it, and of it times `z`, a heatmap each. With what the heatmaps were
    /// multiplied by, the second half: `sums` are their means.
    fn heat(&self, d: &mut [f32], [first, second]: [&mut [f32]; 2], scales: Option<&[f32]>) {
        let Layout { heat, channels, .. } = *self.layout;
        let all = self.count * channels;
        assert!(self.maps.len() == all && d.len() == all, "heads: sizes");
        assert!([first.len(), second.len(), scales.map_or(heat, <[f32]>::len)] == [heat; 3], "heads: sizes");
        let backward = HeatBackward {
            z: self.maps.as_ptr(),
            d: d.as_mut_ptr(),
            stride: channels,
            pixels: self.count,
            channels: heat,
            first: first.as_mut_ptr(),
            second: second.as_mut_ptr(),
            scale: scales.map_or(std::ptr::null(), <[f32]>::as_ptr),
        };
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: maps and gradients hold whole pixels, the sums and scales a heatmap each, checked just above.
        unsafe {
            self.passes.kernels.heat_backward(&backward);
        }
    }
}
