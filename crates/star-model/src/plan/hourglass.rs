//! A stacked hourglass as a program.

use candle_core::{DType, Device, Result, Tensor};

use super::builder::{Builder, Value};
use super::fold::Linear;
use super::memory::{Buffer, aligned};
use super::ops::coordinates;
use super::ops::heads::Layout;
use super::ops::panels::Panels;
use super::program::{Addend, Op, Program};
use super::residual::InputUse;
use crate::HeatmapActivation;
use crate::activation::Activation;
use crate::coord_conv;
use crate::hourglass::attention;
use crate::hourglass::layers::Layers;
use crate::hourglass::stack::{Hourglass, Inner, Stack};

/// Input channels of an image.
const COLOURS: usize = 3;

impl Program {
    /// Folds, joins and packs the weights of `layers` for registers of `lanes` values.
    pub(super) fn hourglass(layers: &Layers, lanes: usize) -> Result<Self> {
        let config = &layers.config;
        let layout = Layout::new(config.keypoints, config.attention.then_some(config.edges.len()), lanes);
        let mut b = Builder::new(lanes, layout.clone());
        let stem = Linear::of(&layers.stem.conv)?.then(&layers.stem.bn)?;
        let border = stem.kernel / 2;
        let padded = config.image_size + 2 * border;
        let image = b.value(padded, padded, COLOURS, COLOURS);
        let image_slot = image.slot;
        let mut x = b.coordinate_stem("pre.0", &stem, image, config.image_size)?;
        x = b.residual("pre.1", &layers.pre[0], x, InputUse::Overwrite)?;
        x = {
            let pooled = b.max_pool("pre.2", &x);
            b.free(x);
            pooled
        };
        x = b.residual("pre.3", &layers.pre[1], x, InputUse::Overwrite)?;
        let mut trunk = Some(b.residual("pre.4", &layers.pre[2], x, InputUse::Overwrite)?);
        let mut boundary: Option<Value> = None;
        for (s, stack) in layers.stacks.iter().enumerate() {
            if let Some(x) = trunk.take() {
                (trunk, boundary) = b.stack(s, stack, x, boundary)?;
            }
        }
        let gates = config.attention.then(|| {
            let (matrix, bias) = attention::edge_to_point(config);
            Panels::pack(&matrix, &bias, config.edges.len(), lanes)
        });
        let (steps, slots) = b.finish();
        Ok(Self {
            steps,
            slots,
            image: image_slot,
            border,
            image_size: config.image_size,
            map_size: config.map_size(),
            stages: layers.stacks.len(),
            layout,
            gates,
            coordinates: coordinates::table(config.map_size())?,
        })
    }
}

impl Builder {
    /// The first convolution. What its coordinate channels contribute does not depend on the image: a map added to it.
    fn coordinate_stem(&mut self, name: &str, stem: &Linear, image: Value, size: usize) -> Result<Value> {
        const STRIDE: usize = 2;
        let colours = Linear { bias: stem.bias.clone(), ..stem.inputs(0, COLOURS, COLOURS) };
        let out = self.padded(size / STRIDE, size / STRIDE, stem.outputs());
        let constant = if stem.inputs > COLOURS {
            Some(constant_map(
                &stem.inputs(COLOURS, stem.inputs, stem.inputs - COLOURS),
                size,
                STRIDE,
                out.stride,
            )?)
        } else {
            None
        };
        let panels = colours.pack(COLOURS, self.lanes);
        self.stem(name, panels, (stem.kernel, STRIDE, stem.inputs), constant, image, &out);
        Ok(out)
    }

    fn max_pool(&mut self, name: &str, x: &Value) -> Value {
        let out = self.value(x.height / 2, x.width / 2, x.channels, x.stride);
        let op = Op::MaxPool { input: x.slot, height: out.height, width: out.width, channels: x.stride };
        self.push(name.to_string(), op, &out, 0);
        out
    }

    /// One level of an hourglass. Where `x` is kept, it is returned beside the output.
    fn hourglass(
        &mut self,
        name: &str,
        level: &Hourglass,
        x: Value,
        input: InputUse,
    ) -> Result<(Value, Option<Value>)> {
        let low = self.max_pool(&format!("{name}.pool"), &x);
        let (up, x) = match self.residual_of(&format!("{name}.up1"), &level.up1, &x, input)? {
            Some(up) => (up, Some(x)),
            None => (x, None),
        };
        let low = self.residual(&format!("{name}.low1"), &level.low1, low, InputUse::Overwrite)?;
        let inner = format!("{name}.low2");
        let low = match &level.low2 {
            Inner::Level(level) => self.hourglass(&inner, level, low, InputUse::Overwrite)?.0,
            Inner::Bottom(block) => self.residual(&inner, block, low, InputUse::Overwrite)?,
        };
        let low = self.residual(&format!("{name}.low3"), &level.low3, low, InputUse::Overwrite)?;
        let op =
            Op::UpsampleAdd { low: low.slot, height: low.height, width: low.width, channels: low.stride };
        self.push(format!("{name}.up2"), op, &up, 0);
        self.free(low);
        Ok((up, x))
    }

