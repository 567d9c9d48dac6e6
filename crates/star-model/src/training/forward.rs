//! The forward pass: the plan's values one after the other, each kept as long as anybody reads it.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::depthwise::Depthwise;
use super::heads::{self, Gates, Heads, KeptMaps, Stage};
use super::linear::{Finish, Input, Linear, panels};
use super::maps::{max_pool, upsample_add};
use super::memory::Floats;
use super::norm::{Norm, Sums};
use super::parameters::{ConvAt, NormAt};
use super::pixels::{Pixels, floats_of};
use super::plan::{Kind, Part, Plan, Slice, Term, WhichMaps};
use super::sums::{self, Addend};
use super::window::Window;
use super::{Maps, Passes};
use crate::HeatmapActivation;
use crate::coord_conv::{self, BOUNDARY};
use crate::gate::edge_to_point;
use crate::graph::{self, NodeId};
use crate::plan::ops::coordinates;
use crate::plan::ops::heads::Layout;
use crate::plan::ops::pointwise::{Residual, ScaleRelu};

/// Floats a pixel of a buffer of coordinates: padded to the widest register.
const COORDINATES: usize = 16;

/// What all stages of a network share, for one instruction set.
pub(super) struct Shared {
    pub(super) layout: Layout,
    pub(super) gates: Option<Gates>,
    /// Applied to maps on their way into a product: the heatmaps' ReLU, which changes no other map.
    relu: ScaleRelu,
}

/// Values that the backward pass reads, and those that a value still to come reads.
pub(super) struct Kept {
    pub(super) values: Vec<Option<Floats>>,
    /// In the order of the plan's.
    pub(super) norms: Vec<Option<Norm>>,
    pub(super) maps: Vec<Option<KeptMaps>>,
    /// The parts of the network whose values were dropped.
    forgotten: Vec<bool>,
}

/// As many times nothing.
pub(super) fn nothing<T>(count: usize) -> Vec<Option<T>> {
    std::iter::repeat_with(|| None).take(count).collect()
}

/// A pass over a batch.
pub(super) struct Pass<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Shared,
    pub(super) passes: &'a Passes<'a>,
    pub(super) images: usize,
    /// Whether values and gradients lie in memory as pairs in bf16, but for those that [`Pass::pairs`] leaves out.
    pub(super) pairs: bool,
}

impl Shared {
    /// For registers of `lanes` values.
    pub(super) fn new(plan: &Plan, lanes: usize) -> Self {
        let layout = Layout::new(plan.points, plan.edges.as_ref().map(Vec::len), lanes);
        let gates = plan
            .edges
            .as_ref()
            .map(|edges| Gates::new(&edge_to_point(plan.points, edges), edges.len(), lanes));
        let relu = ScaleRelu { scale: vec![1.0; layout.channels], shift: vec![0.0; layout.channels] };
        Self { layout, gates, relu }
    }

    /// Where maps lie among the channels of a stage's.
    pub(super) fn place(&self, which: WhichMaps) -> usize {
        match which {
            WhichMaps::Heat => 0,
            WhichMaps::Points => self.layout.heat,
            WhichMaps::Edges => self.layout.first_edge(),
        }
    }
}

impl<'a> Pass<'a> {
    pub(super) fn size(&self, id: NodeId) -> Maps {
        let side = self.plan.sides[id];
        Maps { images: self.images, height: side, width: side }
    }

    /// Whether value `id`, and the gradient by it, lies in memory as pairs in bf16: images, coordinates and maps do not.
    pub(super) fn pairs(&self, id: NodeId) -> bool {
        let kind = &self.plan.kinds[id];
        self.pairs && !matches!(kind, Kind::Image { .. } | Kind::Coordinates { .. } | Kind::Maps { .. })
    }

