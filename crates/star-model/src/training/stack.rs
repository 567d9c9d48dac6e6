//! One stack: coordinates and entry, hourglass, features, heads, and the way into the next stack.

use super::block::{Block, Kept};
use super::head_gradients;
use super::heads::{self, Gates, KeptMaps, MapConvs, Stage};
use super::level::{KeptLevel, Level};
use super::linear::{Finish, Input, Linear};
use super::memory::Floats;
use super::norm::Norm;
use super::parameters::{ConvAt, Gradients, NormAt};
use super::weight_gradient::weight_gradient;
use super::{Maps, Passes};
use crate::coord_conv::BOUNDARY;
use crate::plan::ops::coordinates;
use crate::plan::ops::heads::Layout;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};

pub(super) struct Stack {
    pub(super) entry: Option<ConvAt>,
    pub(super) hourglass: Level,
    pub(super) feature_block: Block,
    pub(super) feature_conv: ConvAt,
    pub(super) feature_norm: NormAt,
    pub(super) heads: MapConvs,
    pub(super) merge: Option<Merge>,
}

/// 1x1 convolutions of features and maps that are added to the trunk.
pub(super) struct Merge {
    pub(super) features: ConvAt,
    pub(super) maps: MapConvs,
}

/// What all stacks share.
pub(super) struct Shape {
    pub(super) size: Maps,
    pub(super) channels: usize,
    pub(super) layout: Layout,
    pub(super) gates: Option<Gates>,
    /// Coordinates of one image's pixels.
    pub(super) table: Vec<f32>,
    /// Applied to maps on their way into a product: the heatmaps' ReLU, which changes no other map.
    pub(super) relu: ScaleRelu,
}

/// What a stack works on: the trunk, and the coordinates where it has an entry.
pub(super) struct StackInput {
    pub(super) trunk: Floats,
    pub(super) grid: Option<Floats>,
}

/// What a forward pass leaves for its backward pass.
pub(super) struct KeptStack {
    trunk: Floats,
    /// Coordinates, and the entry's output; nothing where there is no entry.
    entered: Option<(Floats, Floats)>,
    level: KeptLevel,
    hourglass_out: Floats,
    feature_block: Kept,
    block_out: Floats,
    norm: Norm,
    /// Features before their norm.
    features: Floats,
    pub(super) maps: KeptMaps,
}

/// Floats a pixel of a buffer of coordinates: padded to the widest register.
const COORDINATES: usize = 16;

impl Shape {
    /// Coordinate channels of every pixel; with the maps of the stack before, also those on its boundary.
    pub(super) fn coordinates(&self, passes: &Passes, before: Option<&KeptMaps>) -> Floats {
        let mut out = passes.memory.zeros(self.size.pixels() * COORDINATES);
        let table = self.table.chunks_exact(coordinates::CHANNELS).cycle();
        for (out, from) in out.chunks_exact_mut(COORDINATES).zip(table) {
            out[..coordinates::CHANNELS].copy_from_slice(from);
        }
        if let Some(before) = before {
            let pixels = before.maps.chunks_exact(self.layout.channels);
            for (out, maps) in out.chunks_exact_mut(COORDINATES).zip(pixels) {
                if f64::from(maps[self.layout.points - 1]) > BOUNDARY {
                    out.copy_within(..2, 3);
                }
            }
        }
        out
    }
}

impl KeptStack {
    /// What it can all be worked out from again.
    pub(super) fn forget(self) -> StackInput {
        StackInput { trunk: self.trunk, grid: self.entered.map(|(grid, _)| grid) }
    }
}

