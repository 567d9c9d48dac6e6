//! The network in training on a card as one operation of candle's graph, as `training::token` has it for the CPU.
//!
//! The forward pass runs before any of it; what goes through the graph are tensors of one element that only order things.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp2, CustomOp3, DType, Layout, Result, Shape, Tensor, bail,
};

use super::card::{Held, Operand, unwritten};
use super::norm::working_dtype;
use super::pass::{Kept, Pair, Pass};
use super::pointwise::not_here;
use crate::graph::{NodeId, Op};
use crate::networks::Network;
use crate::{AuxMaps, Stage};

/// The stages of `network` in training on `images`; `None` where it has to go node by node.
pub(crate) fn forward(network: &Network, images: &Tensor) -> Result<Option<Vec<Stage>>> {
    // Norms over several ranks, and over types that do not go together, are candle's operations.
    let parameters = network.layers.dtype;
    if !images.device().is_cuda()
        || network.training.has_group()
        || parameters != working_dtype(images.dtype())
    {
        return Ok(None);
    }
    let pass = Pass::new(&network.graph, &network.layers);
    let (wanted, mut lent) = (network.graph.outputs(), Vec::new());
    for (id, node) in network.graph.nodes.iter().enumerate() {
        let pair = match node.op {
            Op::Conv2d { .. } | Op::Depthwise { .. } => network.layers.conv(id)?.parameters(),
            Op::BatchNorm => network.layers.norm(id)?.parameters(),
            _ => continue,
        };
        let learnt = pair.into_iter().enumerate().filter(|(_, tensor)| tensor.track_op());
        lent.extend(learnt.map(|(which, tensor)| (tensor.clone(), Lent::Parameter(id, which))));
    }
    let (maps, kept) = pass.forward(images, &wanted, true)?;
    let state = State { kept: Some(kept), by_maps: vec![None; maps.len()], maps, by_parameters: Vec::new() };
    let step = Arc::new(Step { pass, wanted, state: Mutex::new(state) });
    let nothing = Tensor::zeros(1, DType::F32, images.device())?;
    let behind = lend(&step, lent, &nothing)?;
    let token = images.contiguous()?.apply_op2(&behind, Run(Arc::clone(&step)))?;
    let mut next = 0;
    let mut take = || {
        next += 1;
        token.apply_op1(Take { step: Arc::clone(&step), index: next - 1 })
    };
    let stage = |aux: bool| -> Result<Stage> {
        let aux = if aux { Some(AuxMaps { pointmaps: take()?, edgemaps: take()? }) } else { None };
        Ok(Stage { heatmaps: take()?, aux })
    };
    network.graph.stages.iter().map(|stage| stage.aux.is_some()).map(stage).collect::<Result<_>>().map(Some)
}

/// One forward pass and what its backward pass has gathered so far.
struct Step {
    pass: Pass,
    /// The nodes of the maps, in the order of the stages.
    wanted: Vec<NodeId>,
    state: Mutex<State>,
}

struct State {
    /// Emptied by the backward pass; a second one recomputes it.
    kept: Option<Kept>,
    maps: Vec<Tensor>,
    /// Gradients with respect to the maps.
    by_maps: Vec<Option<Tensor>>,
    /// Gradients with respect to the parameters of each node.
    by_parameters: Vec<Pair>,
}

impl Step {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token behind all parameters: a tree, three branches a node.
fn lend(step: &Arc<Step>, mut level: Vec<(Tensor, Lent)>, nothing: &Tensor) -> Result<Tensor> {
    while level.len() > 1 || level.iter().any(|(_, lent)| matches!(lent, Lent::Parameter(..))) {
        let joined = level.chunks(3).map(|children| {
            let child =
                |i: usize| children.get(i).cloned().unwrap_or_else(|| (nothing.clone(), Lent::Nothing));
            let [(a, la), (b, lb), (c, lc)] = [child(0), child(1), child(2)];
            let op = Lend { step: Arc::clone(step), lent: [la, lb, lc], nothing: nothing.clone() };
            let [a, b, c] = [a.contiguous()?, b.contiguous()?, c.contiguous()?];
            Ok((a.apply_op3(&b, &c, op)?, Lent::Token))
        });
        level = joined.collect::<Result<_>>()?;
    }
    Ok(level.pop().map_or_else(|| nothing.clone(), |(token, _)| token))
}

/// What a [`Lend`] joins.
#[derive(Clone, Copy)]
enum Lent {
    /// Of a node, its first or second.
    Parameter(NodeId, usize),
    Token,
    Nothing,
}

struct Lend {
    step: Arc<Step>,
    lent: [Lent; 3],
    /// The gradient by a token.
    nothing: Tensor,
}

/// A token where `storage` lies.
fn token(storage: &CudaStorage) -> Result<(CudaStorage, Shape)> {
    // Nobody reads its value.
    Ok((unwritten(storage.device(), DType::F32, 1)?, 1.into()))
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
        not_here(self.name())
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        token(storage)
    }

    fn bwd(
        &self,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = |lent: Lent| match lent {
            Lent::Parameter(id, which) => {
                self.step.state().by_parameters.get_mut(id).and_then(|pair| pair[which].take())
            }
            Lent::Token => Some(self.nothing.clone()),
            Lent::Nothing => None,
        };
        let [a, b, c] = self.lent.map(gradient);
        Ok((a, b, c))
    }
}

struct Run(Arc<Step>);

impl CustomOp2 for Run {
    fn name(&self) -> &'static str {
        "training-network"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        not_here(self.name())
    }

    fn cuda_fwd(
        &self,
        storage: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        token(storage)
    }

    fn bwd(
        &self,
        images: &Tensor,
        behind: &Tensor,
        _: &Tensor,
        _: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (kept, by_maps) = {
            let mut state = self.0.state();
            let empty = vec![None; state.by_maps.len()];
            (state.kept.take(), std::mem::replace(&mut state.by_maps, empty))
        };
        let kept = match kept {
            Some(kept) => kept,
            None => self.0.pass.forward(&images.detach(), &self.0.wanted, false)?.1,
        };
        let gradients = self.0.pass.backward(kept, &self.0.wanted, by_maps)?;
        self.0.state().by_parameters = gradients;
        Ok((None, Some(behind.zeros_like()?)))
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
        not_here(self.name())
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        let maps = self.step.state().maps[self.index].clone();
        let held = Held::new(("training", &maps));
        let Operand { storage, layout } = held.operand()?;
        if layout.contiguous_offsets() != Some((0, layout.shape().elem_count())) {
            bail!("training: expected maps that begin their storage, got {layout:?}")
        }
        Ok((storage.try_clone(layout)?, layout.shape().clone()))
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if let Some(slot) = self.step.state().by_maps.get_mut(self.index)
            && slot.replace(gradient.clone()).is_some()
        {
            bail!("training: one backward pass at a time, and none after one that failed")
        }
        Ok(Some(token.clone()))
    }
}