    /// Value `id`, or the gradient by it.
    pub(super) fn pixels<'k>(&self, id: NodeId, values: &'k [f32]) -> Pixels<'k> {
        Pixels { values, channels: self.padded(id), pairs: self.pairs(id) }
    }

    /// Value `id`, where it is kept.
    pub(super) fn kept<'k>(&self, id: NodeId, kept: &'k Kept) -> Option<Pixels<'k>> {
        kept.values[id].as_deref().map(|values| self.pixels(id, values))
    }

    /// Channels of value `id`, padded to whole registers.
    pub(super) fn padded(&self, id: NodeId) -> usize {
        let channels = match self.plan.kinds[id] {
            Kind::Maps { .. } => self.shared.layout.channels,
            Kind::Coordinates { .. } => COORDINATES,
            _ => self.width(id),
        };
        channels.next_multiple_of(self.passes.kernels.lanes())
    }

    /// The whole pass from images, planes; with `recompute`, what only a part of the network itself reads again is dropped at its end.
    /// Returns the maps of every stage.
    pub(super) fn forward(&self, images: &[f32], recompute: bool) -> (Vec<Stage>, Kept) {
        let count = self.plan.kinds.len();
        let mut kept = Kept {
            values: nothing(count),
            norms: nothing(self.plan.norms),
            maps: nothing(count),
            forgotten: vec![false; self.plan.sections.len()],
        };
        kept.values[0] = Some(self.image(images));
        let mut stages = Vec::with_capacity(self.plan.stages);
        for section in 0..self.plan.sections.len() {
            self.section(section, &mut kept, &mut |planes| stages.push(planes));
            if recompute && section > 0 {
                self.forget(section, &mut kept);
            }
        }
        (stages, kept)
    }

    /// Planes to channels-last pixels, coordinates behind the colours where the network sees them.
    fn image(&self, planes: &[f32]) -> Floats {
        let (size, stride) = (self.size(0), self.padded(0));
        let mut out = self.passes.memory.zeros(size.pixels() * stride);
        let coordinates = match self.plan.kinds[0] {
            Kind::Image { coordinates: true } => coord_conv::planes(size.height, size.width),
            _ => Vec::new(),
        };
        let (plane, row) = (size.image(), size.width);
        let colours = self.plan.channels[0];
        out.par_chunks_exact_mut(row * stride).enumerate().for_each(|(y, out)| {
            let (n, first) = (y / size.height, y % size.height * row);
            let image = planes[n * colours * plane..][..colours * plane].chunks_exact(plane);
            for (c, values) in image.chain(coordinates.chunks_exact(plane)).enumerate() {
                for (pixel, &value) in out.chunks_exact_mut(stride).zip(&values[first..first + row]) {
                    pixel[c] = value;
                }
            }
        });
        out
    }

    /// Works out the values of one part of the network again, where they were dropped.
    pub(super) fn again(&self, section: usize, kept: &mut Kept) {
        if std::mem::take(&mut kept.forgotten[section]) {
            self.section(section, kept, &mut |_| {});
        }
    }

    /// The values of one part of the network that are not there yet; `on_stage` gets the maps of its stages.
    fn section(&self, section: usize, kept: &mut Kept, on_stage: &mut dyn FnMut(Stage)) {
        let mut waiting = self.plan.readers.clone();
        for id in self.plan.sections[section].clone() {
            if kept.values[id].is_none() {
                self.value(id, kept, on_stage);
            }
            for (x, _) in self.plan.kinds[id].reads() {
                waiting[x] = waiting[x].saturating_sub(1);
                if waiting[x] == 0 && !self.plan.kept[x] {
                    kept.values[x] = None;
                }
            }
        }
    }

    /// Drops all values of a part that nothing behind it reads; coordinates stay, since the maps that they come from do not.
    fn forget(&self, section: usize, kept: &mut Kept) {
        kept.forgotten[section] = true;
        let range = self.plan.sections[section].clone();
        let later = self.plan.kinds[range.end..].iter().flat_map(Kind::reads).map(|(x, _)| x);
        let later: BTreeSet<NodeId> = later.collect();
        for id in range.filter(|id| !later.contains(id)) {
            if !matches!(self.plan.kinds[id], Kind::Coordinates { .. }) {
                kept.values[id] = None;
                kept.maps[id] = None;
                self.plan.kinds[id].norms().iter().for_each(|(_, at)| kept.norms[at.statistics] = None);
            }
        }
    }

    fn value(&self, id: NodeId, kept: &mut Kept, on_stage: &mut dyn FnMut(Stage)) {
        let (passes, size) = (self.passes, self.size(id));
        match &self.plan.kinds[id] {
            Kind::Gone | Kind::Image { .. } => {}
            Kind::Linear { parts, addend, .. } => {
                let y = self.linear(id, parts, *addend, kept);
                kept.values[id] = Some(y);
            }
            &Kind::Window { conv, kernel, stride, x } => {
                let window = self.window(id, conv, kernel, stride, x);
                let bias = passes.values[conv.bias];
                let y = window.forward(passes, &self.input(x, kept), bias, self.pairs(id));
                kept.values[id] = Some(y);
            }
            &Kind::Depthwise { conv, kernel, stride, x } => {
                let y = self.depthwise(id, conv, kernel, stride, x).forward(passes, &self.input(x, kept));
                kept.values[id] = Some(y);
            }
            Kind::Norm { x, at } => self.ensure_norm(*x, *at, kept),
            Kind::Sum { terms, relu } => {
                for term in terms {
                    if let Some(at) = term.norm {
                        self.ensure_norm(term.x, at, kept);
                    }
                }
                let addend = |term: &Term| Addend {
                    x: kept.values[term.x].as_deref().unwrap_or_default(),
                    norm: term.norm.and_then(|at| kept.norms[at.statistics].as_ref()),
                    factor: term.factor,
                };
                let addends: Vec<Addend> = terms.iter().map(addend).collect();
                let y = sums::forward(passes, size, (self.padded(id), self.pairs(id)), &addends, *relu);
                kept.values[id] = Some(y);
            }
            Kind::MaxPool { x } => {
                let pool = |values: &Floats| max_pool(passes, self.size(*x), values, self.pairs(id));
                let pooled = kept.values[*x].as_ref().map(pool);
                kept.values[id] = pooled;
            }
            Kind::UpsampleAdd { base, low } => {
                let Some(mut y) = self.taken(*base, kept) else { return };
                if let Some(values) = &kept.values[*low] {
                    upsample_add(passes, self.size(*low), values, self.pairs(id), &mut y);
                }
                kept.values[id] = Some(y);
            }
            Kind::Coordinates { boundary } => {
                let maps = boundary.and_then(|maps| kept.maps[maps].as_ref());
                kept.values[id] = Some(self.coordinates(id, maps));
            }
            Kind::Maps { heads, activation, .. } => {
                let maps = self.head_products(id, heads, kept);
                let (planes, maps) = heads::forward(passes, &self.heads(id, *activation), maps);
                kept.maps[id] = Some(maps);
                on_stage(planes);
            }
        }
    }

    /// A value to change: itself where nothing else reads it, a copy otherwise.
    fn taken(&self, id: NodeId, kept: &mut Kept) -> Option<Floats> {
        if self.plan.readers[id] == 1 && !self.plan.kept[id] {
            return kept.values[id].take();
        }
        let values = kept.values[id].as_ref()?;
        let mut copy = self.passes.memory.take(values.len());
        copy.copy_from_slice(values);
        Some(copy)
    }

    /// The norm of `x`, where the product that made `x` has not summed it yet.
    fn ensure_norm(&self, x: NodeId, at: NormAt, kept: &mut Kept) {
        if kept.norms[at.statistics].is_none()
            && let Some(x) = self.kept(x, kept)
        {
            let norm = self.passes.norm(at, x, &Sums::of(self.passes, x));
            kept.norms[at.statistics] = Some(norm);
        }
    }

    /// The convolution that makes value `id` of `x`.
    pub(super) fn window(
        &self,
        id: NodeId,
        conv: ConvAt,
        kernel: usize,
        stride: usize,
        x: NodeId,
    ) -> Window<'a> {
        Window {
            from: self.size(x),
            to: self.size(id),
            inputs: conv.inputs,
            outputs: conv.outputs,
            kernel,
            stride,
            weight: self.passes.values[conv.weight],
        }
    }

    /// The convolution of each channel by itself that makes value `id` of `x`.
    pub(super) fn depthwise(
        &self,
        id: NodeId,
        conv: ConvAt,
        kernel: usize,
        stride: usize,
        x: NodeId,
    ) -> Depthwise<'a> {
        let weight = self.passes.values[conv.weight];
        Depthwise { from: self.size(x), to: self.size(id), kernel, stride, weight }
    }

    /// The input of norm `id`, and the norm.
    pub(super) fn normed<'k>(&self, id: NodeId, kept: &'k Kept) -> Option<(Pixels<'k>, &'k Norm)> {
        let Kind::Norm { x, at } = self.plan.kinds[id] else { return None };
        Some((self.kept(x, kept)?, kept.norms[at.statistics].as_ref()?))
    }

    /// What a convolution reads of value `id`.
    pub(super) fn input<'k>(&'k self, id: NodeId, kept: &'k Kept) -> Input<'k> {
        let len = self.width(id);
        if let Some((x, norm)) = self.normed(id, kept) {
            return Input { x, len, norm: Some(&norm.affine) };
        }
        if let Some(maps) = &kept.maps[id] {
            return Input { x: self.pixels(id, &maps.maps), len, norm: Some(&self.shared.relu) };
        }
        Input { x: self.kept(id, kept).unwrap_or_else(|| self.pixels(id, &[])), len, norm: None }
    }

    /// Channels of value `id` as a product reads it.
    pub(super) fn width(&self, id: NodeId) -> usize {
        match self.plan.kinds[id] {
            Kind::Maps { .. } => self.shared.layout.channels,
            Kind::Image { coordinates: true } => self.plan.channels[id] + graph::COORDINATES,
            _ => self.plan.channels[id],
        }
    }

    /// Where among the channels of value `x` a slice lies.
    pub(super) fn place(&self, x: NodeId, slice: &Slice) -> usize {
        match self.plan.kinds[x] {
            Kind::Maps { .. } => self.shared.place(slice.maps),
            _ => 0,
        }
    }

    /// The weights of a product's part, `[outputs, width]`.
    pub(super) fn weights(&self, part: &Part, outputs: usize) -> Vec<f32> {
        let width = self.width(part.x);
        let mut weights = vec![0.0; outputs * width];
        for slice in &part.slices {
            let rows = self.passes.values[slice.conv.weight].chunks_exact(slice.conv.inputs);
            let at = self.place(part.x, slice);
            for (to, row) in weights.chunks_exact_mut(width).zip(rows) {
                to[at..at + slice.len].copy_from_slice(&row[slice.from..slice.from + slice.len]);
            }
        }
        weights
    }

    fn linear(&self, id: NodeId, parts: &[Part], addend: Option<NodeId>, kept: &mut Kept) -> Floats {
        let (passes, outputs) = (self.passes, self.plan.channels[id]);
        let pixels = self.size(id).pixels();
        let weights: Vec<(Vec<f32>, usize)> =
            parts.iter().map(|part| (self.weights(part, outputs), self.width(part.x))).collect();
        let depth: usize = weights.iter().map(|(_, width)| width).sum();
        let mut rows = Vec::with_capacity(outputs * depth);
        for output in 0..outputs {
            weights
                .iter()
                .for_each(|(part, width)| rows.extend_from_slice(&part[output * width..][..*width]));
        }
        let Kind::Linear { convs, .. } = &self.plan.kinds[id] else { unreachable!("a product") };
        let mut bias = vec![0.0; outputs];
        for conv in convs {
            bias.iter_mut().zip(passes.values[conv.bias]).for_each(|(sum, value)| *sum += value);
        }
        let (pairs, norm) = (self.pairs(id), self.plan.norm_behind[id]);
        let mut y = passes.memory.take(pixels * floats_of(self.padded(id), pairs));
        let sums = {
            let inputs: Vec<Input> = parts.iter().map(|part| self.input(part.x, kept)).collect();
            let lengths: Vec<usize> = weights.iter().map(|(_, width)| *width).collect();
            let panels = &panels(passes, &bias, &lengths, |output, k| rows[output * depth + k]);
            let add = addend.and_then(|x| kept.values[x].as_deref()).map_or(Residual::None, Residual::Other);
            let finish = if norm.is_some() { Finish::Sums } else { Finish::Nothing };
            Linear { pixels, inputs: &inputs, panels, add, finish, pairs }.run(passes, &mut y)
        };
        if let Some(at) = norm {
            kept.norms[at.statistics] = Some(passes.norm(at, self.pixels(id, &y), &sums));
        }
        y
    }

    /// The heads of the stage whose maps are value `id`.
    pub(super) fn heads(&self, id: NodeId, activation: HeatmapActivation) -> Heads<'_> {
        let (layout, gates) = (&self.shared.layout, self.shared.gates.as_ref());
        Heads { layout, gates, activation, size: self.size(id) }
    }

    /// Heads as one matrix `[layout.channels, inputs]` and its bias.
    pub(super) fn head_weights(&self, heads: &Part) -> (Vec<f32>, Vec<f32>) {
        let (inputs, channels) = (self.plan.channels[heads.x], self.shared.layout.channels);
        let (mut weights, mut biases) = (vec![0.0; channels * inputs], vec![0.0; channels]);
        for slice in &heads.slices {
            let (conv, first) = (slice.conv, self.shared.place(slice.maps));
            weights[first * inputs..][..conv.outputs * inputs]
                .copy_from_slice(self.passes.values[conv.weight]);
            biases[first..][..conv.outputs].copy_from_slice(self.passes.values[conv.bias]);
        }
        (weights, biases)
    }

    fn head_products(&self, id: NodeId, heads: &Part, kept: &Kept) -> Floats {
        let pixels = self.size(id).pixels();
        let (weights, biases) = self.head_weights(heads);
        let mut maps = self.passes.memory.take(pixels * biases.len());
        let input = self.input(heads.x, kept);
        let panels = &panels(self.passes, &biases, &[input.len], |output, k| weights[output * input.len + k]);
        let (add, finish) = (Residual::None, Finish::Nothing);
        Linear { pixels, inputs: &[input], panels, add, finish, pairs: false }.run(self.passes, &mut maps);
        maps
    }

    /// Coordinate channels of every pixel; with the maps of the stage before, also those on its boundary.
    fn coordinates(&self, id: NodeId, before: Option<&KeptMaps>) -> Floats {
        let mut out = self.passes.memory.zeros(self.size(id).pixels() * COORDINATES);
        // Numbers that do not depend on any image cannot fail to be made.
        let table = coordinates::table(self.plan.sides[id]).unwrap_or_default();
        for (out, from) in
            out.chunks_exact_mut(COORDINATES).zip(table.chunks_exact(coordinates::CHANNELS).cycle())
        {
            out[..coordinates::CHANNELS].copy_from_slice(from);
        }
        if let Some(before) = before {
            let (layout, pixels) =
                (&self.shared.layout, before.maps.chunks_exact(self.shared.layout.channels));
            for (out, maps) in out.chunks_exact_mut(COORDINATES).zip(pixels) {
                if f64::from(maps[layout.points - 1]) > BOUNDARY {
                    out.copy_within(..2, 3);
                }
            }
        }
        out
    }
}
