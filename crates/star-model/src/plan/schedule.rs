//! From rewritten values to steps over slots of memory: each value gets a slot when it is made, which is free again when it was read
//! for the last time; a sum is written over its addend where nothing reads that later.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::fold::Linear;
use super::kernels::pixels::{Bytes, pair};
use super::lowered::{Conv, Kind, Lowered, ValueId};
use super::memory::{Buffer, aligned};
use super::ops::panels::Panels;
use super::ops::pointwise::{Cells, ScaleRelu};
use super::ops::stem;
use super::ops::{Stored, coordinates};
use super::program::{Addend, Input, Op, Program, Step};
use super::quantize::Narrow;
use crate::coord_conv;
use crate::gate::edge_to_point;

/// Channels of an image.
const COLOURS: usize = 3;

/// Maps lower or narrower than this go the direct way: a Winograd tile would be mostly border, and its weights, four
/// times as many, would be read for a handful of tiles.
const WINOGRAD_SIDE: usize = 12;

/// Slots of memory, and which are free.
#[derive(Default)]
struct Slots {
    sizes: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    /// A slot for `floats`: the smallest free one that is large enough, or the largest one grown.
    fn take(&mut self, floats: usize) -> usize {
        let fits = |slot: &usize| self.sizes[*slot] >= floats;
        let free = || self.free.iter().copied();
        let best = free().filter(fits).min_by_key(|&slot| self.sizes[slot]);
        let slot = best.or_else(|| free().max_by_key(|&slot| self.sizes[slot])).unwrap_or(self.sizes.len());
        if slot == self.sizes.len() {
            self.sizes.push(floats);
        }
        self.sizes[slot] = self.sizes[slot].max(floats);
        self.free.retain(|&other| other != slot);
        slot
    }
}

/// Where a value lies: channels-last, `stride` floats from pixel to pixel, or `pairs` in bf16 in their places.
#[derive(Clone, Copy)]
struct Place {
    slot: usize,
    side: usize,
    stride: usize,
    pairs: bool,
}

impl Place {
    fn pixels(self) -> usize {
        self.side * self.side
    }

    fn floats(self) -> usize {
        self.pixels() * self.stride
    }

    fn channels(self) -> usize {
        if self.pairs { 2 * self.stride } else { self.stride }
    }
}

/// Whether every window of a convolution of the image starts at a pair, as products in bf16 need it.
fn starts_at_pairs(conv: &Conv) -> bool {
    (conv.stride * COLOURS).is_multiple_of(2)
}

/// Which values lie in memory as pairs in bf16: with tiles, those that only products, poolings and upsamplings read, a product's addend and
/// what is pooled or upsampled being stored as the result is.
fn pairs(lowered: &Lowered, readers: &[Vec<ValueId>], numbers: Narrow) -> Vec<bool> {
    let kind = |id: ValueId| &lowered.values[id].kind;
    let of_image = |conv: &Conv| conv.sources.iter().any(|source| matches!(kind(source.x), Kind::Image));
    let mut pairs: Vec<bool> =
        (0..readers.len()).map(|id| numbers.tiles && !readers[id].is_empty()).collect();
    loop {
        let made = |id: ValueId| match kind(id) {
            Kind::Conv(conv) if of_image(conv) => starts_at_pairs(conv),
            Kind::Conv(conv) => conv.addend.is_none_or(|addend| pairs[addend]),
            Kind::MaxPool(x) => pairs[*x],
            Kind::UpsampleAdd { base, low } => pairs[*base] && pairs[*low],
            _ => false,
        };
        let read = |id: ValueId, reader: ValueId| match kind(reader) {
            Kind::Conv(conv) | Kind::Maps { raw: conv, .. } => conv.addend != Some(id) || pairs[reader],
            Kind::MaxPool(_) | Kind::UpsampleAdd { .. } => pairs[reader],
            _ => false,
        };
        let fits = |id: ValueId| pairs[id] && made(id) && readers[id].iter().all(|&reader| read(id, reader));
        let fewer: Vec<bool> = (0..readers.len()).map(fits).collect();
        if fewer == pairs {
            return pairs;
        }
        pairs = fewer;
    }
}

