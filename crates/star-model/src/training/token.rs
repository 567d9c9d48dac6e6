//! The network as one operation of candle's graph, though it has hundreds of inputs and several outputs and candle's own operations
//! have three and one.
//!
//! Inputs and outputs lie beside the graph, in a [`Step`]; what goes through the graph are tensors of one element that only order
//! things. `Lend` joins parameters to such a token, `Run` turns images and token into another token, `Take` turns that into one
//! of the outputs. On the way back `Take` leaves its gradient in the step, `Run` finds them all there, and `Lend` hands each
//! parameter its own.

use std::sync::{Arc, Mutex};

use candle_core::{
    CpuStorage, CustomOp1, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor,
};

use super::forward::Shared;
use super::plan::{LayerAt, Plan};
use super::step::Step;
use crate::networks::Network;
use crate::plan::kernels::Isa;
use crate::slices::with as with_slice;
use crate::{AuxMaps, Stage};

/// The stages of `network` in training on `images`; `None` where it has to go node by node.
pub(crate) fn forward(network: &Network, images: &Tensor) -> Result<Option<Vec<Stage>>> {
    let fits = images.device().is_cpu() && images.dtype() == DType::F32;
    match network.training.plan.as_ref().filter(|_| fits) {
        Some(plan) => forward_on(Isa::best(), network, plan, images).map(Some),
        None => Ok(None),
    }
}

pub(super) fn forward_on(
    isa: Isa,
    network: &Network,
    plan: &Arc<Plan>,
    images: &Tensor,
) -> Result<Vec<Stage>> {
    let (kernels, settings, layers) = (isa.kernels()?, &network.training, &network.layers);
    let b = images.dim(0)?;
    settings.memory.prepare(b);
    let (mut parameters, mut norms) = (Vec::new(), Vec::new());
    for layer in &plan.layers {
        let pair = match *layer {
            LayerAt::Conv(node) => layers.conv(node)?.parameters(),
            LayerAt::Norm(node) => {
                norms.push(layers.norm(node)?);
                layers.norm(node)?.parameters()
            }
        };
        for tensor in pair {
            parameters.push(tensor.contiguous()?);
        }
    }
    let step = Arc::new(Step {
        plan: Arc::clone(plan),
        shared: Shared::new(plan, kernels.lanes()),
        recompute: settings.recompute,
        parameters,
        memory: settings.memory.clone(),
        group: settings.group.clone(),
        bf16: settings.bf16,
        kernels,
        images: b,
        state: Mutex::default(),
    });
    let token = images.contiguous()?.apply_op2(&lend(&step)?, Run(Arc::clone(&step)))?;
    let statistics = std::mem::take(&mut step.state().statistics);
    for (norm, statistics) in norms.into_iter().zip(statistics) {
        statistics.map_or(Ok(()), |statistics| norm.update_running_stats(&statistics))?;
    }
    let take = |index: usize| token.apply_op1(Take { step: Arc::clone(&step), index });
    let stage = |i: usize| {
        let aux = if plan.edges.is_some() {
            Some(AuxMaps { pointmaps: take(3 * i + 1)?, edgemaps: take(3 * i + 2)? })
        } else {
            None
        };
        Ok(Stage { heatmaps: take(3 * i)?, aux })
    };
    (0..plan.stages).map(stage).collect()
}

/// A token behind all parameters: a tree, three branches a node.
fn lend(step: &Arc<Step>) -> Result<Tensor> {
    let nothing = token()?;
    let mut level: Vec<(Tensor, Lent)> =
        step.parameters.iter().enumerate().map(|(i, tensor)| (tensor.clone(), Lent::Parameter(i))).collect();
    loop {
        let joined = level.chunks(3).map(|children| {
            let child =
                |i: usize| children.get(i).cloned().unwrap_or_else(|| (nothing.clone(), Lent::Nothing));
            let [(a, la), (b, lb), (c, lc)] = [child(0), child(1), child(2)];
            let op = Lend { step: Arc::clone(step), lent: [la, lb, lc] };
            Ok((a.apply_op3(&b, &c, op)?, Lent::Token))
        });
        level = joined.collect::<Result<_>>()?;
        if level.len() <= 1 {
            return Ok(level.pop().map_or(nothing, |(token, _)| token));
        }
    }
}

fn token() -> Result<Tensor> {
    Tensor::zeros(1, DType::F32, &Device::Cpu)
}

fn token_storage() -> (CpuStorage, Shape) {
    (CpuStorage::F32(vec![0.0]), 1.into())
}

/// What a [`Lend`] joins.
#[derive(Clone, Copy)]
enum Lent {
    Parameter(usize),
    Token,
    Nothing,
}

struct Lend {
    step: Arc<Step>,
    lent: [Lent; 3],
}

impl CustomOp3 for Lend {
    fn name(&self) -> &'static str {
        "training-parameters"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(token_storage())
    }

    fn bwd(
        &self,
        a: &Tensor,
        b: &Tensor,
        c: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = |lent: Lent, tensor: &Tensor| match lent {
            Lent::Parameter(i) => {
                let values = self.step.state().parameter_gradients.get_mut(i).and_then(Option::take);
                values.map(|values| Tensor::from_vec(values, tensor.shape(), tensor.device())).transpose()
            }
            Lent::Token => token().map(Some),
            Lent::Nothing => Ok(None),
        };
        let [la, lb, lc] = self.lent;
        Ok((gradient(la, a)?, gradient(lb, b)?, gradient(lc, c)?))
    }
}

struct Run(Arc<Step>);

impl CustomOp2 for Run {
    fn name(&self) -> &'static str {
        "training-network"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        lx: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = lx.contiguous_offsets() else {
            candle_core::bail!("training: expected contiguous images, got strides {:?}", lx.stride())
        };
        let (stages, kept, statistics) = self.0.run(&x.as_slice::<f32>()?[start..end])?;
        let mut state = self.0.state();
        state.map_gradients = vec![None; 3 * stages.len()];
        state.maps = stages.into_iter().flatten().collect();
        state.statistics = statistics;
        state.kept = Some(kept);
        Ok(token_storage())
    }

    fn bwd(
        &self,
        x: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (kept, map_gradients) = {
            let mut state = self.0.state();
            let empty = vec![None; state.map_gradients.len()];
            (state.kept.take(), std::mem::replace(&mut state.map_gradients, empty))
        };
        let kept = match kept {
            Some(kept) => kept,
            None => with_slice(x, |x| self.0.run(x))?.1,
        };
        let gradients = self.0.run_back(kept, &map_gradients)?;
        self.0.state().parameter_gradients = gradients.0;
        Ok((None, Some(token()?)))
    }
}

struct Take {
    step: Arc<Step>,
    index: usize,
}

impl CustomOp1 for Take {
    fn name(&self) -> &'static str {
        "training-maps"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some(maps) = self.step.state().maps.get_mut(self.index).map(std::mem::take) else {
            candle_core::bail!("training: there are no maps {}", self.index)
        };
        let side = self.step.plan.map_side();
        let count = maps.len() / (self.step.images * side * side);
        Ok((CpuStorage::F32(maps), (self.step.images, count, side, side).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if let Some(slot) = self.step.state().map_gradients.get_mut(self.index)
            && slot.replace(gradient.clone()).is_some()
        {
            candle_core::bail!("training: one backward pass at a time, and none after one that failed")
        }
        token().map(Some)
    }
}
