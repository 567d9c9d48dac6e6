//! A network's graph as the operations of a training step: what is cheap to recompute is not a value, sums are part of products, and
//! the maps of a stage lie side by side.

use std::ops::Range;

use super::LANES;
use super::parameters::{ConvAt, NormAt};
use crate::graph::{Graph, NodeId, Op};

/// What a value is; values have the numbers of the graph's nodes.
pub(super) enum Kind {
    /// Part of another value, or not needed.
    Gone,
    /// Given by the caller: the activations of the first ReLU. What lies in front of it is candle's.
    Given,
    /// Sum of 1x1 convolutions, and of a value as it is.
    Linear {
        parts: Vec<Part>,
        addend: Option<NodeId>,
        convs: Vec<ConvAt>,
    },
    /// 3x3 convolution of a norm's activations, as many channels as before.
    Spatial {
        conv: ConvAt,
        norm: NodeId,
    },
    /// `max(0, norm(x))`, which is never stored: who reads it works it out, a block of pixels at a time.
    Norm {
        x: NodeId,
        at: NormAt,
    },
    MaxPool {
        x: NodeId,
    },
    UpsampleAdd {
        base: NodeId,
        low: NodeId,
    },
    Coordinates {
        boundary: Option<NodeId>,
    },
    /// The maps of a stage side by side, heads and activations.
    Maps {
        heads: Part,
        convs: Vec<ConvAt>,
        stage: usize,
    },
}

/// What a product reads of one value, and by which weights.
#[derive(Clone)]
pub(super) struct Part {
    pub(super) x: NodeId,
    pub(super) slices: Vec<Slice>,
}

/// Inputs `from` on of a convolution's weights, as many as what they are multiplied with has channels.
#[derive(Clone, Copy)]
pub(super) struct Slice {
    pub(super) conv: ConvAt,
    pub(super) from: usize,
    pub(super) len: usize,
    /// Which maps of a stage, where the value is one.
    pub(super) maps: WhichMaps,
}

/// A kind of map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhichMaps {
    Heat,
    Points,
    Edges,
}

/// A layer whose parameters are in the list, weight and bias of each.
#[derive(Clone, Copy)]
pub(super) enum LayerAt {
    Conv(NodeId),
    Norm(NodeId),
}

/// A training step's operations.
pub(crate) struct Plan {
    pub(super) kinds: Vec<Kind>,
    pub(super) channels: Vec<usize>,
    pub(super) sides: Vec<usize>,
    /// How many values read each.
    pub(super) readers: Vec<usize>,
    /// Whether the backward pass reads it again.
    pub(super) kept: Vec<bool>,
    /// The values of each part of the network.
    pub(super) sections: Vec<Range<NodeId>>,
    pub(super) layers: Vec<LayerAt>,
    /// Number of norms.
    pub(super) norms: usize,
    pub(super) given: NodeId,
    pub(super) points: usize,
    /// The edges of the gates, where there are some.
    pub(super) edges: Option<Vec<Vec<usize>>>,
    pub(super) stages: usize,
}

impl Plan {
    /// `None` for networks that these operations cannot train.
    pub(crate) fn new(graph: &Graph) -> Option<Self> {
        let given = graph.nodes.iter().position(|node| node.op == Op::Relu)?;
        let mut planner = Planner {
            graph,
            reads: graph.readers(&graph.outputs()),
            kinds: graph.nodes.iter().map(|_| Kind::Gone).collect(),
            maps: vec![None; graph.nodes.len()],
            layers: Vec::new(),
            norms: 0,
        };
        planner.kinds[given] = Kind::Given;
        let mut edges = None;
        for id in given + 1..graph.nodes.len() {
            planner.add(id)?;
            if let Op::Gate { edges: of } = &graph.nodes[id].op {
                edges = Some(of.clone());
            }
        }
        let Planner { kinds, layers, norms, .. } = planner;
        let points = graph.nodes[graph.last_heatmaps()].channels;
        let section = |section: usize| {
            let of = |id: &NodeId| graph.nodes[*id].section == section;
            let first = (0..kinds.len()).find(of).unwrap_or(0);
            first..(first..kinds.len()).take_while(of).last().map_or(first, |last| last + 1)
        };
        let sections = (0..graph.sections.len()).map(section).collect();
        let (mut readers, mut kept) = (vec![0; kinds.len()], vec![false; kinds.len()]);
        for kind in &kinds {
            for (x, again) in kind.reads() {
                readers[x] += 1;
                kept[x] |= again;
            }
        }
        // A norm's activations are its input's.
        for kind in &kinds {
            if let Kind::Norm { x, .. } = kind {
                kept[*x] = true;
            }
        }
        let channels: Vec<usize> = graph.nodes.iter().map(|node| node.channels).collect();
        let sides: Vec<usize> = graph.nodes.iter().map(|node| node.side).collect();
        let stored = |id: &NodeId| match kinds[*id] {
            Kind::Gone | Kind::Coordinates { .. } | Kind::Maps { .. } => true,
            // Kernels read and write whole registers.
            _ => channels[*id].is_multiple_of(LANES),
        };
        if !(0..kinds.len()).all(|id| stored(&id)) {
            return None;
        }
        let stages = graph.stages.len();
        Some(Self {
            kinds,
            channels,
            sides,
            readers,
            kept,
            sections,
            layers,
            norms,
            given,
            points,
            edges,
            stages,
        })
    }
}

