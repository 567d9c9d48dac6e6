//! What networks and their layers are built from: tensors, and how they are to be trained.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::exchange::{Exchange, StatisticsExchange};

/// How a network is to be trained.
#[derive(Clone, Default)]
pub struct TrainingOptions {
    /// Those who train the same network on the rest of every batch: batch norms share their statistics with them. `None` where a
    /// batch is all there is.
    pub exchange: Option<Arc<dyn StatisticsExchange>>,
    /// See [`StackedHourglass::recompute`](crate::StackedHourglass::recompute); HRNet knows nothing of it.
    pub recompute: bool,
}

/// A [`VarBuilder`] and what holds for the whole network.
#[derive(Clone)]
pub(crate) struct Builder<'a> {
    vb: VarBuilder<'a>,
    exchange: Option<Exchange>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(vb: VarBuilder<'a>, exchange: Option<Exchange>) -> Self {
        Self { vb, exchange }
    }

    /// The place `name` under this one.
    pub(crate) fn pp(&self, name: impl ToString) -> Self {
        Self { vb: self.vb.pp(name), exchange: self.exchange.clone() }
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

    /// With whom batch norms share the statistics of a batch in training; `None` where a batch is all there is.
    pub(crate) fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_ref()
    }
}

impl<'a> From<VarBuilder<'a>> for Builder<'a> {
    fn from(vb: VarBuilder<'a>) -> Self {
        Self::new(vb, None)
    }
}