    /// One stack. Takes the trunk and the maps of the stack before; returns both for the stack after.
    fn stack(
        &mut self,
        s: usize,
        stack: &Stack,
        trunk: Value,
        boundary: Option<Value>,
    ) -> Result<(Option<Value>, Option<Value>)> {
        let keep = stack.merge.is_some();
        let name = format!("hgs.{s}");
        let (entered, mut trunk) = match &stack.entry {
            None => (trunk, None),
            Some(entry) => {
                let entry = Linear::of(entry)?;
                let out = self.padded(trunk.height, trunk.width, entry.outputs());
                let grid =
                    self.value(trunk.height, trunk.width, coordinates::CHANNELS, coordinates::CHANNELS);
                let maps = boundary.as_ref().map(|maps| maps.slot);
                self.push(format!("{name}.coordinates"), Op::Coordinates { maps }, &grid, 0);
                let sources = vec![trunk.input(trunk.channels), grid.input(entry.inputs - trunk.channels)];
                let weights = (None, entry.pack(entry.inputs, self.lanes));
                self.pointwise(
                    format!("{name}.entry"),
                    sources,
                    weights,
                    Addend::None,
                    Activation::None,
                    &out,
                );
                self.free(grid);
                (out, Some(trunk))
            }
        };
        if let Some(maps) = boundary {
            self.free(maps);
        }
        if !keep && let Some(trunk) = trunk.take() {
            self.free(trunk);
        }
        let input = if keep && trunk.is_none() { InputUse::Keep } else { InputUse::Overwrite };
        let (x, kept) = self.hourglass(&name, &stack.hourglass, entered, input)?;
        trunk = trunk.or(kept);
        // The block's last convolution and the 1x1 convolution after it are both linear: one matrix of two inputs.
        let name = format!("features.{s}");
        let mid = self.residual_body(&format!("{name}.0"), &stack.feature_block, &x)?;
        let (third, last) = (
            Linear::of(&stack.feature_block.conv3)?,
            Linear::of(&stack.feature_conv.conv)?.then(&stack.feature_conv.bn)?,
        );
        let both = Linear::sum(&[&last.after(&third), &last.inputs(0, last.inputs, last.inputs)]);
        let features = self.padded(x.height, x.width, last.outputs());
        let sources = vec![mid.input(third.inputs), x.input(last.inputs)];
        self.pointwise(
            name,
            sources,
            (None, both.pack(both.inputs, self.lanes)),
            Addend::None,
            Activation::Relu,
            &features,
        );
        self.free(mid);
        self.free(x);
        let maps = self.heads(s, stack, &features)?;
        let trunk = match (&stack.merge, trunk) {
            (Some(merge), Some(trunk)) => {
                let layout = self.layout.clone();
                let (features_in, heat) = (Linear::of(&merge.features)?, Linear::of(&merge.heatmaps)?);
                let mut parts = vec![
                    features_in,
                    Linear { bias: heat.bias.clone(), ..heat.inputs(0, heat.inputs, layout.heat) },
                ];
                if let Some((points, edges)) = &merge.aux {
                    parts.extend([Linear::of(points)?, Linear::of(edges)?]);
                }
                let all = Linear::sum(&parts.iter().collect::<Vec<_>>());
                let sources = vec![features.input(features.channels), maps.input(layout.used())];
                let weights = (None, all.pack(all.inputs, self.lanes));
                self.pointwise(
                    format!("merge.{s}"),
                    sources,
                    weights,
                    Addend::InPlace,
                    Activation::None,
                    &trunk,
                );
                Some(trunk)
            }
            _ => None,
        };
        self.free(features);
        if keep {
            return Ok((trunk, Some(maps)));
        }
        self.free(maps);
        Ok((trunk, None))
    }

    /// The heads: one 1x1 convolution, the activations, and the stage shown to the caller.
    fn heads(&mut self, s: usize, stack: &Stack, features: &Value) -> Result<Value> {
        let layout = self.layout.clone();
        let maps = self.value(features.height, features.width, layout.used(), layout.channels);
        let heat = Linear::of(&stack.heads.heatmaps)?;
        let mut all = vec![(heat, layout.heat)];
        if let Some(aux) = &stack.heads.aux {
            let (points, edges) = (Linear::of(&aux.pointmaps)?, Linear::of(&aux.edgemaps)?);
            all.extend([(points, layout.points), (edges, layout.channels - layout.first_edge())]);
        }
        let all = Linear::stack(&all.iter().map(|(part, outputs)| (part, *outputs)).collect::<Vec<_>>());
        let weights = (None, all.pack(all.inputs, self.lanes));
        self.pointwise(
            format!("heads.{s}"),
            vec![features.input(all.inputs)],
            weights,
            Addend::None,
            Activation::None,
            &maps,
        );
        self.stage_maps(&format!("heads.{s}"), &maps, HeatmapActivation::InstanceNormRelu, s);
        Ok(maps)
    }
}

/// What constant coordinate channels contribute to a convolution of a `size`-pixel image: `[side, side, stride]`.
fn constant_map(conv: &Linear, size: usize, step: usize, stride: usize) -> Result<Buffer> {
    let grid = coord_conv::coordinates(size, size, DType::F32, &Device::Cpu)?.narrow(1, 0, conv.inputs)?;
    let weights: Vec<f32> = conv.weights.iter().map(|&weight| weight as f32).collect();
    let weights =
        Tensor::from_vec(weights, (conv.outputs(), conv.inputs, conv.kernel, conv.kernel), &Device::Cpu)?;
    let map = grid.contiguous()?.conv2d(&weights, conv.kernel / 2, step, 1, 1)?;
    let (_, outputs, h, w) = map.dims4()?;
    let planes = map.flatten_all()?.to_vec1::<f32>()?;
    let mut pixels = vec![0.0; h * w * stride];
    for (c, plane) in planes.chunks_exact((h * w).max(1)).enumerate().take(outputs) {
        for (pixel, &value) in pixels.chunks_exact_mut(stride).zip(plane) {
            pixel[c] = value;
        }
    }
    Ok(aligned(&pixels))
}
