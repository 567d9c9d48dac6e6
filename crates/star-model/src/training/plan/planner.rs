//! From the graph's nodes to a step's values, in order: each node takes in what in front of it nothing else reads.

use super::LayerAt;
use super::kinds::{Kind, Part, Slice, Term, WhichMaps};
use crate::graph::{Graph, NodeId, Op};
use crate::plan::kernels::depthwise::SIDES;
use crate::training::parameters::{ConvAt, NormAt};

pub(super) struct Planner<'a> {
    graph: &'a Graph,
    /// The nodes that read each node.
    readers: Vec<Vec<NodeId>>,
    pub(super) kinds: Vec<Kind>,
    pub(super) channels: Vec<usize>,
    pub(super) sides: Vec<usize>,
    /// For a node that holds maps of a stage: the value that holds them all, and which they are.
    maps: Vec<Option<(NodeId, WhichMaps)>>,
    pub(super) layers: Vec<LayerAt>,
    pub(super) norms: usize,
    pub(super) edges: Option<Vec<Vec<usize>>>,
}

impl<'a> Planner<'a> {
    /// `None` where a node has no place in a step.
    pub(super) fn plan(graph: &'a Graph) -> Option<Self> {
        let count = graph.nodes.len();
        let mut readers = vec![Vec::new(); count];
        for (id, node) in graph.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&input| readers[input].push(id));
        }
        let mut planner = Self {
            graph,
            readers,
            kinds: vec![Kind::Gone; count],
            channels: graph.nodes.iter().map(|node| node.channels).collect(),
            sides: graph.nodes.iter().map(|node| node.side).collect(),
            maps: vec![None; count],
            layers: Vec::new(),
            norms: 0,
            edges: None,
        };
        (0..count).try_for_each(|id| {
            planner.kinds[id] = planner.kind(id)?;
            Some(())
        })?;
        Some(planner)
    }

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
        let channels = self.graph.nodes[id].channels;
        NormAt { weight, bias: weight + 1, statistics: self.norms - 1, channels }
    }

    /// Whether one node alone reads `id`.
    fn once(&self, id: NodeId) -> bool {
        self.readers[id].len() == 1
    }

    /// Takes the kind of a value, which is part of another now.
    fn take(&mut self, id: NodeId) -> Kind {
        std::mem::replace(&mut self.kinds[id], Kind::Gone)
    }

    /// What node `id` becomes; `None` where it cannot.
    fn kind(&mut self, id: NodeId) -> Option<Kind> {
        let node = &self.graph.nodes[id];
        let input = |i: usize| node.inputs.get(i).copied();
        Some(match &node.op {
            Op::Image => Kind::Image { coordinates: false },
            Op::Concat => Kind::Gone,
            Op::BatchNorm => {
                let norm = Some(self.norm_at(id));
                Kind::Sum { terms: vec![Term { x: input(0)?, norm, factor: 1 }], relu: false }
            }
            Op::Relu => self.relu(id, input(0)?),
            &Op::Conv2d { kernel, stride, .. } => self.conv(id, input(0)?, kernel, stride)?,
            &Op::Depthwise { kernel, stride } => self.depthwise(id, input(0)?, kernel, stride)?,
            Op::MaxPool if self.sides[input(0)?].is_multiple_of(2) => Kind::MaxPool { x: input(0)? },
            Op::UpsampleAdd => Kind::UpsampleAdd { base: input(0)?, low: input(1)? },
            &Op::Bilinear { factor } => {
                let terms = self.terms(input(0)?);
                let upsampled = match terms[..] {
                    [term] if term.factor == 1 => Term { factor, ..term },
                    _ => return None,
                };
                Kind::Sum { terms: vec![upsampled], relu: false }
            }
            Op::Add => self.sum(input(0)?, input(1)?)?,
            Op::Coordinates if self.graph.nodes[input(0)?].op == Op::Image => {
                self.kinds[input(0)?] = Kind::Image { coordinates: true };
                Kind::Gone
            }
            Op::Coordinates => {
                let boundary = input(1).map(|maps| self.maps[maps].map_or(maps, |(all, _)| all));
                Kind::Coordinates { boundary }
            }
            &Op::Heatmaps(activation) => {
                let stage = self.graph.stages.iter().position(|stage| self.is_part_of(id, stage.heatmaps))?;
                self.maps[id] = Some((id, WhichMaps::Heat));
                let (heads, convs) = self.head(input(0)?, WhichMaps::Heat)?;
                Kind::Maps { heads, convs, activation, stage }
            }
            Op::Sigmoid => self.sigmoid(id, input(0)?)?,
            Op::Gate { edges } => {
                self.edges = Some(edges.clone());
                Kind::Gone
            }
            Op::MaxPool => return None,
        })
    }

    /// What value `id` is a sum of, taken from it where nothing else reads it.
    fn terms(&mut self, id: NodeId) -> Vec<Term> {
        match &self.kinds[id] {
            Kind::Sum { relu: false, .. } if self.once(id) => match self.take(id) {
                Kind::Sum { terms, .. } => terms,
                _ => vec![],
            },
            _ => vec![Term { x: id, norm: None, factor: 1 }],
        }
    }

    /// A norm with its ReLU that only convolutions read is not stored.
    fn relu(&mut self, id: NodeId, x: NodeId) -> Kind {
        let terms = self.terms(x);
        let conv = |&reader: &NodeId| {
            matches!(self.graph.nodes[reader].op, Op::Conv2d { .. } | Op::Depthwise { .. })
        };
        let only_convs = self.readers[id].iter().all(conv);
        match terms[..] {
            [Term { x, norm: Some(at), factor: 1 }] if only_convs => Kind::Norm { x, at },
            _ => Kind::Sum { terms, relu: true },
        }
    }

    fn conv(&mut self, id: NodeId, x: NodeId, kernel: usize, stride: usize) -> Option<Kind> {
        let conv = self.conv_at(id);
        let of = &self.graph.nodes[x];
        if let (Op::Concat, [image, _]) = (&of.op, &of.inputs[..])
            && let Kind::Image { coordinates: true } = self.kinds[*image]
        {
            return Some(Kind::Window { conv, kernel, stride, x: *image });
        }
        if (kernel, stride) == (1, 1) {
            let parts = self.parts(conv, x);
            return Some(self.before_upsampling(id, x, conv, parts));
        }
        (of.op != Op::Concat).then_some(Kind::Window { conv, kernel, stride, x })
    }

    fn depthwise(&mut self, id: NodeId, x: NodeId, kernel: usize, stride: usize) -> Option<Kind> {
        let conv = ConvAt { inputs: 1, ..self.conv_at(id) };
        let fits = self.sides[x].is_multiple_of(stride)
            && SIDES.contains(&kernel)
            && self.maps[x].is_none()
            && !matches!(self.kinds[x], Kind::Image { .. } | Kind::Gone);
        fits.then_some(Kind::Depthwise { conv, kernel, stride, x })
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

    /// A 1x1 convolution of parts of which some are upsampled: those are convolved as they are and the results upsampled, which is
    /// less work. The values are those of the nodes that upsample and join them.
    fn before_upsampling(&mut self, id: NodeId, joined: NodeId, conv: ConvAt, parts: Vec<Part>) -> Kind {
        let upsampled = |planner: &Self, part: &Part| match &planner.kinds[part.x] {
            Kind::Sum { terms, relu: false } if planner.once(part.x) => match terms[..] {
                [Term { x, norm: None, factor }] if factor > 1 => Some((x, factor)),
                _ => None,
            },
            _ => None,
        };
        let of: Vec<_> = parts.into_iter().map(|part| (upsampled(self, &part), part)).collect();
        let (low, whole): (Vec<_>, Vec<_>) = of.into_iter().partition(|(low, _)| low.is_some());
        let whole: Vec<Part> = whole.into_iter().map(|(_, part)| part).collect();
        let linear = |parts: Vec<Part>, convs: Vec<ConvAt>| Kind::Linear { parts, addend: None, convs };
        if low.is_empty() || whole.is_empty() {
            let parts = low.into_iter().map(|(_, part)| part).chain(whole).collect();
            return linear(parts, vec![conv]);
        }
        self.kinds[joined] = linear(whole, vec![conv]);
        self.channels[joined] = self.channels[id];
        let mut terms = vec![Term { x: joined, norm: None, factor: 1 }];
        for (low, part) in low {
            let Some((x, factor)) = low else { continue };
            let value = part.x;
            self.kinds[value] = linear(vec![Part { x, slices: part.slices }], vec![]);
            (self.channels[value], self.sides[value]) = (self.channels[id], self.sides[x]);
            terms.push(Term { x: value, norm: None, factor });
        }
        Kind::Sum { terms, relu: false }
    }

    /// The sum of two values: part of the product that one of them is and that nothing else reads, or a sum of its own.
    fn sum(&mut self, a: NodeId, b: NodeId) -> Option<Kind> {
        let free =
            |planner: &Self, id: NodeId| planner.once(id) && matches!(planner.kinds[id], Kind::Linear { .. });
        let summed = |planner: &Self, id: NodeId| {
            planner.once(id) && matches!(planner.kinds[id], Kind::Sum { relu: false, .. })
        };
        let (a, b) = if free(self, b) { (a, b) } else { (b, a) };
        if !free(self, b) || summed(self, a) {
            // In the order of the graph.
            let (a, b) = (a.min(b), a.max(b));
            let terms = [self.terms(a), self.terms(b)].concat();
            return Some(Kind::Sum { terms, relu: false });
        }
        let Kind::Linear { mut parts, addend, mut convs } = self.take(b) else { return None };
        if !free(self, a) {
            return addend.is_none().then_some(Kind::Linear { parts, addend: Some(a), convs });
        }
        let Kind::Linear { parts: others, addend: other, convs: more } = self.take(a) else { return None };
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

    /// Whether heatmaps `id` are those of the stage shown as `shown`, gated or not.
    fn is_part_of(&self, id: NodeId, shown: NodeId) -> bool {
        shown == id || self.graph.nodes[shown].inputs.first() == Some(&id)
    }

    /// Point maps or edge maps, which join the heatmaps of their stage.
    fn sigmoid(&mut self, id: NodeId, raw: NodeId) -> Option<Kind> {
        let of = |stage: &&crate::graph::StageNodes| stage.aux.is_some_and(|aux| aux.contains(&id));
        let stage = self.graph.stages.iter().find(of)?;
        let maps = *self.graph.nodes[stage.heatmaps].inputs.first()?;
        let which = if stage.aux?[0] == id { WhichMaps::Points } else { WhichMaps::Edges };
        self.maps[id] = Some((maps, which));
        let (head, conv) = self.head(raw, which)?;
        let Kind::Maps { heads, convs, .. } = &mut self.kinds[maps] else { return None };
        if heads.x != head.x {
            return None;
        }
        heads.slices.extend(head.slices);
        convs.extend(conv);
        Some(Kind::Gone)
    }

    /// The convolution `raw` as part of a stage's heads.
    fn head(&mut self, raw: NodeId, maps: WhichMaps) -> Option<(Part, Vec<ConvAt>)> {
        let once = self.once(raw);
        match self.take(raw) {
            Kind::Linear { parts, addend: None, convs } if parts.len() == 1 && once => {
                let mut part = parts.into_iter().next()?;
                part.slices.iter_mut().for_each(|slice| slice.maps = maps);
                Some((part, convs))
            }
            _ => None,
        }
    }
}
