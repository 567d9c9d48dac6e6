//! The backward pass: the plan's values in reverse, each with the gradient that its readers have left for it.

use super::forward::{Kept, Pass, nothing};
use super::head_gradients;
use super::linear::{Finish, Input, Linear, panels};
use super::maps::{add, max_pool_back, upsample_back};
use super::memory::Floats;
use super::norm::{Sums, column_sums};
use super::parameters::Gradients;
use super::pixels::{Pixels, floats_of};
use super::plan::{Kind, Part, Term};
use super::sums::{copied, mask, norm_sums, upsample_back as bilinear_back};
use super::weight_gradient::weight_gradient;
use crate::HeatmapActivation;
use crate::graph::NodeId;
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
    /// From the gradients by the maps of each stage, as planes, to those of the parameters.
    pub(super) fn backward(&self, kept: Kept, stages: &[[Option<&[f32]>; 3]], gradients: &mut Gradients) {
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
            for id in self.plan.sections[section].clone().rev() {
                back.value(id, stages, gradients);
                back.kept.values[id] = None;
                back.kept.maps[id] = None;
            }
        }
    }
}

impl Back<'_, '_> {
    fn value(&mut self, id: NodeId, stages: &[[Option<&[f32]>; 3]], gradients: &mut Gradients) {
        let (pass, passes) = (self.pass, self.pass.passes);
        let d = self.values[id].take();
        match (&pass.plan.kinds[id], d) {
            (Kind::Maps { heads, activation, stage, .. }, besides) => {
                let given = stages.get(*stage).copied().unwrap_or_default();
                self.heads(id, (heads, *activation), given, besides, gradients);
            }
            (Kind::Linear { parts, addend, convs }, Some(d)) => {
                let of = pass.pixels(id, &d);
                for part in parts {
                    self.weights(id, part, of, gradients);
                    let weights = pass.weights(part, pass.plan.channels[id]);
                    self.pass_on(part.x, of, &weights);
                }
                let bias = self.bias(id, of);
                convs.iter().for_each(|&conv| gradients.bias(conv, bias.clone()));
                if let Some(addend) = addend {
                    self.give(*addend, d);
                }
            }
            (&Kind::Window { conv, kernel, stride, x }, Some(d)) => {
                let window = pass.window(id, conv, kernel, stride, x);
                let d = pass.pixels(id, &d);
                let weight = window.weight_gradient(passes, &pass.input(x, &self.kept), d);
                gradients.conv(conv, (weight, self.bias(id, d)));
                if matches!(pass.plan.kinds[x], Kind::Image { .. }) {
                    self.waiting[x] -= 1;
                } else {
                    let to = (pass.padded(x), pass.pairs(x));
                    self.give(x, window.input_gradient(passes, d, to));
                }
            }
            (&Kind::Depthwise { conv, kernel, stride, x }, Some(d)) => {
                let depthwise = pass.depthwise(id, conv, kernel, stride, x);
                let weight = depthwise.weight_gradient(passes, &pass.input(x, &self.kept), &d);
                gradients.conv(conv, (weight, self.bias(id, pass.pixels(id, &d))));
                self.give(x, depthwise.input_gradient(passes, &d, pass.padded(x)));
            }
            (Kind::Norm { x, at }, Some(mut d)) => {
                let around = self.values[*x].take();
                if let Some((values, norm)) = pass.normed(id, &self.kept) {
                    let sums = self.sums[id].take();
                    let sums = sums.unwrap_or_else(|| norm.mask(passes, values, &mut d));
                    gradients.norm(passes, *at, norm, &sums).apply(passes, values, &mut d, around.as_deref());
                }
                self.kept.norms[at.statistics] = None;
                self.waiting[*x] -= 1;
                self.values[*x] = Some(d);
            }
            (Kind::Sum { terms, relu }, Some(mut d)) => {
                if *relu && let Some(y) = &self.kept.values[id] {
                    mask(passes, pass.pixels(id, y), &mut d);
                }
                self.terms(id, terms, d, gradients);
            }
            (Kind::MaxPool { x }, Some(d)) => {
                if let Some(values) = &self.kept.values[*x] {
                    let mut dx = self.values[*x].take().unwrap_or_else(|| passes.memory.zeros(values.len()));
                    max_pool_back(passes, pass.size(*x), values, &d, pass.pairs(id), &mut dx);
                    self.values[*x] = Some(dx);
                }
                self.waiting[*x] -= 1;
            }
            (Kind::UpsampleAdd { base, low }, Some(d)) => {
                self.give(*low, upsample_back(passes, pass.size(*low), &d, pass.pairs(id)));
                self.give(*base, d);
            }
            (kind, _) => kind.reads().into_iter().for_each(|(x, _)| self.waiting[x] -= 1),
        }
    }

