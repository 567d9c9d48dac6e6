//! A graph with its parameters: what every network is.

use candle_core::{Result, Tensor, bail};

use crate::builder::Builder;
use crate::graph::layers::Layers;
use crate::graph::{Graph, NodeId};
use crate::plan::{CompileOptions, CompiledModel};
use crate::{InputSpec, Stage, training};

/// A network in memory.
pub(crate) struct Network {
    pub(crate) graph: Graph,
    pub(crate) layers: Layers,
    pub(crate) input: InputSpec,
    pub(crate) training: training::Settings,
}

impl Network {
    /// Takes the tensors of `graph` from `vb`.
    pub(crate) fn new(graph: Graph, input: InputSpec, vb: &Builder) -> Result<Self> {
        let layers = Layers::new(&graph, vb)?;
        let training = training::Settings::new(&graph, vb.group().cloned());
        Ok(Self { graph, layers, input, training })
    }

    /// Refuses images that are not `[B, 3, S, S]`, or none.
    fn check(&self, images: &Tensor) -> Result<()> {
        let size = self.input.image_size;
        match images.dims() {
            [_, 3, h, w] if *h == size && *w == size => {}
            _ => bail!("images: expected [B, 3, {size}, {size}], got {:?}", images.dims()),
        }
        if images.dim(0)? == 0 {
            bail!("images: expected at least one, got {:?}", images.dims())
        }
        Ok(())
    }

    /// The stages: in training by the passes of `training` where they can, otherwise node by node.
    pub(super) fn stages(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        self.check(images)?;
        if train && let Some(stages) = training::forward(self, images)? {
            return Ok(stages);
        }
        self.graph.stages(&self.layers, images, train)
    }

    /// The value of one node.
    pub(super) fn value(&self, node: NodeId, images: &Tensor, train: bool) -> Result<Tensor> {
        self.check(images)?;
        let mut values = self.graph.run(&self.layers, images, train, &[node])?;
        values.pop().map_or_else(|| bail!("node {node} has no value"), Ok)
    }

    pub(super) fn compile(&self, options: &CompileOptions) -> Result<CompiledModel> {
        CompiledModel::new(self, options)
    }
}
