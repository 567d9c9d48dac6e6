//! The two passes of a network in training on a card, node by node and beside candle's graph.
//!
//! candle's own backward pass fills a tensor with zeros and adds to it for every gradient; for maps that many layers pass on, that moves
//! more memory than the layers do. Here a gradient is what its only reader gives, and a sum where there are more.

use std::sync::Arc;

use candle_core::{CustomOp1, CustomOp3, DType, Result, Tensor, Var, bail};

use super::norm::{Norm, instance_norm};
use super::pointwise::{MaxPool, Relu, UpsampleAdd};
use crate::graph::layers::Layers;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::norm::EPS;
use crate::{HeatmapActivation, coord_conv, interpolate};

/// A network on a card.
pub(super) struct Pass {
    pub(super) graph: Arc<Graph>,
    pub(super) layers: Arc<Layers>,
    /// Nodes whose value depends on a parameter: only to those gradients flow.
    learns: Vec<bool>,
    /// Batch norms that only a ReLU reads, which is done with them.
    cut: Vec<bool>,
    /// Nodes whose value the backward pass reads.
    kept: Vec<bool>,
    /// How often each is read in the forward pass.
    readers: Vec<usize>,
}

/// What a forward pass leaves for the backward pass.
pub(super) struct Kept {
    values: Vec<Option<Tensor>>,
    /// Of batch norms, and of instance norms.
    norms: Vec<Option<Norm>>,
    /// Type of what convolutions return.
    activations: DType,
}

/// Gradients of the two parameters of a node.
pub(super) type Pair = [Option<Tensor>; 2];

impl Pass {
    pub(super) fn new(graph: &Arc<Graph>, layers: &Arc<Layers>) -> Self {
        let (count, readers) = (graph.nodes.len(), graph.readers(&graph.outputs()));
        let cut = graph.cut(&readers);
        let (mut learns, mut kept) = (vec![false; count], vec![false; count]);
        for (id, node) in graph.nodes.iter().enumerate() {
            let above = node.inputs.iter().any(|&input| learns[input]);
            learns[id] = match node.op {
                Op::Image | Op::Coordinates => false,
                Op::Conv2d { .. } | Op::Depthwise { .. } | Op::BatchNorm => true,
                _ => above,
            };
            match node.op {
                Op::Conv2d { .. }
                | Op::Depthwise { .. }
                | Op::BatchNorm
                | Op::MaxPool
                | Op::Bilinear { .. } => {
                    kept[node.inputs[0]] = true;
                }
                Op::Heatmaps(_) | Op::Gate { .. } => node.inputs.iter().for_each(|&input| kept[input] = true),
                Op::Sigmoid => kept[id] = true,
                // The ReLU of a norm needs nothing of its own.
                Op::Relu => kept[id] |= !cut[node.inputs[0]],
                Op::Image | Op::UpsampleAdd | Op::Add | Op::Concat | Op::Coordinates => {}
            }
        }
        Self { graph: Arc::clone(graph), layers: Arc::clone(layers), learns, cut, kept, readers }
    }

    /// The values of `wanted`, in their order. Where `moving`, running statistics move towards those of the batch.
    pub(super) fn forward(
        &self,
        images: &Tensor,
        wanted: &[NodeId],
        moving: bool,
    ) -> Result<(Vec<Tensor>, Kept)> {
        let count = self.graph.nodes.len();
        let (mut values, mut norms) = (vec![None::<Tensor>; count], Vec::with_capacity(count));
        let mut readers = self.readers.clone();
        for (id, node) in self.graph.nodes.iter().enumerate() {
            norms.push(None);
            if self.readers[id] == 0 {
                continue;
            }
            let inputs = node.inputs.iter().map(|&input| match &values[input] {
                Some(value) => Ok(value.clone()),
                None => bail!("node {input} was read before it was computed"),
            });
            let inputs = inputs.collect::<Result<Vec<_>>>()?;
            let (value, norm) = self.value(id, node, &inputs, images, moving)?;
            values[id] = Some(value);
            norms[id] = norm;
            for &input in &node.inputs {
                readers[input] -= 1;
                if readers[input] == 0 && !self.kept[input] {
                    values[input] = None;
                }
            }
        }
        let outputs = wanted.iter().map(|&id| match &values[id] {
            Some(value) => Ok(value.clone()),
            None => bail!("node {id} was not computed"),
        });
        let outputs = outputs.collect::<Result<_>>()?;
        for (value, &kept) in values.iter_mut().zip(&self.kept) {
            if !kept {
                *value = None;
            }
        }
        Ok((outputs, Kept { values, norms, activations: images.dtype() }))
    }

