//! A graph with its parameters: what every network is.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use crate::builder::Builder;
use crate::graph::layers::Layers;
use crate::graph::{Graph, NodeId};
use crate::plan::{CompileOptions, CompiledModel};
use crate::{InputSpec, Stage, training};

/// What every type with a field `network` offers: recomputation, compiling for a CPU, running.
macro_rules! offers {
    ($name:ident) => {
        impl $name {
            /// With `recompute`, a training step keeps of each part of the network only its input and recomputes the rest in the backward
            /// pass: less memory, more time, the same bits. Where the network trains node by node, on a GPU or in `f64`, it changes
            /// nothing.
            #[must_use]
            pub fn recompute(mut self, recompute: bool) -> Self {
                self.network.training.recompute = recompute;
                self
            }

            /// Compiles the network for inference on this CPU. Later changes of its weights do not reach the result.
            ///
            /// # Errors
            /// When a tensor cannot be read.
            pub fn compile(&self) -> candle_core::Result<$crate::CompiledModel> {
                self.compile_with(&$crate::CompileOptions::default())
            }

            /// Compiles the network as `options` say.
            ///
            /// # Errors
            /// When a tensor cannot be read, or the CPU does not have the instruction set asked for.
            pub fn compile_with(
                &self,
                options: &$crate::CompileOptions,
            ) -> candle_core::Result<$crate::CompiledModel> {
                self.network.compile(options)
            }
        }

        impl $crate::LandmarkModel for $name {
            fn forward_t(
                &self,
                images: &candle_core::Tensor,
                train: bool,
            ) -> candle_core::Result<Vec<$crate::Stage>> {
                self.network.stages(images, train)
            }

            fn input(&self) -> &$crate::InputSpec {
                &self.network.input
            }
        }
    };
}
pub(super) use offers;

/// A network in memory.
pub(crate) struct Network {
    pub(crate) graph: Arc<Graph>,
    pub(crate) layers: Arc<Layers>,
    pub(crate) input: InputSpec,
    pub(crate) training: training::Settings,
}

impl Network {
    /// Takes the tensors of `graph` from `vb`.
    pub(crate) fn new(graph: Graph, input: InputSpec, vb: &Builder) -> Result<Self> {
        let layers = Layers::new(&graph, vb)?;
        let training = training::Settings::new(&graph, vb.group().cloned(), vb.bf16());
        Ok(Self { graph: Arc::new(graph), layers: Arc::new(layers), input, training })
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
        #[cfg(feature = "cudnn")]
        if train && let Some(stages) = crate::cuda::step::forward(self, images)? {
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
        CompiledModel::new(self, options, None)
    }
}