impl Stack {
    /// The stage's maps, what is kept, and the next stack's trunk where there is one.
    pub(super) fn forward(
        &self,
        passes: &Passes,
        shape: &Shape,
        from: StackInput,
    ) -> (Stage, KeptStack, Option<Floats>) {
        let StackInput { trunk, grid } = from;
        let (size, channels, layout) = (shape.size, shape.channels, &shape.layout);
        let (pixels, lanes) = (size.pixels(), passes.kernels.lanes());
        let entered = self.entry.zip(grid).map(|(entry, grid)| {
            let mut out = passes.memory.take(pixels * channels);
            let panels =
                &Panels::pack(passes.values[entry.weight], passes.values[entry.bias], entry.inputs, lanes);
            let inputs = &[
                Input::all(&trunk, channels),
                Input { len: entry.inputs - channels, ..Input::all(&grid, COORDINATES) },
            ];
            Linear { pixels, inputs, panels, add: Residual::None, finish: Finish::Nothing }
                .run(passes, &mut out);
            (grid, out)
        });
        let x: &[f32] = entered.as_ref().map_or(&trunk, |(_, out)| out);
        let (hourglass_out, level) = self.hourglass.forward(passes, size, x);
        let (block_out, feature_block) = self.feature_block.forward(passes, size, &hourglass_out);
        let mut features = passes.memory.take(pixels * channels);
        let conv = self.feature_conv;
        let linear = Linear {
            pixels,
            inputs: &[Input::all(&block_out, channels)],
            panels: &Panels::pack(passes.values[conv.weight], passes.values[conv.bias], conv.inputs, lanes),
            add: Residual::None,
            finish: Finish::Sums,
        };
        let sums = linear.run(passes, &mut features);
        let norm = passes.norm(self.feature_norm, &features, &sums);

        let mut maps = passes.memory.take(pixels * layout.channels);
        let (weights, biases) = self.heads.heads(passes, layout);
        let panels = &Panels::pack(&weights, &biases, channels, lanes);
        let inputs = &[Input::normed(&features, &norm.affine)];
        Linear { pixels, inputs, panels, add: Residual::None, finish: Finish::Nothing }
            .run(passes, &mut maps);
        let (stage, maps) = heads::forward(passes, layout, shape.gates.as_ref(), size, maps);

        let next = self.merge.as_ref().map(|merge| {
            let rows = passes.values[merge.features.weight].chunks_exact(channels);
            let joined = merge.maps.merge(passes, layout);
            let rows = rows.zip(joined.chunks_exact(layout.channels));
            let weights: Vec<f32> = rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
            let mut bias = passes.values[merge.features.bias].to_vec();
            for (conv, _) in merge.maps.parts(layout) {
                bias.iter_mut().zip(passes.values[conv.bias]).for_each(|(sum, value)| *sum += value);
            }
            let panels = &Panels::pack(&weights, &bias, channels + layout.channels, lanes);
            let inputs = &[Input::normed(&features, &norm.affine), Input::normed(&maps.maps, &shape.relu)];
            let mut next = passes.memory.take(pixels * channels);
            let add = Residual::Other(&trunk);
            Linear { pixels, inputs, panels, add, finish: Finish::Nothing }.run(passes, &mut next);
            next
        });
        let kept = KeptStack {
            trunk,
            entered,
            level,
            hourglass_out,
            feature_block,
            block_out,
            norm,
            features,
            maps,
        };
        (stage, kept, next)
    }