    /// One value, without a graph; of a norm also what its way back needs.
    fn value(
        &self,
        id: NodeId,
        node: &Node,
        inputs: &[Tensor],
        images: &Tensor,
        moving: bool,
    ) -> Result<(Tensor, Option<Norm>)> {
        let Some(x) = inputs.first() else { return Ok((images.detach().contiguous()?, None)) };
        let parameters = self.layers.dtype;
        let value = match &node.op {
            Op::Image => images.detach().contiguous()?,
            Op::Conv2d { .. } | Op::Depthwise { .. } => {
                let layer = self.layers.conv(id)?;
                let [weight, bias] = layer.parameters_in(images.dtype())?;
                let x = x.to_dtype(images.dtype())?.contiguous()?;
                x.apply_op3_no_bwd(&weight, &bias, &layer.on_card()?)?
            }
            Op::BatchNorm => {
                let (norm, [weight, bias]) = self.layers.norm(id)?.op_on_card(moving, self.cut[id])?;
                let y = x.contiguous()?.apply_op3_no_bwd(&weight, &bias, &norm)?;
                return Ok((y, Some(norm)));
            }
            // Done with the norm.
            Op::Relu if self.cut[node.inputs[0]] => x.clone(),
            Op::Relu => x.contiguous()?.apply_op1_no_bwd(&Relu)?,
            Op::MaxPool => x.contiguous()?.apply_op1_no_bwd(&MaxPool)?,
            Op::UpsampleAdd => x.contiguous()?.apply_op2_no_bwd(&inputs[1].contiguous()?, &UpsampleAdd)?,
            Op::Bilinear { factor } => interpolate::upsample_bilinear(x, *factor)?,
            Op::Add => (x + &inputs[1])?,
            Op::Concat => Tensor::cat(inputs, 1)?,
            Op::Coordinates => coord_conv::channels(x, inputs.get(1))?,
            Op::Heatmaps(HeatmapActivation::InstanceNormRelu) => {
                let x = x.to_dtype(parameters)?;
                let (maps, [weight, bias], norm) = instance_norm(&x, EPS)?;
                let y = maps.apply_op3_no_bwd(&weight, &bias, &norm)?;
                return Ok((y.reshape(x.shape())?, Some(norm)));
            }
            Op::Heatmaps(activation) => activation.apply(&x.to_dtype(parameters)?)?.detach(),
            Op::Sigmoid => candle_nn::ops::sigmoid(&x.to_dtype(parameters)?)?,
            Op::Gate { .. } => self.layers.gate(id)?.apply(x, &inputs[1], &inputs[2])?,
        };
        Ok((value, None))
    }

    /// The gradients of the parameters of every node, from those of the nodes `wanted`.
    pub(super) fn backward(
        &self,
        kept: Kept,
        wanted: &[NodeId],
        gradients: Vec<Option<Tensor>>,
    ) -> Result<Vec<Pair>> {
        let Kept { mut values, norms, activations } = kept;
        let mut parameters: Vec<Pair> = self.graph.nodes.iter().map(|_| [None, None]).collect();
        let mut by: Vec<Option<Tensor>> = vec![None; self.graph.nodes.len()];
        for (&id, gradient) in wanted.iter().zip(gradients) {
            if let Some(gradient) = gradient {
                add(&mut by[id], gradient.detach())?;
            }
        }
        for (id, node) in self.graph.nodes.iter().enumerate().rev() {
            if let Some(gradient) = by[id].take().filter(|_| self.learns[id]) {
                let at = Forward { activations, values: &values, norm: norms[id].as_ref() };
                let inputs = self.inputs_back(id, &at, &gradient.contiguous()?, &mut parameters[id])?;
                for (&input, gradient) in node.inputs.iter().zip(inputs) {
                    if let Some(gradient) = gradient.filter(|_| self.learns[input]) {
                        add(&mut by[input], gradient)?;
                    }
                }
            }
            values[id] = None;
        }
        Ok(parameters)
    }

