//! The backward pass: the plan's values in reverse, each with the gradient that its readers have left for it.

use super::forward::{Kept, Pass, nothing};
use super::head_gradients;
use super::linear::{Finish, Input, Linear};
use super::maps::{max_pool_back, upsample_back};
use super::memory::Floats;
use super::norm::Sums;
use super::parameters::Gradients;
use super::plan::{Kind, Part};
use super::spatial::Spatial;
use super::weight_gradient::weight_gradient;
use crate::graph::NodeId;
use crate::plan::ops::panels::Panels;
use crate::plan::ops::pointwise::Residual;

/// Gradients by values, as far as their readers have been seen.
struct Back<'a, 'p> {
    pass: &'a Pass<'p>,
    kept: Kept,
    values: Vec<Option<Floats>>,
    /// Sums of the gradient by a norm's activations, where the product that wrote it has summed it.
    sums: Vec<Option<Sums>>,
    /// Readers whose gradients are still to come.
    waiting: Vec<usize>,
}

impl Pass<'_> {
    /// From the gradients by the maps of each stage, as planes, to that by the stem's activations; parameters' go to `gradients`.
    pub(super) fn backward(
        &self,
        kept: Kept,
        stages: &[[Option<&[f32]>; 3]],
        gradients: &mut Gradients,
    ) -> Option<Floats> {
        let count = self.plan.kinds.len();
        let mut back = Back {
            pass: self,
            kept,
            values: nothing(count),
            sums: nothing(count),
            waiting: self.plan.readers.clone(),
        };
        for section in (0..self.plan.sections.len()).rev() {
            self.again(section, &mut back.kept);
            for id in self.plan.sections[section].clone().rev().filter(|&id| id > self.plan.given) {
                back.value(id, stages, gradients);
                back.kept.values[id] = None;
                back.kept.norms[id] = None;
                back.kept.maps[id] = None;
            }
        }
        back.values[self.plan.given].take()
    }
}

impl Back<'_, '_> {
    fn value(&mut self, id: NodeId, stages: &[[Option<&[f32]>; 3]], gradients: &mut Gradients) {
        let (pass, passes) = (self.pass, self.pass.passes);
        let d = self.values[id].take();
        match (&pass.plan.kinds[id], d) {
            (Kind::Maps { heads, stage, .. }, besides) => {
                let given = stages.get(*stage).copied().unwrap_or_default();
                self.heads(id, heads, given, besides, gradients);
            }
            (Kind::Linear { parts, addend, convs }, Some(d)) => {
                // Biases in front of a norm change nothing: their gradients are exactly 0.
                let normed = |kind: &Kind| matches!(kind, Kind::Norm { x, .. } if *x == id);
                let unbiased = pass.plan.readers[id] == 1 && pass.plan.kinds[id..].iter().any(normed);
                for (i, part) in parts.iter().enumerate() {
                    self.weights(part, &d, i == 0 && !unbiased, gradients);
                    let weights = pass.weights(part, pass.plan.channels[id]);
                    self.pass_on(part.x, &d, &weights);
                }
                if unbiased {
                    convs.iter().for_each(|&conv| gradients.bias(conv, vec![0.0; conv.outputs]));
                } else if let Some(bias) = convs.first().and_then(|conv| gradients.0[conv.bias].clone()) {
                    convs[1..].iter().for_each(|&conv| gradients.bias(conv, bias.clone()));
                }
                if let Some(addend) = addend {
                    self.give(*addend, d);
                }
            }
            (Kind::Spatial { conv, norm }, Some(d)) => {
                let weight = passes.values[conv.weight];
                let spatial = Spatial { maps: pass.size(id), channels: conv.outputs, weight };
                if let Some((x, of)) = pass.normed(*norm, &self.kept) {
                    gradients.unbiased(*conv, spatial.weight_gradient(passes, x, &of.affine, &d));
                }
                self.give(*norm, spatial.input_gradient(passes, &d));
            }
            (Kind::Norm { x, at }, Some(mut d)) => {
                let around = self.values[*x].take();
                if let Some((values, norm)) = pass.normed(id, &self.kept) {
                    let sums = self.sums[id].take();
                    let sums = sums.unwrap_or_else(|| norm.mask(passes, values, &mut d));
                    gradients.norm(passes, *at, norm, &sums).apply(passes, values, &mut d, around.as_deref());
                }
                self.waiting[*x] -= 1;
                self.values[*x] = Some(d);
            }
            (Kind::MaxPool { x }, Some(d)) => {
                if let Some(values) = &self.kept.values[*x] {
                    let mut dx = self.values[*x].take().unwrap_or_else(|| passes.memory.zeros(values.len()));
                    max_pool_back(passes, pass.size(*x), values, &d, &mut dx);
                    self.values[*x] = Some(dx);
                }
                self.waiting[*x] -= 1;
            }
            (Kind::UpsampleAdd { base, low }, Some(d)) => {
                self.give(*low, upsample_back(passes, pass.size(*low), &d));
                self.give(*base, d);
            }
            (kind, _) => kind.reads().into_iter().for_each(|(x, _)| self.waiting[x] -= 1),
        }
    }

