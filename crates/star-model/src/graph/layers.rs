//! The parameters of a graph's nodes, as layers of candle's.

use candle_core::{DType, Result};

use super::{Graph, NodeId, Op};
use crate::builder::Builder;
use crate::gate::Gating;
use crate::layers::Conv2d;
use crate::norm::BatchNorm;

/// What a node holds.
pub(crate) enum Layer {
    Conv2d(Conv2d),
    BatchNorm(BatchNorm),
    Gate(Gating),
}

/// One layer a node, where it holds something.
pub(crate) struct Layers {
    layers: Vec<Option<Layer>>,
    /// Type of the parameters.
    pub(crate) dtype: DType,
}

impl Layers {
    /// Takes the tensors of `graph` from `vb`, which draws those that it does not have.
    pub(crate) fn new(graph: &Graph, vb: &Builder) -> Result<Self> {
        let layer = |node: &super::Node| -> Result<Option<Layer>> {
            let place = || vb.pp(&node.place);
            Ok(match &node.op {
                &Op::Conv2d { kernel, stride, bias } => {
                    let make = if bias { Conv2d::new } else { Conv2d::without_bias };
                    let inputs = graph.input_channels(node);
                    Some(Layer::Conv2d(make(inputs, node.channels, kernel, stride, place())?))
                }
                &Op::Depthwise { kernel, stride } => {
                    Some(Layer::Conv2d(Conv2d::depthwise(node.channels, kernel, stride, place())?))
                }
                Op::BatchNorm => Some(Layer::BatchNorm(BatchNorm::new(node.channels, place())?)),
                Op::Gate { edges } => {
                    Some(Layer::Gate(Gating::new(node.channels, edges, vb.dtype(), vb.device())?))
                }
                _ => None,
            })
        };
        Ok(Self { layers: graph.nodes.iter().map(layer).collect::<Result<_>>()?, dtype: vb.dtype() })
    }

    /// The convolution of a node.
    pub(crate) fn conv(&self, node: NodeId) -> Result<&Conv2d> {
        match &self.layers[node] {
            Some(Layer::Conv2d(conv)) => Ok(conv),
            _ => candle_core::bail!("node {node} is no convolution"),
        }
    }

    /// The batch norm of a node.
    pub(crate) fn norm(&self, node: NodeId) -> Result<&BatchNorm> {
        match &self.layers[node] {
            Some(Layer::BatchNorm(norm)) => Ok(norm),
            _ => candle_core::bail!("node {node} is no batch norm"),
        }
    }

    /// The edges of a gate.
    pub(crate) fn gate(&self, node: NodeId) -> Result<&Gating> {
        match &self.layers[node] {
            Some(Layer::Gate(gate)) => Ok(gate),
            _ => candle_core::bail!("node {node} is no gate"),
        }
    }
}
