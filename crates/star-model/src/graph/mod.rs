//! A network as data: nodes in the order of computation, with the names of their tensors in checkpoints.
//!
//! `networks` writes one; everything else walks it: `walk` by candle's operations, `plan` as steps for a CPU, `onnx` as a file,
//! `cost` counts it, `checkpoint` compares it with files. All maps are square.

pub(crate) mod builder;
pub(crate) mod layers;
pub(crate) mod walk;

use std::collections::BTreeMap;

use crate::HeatmapActivation;

/// A node's place in [`Graph::nodes`]; those that it reads lie before it.
pub(crate) type NodeId = usize;

/// Channels of [`Op::Coordinates`]: rows, columns, radius.
pub(crate) const COORDINATES: usize = 3;

/// Channels that follow where there is a boundary: rows and columns on it.
pub(crate) const ON_BOUNDARY: usize = 2;

/// What a node computes. Maps are `[B, C, S, S]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// The images.
    Image,
    /// A convolution with "same" padding of `kernel / 2`; `weight` and, where it has one, `bias`.
    Conv2d { kernel: usize, stride: usize, bias: bool },
    /// A convolution of each channel by itself, no bias, with "same" padding of `kernel / 2`, which is odd; `weight`.
    Depthwise { kernel: usize, stride: usize },
    /// By the batch's statistics in training, by the running ones otherwise; `weight`, `bias`, `running_mean`, `running_var`.
    BatchNorm,
    /// `max(x, 0)`.
    Relu,
    /// The largest of each 2x2 block.
    MaxPool,
    /// The first input plus the nearest upsampling by two of the second.
    UpsampleAdd,
    /// Bilinear upsampling by a whole factor, pixel centres as `align_corners = false` has them.
    Bilinear { factor: usize },
    /// The sum of both inputs.
    Add,
    /// The channels of all inputs, one after the other.
    Concat,
    /// Rows, columns and radius of each pixel of a map like the first input; with a second input, whose last channel says where
    /// the boundary is, also rows and columns on it (`coord_conv`).
    Coordinates,
    /// A head's raw maps to masses, in the type of the parameters.
    Heatmaps(HeatmapActivation),
    /// `1 / (1 + exp(-x))`, in the type of the parameters.
    Sigmoid,
    /// Heatmaps times point maps times the edge maps that each keypoint lies on: inputs in this order.
    Gate { edges: Vec<Vec<usize>> },
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<NodeId>,
    /// Prefix of its tensors' names, such as `hgs.0.up1.conv1.conv`; empty where it has none.
    pub(crate) place: String,
    /// The part of the network that it belongs to, an index into [`Graph::sections`].
    pub(crate) section: usize,
    pub(crate) channels: usize,
    /// Height and width in pixels.
    pub(crate) side: usize,
}

/// The nodes that hold the maps of a stage.
#[derive(Clone, Debug)]
pub(crate) struct StageNodes {
    /// What the loss and the decoder read.
    pub(crate) heatmaps: NodeId,
    /// Point maps and edge maps, where there are some.
    pub(crate) aux: Option<[NodeId; 2]>,
}

/// A whole network.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) stages: Vec<StageNodes>,
    /// Parts of the network, such as `stem` and `stack 1`, in order.
    pub(crate) sections: Vec<String>,
}

impl Graph {
    /// The maps of the last stage.
    pub(crate) fn last_heatmaps(&self) -> NodeId {
        self.stages.last().map_or(0, |stage| stage.heatmaps)
    }

    /// All maps of all stages.
    pub(crate) fn outputs(&self) -> Vec<NodeId> {
        self.stages.iter().flat_map(|stage| stage.aux.into_iter().flatten().chain([stage.heatmaps])).collect()
    }

    /// How often each node is read on the way to `wanted`, which count as read once; 0 for nodes that are not needed.
    pub(crate) fn readers(&self, wanted: &[NodeId]) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        wanted.iter().for_each(|&id| readers[id] += 1);
        for (id, node) in self.nodes.iter().enumerate().rev() {
            if readers[id] > 0 {
                node.inputs.iter().for_each(|&input| readers[input] += 1);
            }
        }
        readers
    }

    /// Batch norms that only a ReLU reads, which can be done with them; `readers` as [`Graph::readers`] has them.
    pub(crate) fn cut(&self, readers: &[usize]) -> Vec<bool> {
        let mut cut = vec![false; self.nodes.len()];
        for node in self.nodes.iter().filter(|node| node.op == Op::Relu) {
            for &input in &node.inputs {
                cut[input] = self.nodes[input].op == Op::BatchNorm && readers[input] == 1;
            }
        }
        cut
    }

    /// Inputs of a convolution.
    pub(crate) fn input_channels(&self, node: &Node) -> usize {
        node.inputs.first().map_or(0, |&input| self.nodes[input].channels)
    }

    /// Multiply-accumulates of a node that is a convolution, for one image; 0 for others.
    pub(crate) fn macs(&self, node: &Node) -> u64 {
        match node.op {
            Op::Conv2d { kernel, .. } => {
                let side = kernel * node.side;
                (self.input_channels(node) * node.channels * side * side) as u64
            }
            Op::Depthwise { kernel, .. } => (node.channels * (kernel * node.side).pow(2)) as u64,
            _ => 0,
        }
    }

    /// Name and shape of every tensor that the network uses, running statistics included.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        self.nodes.iter().flat_map(|node| self.tensors_of(node)).collect()
    }

    /// The tensors of one node.
    pub(crate) fn tensors_of(&self, node: &Node) -> Vec<(String, Vec<usize>)> {
        let named = |name: &str, shape: Vec<usize>| (format!("{}.{name}", node.place), shape);
        match node.op {
            Op::Conv2d { kernel, bias, .. } => {
                let weight = named("weight", vec![node.channels, self.input_channels(node), kernel, kernel]);
                std::iter::once(weight).chain(bias.then(|| named("bias", vec![node.channels]))).collect()
            }
            Op::Depthwise { kernel, .. } => vec![named("weight", vec![node.channels, 1, kernel, kernel])],
            Op::BatchNorm => ["weight", "bias", "running_mean", "running_var"]
                .map(|name| named(name, vec![node.channels]))
                .to_vec(),
            _ => Vec::new(),
        }
    }
}
