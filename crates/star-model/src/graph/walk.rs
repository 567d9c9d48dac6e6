//! A graph by candle's operations, node by node: on any device, with gradients. What every other walk is compared with.

use candle_core::{Error, Result, Tensor, bail};

use super::layers::Layers;
use super::{Graph, Node, NodeId, Op};
use crate::activation::{Activation, relu};
use crate::coord_conv;
use crate::interpolate::{max_pool_2x2, upsample_add, upsample_bilinear};
use crate::model::{AuxMaps, Stage};

/// Values so far, each kept until it was read for the last time.
struct Values<'a> {
    layers: &'a Layers,
    train: bool,
    values: Vec<Option<Tensor>>,
    /// How often each is still to be read.
    readers: Vec<usize>,
    /// Batch norms that only a ReLU reads, which is done with them.
    cut: Vec<bool>,
}

impl Graph {
    /// The stages of the network on `images`.
    pub(crate) fn stages(&self, layers: &Layers, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        let mut maps = self.run(layers, images, train, &self.outputs())?.into_iter();
        let mut next = || maps.next().ok_or_else(|| Error::msg("fewer maps than stages have"));
        let stages = self.stages.iter().map(|stage| {
            let aux = match stage.aux {
                Some(_) => Some(AuxMaps { pointmaps: next()?, edgemaps: next()? }),
                None => None,
            };
            Ok(Stage { heatmaps: next()?, aux })
        });
        stages.collect()
    }

    /// The values of the nodes `wanted`, in that order; what they do not need is not computed.
    pub(crate) fn run(
        &self,
        layers: &Layers,
        images: &Tensor,
        train: bool,
        wanted: &[NodeId],
    ) -> Result<Vec<Tensor>> {
        let readers = self.readers(wanted);
        let needed: Vec<bool> = readers.iter().map(|&count| count > 0).collect();
        let values = vec![None; self.nodes.len()];
        let cut = self.cut(&readers);
        let mut values = Values { layers, train, values, readers, cut };
        for (id, node) in self.nodes.iter().enumerate().filter(|(id, _)| needed[*id]) {
            let value = values.compute(id, node, images)?;
            values.values[id] = Some(value);
        }
        wanted.iter().map(|&id| values.take(id)).collect()
    }
}

impl Values<'_> {
    /// A value for one of its readers; the last one gets it.
    fn take(&mut self, id: NodeId) -> Result<Tensor> {
        self.readers[id] = self.readers[id].saturating_sub(1);
        let value = if self.readers[id] == 0 { self.values[id].take() } else { self.values[id].clone() };
        value.map_or_else(|| bail!("node {id} was read before it was computed"), Ok)
    }

    fn compute(&mut self, id: NodeId, node: &Node, images: &Tensor) -> Result<Tensor> {
        if node.op == Op::Image {
            return Ok(images.clone());
        }
        let inputs = node.inputs.iter().map(|&input| self.take(input)).collect::<Result<Vec<_>>>()?;
        let Some(x) = inputs.first() else { bail!("node {id} reads nothing") };
        let second = || inputs.get(1).map_or_else(|| bail!("node {id} reads too little"), Ok);
        match &node.op {
            Op::Image => Ok(images.clone()),
            // Maps may have another type than the activations, which have that of the images.
            Op::Conv2d { .. } | Op::Depthwise { .. } => {
                self.layers.conv(id)?.forward(&x.to_dtype(images.dtype())?)
            }
            Op::BatchNorm => {
                self.layers.norm(id)?.forward_t(x, self.train, Activation::relu_if(self.cut[id]))
            }
            // Done by the norm in front of it.
            Op::Relu if node.inputs.iter().all(|&input| self.cut[input]) => Ok(x.clone()),
            Op::Relu => relu(x),
            Op::MaxPool => max_pool_2x2(x),
            Op::UpsampleAdd => upsample_add(x, second()?),
            Op::Bilinear { factor } => upsample_bilinear(x, *factor),
            Op::Add => x + second()?,
            Op::Concat => Tensor::cat(&inputs, 1),
            Op::Coordinates => coord_conv::channels(x, inputs.get(1)),
            Op::Heatmaps(activation) => activation.apply(&x.to_dtype(self.layers.dtype)?),
            Op::Sigmoid => candle_nn::ops::sigmoid(&x.to_dtype(self.layers.dtype)?),
            Op::Gate { .. } => match &inputs[..] {
                [heatmaps, pointmaps, edgemaps] => self.layers.gate(id)?.apply(heatmaps, pointmaps, edgemaps),
                _ => bail!("node {id}: a gate of {} maps", inputs.len()),
            },
        }
    }
}
