//! Writing a program step by step, and handing out its memory.

use super::fold::Linear;
use super::memory::Buffer;
use super::ops::heads::Layout;
use super::ops::panels::Panels;
use super::ops::pointwise::ScaleRelu;
use super::program::{Addend, Input, Op, Step};
use crate::HeatmapActivation;
use crate::activation::Activation;

/// Maps lower or narrower than this go the direct way: a Winograd tile would be mostly border, and its weights, four
/// times as many, would be read for a handful of tiles.
const WINOGRAD_SIDE: usize = 12;

/// A channels-last activation while a program is written. Not `Clone`: giving one away frees its memory for others.
pub(super) struct Value {
    pub(super) slot: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    /// Channels that mean something; behind them are zeros up to `stride`.
    pub(super) channels: usize,
    /// Floats from pixel to pixel.
    pub(super) stride: usize,
}

impl Value {
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub(super) fn floats(&self) -> usize {
        self.pixels() * self.stride
    }

    /// Its first `len` channels as what a 1x1 convolution reads.
    pub(super) fn input(&self, len: usize) -> Input {
        Input { slot: self.slot, floats: self.floats(), stride: self.stride, len }
    }
}

/// What a convolution's result is added to.
pub(super) enum Sum<'a> {
    Nothing,
    /// To this, which is left as it is.
    With(&'a Value),
    /// To this, which it replaces.
    Into(Value),
}

/// Steps so far, and which slots are free.
pub(super) struct Builder {
    pub(super) lanes: usize,
    pub(super) layout: Layout,
    steps: Vec<Step>,
    slots: Vec<usize>,
    free: Vec<usize>,
}

impl Builder {
    pub(super) fn new(lanes: usize, layout: Layout) -> Self {
        Self { lanes, layout, steps: Vec::new(), slots: Vec::new(), free: Vec::new() }
    }

    /// Memory for `[height, width, stride]`: the smallest free slot that is large enough, or the largest one grown.
    pub(super) fn value(&mut self, height: usize, width: usize, channels: usize, stride: usize) -> Value {
        let floats = height * width * stride;
        let fits = |slot: &usize| self.slots[*slot] >= floats;
        let free = || self.free.iter().copied();
        let best = free().filter(fits).min_by_key(|&slot| self.slots[slot]);
        let slot = best.or_else(|| free().max_by_key(|&slot| self.slots[slot])).unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(floats);
        }
        self.slots[slot] = self.slots[slot].max(floats);
        self.free.retain(|&other| other != slot);
        Value { slot, height, width, channels, stride }
    }

    /// As [`Builder::value`], channels padded to whole registers.
    pub(super) fn padded(&mut self, height: usize, width: usize, channels: usize) -> Value {
        self.value(height, width, channels, channels.next_multiple_of(self.lanes))
    }

    /// Gives a value's memory back.
    pub(super) fn free(&mut self, value: Value) {
        self.free.push(value.slot);
    }

    /// Adds a step that writes `output`.
    pub(super) fn push(&mut self, name: String, op: Op, output: &Value, multiplications: usize) {
        let multiplications = multiplications as u64;
        self.steps.push(Step { name, op, output: output.slot, floats: output.floats(), multiplications });
    }

    /// Adds a 1x1 convolution.
    pub(super) fn pointwise(
        &mut self,
        name: String,
        sources: Vec<Input>,
        (prepare, panels): (Option<ScaleRelu>, Panels),
        residual: Addend,
        activation: Activation,
        output: &Value,
    ) {
        let (pixels, work) = (output.pixels(), output.pixels() * panels.depth * output.channels);
        self.push(
            name,
            Op::Pointwise { sources, prepare, panels, residual, activation, pixels },
            output,
            work,
        );
    }

    /// Adds a 3x3 convolution of `x`; what it is added to decides where its output goes.
    pub(super) fn conv3x3(
        &mut self,
        name: String,
        conv: &Linear,
        x: &Value,
        stride: usize,
        sum: Sum,
        activation: Activation,
    ) -> Value {
        let halved = |side: usize| side.div_ceil(stride);
        let (height, width) = (halved(x.height), halved(x.width));
        let (residual, out) = match sum {
            Sum::Nothing => (Addend::None, self.padded(height, width, conv.outputs())),
            Sum::With(other) => (Addend::Slot(other.slot), self.padded(height, width, conv.outputs())),
            Sum::Into(out) => (Addend::InPlace, out),
        };
        let input = x.slot;
        let op = if stride == 1 && height.min(width) >= WINOGRAD_SIDE {
            Op::Winograd {
                input,
                height,
                width,
                panels: conv.pack_winograd(x.stride, self.lanes),
                residual,
                activation,
            }
        } else {
            let (height, width, channels, kernel) = (x.height, x.width, x.stride, conv.kernel);
            let panels = conv.pack(x.stride, self.lanes);
            Op::Window { input, height, width, channels, kernel, stride, panels, residual, activation }
        };
        self.push(name, op, &out, out.pixels() * 9 * conv.inputs * conv.outputs());
        out
    }

    /// Adds the first convolution, with a ReLU, of an image with a border of zeros; `inputs` counts constant channels too.
    pub(super) fn stem(
        &mut self,
        name: &str,
        panels: Panels,
        (kernel, stride, inputs): (usize, usize, usize),
        constant: Option<Buffer>,
        image: Value,
        out: &Value,
    ) {
        let work = out.pixels() * out.channels * inputs * kernel * kernel;
        let op = Op::Stem { image: image.slot, padded: image.height, kernel, stride, panels, constant };
        self.push(name.to_string(), op, out, work);
        self.free(image);
    }

    /// Adds the activations of heads and shows their maps to the caller as stage `stage`.
    pub(super) fn stage_maps(&mut self, name: &str, maps: &Value, heatmaps: HeatmapActivation, stage: usize) {
        self.push(format!("{name}.activate"), Op::Activate { heatmaps }, maps, 0);
        self.push(format!("{name}.stage"), Op::Stage { stage }, maps, 0);
    }

    /// Steps, and the size of each slot in floats.
    pub(super) fn finish(self) -> (Vec<Step>, Vec<usize>) {
        (self.steps, self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_memory_is_used_again_and_live_memory_is_not() {
        let mut builder = Builder::new(8, Layout::new(1, None, 8));
        let (large, small) = (builder.padded(8, 8, 16), builder.padded(4, 4, 3));
        assert_ne!(large.slot, small.slot);
        assert_eq!(small.stride, 8);
        let (at_large, at_small) = (large.slot, small.slot);
        builder.free(large);
        builder.free(small);
        // fits the small one; the next fits neither what is left nor less, so the large one grows
        assert_eq!(builder.padded(2, 2, 8).slot, at_small);
        assert_eq!(builder.padded(16, 16, 16).slot, at_large);
        assert_eq!(builder.finish().1, [16 * 16 * 16, 4 * 4 * 8]);
    }
}
