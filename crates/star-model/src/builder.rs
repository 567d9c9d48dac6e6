//! What networks and their layers are built from: tensors, and how they are to be trained.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::process_group::{AllReduce, ProcessGroup};

/// How a network is to be trained.
#[derive(Clone, Default)]
pub struct TrainingOptions {
    /// The ranks that train the same network, each on its part of every batch: batch norms take their statistics over all of them.
    /// `None` for one process alone.
    pub process_group: Option<Arc<dyn AllReduce>>,
    /// See [`StackedHourglass::recompute`](crate::StackedHourglass::recompute); an HRNet's parts are its stages.
    pub recompute: bool,
    /// On a CPU in `f32`: products of convolutions, forward, back to inputs and back to weights, of values rounded to bf16, with sums, norms and
    /// activations in `f32`. Faster where the CPU is ([`Isa::gains_by_bf16`](crate::Isa::gains_by_bf16)), slower
    /// elsewhere. Windows with a stride stay in `f32`, and, forward and back to inputs, those of low maps; on [`Isa::Amx`](crate::Isa::Amx)
    /// only the gradients of weights of windows with a stride do. Windows go by Winograd, on `Amx` directly, where what hourglasses keep for the
    /// backward pass, and gradients by it, is bf16 as well: results differ in rounding.
    /// Elsewhere it changes nothing.
    pub bf16: bool,
}

/// A [`VarBuilder`] and what holds for the whole network.
#[derive(Clone)]
pub(crate) struct Builder<'a> {
    vb: VarBuilder<'a>,
    group: Option<ProcessGroup>,
    bf16: bool,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(vb: VarBuilder<'a>, group: Option<ProcessGroup>, bf16: bool) -> Self {
        Self { vb, group, bf16 }
    }

    /// The place `name` under this one.
    pub(crate) fn pp(&self, name: impl ToString) -> Self {
        Self { vb: self.vb.pp(name), group: self.group.clone(), bf16: self.bf16 }
    }

    pub(crate) fn get_with_hints(&self, shape: impl Into<Shape>, name: &str, init: Init) -> Result<Tensor> {
        self.vb.get_with_hints(shape, name, init)
    }

    pub(crate) fn dtype(&self) -> DType {
        self.vb.dtype()
    }

    pub(crate) fn device(&self) -> &Device {
        self.vb.device()
    }

    /// The ranks that batch norms take their statistics over in training; `None` for one process alone.
    pub(crate) fn group(&self) -> Option<&ProcessGroup> {
        self.group.as_ref()
    }

    /// [`TrainingOptions::bf16`].
    pub(crate) fn bf16(&self) -> bool {
        self.bf16
    }
}

impl<'a> From<VarBuilder<'a>> for Builder<'a> {
    fn from(vb: VarBuilder<'a>) -> Self {
        Self::new(vb, None, false)
    }
}