impl Plan {
    /// Side of the maps that the network returns.
    pub(super) fn map_side(&self) -> usize {
        let maps = self.kinds.iter().position(|kind| matches!(kind, Kind::Maps { .. }));
        maps.map_or(0, |maps| self.sides[maps])
    }
}

impl Kind {
    /// The values that it reads, and whether its backward pass reads them again.
    pub(super) fn reads(&self) -> Vec<(NodeId, bool)> {
        match self {
            Self::Gone | Self::Given => vec![],
            Self::Linear { parts, addend, .. } => {
                let sums = addend.iter().map(|&x| (x, false));
                parts.iter().map(|part| (part.x, true)).chain(sums).collect()
            }
            Self::Spatial { norm, .. } => vec![(*norm, true)],
            Self::Norm { x, .. } | Self::MaxPool { x } => vec![(*x, true)],
            Self::UpsampleAdd { base, low } => vec![(*base, false), (*low, false)],
            Self::Coordinates { boundary } => boundary.iter().map(|&x| (x, false)).collect(),
            Self::Maps { heads, .. } => vec![(heads.x, true)],
        }
    }
}

struct Planner<'a> {
    graph: &'a Graph,
    /// How often the graph reads each node.
    reads: Vec<usize>,
    kinds: Vec<Kind>,
    /// For a node that holds maps of a stage: the value that holds them all, and which they are.
    maps: Vec<Option<(NodeId, WhichMaps)>>,
    layers: Vec<LayerAt>,
    norms: usize,
}

