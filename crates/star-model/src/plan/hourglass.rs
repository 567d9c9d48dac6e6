//! A stacked hourglass as a program.

use candle_core::{DType, Device, Result, Tensor};

use super::builder::{Builder, Sum, Value};
use super::fold::{Linear, scale_relu};
use super::memory::{Buffer, aligned};
use super::ops::coordinates;
use super::ops::heads::Layout;
use super::ops::panels::Panels;
use super::program::{Addend, Op, Program};
use crate::HeatmapActivation;
use crate::activation::Activation;
use crate::coord_conv;
use crate::hourglass::residual::Residual;
use crate::hourglass::{Hourglass, Inner, Stack, StackedHourglass, attention};

/// Input channels of an image.
const COLOURS: usize = 3;

impl Program {
    /// Folds, joins and packs the weights of `model` for registers of `lanes` values.
    pub(super) fn hourglass(model: &StackedHourglass, lanes: usize) -> Result<Self> {
        let config = model.config();
        let layout = Layout::new(config.keypoints, config.edges.len(), config.attention, lanes);
        let mut b = Builder::new(lanes, layout.clone());
        let stem = Linear::of(&model.stem.conv)?.then(&model.stem.bn)?;
        let border = stem.kernel / 2;
        let padded = config.image_size + 2 * border;
        let image = b.value(padded, padded, COLOURS, COLOURS);
        let image_slot = image.slot;
        let mut x = b.coordinate_stem("pre.0", &stem, image, config.image_size)?;
        x = b.residual("pre.1", &model.pre[0], x, false)?;
        x = {
            let pooled = b.max_pool("pre.2", &x);
            b.free(x);
            pooled
        };
        x = b.residual("pre.3", &model.pre[1], x, false)?;
        let mut trunk = Some(b.residual("pre.4", &model.pre[2], x, false)?);
        let mut boundary: Option<Value> = None;
        for (s, stack) in model.stacks.iter().enumerate() {
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
            stages: model.stacks.len(),
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

    /// A residual block up to its third convolution, which the caller adds.
    fn residual_body(&mut self, name: &str, block: &Residual, x: &Value) -> Result<Value> {
        let first = Linear::of(&block.conv1)?.then(&block.bn2)?;
        let mid = self.padded(x.height, x.width, first.outputs());
        let weights = (Some(scale_relu(&block.bn1, x.stride)?), first.pack(first.inputs, self.lanes));
        self.pointwise(
            format!("{name}.conv1"),
            vec![x.input(first.inputs)],
            weights,
            Addend::None,
            Activation::Relu,
            &mid,
        );
        let second = Linear::of(&block.conv2)?.then(&block.bn3)?;
        let out = self.conv3x3(format!("{name}.conv2"), &second, &mid, 1, Sum::Nothing, Activation::Relu);
        self.free(mid);
        Ok(out)
    }

    /// A residual block. Where `keep` is not set and the widths agree, its output takes the place of `x`.
    fn residual_of(&mut self, name: &str, block: &Residual, x: &Value, keep: bool) -> Result<Option<Value>> {
        let mid = self.residual_body(name, block, x)?;
        let third = Linear::of(&block.conv3)?;
        let name = format!("{name}.conv3");
        let mut sources = vec![mid.input(third.inputs)];
        let out = if let Some(skip) = &block.skip {
            let skip = Linear::of(skip)?;
            let out = self.padded(x.height, x.width, third.outputs());
            sources.push(x.input(skip.inputs));
            let both = Linear::sum(&[&third, &skip]);
            self.pointwise(
                name,
                sources,
                (None, both.pack(both.inputs, self.lanes)),
                Addend::None,
                Activation::None,
                &out,
            );
            Some(out)
        } else if keep {
            let out = self.padded(x.height, x.width, third.outputs());
            let weights = (None, third.pack(third.inputs, self.lanes));
            self.pointwise(name, sources, weights, Addend::Slot(x.slot), Activation::None, &out);
            Some(out)
        } else {
            let weights = (None, third.pack(third.inputs, self.lanes));
            self.pointwise(name, sources, weights, Addend::InPlace, Activation::None, x);
            None
        };
        self.free(mid);
        Ok(out)
    }

    /// A residual block that takes `x`.
    fn residual(&mut self, name: &str, block: &Residual, x: Value, keep: bool) -> Result<Value> {
        match self.residual_of(name, block, &x, keep)? {
            Some(out) => {
                self.free(x);
                Ok(out)
            }
            None => Ok(x),
        }
    }

    /// One level of an hourglass. With `keep`, `x` is left as it was and returned beside the output.
    fn hourglass(
        &mut self,
        name: &str,
        level: &Hourglass,
        x: Value,
        keep: bool,
    ) -> Result<(Value, Option<Value>)> {
        let low = self.max_pool(&format!("{name}.pool"), &x);
        let (up, x) = match self.residual_of(&format!("{name}.up1"), &level.up1, &x, keep)? {
            Some(up) => (up, Some(x)),
            None => (x, None),
        };
        let low = self.residual(&format!("{name}.low1"), &level.low1, low, false)?;
        let inner = format!("{name}.low2");
        let low = match &level.low2 {
            Inner::Level(level) => self.hourglass(&inner, level, low, false)?.0,
            Inner::Bottom(block) => self.residual(&inner, block, low, false)?,
        };
        let low = self.residual(&format!("{name}.low3"), &level.low3, low, false)?;
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
        let (x, kept) = self.hourglass(&name, &stack.hourglass, entered, keep && trunk.is_none())?;
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
