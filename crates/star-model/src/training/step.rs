//! One training step of the network: its forward pass, and what the backward pass needs of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::forward::{Kept, Pass, Shared};
use super::heads::Stage as Planes;
use super::parameters::{Gradients, with_values};
use super::plan::Plan;
use super::{Memory, Outcome, Passes};
use crate::cpu::batch_norm::Statistics;
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
    pub(super) kernels: &'static dyn Kernels,
    /// Shape of the stem's activations.
    pub(super) x: [usize; 4],
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
        Passes { kernels: self.kernels, memory: &self.memory, values, group: self.group.as_ref(), outcome }
    }

    fn pass<'a>(&'a self, passes: &'a Passes<'a>) -> Pass<'a> {
        Pass { plan: &self.plan, shared: &self.shared, passes, images: self.x[0] }
    }

    /// A forward pass on the stem's activations, planes.
    pub(super) fn run(&self, x: &[f32]) -> Result<(Vec<Planes>, Kept, Vec<Option<Statistics>>)> {
        with_values(&self.parameters, |values| {
            let passes = self.passes(values);
            let ((stages, kept), statistics) = passes.run(|| {
                let mut pixels = self.memory.take(x.len());
                interleave(x, self.x, &mut pixels);
                self.pass(&passes).forward(pixels, self.recompute)
            })?;
            Ok((stages, kept, statistics))
        })
    }

    /// A backward pass; the gradient by the stem's activations.
    pub(super) fn run_back(
        &self,
        kept: Kept,
        map_gradients: &[Option<Tensor>],
    ) -> Result<(Vec<f32>, Gradients)> {
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
                let mut dx = vec![0.0; self.x.iter().product()];
                passes.run(|| {
                    if let Some(d) = self.pass(&passes).backward(kept, &stages, &mut gradients) {
                        deinterleave(&d, self.x, &mut dx);
                    }
                })?;
                Ok((dx, gradients))
            })
        })
    }
}

/// Planes `[N, C, H, W]` to channels-last pixels.
fn interleave(planes: &[f32], [_, channels, h, w]: [usize; 4], out: &mut [f32]) {
    let pixels = h * w;
    let image = channels * pixels;
    out.par_chunks_exact_mut(w * channels).enumerate().for_each(|(row, out)| {
        let (n, first) = (row / h, row % h * w);
        for (c, plane) in planes[n * image..][..image].chunks_exact(pixels).enumerate() {
            for (out, &value) in out.chunks_exact_mut(channels).zip(&plane[first..first + w]) {
                out[c] = value;
            }
        }
    });
}

/// The other way round.
fn deinterleave(rows: &[f32], [_, channels, h, w]: [usize; 4], out: &mut [f32]) {
    let pixels = h * w;
    out.par_chunks_exact_mut(pixels).enumerate().for_each(|(plane, out)| {
        let (n, c) = (plane / channels, plane % channels);
        let rows = rows[n * pixels * channels..][..pixels * channels].chunks_exact(channels);
        out.iter_mut().zip(rows).for_each(|(out, row)| *out = row[c]);
    });
}