impl Planner<'_> {
    fn conv_at(&mut self, id: NodeId) -> ConvAt {
        let node = &self.graph.nodes[id];
        let weight = 2 * self.layers.len();
        self.layers.push(LayerAt::Conv(id));
        ConvAt { weight, bias: weight + 1, inputs: self.graph.input_channels(node), outputs: node.channels }
    }

    fn norm_at(&mut self, id: NodeId) -> NormAt {
        let weight = 2 * self.layers.len();
        self.layers.push(LayerAt::Norm(id));
        self.norms += 1;
        NormAt { weight, bias: weight + 1, statistics: self.norms - 1 }
    }

    /// What node `id` becomes; `None` where it cannot.
    fn add(&mut self, id: NodeId) -> Option<()> {
        if self.reads[id] == 0 {
            return Some(());
        }
        let node = &self.graph.nodes[id];
        let input = |i: usize| node.inputs.get(i).copied();
        self.kinds[id] = match &node.op {
            // Part of the ReLU behind it, and of the convolutions that read it.
            Op::BatchNorm if self.reads[id] == 1 => Kind::Gone,
            Op::Concat => Kind::Gone,
            Op::Relu => {
                let norm = input(0)?;
                if self.graph.nodes[norm].op != Op::BatchNorm {
                    return None;
                }
                let x = self.graph.nodes[norm].inputs.first().copied()?;
                Kind::Norm { x, at: self.norm_at(norm) }
            }
            Op::Conv2d { kernel: 1, stride: 1, bias: true } => {
                let conv = self.conv_at(id);
                Kind::Linear { parts: self.parts(conv, input(0)?), addend: None, convs: vec![conv] }
            }
            Op::Conv2d { kernel: 3, stride: 1, bias: true } => {
                let norm = input(0)?;
                let same = self.graph.nodes[norm].channels == node.channels;
                if !same || !matches!(self.kinds[norm], Kind::Norm { .. }) {
                    return None;
                }
                Kind::Spatial { conv: self.conv_at(id), norm }
            }
            Op::MaxPool if self.graph.nodes[input(0)?].side.is_multiple_of(2) => {
                Kind::MaxPool { x: input(0)? }
            }
            Op::UpsampleAdd => Kind::UpsampleAdd { base: input(0)?, low: input(1)? },
            Op::Add => self.sum(input(0)?, input(1)?)?,
            Op::Coordinates => {
                let boundary = input(1).map(|maps| self.maps[maps].map_or(maps, |(all, _)| all));
                Kind::Coordinates { boundary }
            }
            Op::Heatmaps(crate::HeatmapActivation::InstanceNormRelu) => {
                let stage = self.graph.stages.iter().position(|stage| self.is_part_of(id, stage.heatmaps))?;
                self.maps[id] = Some((id, WhichMaps::Heat));
                let (heads, convs) = self.head(input(0)?, WhichMaps::Heat)?;
                Kind::Maps { heads, convs, stage }
            }
            Op::Sigmoid => {
                let stage =
                    self.graph.stages.iter().find(|stage| stage.aux.is_some_and(|aux| aux.contains(&id)))?;
                let maps = *self.graph.nodes[stage.heatmaps].inputs.first()?;
                let which = if stage.aux?[0] == id { WhichMaps::Points } else { WhichMaps::Edges };
                self.maps[id] = Some((maps, which));
                let (head, conv) = self.head(input(0)?, which)?;
                let Kind::Maps { heads, convs, .. } = &mut self.kinds[maps] else { return None };
                if heads.x != head.x {
                    return None;
                }
                heads.slices.extend(head.slices);
                convs.extend(conv);
                Kind::Gone
            }
            // Done with the maps of its stage.
            Op::Gate { .. } => Kind::Gone,
            _ => return None,
        };
        Some(())
    }

    /// Whether heatmaps `id` are those of the stage shown as `shown`, gated or not.
    fn is_part_of(&self, id: NodeId, shown: NodeId) -> bool {
        shown == id || self.graph.nodes[shown].inputs.first() == Some(&id)
    }

    /// The convolution `raw` as part of a stage's heads.
    fn head(&mut self, raw: NodeId, maps: WhichMaps) -> Option<(Part, Vec<ConvAt>)> {
        match std::mem::replace(&mut self.kinds[raw], Kind::Gone) {
            Kind::Linear { parts, addend: None, convs } if parts.len() == 1 && self.reads[raw] == 1 => {
                let mut part = parts.into_iter().next()?;
                part.slices.iter_mut().for_each(|slice| slice.maps = maps);
                Some((part, convs))
            }
            _ => None,
        }
    }

    /// What a 1x1 convolution of `x` reads.
    fn parts(&self, conv: ConvAt, x: NodeId) -> Vec<Part> {
        let whole = [x];
        let node = &self.graph.nodes[x];
        let inputs = if node.op == Op::Concat { &node.inputs[..] } else { &whole };
        let mut from = 0;
        let part = |&x: &NodeId| {
            let len = self.graph.nodes[x].channels;
            let (value, maps) = self.maps[x].unwrap_or((x, WhichMaps::Heat));
            let slice = Slice { conv, from, len, maps };
            from += len;
            Part { x: value, slices: vec![slice] }
        };
        inputs.iter().map(part).collect()
    }

    /// The sum of two values: part of the product that one of them is and that nothing else reads.
    fn sum(&mut self, a: NodeId, b: NodeId) -> Option<Kind> {
        let free = |planner: &Self, id: NodeId| {
            planner.reads[id] == 1 && matches!(planner.kinds[id], Kind::Linear { .. })
        };
        let (a, b) = if free(self, b) { (a, b) } else { (b, a) };
        if !free(self, b) {
            return None;
        }
        let Kind::Linear { mut parts, addend, mut convs } = std::mem::replace(&mut self.kinds[b], Kind::Gone)
        else {
            return None;
        };
        if !free(self, a) {
            return addend.is_none().then_some(Kind::Linear { parts, addend: Some(a), convs });
        }
        let Kind::Linear { parts: others, addend: other, convs: more } =
            std::mem::replace(&mut self.kinds[a], Kind::Gone)
        else {
            return None;
        };
        if addend.is_some() && other.is_some() {
            return None;
        }
        for part in others {
            match parts.iter_mut().find(|known| known.x == part.x) {
                Some(known) => known.slices.extend(part.slices),
                None => parts.push(part),
            }
        }
        convs.extend(more);
        Some(Kind::Linear { parts, addend: addend.or(other), convs })
    }
}