    /// Hands the gradient `d` by a sum to what it is a sum of.
    fn terms(&mut self, id: NodeId, terms: &[Term], d: Floats, gradients: &mut Gradients) {
        let (pass, passes) = (self.pass, self.pass.passes);
        let (size, channels) = (pass.size(id), pass.padded(id));
        for term in terms.iter().filter(|term| term.factor > 1) {
            let low = bilinear_back(passes, size, term.factor, &d, channels);
            self.term(term, low, gradients);
        }
        let same: Vec<&Term> = terms.iter().filter(|term| term.factor == 1).collect();
        let mut d = Some(d);
        for (i, term) in same.iter().enumerate() {
            let last = i + 1 == same.len();
            let own = if last { d.take() } else { d.as_deref().map(|d| copied(passes, d)) };
            if let Some(own) = own {
                self.term(term, own, gradients);
            }
        }
    }

    /// The gradient `d` by one term, of the term's size.
    fn term(&mut self, term: &Term, mut d: Floats, gradients: &mut Gradients) {
        let passes = self.pass.passes;
        if let Some(at) = term.norm
            && let Some(norm) = self.kept.norms[at.statistics].take()
            && let Some(x) = self.pass.kept(term.x, &self.kept)
        {
            let sums = norm_sums(passes, &norm, x, &d);
            gradients.norm(passes, at, &norm, &sums).apply(passes, x, &mut d, None);
        }
        self.give(term.x, d);
    }

    /// Adds `d` to the gradient by value `x`.
    fn give(&mut self, x: NodeId, d: Floats) {
        self.waiting[x] -= 1;
        match &mut self.values[x] {
            Some(sum) => add(self.pass.passes, &d, self.pass.pairs(x), sum),
            empty => *empty = Some(d),
        }
    }

    /// Adds to the gradient by value `x` that of a product by `weights` `[outputs, width]` whose output's is `d`.
    fn pass_on(&mut self, x: NodeId, d: Pixels, weights: &[f32]) {
        let (pass, passes) = (self.pass, self.pass.passes);
        self.waiting[x] -= 1;
        if matches!(pass.plan.kinds[x], Kind::Coordinates { .. } | Kind::Image { .. }) {
            return;
        }
        let width = pass.width(x);
        let (outputs, pixels, pairs) = (weights.len() / width, d.count(), pass.pairs(x));
        let panels = &panels(passes, &vec![0.0; width], &[outputs], |c, k| weights[k * width + c]);
        let (mut dx, add) = match self.values[x].take() {
            Some(sum) => (sum, Residual::InPlace),
            None => (passes.memory.take(pixels * floats_of(panels.channels, pairs)), Residual::None),
        };
        // The last one to add to a norm's activations cuts and sums while the values are at hand.
        let norm = pass.normed(x, &self.kept).filter(|_| self.waiting[x] == 0);
        let finish = norm.map_or(Finish::Nothing, |(x, norm)| Finish::Mask { x, norm });
        let inputs = &[Input { len: outputs, ..Input::all(d) }];
        let sums = Linear { pixels, inputs, panels, add, finish, pairs }.run(passes, &mut dx);
        if norm.is_some() {
            self.sums[x] = Some(sums);
        }
        self.values[x] = Some(dx);
    }

    /// The gradients of a part's weights, from that by value `id`.
    fn weights(&self, id: NodeId, part: &Part, d: Pixels, gradients: &mut Gradients) {
        let (pass, outputs) = (self.pass, self.pass.plan.channels[id]);
        let gradient = weight_gradient(pass.passes, d, &pass.input(part.x, &self.kept));
        for slice in &part.slices {
            let at = pass.place(part.x, slice);
            gradients.columns(slice.conv, slice.from, gradient.part(0..outputs, at..at + slice.len).0);
        }
    }

    /// The gradient of the biases behind value `id`, whose own is `d`. In front of a norm biases change nothing: exactly 0.
    fn bias(&self, id: NodeId, d: Pixels) -> Vec<f32> {
        let plan = self.pass.plan;
        match plan.norm_behind[id] {
            Some(_) => vec![0.0; plan.channels[id]],
            None => {
                let sums = column_sums(self.pass.passes, d);
                sums.into_iter().take(plan.channels[id]).map(|sum| sum as f32).collect()
            }
        }
    }

    /// The maps of a stage, given the gradients by what the network returned and, from the next stage, by the maps themselves.
    fn heads(
        &mut self,
        id: NodeId,
        (heads, activation): (&Part, HeatmapActivation),
        given: [Option<&[f32]>; 3],
        besides: Option<Floats>,
        gradients: &mut Gradients,
    ) {
        let pass = self.pass;
        let Some(maps) = self.kept.maps[id].take() else { return };
        let d = head_gradients::backward(pass.passes, &pass.heads(id, activation), &maps, given, besides);
        drop(maps);
        let input = pass.input(heads.x, &self.kept);
        let inputs = input.len;
        let d = pass.pixels(id, &d);
        let gradient = weight_gradient(pass.passes, d, &input);
        for slice in &heads.slices {
            let first = pass.shared.place(slice.maps);
            gradients.conv(slice.conv, gradient.part(first..first + slice.conv.outputs, 0..inputs));
        }
        let (weights, _) = pass.head_weights(heads);
        self.pass_on(heads.x, d, &weights);
    }
}
