//! One training step of the network: its forward pass, and what the backward pass needs of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};

use super::forward::{Kept, Pass, Shared};
use super::heads::Stage as Planes;
use super::parameters::{Gradients, with_values};
use super::plan::Plan;
use super::{Memory, Outcome, Passes};
use crate::norm::Statistics;
use crate::plan::kernels::Kernels;
use crate::process_group::ProcessGroup;

/// One forward pass and what its backward pass has gathered so far.
pub(super) struct Step {
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Shared,
    pub(super) recompute: bool,
    pub(super) parameters: Vec<Tensor>,
    pub(super) memory: Memory,
    pub(super) group: Option<ProcessGroup>,
    pub(super) bf16: bool,
    pub(super) kernels: &'static dyn Kernels,
    pub(super) images: usize,
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    /// Emptied by the backward pass; a second one recomputes it.
    pub(super) kept: Option<Kept>,
    pub(super) statistics: Vec<Option<Statistics>>,
    /// Maps that nobody took yet, three a stage.
    pub(super) maps: Vec<Vec<f32>>,
    /// Gradients with respect to the maps.
    pub(super) map_gradients: Vec<Option<Tensor>>,
    /// Gradients with respect to the parameters.
    pub(super) parameter_gradients: Vec<Option<Vec<f32>>>,
}

impl Step {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes<'a>(&'a self, values: &'a [&'a [f32]]) -> Passes<'a> {
        let outcome = Mutex::new(Outcome { statistics: vec![None; self.plan.norms], failure: None });
        let (kernels, memory, group, bf16) = (self.kernels, &self.memory, self.group.as_ref(), self.bf16);
        Passes { kernels, memory, values, group, bf16, outcome }
    }

    fn pass<'a>(&'a self, passes: &'a Passes<'a>) -> Pass<'a> {
        let pairs = passes.has_tiles() && self.plan.pairs;
        Pass { plan: &self.plan, shared: &self.shared, passes, images: self.images, pairs }
    }

    /// A forward pass on images, planes.
    pub(super) fn run(&self, images: &[f32]) -> Result<(Vec<Planes>, Kept, Vec<Option<Statistics>>)> {
        with_values(&self.parameters, |values| {
            let passes = self.passes(values);
            let ((stages, kept), statistics) =
                passes.run(|| self.pass(&passes).forward(images, self.recompute))?;
            Ok((stages, kept, statistics))
        })
    }

    /// A backward pass.
    pub(super) fn run_back(&self, kept: Kept, map_gradients: &[Option<Tensor>]) -> Result<Gradients> {
        let map_gradients: Vec<Option<Tensor>> = map_gradients
            .iter()
            .map(|d| d.as_ref().map(Tensor::contiguous).transpose())
            .collect::<Result<_>>()?;
        let given: Vec<Tensor> = map_gradients.iter().flatten().cloned().collect();
        with_values(&self.parameters, |values| {
            with_values(&given, |given| {
                let mut given = given.iter();
                let map_gradients: Vec<Option<&[f32]>> =
                    map_gradients.iter().map(|d| d.as_ref().and_then(|_| given.next().copied())).collect();
                let stages: Vec<[Option<&[f32]>; 3]> =
                    map_gradients.chunks_exact(3).map(|stage| [stage[0], stage[1], stage[2]]).collect();
                let passes = self.passes(values);
                let mut gradients = Gradients::new(values.len());
                passes.run(|| self.pass(&passes).backward(kept, &stages, &mut gradients))?;
                Ok(gradients)
            })
        })
    }
}