struct Scheduler<'a> {
    lowered: &'a Lowered<'a>,
    lanes: usize,
    numbers: Narrow<'a>,
    steps: Vec<Step>,
    slots: Slots,
    places: Vec<Option<Place>>,
    /// The last other value that reads each value.
    last: Vec<Option<ValueId>>,
    /// Which values lie in memory as pairs.
    pairs: Vec<bool>,
    /// Side of the image with its border.
    padded: usize,
}

impl Program {
    /// The steps of a rewritten network, for registers of `lanes` values.
    pub(super) fn of(lowered: &Lowered<'_>, lanes: usize, numbers: Narrow<'_>) -> Result<Self> {
        let Some(image) = lowered.order.first().map(|&id| &lowered.values[id]) else {
            bail!("a network without nodes")
        };
        let first = lowered.convs().into_iter().filter_map(|id| lowered.conv(id)).next();
        let border = first.map_or(0, |conv| conv.linear.kernel / 2);
        // A stage's maps are shown to the caller as soon as they are made.
        let others = |(id, readers): (ValueId, &Vec<ValueId>)| {
            readers.iter().rev().copied().find(|&reader| reader != id)
        };
        let readers = lowered.readers();
        let last = readers.iter().enumerate().map(others).collect();
        let pairs = pairs(lowered, &readers, numbers);
        let places = vec![None; lowered.values.len()];
        let padded = image.side + 2 * border;
        let (steps, slots) = (Vec::new(), Slots::default());
        let mut scheduler = Scheduler { lowered, lanes, numbers, steps, slots, places, last, pairs, padded };
        for &id in &lowered.order {
            scheduler.value(id)?;
        }
        let image_slot = scheduler.place(lowered.order[0])?.slot;
        let map_size = lowered.stages.first().map_or(0, |&stage| lowered.values[stage].side);
        let gates = lowered.edges.as_ref().map(|edges| {
            let (matrix, bias) = edge_to_point(lowered.layout.points, edges);
            Panels::pack(&matrix, &bias, edges.len(), lanes)
        });
        Ok(Self {
            steps: scheduler.steps,
            slots: scheduler.slots.sizes,
            image: image_slot,
            border,
            image_size: image.side,
            map_size,
            stages: lowered.stages.len(),
            layout: lowered.layout.clone(),
            gates,
            coordinates: coordinates::table(map_size)?,
        })
    }
}