    /// From the gradients by the stage's maps and by the next trunk to that by this stack's trunk.
    pub(super) fn backward(
        &self,
        passes: &Passes,
        shape: &Shape,
        kept: KeptStack,
        stage: [Option<&[f32]>; 3],
        next: Option<Floats>,
        gradients: &mut Gradients,
    ) -> Floats {
        let (size, channels, layout) = (shape.size, shape.channels, &shape.layout);
        let (pixels, lanes) = (size.pixels(), passes.kernels.lanes());
        let KeptStack {
            trunk,
            entered,
            level,
            hourglass_out,
            feature_block,
            block_out,
            norm,
            features,
            maps,
        } = kept;
        let normed = Input::normed(&features, &norm.affine);

        // By the maps, from the next stack and from the loss.
        let besides = self.merge.as_ref().zip(next.as_deref()).map(|(merge, next)| {
            let feature_gradients = weight_gradient(passes, next, channels, &normed);
            gradients.conv(merge.features, feature_gradients.whole());
            let map_gradients =
                weight_gradient(passes, next, channels, &Input::normed(&maps.maps, &shape.relu));
            for (conv, first) in merge.maps.parts(layout) {
                gradients.conv(conv, map_gradients.part(0..channels, first..first + conv.inputs));
            }
            let joined = merge.maps.merge(passes, layout);
            let panels = &Panels::gathered(&vec![0.0; layout.channels], channels, lanes, |map, k| {
                joined[k * layout.channels + map]
            });
            let mut d = passes.memory.take(pixels * layout.channels);
            let inputs = &[Input::all(next, channels)];
            Linear { pixels, inputs, panels, add: Residual::None, finish: Finish::Nothing }
                .run(passes, &mut d);
            d
        });
        let d = head_gradients::backward(passes, layout, shape.gates.as_ref(), size, &maps, stage, besides);
        drop(maps);

        // By the features, from the heads and from the next stack, through their norm and convolution.
        let head_gradients = weight_gradient(passes, &d, layout.channels, &normed);
        for (conv, first) in self.heads.parts(layout) {
            gradients.conv(conv, head_gradients.part(first..first + conv.outputs, 0..channels));
        }
        let (mut weights, _) = self.heads.heads(passes, layout);
        let mut inputs = vec![Input::all(&d, layout.channels)];
        if let (Some(merge), Some(next)) = (&self.merge, &next) {
            weights.extend_from_slice(passes.values[merge.features.weight]);
            inputs.push(Input::all(next, channels));
        }
        let depth = weights.len() / channels;
        let panels = &Panels::gathered(&vec![0.0; channels], depth, lanes, |c, k| weights[k * channels + c]);
        let mut e = passes.memory.take(pixels * channels);
        let finish = Finish::Mask { x: &features, norm: &norm };
        let sums =
            Linear { pixels, inputs: &inputs, panels, add: Residual::None, finish }.run(passes, &mut e);
        drop(d);
        gradients.norm(passes, self.feature_norm, &norm, &sums).apply(passes, &features, &mut e, None);
        drop(features);
        let conv = self.feature_conv;
        gradients.unbiased(
            conv,
            weight_gradient(passes, &e, channels, &Input::all(&block_out, channels)).whole().0,
        );
        drop(block_out);
        let mut dy = passes.memory.take(pixels * channels);
        passes.back(conv, &e, Finish::Nothing, Residual::None, &mut dy);
        drop(e);

        let dy = self.feature_block.backward(passes, size, &hourglass_out, feature_block, dy, gradients);
        drop(hourglass_out);
        let x: &[f32] = entered.as_ref().map_or(&trunk, |(_, out)| out);
        let d = self.hourglass.backward(passes, size, x, level, dy, gradients);
        let Some((entry, (grid, _))) = self.entry.zip(entered) else {
            return match next {
                None => d,
                Some(mut next) => {
                    next.iter_mut().zip(d.iter()).for_each(|(sum, d)| *sum += d);
                    next
                }
            };
        };
        let trunk_gradients = weight_gradient(passes, &d, channels, &Input::all(&trunk, channels));
        let coordinates = entry.inputs - channels;
        let grid_gradients = weight_gradient(
            passes,
            &d,
            channels,
            &Input { len: coordinates, ..Input::all(&grid, COORDINATES) },
        );
        let (trunk_gradients, bias) = trunk_gradients.whole();
        let (grid_gradients, _) = grid_gradients.whole();
        let rows = trunk_gradients.chunks_exact(channels).zip(grid_gradients.chunks_exact(coordinates));
        gradients.conv(entry, (rows.flat_map(|(a, b)| a.iter().chain(b)).copied().collect(), bias));
        let weights = passes.values[entry.weight];
        let panels =
            &Panels::gathered(&vec![0.0; channels], channels, lanes, |c, k| weights[k * entry.inputs + c]);
        let inputs = &[Input::all(&d, channels)];
        let (mut sum, add) = match next {
            Some(next) => (next, Residual::InPlace),
            None => (passes.memory.take(pixels * channels), Residual::None),
        };
        Linear { pixels, inputs, panels, add, finish: Finish::Nothing }.run(passes, &mut sum);
        sum
    }
}
