//! A network's graph as nodes of an ONNX file.

use candle_core::{DType, Device, Result};

use super::writer::{Upsampling, Writer};
use crate::HeatmapActivation;
use crate::coord_conv::{BOUNDARY, coordinates};
use crate::gate::edge_to_point;
use crate::graph::{COORDINATES, Graph, Node, NodeId, ON_BOUNDARY, Op};
use crate::heatmap_activation::PEAK_SHARE;

/// What a node of the network is in the file.
#[derive(Clone)]
enum Value {
    /// An output of this name.
    Name(String),
    /// Maps side by side with these numbers of channels. Coordinates do not depend on the image and need not be repeated for each: a
    /// convolution of them is the sum of one over each part.
    Parts(Vec<(String, usize)>),
}

/// Adds what the last stage's heatmaps need behind the input `images`; returns their name.
pub(super) fn write(writer: &mut Writer, graph: &Graph, images: &str) -> Result<String> {
    let wanted = graph.last_heatmaps();
    let readers = graph.readers(&[wanted]);
    let mut walk = Walk { writer, graph, values: vec![Value::Name(images.to_string()); graph.nodes.len()] };
    for (id, node) in graph.nodes.iter().enumerate() {
        if readers[id] > 0 && node.op != Op::Image {
            walk.values[id] = walk.value(node)?;
        }
    }
    walk.name(wanted)
}

struct Walk<'a, 'b> {
    writer: &'a mut Writer<'b>,
    graph: &'a Graph,
    values: Vec<Value>,
}

impl Walk<'_, '_> {
    /// The name of one map.
    fn name(&self, id: NodeId) -> Result<String> {
        match &self.values[id] {
            Value::Name(name) => Ok(name.clone()),
            Value::Parts(_) => {
                candle_core::bail!("onnx: coordinates that something else than a convolution reads")
            }
        }
    }

    fn value(&mut self, node: &Node) -> Result<Value> {
        match (&node.op, &node.inputs[..]) {
            (Op::Coordinates, [_, boundary @ ..]) => {
                return self.coordinates(node, boundary.first().copied());
            }
            (Op::Concat, parts) => {
                let coordinates = parts.iter().any(|&part| matches!(self.values[part], Value::Parts(_)));
                if coordinates {
                    return Ok(Value::Parts(self.parts(parts)));
                }
            }
            (Op::Conv2d { kernel, stride, .. }, [x]) => {
                if let Value::Parts(parts) = self.values[*x].clone() {
                    return self.conv_of_parts(node, &parts, (*kernel, *stride)).map(Value::Name);
                }
            }
            _ => {}
        }
        let inputs = node.inputs.iter().map(|&input| self.name(input)).collect::<Result<Vec<_>>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.plain(node, &inputs).map(Value::Name)
    }

    /// A node that reads whole maps.
    fn plain(&mut self, node: &Node, inputs: &[&str]) -> Result<String> {
        let (writer, x) = (&mut *self.writer, inputs.first().copied().unwrap_or_default());
        Ok(match &node.op {
            Op::Conv2d { stride, .. } => writer.conv(x, &node.place, *stride, 1)?,
            Op::Depthwise { stride, .. } => writer.conv(x, &node.place, *stride, node.channels)?,
            Op::BatchNorm => writer.batch_norm(x, &node.place)?,
            Op::Relu => writer.relu(x),
            Op::MaxPool => writer.max_pool(x),
            Op::UpsampleAdd => {
                let low = writer.upsample(inputs[1], 2, Upsampling::Nearest);
                writer.sum(x, &low)
            }
            Op::Bilinear { factor } => writer.upsample(x, *factor, Upsampling::Bilinear),
            Op::Add => writer.sum(x, inputs[1]),
            Op::Concat => writer.concat(inputs),
            Op::Sigmoid => writer.node("Sigmoid", &[x]),
            Op::Heatmaps(activation) => heatmaps(writer, *activation, x, node.channels),
            Op::Gate { edges } => {
                let (matrix, bias) = edge_to_point(node.channels, edges);
                let shape = [node.channels, edges.len(), 1, 1];
                let matrix = writer.constant("e2h_transform.weight", &shape, matrix);
                let bias = writer.constant("e2h_transform.bias", &[node.channels], bias);
                let on_edges = writer.conv_by(inputs[2], &matrix, Some(&bias), (1, 1), 1);
                let mask = writer.node("Mul", &[&on_edges, inputs[1]]);
                writer.node("Mul", &[&mask, x])
            }
            Op::Image | Op::Coordinates => candle_core::bail!("onnx: {:?} is no operation", node.op),
        })
    }

    /// Constants for all images, and what the boundary leaves of them.
    fn coordinates(&mut self, node: &Node, boundary: Option<NodeId>) -> Result<Value> {
        let side = node.side;
        let grid = coordinates(side, side, DType::F32, &Device::Cpu)?;
        let all = self.writer.add(&format!("coordinates.{side}"), &grid)?;
        let mut parts = vec![(all, COORDINATES)];
        if let Some(boundary) = boundary {
            let (maps, last) = (self.name(boundary)?, self.graph.nodes[boundary].channels - 1);
            let axes = grid.narrow(1, 0, ON_BOUNDARY)?.contiguous()?;
            let axes = self.writer.add(&format!("coordinates.{side}.axes"), &axes)?;
            let last = self.writer.channel(&maps, last);
            let on = self.writer.above(&last, BOUNDARY as f32, "boundary.threshold");
            parts.push((self.writer.node("Mul", &[&on, &axes]), ON_BOUNDARY));
        }
        Ok(Value::Parts(parts))
    }

    /// What lies side by side in a concatenation.
    fn parts(&self, inputs: &[NodeId]) -> Vec<(String, usize)> {
        let parts = |&id: &NodeId| match &self.values[id] {
            Value::Name(name) => vec![(name.clone(), self.graph.nodes[id].channels)],
            Value::Parts(parts) => parts.clone(),
        };
        inputs.iter().flat_map(parts).collect()
    }

    /// The sum of a convolution over each part, the bias in the first.
    fn conv_of_parts(
        &mut self,
        node: &Node,
        parts: &[(String, usize)],
        size: (usize, usize),
    ) -> Result<String> {
        let weight = self.writer.tensor(&format!("{}.weight", node.place))?.clone();
        let mut bias = self.writer.bias(&node.place)?;
        let (mut first, mut sum) = (0, None);
        for (i, (part, channels)) in parts.iter().enumerate() {
            let slice = weight.narrow(1, first, *channels)?.contiguous()?;
            let slice = self.writer.add(&format!("{}.weight.{i}", node.place), &slice)?;
            let y = self.writer.conv_by(part, &slice, bias.take().as_deref(), size, 1);
            first += channels;
            sum = Some(sum.map_or(y.clone(), |sum: String| self.writer.sum(&sum, &y)));
        }
        Ok(sum.unwrap_or_default())
    }
}

/// A head's raw maps to masses.
fn heatmaps(writer: &mut Writer, activation: HeatmapActivation, raw: &str, channels: usize) -> String {
    let masses = match activation {
        HeatmapActivation::InstanceNormRelu => writer.instance_norm(raw, channels),
        HeatmapActivation::Relu => raw.to_string(),
        HeatmapActivation::Peak => {
            let largest = writer.reduce("ReduceMax", raw, &[2, 3]);
            let share = writer.constant("peak.share", &[], vec![PEAK_SHARE as f32]);
            let level = writer.node("Mul", &[&largest, &share]);
            writer.node("Sub", &[raw, &level])
        }
    };
    writer.relu(&masses)
}
