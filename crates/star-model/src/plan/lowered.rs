//! A network on its way to a program: what its graph says, rewritten by `passes`.

use candle_core::Result;

use super::fold::{Linear, scale_shift};
use super::ops::heads::Layout;
use crate::HeatmapActivation;
use crate::activation::Activation;
use crate::graph::Op;
use crate::networks::Network;

/// A value's place in [`Lowered::values`].
pub(super) type ValueId = usize;

/// What one stretch of a 1x1 convolution's inner loop reads: the first `len` channels of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Source {
    pub(super) x: ValueId,
    pub(super) len: usize,
}

/// `max(0, scale x + shift)` a channel, on the first source.
#[derive(Clone)]
pub(super) struct Prepare {
    pub(super) scale: Vec<f64>,
    pub(super) shift: Vec<f64>,
}

/// `activation(linear(sources) + constant + addend)`.
#[derive(Clone)]
pub(super) struct Conv<'a> {
    pub(super) linear: Linear<'a>,
    pub(super) sources: Vec<Source>,
    pub(super) stride: usize,
    pub(super) prepare: Option<Prepare>,
    /// A convolution of the coordinates of the input's pixels: the same for every image.
    pub(super) constant: Option<Linear<'a>>,
    pub(super) addend: Option<ValueId>,
    pub(super) activation: Activation,
    /// Of the plain convolutions that it stands for.
    pub(super) multiplications: u64,
}

/// `activation(linear(x))` of each channel by itself: a `linear` of one input.
#[derive(Clone)]
pub(super) struct Depthwise<'a> {
    pub(super) linear: Linear<'a>,
    pub(super) x: ValueId,
    pub(super) stride: usize,
    pub(super) activation: Activation,
    pub(super) multiplications: u64,
}

/// How a value is made.
#[derive(Clone)]
pub(super) enum Kind<'a> {
    Image,
    Conv(Conv<'a>),
    Depthwise(Depthwise<'a>),
    /// A batch norm: `scale x + shift` a channel.
    Affine(ValueId, Prepare),
    Relu(ValueId),
    Add(ValueId, ValueId),
    Concat(Vec<ValueId>),
    MaxPool(ValueId),
    UpsampleAdd {
        base: ValueId,
        low: ValueId,
    },
    Bilinear {
        low: ValueId,
        factor: usize,
        base: Option<ValueId>,
        activation: Activation,
    },
    Coordinates {
        boundary: Option<ValueId>,
    },
    Heatmaps(ValueId, HeatmapActivation),
    Sigmoid(ValueId),
    Gate([ValueId; 3]),
    /// All maps of a stage side by side, as [`Layout`] has them, activated and shown to the caller.
    Maps {
        raw: Conv<'a>,
        activation: HeatmapActivation,
        stage: usize,
    },
    /// Part of another value by now.
    Gone,
}

#[derive(Clone)]
pub(super) struct Value<'a> {
    /// Where in the network it is, such as `hgs.0.up1.conv2`.
    pub(super) name: String,
    pub(super) kind: Kind<'a>,
    pub(super) channels: usize,
    pub(super) side: usize,
}

/// A network between graph and program.
pub(super) struct Lowered<'a> {
    pub(super) values: Vec<Value<'a>>,
    /// All values in the order of computation.
    pub(super) order: Vec<ValueId>,
    /// The value that holds each stage's heatmaps.
    pub(super) stages: Vec<ValueId>,
    pub(super) layout: Layout,
    /// The edges of the gates, where there are some.
    pub(super) edges: Option<Vec<Vec<usize>>>,
}

impl Kind<'_> {
    /// The values that it reads.
    pub(super) fn inputs(&self) -> Vec<ValueId> {
        match self {
            Self::Image | Self::Gone => vec![],
            Self::Conv(conv) | Self::Maps { raw: conv, .. } => {
                conv.sources.iter().map(|source| source.x).chain(conv.addend).collect()
            }
            Self::Depthwise(Depthwise { x, .. })
            | Self::Affine(x, _)
            | Self::Relu(x)
            | Self::MaxPool(x)
            | Self::Heatmaps(x, _)
            | Self::Sigmoid(x) => {
                vec![*x]
            }
            Self::Add(a, b) => vec![*a, *b],
            Self::Concat(parts) => parts.clone(),
            Self::UpsampleAdd { base, low } => vec![*base, *low],
            Self::Bilinear { low, base, .. } => std::iter::once(*low).chain(*base).collect(),
            Self::Coordinates { boundary } => boundary.iter().copied().collect(),
            Self::Gate(maps) => maps.to_vec(),
        }
    }
}

impl<'a> Conv<'a> {
    /// A 1x1 convolution of one value.
    pub(super) fn of(linear: Linear<'a>, x: ValueId, stride: usize, multiplications: u64) -> Self {
        Self {
            sources: vec![Source { x, len: linear.inputs }],
            linear,
            stride,
            prepare: None,
            constant: None,
            addend: None,
            activation: Activation::None,
            multiplications,
        }
    }