impl Scheduler<'_> {
    fn place(&self, id: ValueId) -> Result<Place> {
        self.places[id].map_or_else(|| bail!("{}: read before it was made", self.lowered.values[id].name), Ok)
    }

    /// Memory for value `id` with `stride` floats a pixel.
    fn make(&mut self, id: ValueId, stride: usize) -> Place {
        let side = self.lowered.values[id].side;
        let slot = self.slots.take(side * side * stride);
        let place = Place { slot, side, stride, pairs: self.pairs[id] };
        self.places[id] = Some(place);
        place
    }

    /// As [`Scheduler::make`], channels padded to whole registers.
    fn make_padded(&mut self, id: ValueId) -> Place {
        let channels = self.lowered.values[id].channels.next_multiple_of(self.lanes);
        self.make(id, if self.pairs[id] { channels / 2 } else { channels })
    }

    /// Memory for value `id`, which is `addend` and something: that of the addend where nobody reads it later, not even `id` itself
    /// as an input.
    fn make_onto(&mut self, id: ValueId, addend: Option<ValueId>) -> Result<(Place, Addend)> {
        let Some(addend) = addend else { return Ok((self.make_padded(id), Addend::None)) };
        let from = self.place(addend)?;
        let inputs = self.lowered.values[id].kind.inputs();
        let once = inputs.iter().filter(|&&input| input == addend).count() == 1;
        if self.last[addend] == Some(id) && once {
            self.places[id] = Some(from);
            return Ok((from, Addend::InPlace));
        }
        Ok((self.make_padded(id), Addend::Slot(from.slot)))
    }

    /// Frees what value `id` was the last to read, and `id` itself where nobody reads it; not memory that `id` has taken over.
    fn free(&mut self, id: ValueId) {
        let own = self.places[id].map(|place| place.slot);
        let mut inputs = self.lowered.values[id].kind.inputs();
        inputs.sort_unstable();
        inputs.dedup();
        for input in inputs.into_iter().filter(|&input| self.last[input] == Some(id)) {
            let slot = self.places[input].map(|place| place.slot);
            self.slots.free.extend(slot.filter(|_| slot != own));
        }
        if self.last[id].is_none() {
            self.slots.free.extend(own);
        }
    }

    fn push(&mut self, name: String, op: Op, output: Place, multiplications: u64) {
        let (output, floats) = (output.slot, output.floats());
        self.steps.push(Step { name, op, output, floats, multiplications });
    }

    /// Adds the steps that make a value.
    fn value(&mut self, id: ValueId) -> Result<()> {
        let value = &self.lowered.values[id];
        let name = value.name.clone();
        match &value.kind {
            Kind::Gone => return Ok(()),
            Kind::Image => {
                let slot = self.slots.take(self.padded * self.padded * COLOURS);
                let (side, stride, pairs) = (self.padded, COLOURS, false);
                self.places[id] = Some(Place { slot, side, stride, pairs });
                return Ok(());
            }
            Kind::Conv(conv) => self.conv(id, name, conv)?,
            Kind::Depthwise(conv) => {
                let x = self.place(conv.x)?;
                let out = self.make(id, x.stride);
                let taps = conv.linear.numbers()?.pack_depthwise(x.stride);
                let (input, height, width, channels) = (x.slot, x.side, x.side, x.stride);
                let (kernel, stride, activation) = (conv.linear.kernel, conv.stride, conv.activation);
                let op = Op::Depthwise { input, height, width, channels, kernel, stride, taps, activation };
                self.push(name, op, out, conv.multiplications);
            }
            Kind::MaxPool(x) => {
                let x = self.place(*x)?;
                let out = self.make(id, x.stride);
                let (height, width) = (out.side, out.side);
                let op = Op::MaxPool { input: x.slot, height, width, floats: x.stride, pairs: x.pairs };
                self.push("pool".to_string(), op, out, 0);
            }
            Kind::UpsampleAdd { base, low } => {
                let (low, (out, Addend::InPlace)) = (self.place(*low)?, self.make_onto(id, Some(*base))?)
                else {
                    bail!("maps that something is upsampled onto are read again later")
                };
                let (height, width) = (low.side, low.side);
                let (floats, pairs) = (low.stride, low.pairs);
                let op = Op::UpsampleAdd { low: low.slot, height, width, floats, pairs };
                self.push("upsample".to_string(), op, out, 0);
            }
            &Kind::Bilinear { low, factor, base, activation } => {
                let (out, base) = self.make_onto(id, base)?;
                let low = self.place(low)?;
                let (height, width, channels) = (low.side, low.side, low.stride);
                let op = Op::Bilinear { low: low.slot, height, width, channels, factor, base, activation };
                self.push("bilinear".to_string(), op, out, 0);
            }
            Kind::Coordinates { boundary } => {
                let out = self.make(id, coordinates::CHANNELS);
                let maps = boundary.map(|maps| self.place(maps)).transpose()?.map(|maps| maps.slot);
                self.push("coordinates".to_string(), Op::Coordinates { maps }, out, 0);
            }
            Kind::Maps { raw, activation, stage } => {
                let out = self.make(id, self.lowered.layout.channels);
                self.pointwise(name.clone(), raw, out, Addend::None)?;
                self.push(format!("{name}.activate"), Op::Activate { heatmaps: *activation }, out, 0);
                self.push(format!("{name}.stage"), Op::Stage { stage: *stage }, out, 0);
            }
            _ => bail!("{name}: no step makes this"),
        }
        self.free(id);
        Ok(())
    }

    fn conv(&mut self, id: ValueId, name: String, conv: &Conv) -> Result<()> {
        let Some(source) = conv.sources.first() else { bail!("{name}: reads nothing") };
        if matches!(self.lowered.values[source.x].kind, Kind::Image) {
            return self.stem(id, name, conv);
        }
        let (out, residual) = self.make_onto(id, conv.addend)?;
        if conv.is_pointwise() {
            return self.pointwise(name, conv, out, residual);
        }
        let x = self.place(source.x)?;
        if conv.sources.len() > 1 || conv.prepare.is_some() || conv.constant.is_some() {
            bail!("{name}: a convolution with a window that reads more than one value")
        }
        let channels = x.channels();
        let (input, height, width) = (x.slot, x.side, x.side);
        let (kernel, stride, activation) = (conv.linear.kernel, conv.stride, conv.activation);
        let op = if self.numbers.tiles {
            let panels = conv.linear.numbers()?.pack_direct(channels, self.lanes);
            let bf16 = Some(Stored { input: x.pairs, output: out.pairs });
            Op::Window { input, height, width, channels, kernel, stride, panels, residual, activation, bf16 }
        } else if kernel == 3 && stride == 1 && x.side >= WINOGRAD_SIDE {
            let panels = conv.linear.numbers()?.pack_winograd(x.stride, self.lanes, self.numbers.bf16);
            let bf16 = self.numbers.bf16;
            Op::Winograd { input, height, width, channels, panels, residual, activation, bf16 }
        } else {
            let panels = conv.linear.numbers()?.pack(x.stride, self.lanes);
            let bf16 = None;
            Op::Window { input, height, width, channels, kernel, stride, panels, residual, activation, bf16 }
        };
        self.push(name, op, out, conv.multiplications);
        Ok(())
    }

    fn pointwise(&mut self, name: String, conv: &Conv, out: Place, residual: Addend) -> Result<()> {
        let sources = conv.sources.iter().map(|source| {
            let x = self.place(source.x)?;
            Ok(Input { slot: x.slot, floats: x.floats(), stride: x.stride, len: source.len, pairs: x.pairs })
        });
        let sources: Vec<Input> = sources.collect::<Result<_>>()?;
        let first = conv.sources.first().map(|source| self.place(source.x)).transpose()?;
        let stride = first.map_or(0, Place::channels);
        let prepare = conv.prepare.as_ref().map(|prepare| {
            let padded = |values: &[f64]| {
                let mut values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                values.resize(stride, 0.0);
                values
            };
            ScaleRelu { scale: padded(&prepare.scale), shift: padded(&prepare.shift) }
        });
        let (activation, pixels) = (conv.activation, out.pixels());
        let lengths = conv.sources.iter().map(|source| source.len);
        let of = conv.linear.numbers()?;
        let (panels, cells) = if let Some(ways) = self.numbers.bytes(&name, lengths.len())? {
            let sources: Vec<(usize, Bytes)> = lengths.zip(ways.iter().copied()).collect();
            (of.pack_int8(&sources, self.lanes), Cells::Int8(ways))
        } else if self.numbers.bf16 {
            let cells = Cells::Bf16 { filled: self.numbers.tiles };
            let prepared = |i: usize| i == 0 && prepare.is_some();
            let count =
                |(i, x): (usize, &Input)| [x.len, cells.count(x.len, cells.in_place(x.pairs, prepared(i)))];
            let inputs = sources.iter().enumerate().map(count).collect::<Vec<_>>();
            (of.pack_bf16(&inputs, self.lanes), cells)
        } else {
            (of.pack(conv.linear.inputs, self.lanes), Cells::F32)
        };
        let pairs = out.pairs;
        let op = Op::Pointwise { sources, prepare, panels, residual, activation, pixels, cells, pairs };
        self.push(name, op, out, conv.multiplications);
        Ok(())
    }

    /// The first convolution, of the image with its border.
    fn stem(&mut self, id: ValueId, name: String, conv: &Conv) -> Result<()> {
        let image = self.place(conv.sources[0].x)?;
        if conv.sources.len() > 1 || conv.addend.is_some() {
            bail!("{name}: a convolution of the image and something else")
        }
        let (kernel, stride, activation) = (conv.linear.kernel, conv.stride, conv.activation);
        let out = self.make_padded(id);
        let size = self.padded - 2 * (kernel / 2);
        let constant = conv.constant.as_ref().map(|constant| -> Result<Buffer> {
            let map = constant_map(constant, size, stride, out.channels())?;
            let halves = |map: &[f32]| map.chunks_exact(2).map(|two| pair(two[0], two[1])).collect();
            Ok(aligned(&if out.pairs { halves(&map) } else { map }))
        });
        let bf16 = self.numbers.tiles && starts_at_pairs(conv);
        let numbers = conv.linear.numbers()?;
        let panels = if bf16 {
            numbers.pack_rows(stem::line(kernel, COLOURS), self.lanes)
        } else {
            numbers.pack(COLOURS, self.lanes)
        };
        let (image, padded, constant, pairs) = (image.slot, self.padded, constant.transpose()?, out.pairs);
        let op = Op::Stem { image, padded, kernel, stride, panels, constant, activation, bf16, pairs };
        self.push(name, op, out, conv.multiplications);
        Ok(())
    }
}