    /// Adds `d` to the gradient by value `x`.
    fn give(&mut self, x: NodeId, d: Floats) {
        self.waiting[x] -= 1;
        match &mut self.values[x] {
            Some(sum) => sum.iter_mut().zip(d.iter()).for_each(|(sum, d)| *sum += d),
            empty => *empty = Some(d),
        }
    }

    /// Adds to the gradient by value `x` that of a product by `weights` `[outputs, width]` whose output's is `d`.
    fn pass_on(&mut self, x: NodeId, d: &[f32], weights: &[f32]) {
        let (pass, passes) = (self.pass, self.pass.passes);
        self.waiting[x] -= 1;
        if matches!(pass.plan.kinds[x], Kind::Coordinates { .. }) {
            return;
        }
        let width = pass.width(x);
        let outputs = weights.len() / width;
        let pixels = d.len() / outputs;
        let panels = &Panels::gathered(&vec![0.0; width], outputs, passes.kernels.lanes(), |c, k| {
            weights[k * width + c]
        });
        let (mut dx, add) = match self.values[x].take() {
            Some(sum) => (sum, Residual::InPlace),
            None => (passes.memory.take(pixels * width), Residual::None),
        };
        // The last one to add to a norm's activations cuts and sums while the values are at hand.
        let norm = pass.normed(x, &self.kept).filter(|_| self.waiting[x] == 0);
        let finish = norm.map_or(Finish::Nothing, |(x, norm)| Finish::Mask { x, norm });
        let inputs = &[Input::all(d, outputs)];
        let sums = Linear { pixels, inputs, panels, add, finish }.run(passes, &mut dx);
        if norm.is_some() {
            self.sums[x] = Some(sums);
        }
        self.values[x] = Some(dx);
    }

    /// The gradients of a part's weights, and with `bias` those of the first convolution's.
    fn weights(&self, part: &Part, d: &[f32], bias: bool, gradients: &mut Gradients) {
        let outputs = part.slices.first().map_or(0, |slice| slice.conv.outputs);
        let input = self.pass.input(part.x, &self.kept);
        let gradient = weight_gradient(self.pass.passes, d, outputs, &input);
        for (i, slice) in part.slices.iter().enumerate() {
            let at = self.pass.place(part.x, slice);
            let (weight, sums) = gradient.part(0..outputs, at..at + slice.len);
            gradients.columns(slice.conv, slice.from, weight);
            if bias && i == 0 {
                gradients.bias(slice.conv, sums);
            }
        }
    }

    /// The maps of stage, given the gradients by what the network returned and, from the next stage, by the maps themselves.
    fn heads(
        &mut self,
        id: NodeId,
        heads: &Part,
        given: [Option<&[f32]>; 3],
        besides: Option<Floats>,
        gradients: &mut Gradients,
    ) {
        let (pass, layout) = (self.pass, &self.pass.shared.layout);
        let Some(maps) = self.kept.maps[id].take() else { return };
        let gates = pass.shared.gates.as_ref();
        let d = head_gradients::backward(pass.passes, layout, gates, pass.size(id), &maps, given, besides);
        drop(maps);
        let input = pass.input(heads.x, &self.kept);
        let inputs = input.len;
        let gradient = weight_gradient(pass.passes, &d, layout.channels, &input);
        for slice in &heads.slices {
            let first = pass.head_place(slice);
            gradients.conv(slice.conv, gradient.part(first..first + slice.conv.outputs, 0..inputs));
        }
        let (weights, _) = pass.head_weights(heads);
        self.pass_on(heads.x, &d, &weights);
    }
}
