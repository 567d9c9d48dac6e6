//! Writing a program step by step, and handing out its memory.

use super::ops::heads::Layout;
use super::program::{Addend, Input, Op, Step};

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
        (prepare, panels): (Option<super::ops::pointwise::ScaleRelu>, super::ops::panels::Panels),
        residual: Addend,
        relu: bool,
        output: &Value,
    ) {
        let (pixels, work) = (output.pixels(), output.pixels() * panels.depth * output.channels);
        self.push(name, Op::Pointwise { sources, prepare, panels, residual, relu, pixels }, output, work);
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
        let mut builder = Builder::new(8, Layout::new(1, 0, false, 8));
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