/// What constant coordinate channels contribute to a convolution of a `size`-pixel image: `[side, side, stride]`.
fn constant_map(conv: &Linear, size: usize, step: usize, stride: usize) -> Result<Vec<f32>> {
    let grid = coord_conv::coordinates(size, size, DType::F32, &Device::Cpu)?.narrow(1, 0, conv.inputs)?;
    let weights: Vec<f32> = conv.numbers()?.weights.iter().map(|&weight| weight as f32).collect();
    let weights =
        Tensor::from_vec(weights, (conv.outputs, conv.inputs, conv.kernel, conv.kernel), &Device::Cpu)?;
    let map = grid.contiguous()?.conv2d(&weights, conv.kernel / 2, step, 1, 1)?;
    let (_, outputs, h, w) = map.dims4()?;
    let planes = map.flatten_all()?.to_vec1::<f32>()?;
    let mut pixels = vec![0.0; h * w * stride];
    for (c, plane) in planes.chunks_exact((h * w).max(1)).enumerate().take(outputs) {
        for (pixel, &value) in pixels.chunks_exact_mut(stride).zip(plane) {
            pixel[c] = value;
        }
    }
    Ok(pixels)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
mod tests {
    use super::super::kernels::Isa;
    use super::super::passes::tests::network;
    use super::*;
    use crate::graph::NodeId;
    use crate::graph::builder::GraphBuilder;

    /// Names of the values that lie in memory as pairs, of a network with a residual block in its middle and `end` behind it.
    fn stored_as_pairs(tiles: bool, end: impl Fn(&mut GraphBuilder, NodeId) -> NodeId) -> Vec<String> {
        let network = network(|g, x| {
            let y = g.conv(x, "narrow.conv", 16, 1, 1);
            let y = g.relu(y);
            let y = g.conv(y, "window.conv", 16, 3, 1);
            let y = g.relu(y);
            let y = g.conv(y, "wide.conv", 16, 1, 1);
            let block = g.add(x, y);
            end(g, block)
        });
        let mut lowered = Lowered::new(&network, Isa::Portable.kernels().unwrap().lanes()).unwrap();
        lowered.rewrite().unwrap();
        let pairs = pairs(&lowered, &lowered.readers(), Narrow { bf16: true, tiles, int8: None });
        let named = lowered.order.iter().filter(|&&id| pairs[id]);
        named.map(|&id| lowered.values[id].name.clone()).collect()
    }

    #[test]
    fn what_only_products_poolings_and_upsamplings_read_is_stored_as_pairs() {
        let trunk = |g: &mut GraphBuilder, x| {
            let low = g.max_pool(x);
            let low = g.conv(low, "low.conv", 16, 3, 1);
            g.upsample_add(x, low)
        };
        let names = stored_as_pairs(true, trunk);
        for part in ["stem", "narrow", "window", "wide", "low"] {
            assert!(names.iter().any(|name| name.contains(part)), "{part} is not of {names:?}");
        }
        assert!(!names.iter().any(|name| name.contains("head") || name.contains("image")), "{names:?}");
        assert_eq!(stored_as_pairs(false, trunk), [""; 0]);
    }

    #[test]
    fn what_is_interpolated_stays_floats_with_all_that_is_added_up_to_it() {
        let names = stored_as_pairs(true, |g, x| {
            let low = g.conv(x, "low.conv", 16, 3, 2);
            let up = g.bilinear(low, 2);
            g.add(x, up)
        });
        assert!(names.iter().any(|name| name.contains("window")), "{names:?}");
        assert!(
            !names.iter().any(|name| ["stem", "wide", "low"].iter().any(|p| name.contains(p))),
            "{names:?}"
        );
    }

    #[test]
    fn freed_memory_is_used_again_and_live_memory_is_not() {
        let mut slots = Slots::default();
        let (large, small) = (slots.take(1024), slots.take(128));
        assert_ne!(large, small);
        slots.free.extend([large, small]);
        // fits the small one; the next fits neither what is left nor less, so the large one grows
        assert_eq!(slots.take(32), small);
        assert_eq!(slots.take(4096), large);
        assert_eq!(slots.sizes, [4096, 128]);
    }
}