    /// Whether it is a matrix product over all pixels.
    pub(super) fn is_pointwise(&self) -> bool {
        self.linear.kernel == 1 && self.stride == 1
    }

    /// Whether nothing but a sum stands behind the product.
    pub(super) fn is_linear(&self) -> bool {
        self.activation == Activation::None
    }
}

impl<'a> Lowered<'a> {
    /// What the graph says, one value a node.
    pub(super) fn new(network: &'a Network, lanes: usize) -> Result<Self> {
        let (graph, layers) = (&network.graph, &network.layers);
        let readers = graph.readers(&graph.outputs());
        let mut edges = None;
        let mut values = Vec::with_capacity(graph.nodes.len());
        for (id, node) in graph.nodes.iter().enumerate() {
            let input = |i: usize| node.inputs.get(i).copied().unwrap_or(0);
            let kind = match &node.op {
                _ if readers[id] == 0 => Kind::Gone,
                Op::Image => Kind::Image,
                Op::Conv2d { stride, .. } => {
                    let linear = Linear::of(layers.conv(id)?)?;
                    Kind::Conv(Conv::of(linear, input(0), *stride, graph.macs(node)))
                }
                &Op::Depthwise { stride, .. } => {
                    let (linear, activation) = (Linear::of(layers.conv(id)?)?, Activation::None);
                    let (x, multiplications) = (input(0), graph.macs(node));
                    Kind::Depthwise(Depthwise { linear, x, stride, activation, multiplications })
                }
                Op::BatchNorm => {
                    let (scale, shift) = scale_shift(layers.norm(id)?)?;
                    Kind::Affine(input(0), Prepare { scale, shift })
                }
                Op::Relu => Kind::Relu(input(0)),
                Op::MaxPool => Kind::MaxPool(input(0)),
                Op::UpsampleAdd => Kind::UpsampleAdd { base: input(0), low: input(1) },
                Op::Bilinear { factor } => {
                    let (low, factor) = (input(0), *factor);
                    Kind::Bilinear { low, factor, base: None, activation: Activation::None }
                }
                Op::Add => Kind::Add(input(0), input(1)),
                Op::Concat => Kind::Concat(node.inputs.clone()),
                Op::Coordinates => Kind::Coordinates { boundary: node.inputs.get(1).copied() },
                Op::Heatmaps(activation) => Kind::Heatmaps(input(0), *activation),
                Op::Sigmoid => Kind::Sigmoid(input(0)),
                Op::Gate { edges: of } => {
                    edges = Some(of.clone());
                    Kind::Gate([input(0), input(1), input(2)])
                }
            };
            let name = node.place.strip_suffix(".conv").unwrap_or(&node.place).to_string();
            values.push(Value { name, kind, channels: node.channels, side: node.side });
        }
        let keypoints = graph.nodes.get(graph.last_heatmaps()).map_or(0, |node| node.channels);
        let layout = Layout::new(keypoints, edges.as_ref().map(Vec::len), lanes);
        let order = (0..values.len()).collect();
        let stages = graph.stages.iter().map(|stage| stage.heatmaps).collect();
        Ok(Self { values, order, stages, layout, edges })
    }

    /// The values that read each value; a stage that shows one to the caller reads it too, as the value itself.
    pub(super) fn readers(&self) -> Vec<Vec<ValueId>> {
        let mut readers = vec![Vec::new(); self.values.len()];
        for &id in &self.order {
            self.values[id].kind.inputs().into_iter().for_each(|input| readers[input].push(id));
        }
        self.stages.iter().for_each(|&stage| readers[stage].push(stage));
        readers
    }

    /// The convolution of a value.
    pub(super) fn conv(&self, id: ValueId) -> Option<&Conv<'a>> {
        match &self.values[id].kind {
            Kind::Conv(conv) => Some(conv),
            _ => None,
        }
    }

    /// Takes the kind of a value, which is gone then.
    pub(super) fn take(&mut self, id: ValueId) -> Kind<'a> {
        std::mem::replace(&mut self.values[id].kind, Kind::Gone)
    }

    /// Makes `to` a value of this kind under the name of `from`, which is gone then.
    pub(super) fn replace(&mut self, to: ValueId, from: ValueId, kind: Kind<'a>) {
        self.values[from].kind = Kind::Gone;
        self.values[to].name = self.values[from].name.clone();
        self.values[to].kind = kind;
    }

    /// Adds a value that is computed just before `id`.
    pub(super) fn insert_before(&mut self, id: ValueId, value: Value<'a>) -> ValueId {
        self.values.push(value);
        let at = self.order.iter().position(|&other| other == id).unwrap_or(self.order.len());
        self.order.insert(at, self.values.len() - 1);
        self.values.len() - 1
    }

    /// The convolutions, in order.
    pub(super) fn convs(&self) -> Vec<ValueId> {
        self.order.iter().copied().filter(|&id| self.conv(id).is_some()).collect()
    }
}
