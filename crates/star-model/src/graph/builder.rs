//! Writing a graph node by node.

use super::{COORDINATES, Graph, Node, NodeId, ON_BOUNDARY, Op, StageNodes};
use crate::HeatmapActivation;

/// A graph so far. Every method adds a node, which belongs to the section begun last, and returns it.
pub(crate) struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// A graph of square images of three channels; returns them beside it.
    pub(crate) fn new(image_size: usize, section: &str) -> (Self, NodeId) {
        let graph = Graph { nodes: Vec::new(), stages: Vec::new(), sections: vec![section.to_string()] };
        let mut builder = Self { graph };
        let image = builder.push(Op::Image, vec![], "", 3, image_size);
        (builder, image)
    }

    /// Begins another part of the network.
    pub(crate) fn section(&mut self, name: String) {
        self.graph.sections.push(name);
    }

    pub(crate) fn finish(self) -> Graph {
        self.graph
    }

    fn push(&mut self, op: Op, inputs: Vec<NodeId>, place: &str, channels: usize, side: usize) -> NodeId {
        let section = self.graph.sections.len() - 1;
        self.graph.nodes.push(Node { op, inputs, place: place.to_string(), section, channels, side });
        self.graph.nodes.len() - 1
    }

    pub(crate) fn channels(&self, x: NodeId) -> usize {
        self.graph.nodes[x].channels
    }

    fn side(&self, x: NodeId) -> usize {
        self.graph.nodes[x].side
    }

    /// A node of the size of `x`.
    fn like(&mut self, x: NodeId, op: Op, inputs: Vec<NodeId>, place: &str) -> NodeId {
        self.push(op, inputs, place, self.channels(x), self.side(x))
    }

    /// A convolution to `channels` channels whose tensors lie under `place`, with a bias.
    pub(crate) fn conv(
        &mut self,
        x: NodeId,
        place: &str,
        channels: usize,
        kernel: usize,
        stride: usize,
    ) -> NodeId {
        self.conv_with(x, place, channels, Op::Conv2d { kernel, stride, bias: true })
    }

    /// [`GraphBuilder::conv`] by an [`Op::Conv2d`] in full.
    pub(crate) fn conv_with(&mut self, x: NodeId, place: &str, channels: usize, op: Op) -> NodeId {
        let side = match op {
            Op::Conv2d { stride, .. } => self.side(x).div_ceil(stride),
            _ => self.side(x),
        };
        self.push(op, vec![x], place, channels, side)
    }

    /// A convolution of each channel by itself; maps that a stride divides.
    pub(crate) fn depthwise(&mut self, x: NodeId, place: &str, kernel: usize, stride: usize) -> NodeId {
        let side = self.side(x).div_ceil(stride);
        self.push(Op::Depthwise { kernel, stride }, vec![x], place, self.channels(x), side)
    }

    pub(crate) fn norm(&mut self, x: NodeId, place: &str) -> NodeId {
        self.like(x, Op::BatchNorm, vec![x], place)
    }

    pub(crate) fn relu(&mut self, x: NodeId) -> NodeId {
        self.like(x, Op::Relu, vec![x], "")
    }

    pub(crate) fn max_pool(&mut self, x: NodeId) -> NodeId {
        self.push(Op::MaxPool, vec![x], "", self.channels(x), self.side(x) / 2)
    }

    pub(crate) fn upsample_add(&mut self, base: NodeId, low: NodeId) -> NodeId {
        self.like(base, Op::UpsampleAdd, vec![base, low], "")
    }

    pub(crate) fn bilinear(&mut self, x: NodeId, factor: usize) -> NodeId {
        self.push(Op::Bilinear { factor }, vec![x], "", self.channels(x), factor * self.side(x))
    }

    pub(crate) fn add(&mut self, a: NodeId, b: NodeId) -> NodeId {
        self.like(a, Op::Add, vec![a, b], "")
    }

    pub(crate) fn concat(&mut self, parts: Vec<NodeId>) -> NodeId {
        let channels = parts.iter().map(|&part| self.channels(part)).sum();
        let side = parts.first().map_or(0, |&part| self.side(part));
        self.push(Op::Concat, parts, "", channels, side)
    }

    /// `x` with coordinate channels behind its own.
    pub(crate) fn with_coordinates(&mut self, x: NodeId, boundary: Option<NodeId>) -> NodeId {
        let channels = COORDINATES + if boundary.is_some() { ON_BOUNDARY } else { 0 };
        let inputs = std::iter::once(x).chain(boundary).collect();
        let coordinates = self.push(Op::Coordinates, inputs, "", channels, self.side(x));
        self.concat(vec![x, coordinates])
    }

    pub(crate) fn heatmaps(&mut self, raw: NodeId, activation: HeatmapActivation) -> NodeId {
        self.like(raw, Op::Heatmaps(activation), vec![raw], "")
    }

    pub(crate) fn sigmoid(&mut self, raw: NodeId) -> NodeId {
        self.like(raw, Op::Sigmoid, vec![raw], "")
    }

    pub(crate) fn gate(&mut self, maps: [NodeId; 3], edges: Vec<Vec<usize>>) -> NodeId {
        self.like(maps[0], Op::Gate { edges }, maps.to_vec(), "")
    }

    /// Shows maps to the caller as the next stage.
    pub(crate) fn stage(&mut self, heatmaps: NodeId, aux: Option<[NodeId; 2]>) {
        self.graph.stages.push(StageNodes { heatmaps, aux });
    }
}