    /// The gradients by the inputs of a node from that by its value; those by its parameters go to `parameters`.
    fn inputs_back(
        &self,
        id: NodeId,
        forward: &Forward<'_>,
        by: &Tensor,
        parameters: &mut Pair,
    ) -> Result<Vec<Option<Tensor>>> {
        let node = &self.graph.nodes[id];
        let input = |i: usize| forward.value(node.inputs[i]);
        Ok(match &node.op {
            Op::Image | Op::Coordinates => Vec::new(),
            Op::Conv2d { .. } | Op::Depthwise { .. } => {
                let (layer, x) = (self.layers.conv(id)?, input(0)?);
                let [weight, _] = layer.parameters_in(forward.activations)?;
                let working = x.to_dtype(forward.activations)?.contiguous()?;
                let conv = layer.on_card()?;
                let wanted = [self.learns[node.inputs[0]], true, conv.biased];
                let [dx, dw, db] = conv.gradients(&working, &weight, by, wanted)?;
                *parameters = [in_type(dw, self.layers.dtype)?, in_type(db, self.layers.dtype)?];
                vec![in_type(dx, x.dtype())?]
            }
            Op::BatchNorm => {
                let [weight, bias] = self.layers.norm(id)?.parameters().map(Tensor::detach);
                let (dx, dw, db) = forward.norm()?.bwd(&input(0)?.contiguous()?, &weight, &bias, by, by)?;
                *parameters = [dw, db];
                vec![dx]
            }
            Op::Relu if self.cut[node.inputs[0]] => vec![Some(by.clone())],
            Op::Relu => vec![Relu.bwd(by, forward.value(id)?, by)?],
            Op::MaxPool => vec![MaxPool.bwd(&input(0)?.contiguous()?, by, by)?],
            Op::UpsampleAdd => {
                let (base, low) = UpsampleAdd.back(by)?;
                vec![Some(base), Some(low)]
            }
            Op::Bilinear { factor } => {
                vec![Some(through(input(0)?, by, |x| interpolate::upsample_bilinear(x, *factor))?)]
            }
            Op::Add => vec![Some(by.clone()), Some(by.clone())],
            Op::Concat => {
                let mut first = 0;
                let part = |&input: &NodeId| {
                    let channels = self.graph.nodes[input].channels;
                    first += channels;
                    by.narrow(1, first - channels, channels).map(Some)
                };
                node.inputs.iter().map(part).collect::<Result<_>>()?
            }
            Op::Heatmaps(HeatmapActivation::InstanceNormRelu) => {
                let x = input(0)?;
                let (maps, [weight, bias], _) = instance_norm(&x.to_dtype(self.layers.dtype)?, EPS)?;
                let by = by.reshape(maps.shape())?;
                let (dx, ..) = forward.norm()?.bwd(&maps, &weight, &bias, &by, &by)?;
                vec![in_type(dx, x.dtype())?.map(|dx| dx.reshape(x.shape())).transpose()?]
            }
            Op::Heatmaps(activation) => {
                let x = input(0)?;
                let dx = through(&x.to_dtype(self.layers.dtype)?, by, |x| activation.apply(x))?;
                vec![Some(dx.to_dtype(x.dtype())?)]
            }
            Op::Sigmoid => {
                let y = forward.value(id)?;
                vec![Some(((y - y.sqr()?)? * by)?.to_dtype(forward.activations)?)]
            }
            Op::Gate { .. } => {
                let gradients = self.layers.gate(id)?.gradients(input(0)?, input(1)?, input(2)?, by)?;
                gradients.map(Some).to_vec()
            }
        })
    }
}

/// What the forward pass left of one node and those that it reads.
struct Forward<'a> {
    activations: DType,
    values: &'a [Option<Tensor>],
    norm: Option<&'a Norm>,
}

impl Forward<'_> {
    fn value(&self, id: NodeId) -> Result<&Tensor> {
        self.values[id].as_ref().map_or_else(|| bail!("node {id} was not kept"), Ok)
    }

    fn norm(&self) -> Result<&Norm> {
        self.norm.map_or_else(|| bail!("a norm was not kept"), Ok)
    }
}

fn in_type(gradient: Option<Tensor>, dtype: DType) -> Result<Option<Tensor>> {
    gradient.map(|gradient| gradient.to_dtype(dtype)).transpose()
}

fn add(to: &mut Option<Tensor>, gradient: Tensor) -> Result<()> {
    *to = Some(match to.take() {
        Some(sum) => (sum + gradient)?,
        None => gradient,
    });
    Ok(())
}

/// The gradient by `x` of what is rare, by candle's graph.
fn through(x: &Tensor, by: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let x = Var::from_tensor(x)?;
    let mut gradients = (f(&x)? * by)?.sum_all()?.backward()?;
    gradients.remove(&x).map_or_else(|| bail!("an operation without a gradient"), Ok)
}
