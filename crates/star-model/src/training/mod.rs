//! Networks in training on a CPU: forward and backward passes by the kernels of the inference plan.
//!
//! The whole network is one operation of candle's graph (`token`). Inside, activations are channels-last and all pixels of a
//! batch one long list, so that a 1x1 convolution is one product. `plan` says what the values of the network's graph are and how they
//! are made, `forward` makes them, `backward` goes the other way, and memory comes back as soon as it was read for the last time
//! (`memory`). What is cheap to recompute is not kept: activations behind norms, gated heatmaps. In bf16, where there are registers of tiles,
//! values and gradients lie in memory as pairs (`pixels`).
//!
//! Results do not depend on the number of threads: sums over pixels are taken in blocks of fixed size.

mod backward;
mod depthwise;
mod forward;
mod head_gradients;
mod heads;
mod linear;
mod maps;
mod memory;
mod norm;
mod parameters;
mod pixels;
mod plan;
mod step;
mod sums;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_pairs;
#[cfg(test)]
mod tests_weights;
mod tile_gradient;
mod token;
mod weight_gradient;
mod window;

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Error, Result};
use norm::{Norm, Sums};
use parameters::NormAt;
use pixels::Pixels;

use crate::graph::Graph;
use crate::norm::Statistics;
use crate::plan::kernels::Kernels;
use crate::plan::memory::Buffer;
use crate::plan::ops::Machine;
use crate::process_group::ProcessGroup;

use memory::Memory;
use plan::Plan;
pub(crate) use token::forward;

/// What a network trains with besides its layers.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Buffers that one training step leaves for the next one.
    memory: Memory,
    /// The ranks that the batch statistics are of; `None` for this process alone.
    group: Option<ProcessGroup>,
    /// Whether products are in bf16.
    bf16: bool,
    /// Whether the backward pass recomputes the stacks instead of keeping their activations.
    pub(crate) recompute: bool,
    /// Where these passes can train the network.
    plan: Option<Arc<Plan>>,
}

impl Settings {
    pub(crate) fn new(graph: &Graph, group: Option<ProcessGroup>, bf16: bool) -> Self {
        let plan = Plan::new(graph).map(Arc::new);
        Self { memory: Memory::default(), group, bf16, recompute: false, plan }
    }

    /// Whether the batch statistics are of several ranks.
    #[cfg(feature = "cudnn")]
    pub(crate) fn has_group(&self) -> bool {
        self.group.is_some()
    }
}

/// What both passes run on.
struct Passes<'a> {
    kernels: &'static dyn Kernels,
    memory: &'a Memory,
    /// The parameters, in the order of the list.
    values: &'a [&'a [f32]],
    /// The ranks that the batch statistics are of; `None` for this process alone.
    group: Option<&'a ProcessGroup>,
    /// Whether products are in bf16.
    bf16: bool,
    outcome: Mutex<Outcome>,
}

/// What comes of a pass besides its results.
#[derive(Default)]
struct Outcome {
    /// Statistics that the norms used.
    statistics: Vec<Option<Statistics>>,
    /// The first all-reduce that failed; what comes after it means nothing.
    failure: Option<Error>,
}

/// A batch of maps of one size.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Maps {
    images: usize,
    height: usize,
    width: usize,
}

impl Maps {
    fn pixels(self) -> usize {
        self.images * self.height * self.width
    }

    /// Of one image.
    fn image(self) -> usize {
        self.height * self.width
    }

    fn halved(self) -> Self {
        Self { height: self.height / 2, width: self.width / 2, ..self }
    }
}

impl Passes<'_> {
    /// Whether products in bf16 go by registers of tiles: windows are then done directly, and values may lie in memory as pairs.
    fn has_tiles(&self) -> bool {
        self.bf16 && self.kernels.has_tiles()
    }

    /// A norm of `x`, whose statistics go to the list.
    fn norm(&self, at: NormAt, x: Pixels, sums: &Sums) -> Norm {
        let mut statistics = sums.statistics(self, x);
        if let Some(group) = self.group.filter(|_| !self.has_failed()) {
            match statistics.clone().all_reduce(group) {
                Ok(all) => statistics = all,
                Err(error) => self.fail(error),
            }
        }
        let norm = Norm::new(&statistics, self.values[at.weight], self.values[at.bias]);
        statistics.mean.truncate(at.channels);
        statistics.variance.truncate(at.channels);
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = outcome.statistics.get_mut(at.statistics) {
            *slot = Some(statistics);
        }
        norm
    }

    /// Replaces `values` by their sums over all ranks.
    fn all_reduce(&self, values: &mut [f64]) {
        let group = self.group.filter(|_| !self.has_failed());
        if let Some(Err(error)) = group.map(|group| group.all_reduce(values)) {
            self.fail(error);
        }
    }

    /// Whether an all-reduce has failed: ranks that go on after it would wait for this one again and again.
    fn has_failed(&self) -> bool {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some()
    }

    fn fail(&self, error: Error) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).failure.get_or_insert(error);
    }

    /// Runs a pass. In a process group it stays on this thread: a thread of the pool that waits for other ranks in the middle of
    /// a pass could be one that they wait for.
    fn run<R: Send>(&self, pass: impl FnOnce() -> R + Send) -> Result<(R, Vec<Option<Statistics>>)> {
        let result = if self.group.is_some() { pass() } else { rayon::scope(|_| pass()) };
        let outcome = std::mem::take(&mut *self.outcome.lock().unwrap_or_else(PoisonError::into_inner));
        outcome.failure.map_or(Ok((result, outcome.statistics)), Err)
    }

    /// Calls `work` with each image: one a thread where there are enough of them, otherwise one after the other on all threads.
    fn each_image(&self, images: usize, work: impl Fn(usize, &mut Machine, &mut Buffer) + Sync) {
        let threads = rayon::current_num_threads();
        let one = |n: usize, threads: usize, scratch: &mut Buffer| {
            self.memory
                .with_team(threads, |team| work(n, &mut Machine { kernels: self.kernels, team }, scratch));
        };
        if images >= threads {
            self.memory.each(images, |n, scratch| one(n, 1, scratch));
        } else {
            self.memory.each(1, |_, scratch| (0..images).for_each(|n| one(n, threads, scratch)));
        }
    }
}
