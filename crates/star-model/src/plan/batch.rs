//! Running a batch: which image goes on which threads, and where its results go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor};

use super::CompiledModel;
use super::memory::Buffer;
use super::ops::heads::{self, Planes};
use super::ops::{Machine, moments};
use super::program::Step;
use super::run::Arena;
use crate::{AuxMaps, Stage};

/// Maps of one kind of one stage over a batch: `[B, count, pixels]`.
struct Maps {
    values: Vec<f32>,
    count: usize,
}

impl Maps {
    fn new(b: usize, count: usize, pixels: usize) -> Self {
        Self { values: vec![0.0; b * count * pixels], count }
    }

    /// One slice an image.
    fn images(&mut self, b: usize) -> impl Iterator<Item = &mut [f32]> {
        let each = self.values.len() / b.max(1);
        let (mut rest, mut left) = (self.values.as_mut_slice(), b);
        std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            let (first, others) = std::mem::take(&mut rest).split_at_mut(each);
            rest = others;
            Some(first)
        })
    }

    fn tensor(self, b: usize, side: usize) -> Result<Tensor> {
        Tensor::from_vec(self.values, (b, self.count, side, side), &Device::Cpu)
    }
}

impl CompiledModel {
    /// The maps of the stages from `first` on.
    pub(super) fn run_stages(&self, pixels: &[f32], b: usize, first: usize) -> Result<Vec<Stage>> {
        let (layout, side) = (&self.program.layout, self.program.map_size);
        let (points, edges) = if layout.attention { (layout.points, layout.edges) } else { (0, 0) };
        let count = self.program.stages - first;
        let maps = |count: usize| Maps::new(b, count, side * side);
        let mut stages: Vec<[Maps; 3]> =
            (0..count).map(|_| [maps(layout.points), maps(points), maps(edges)]).collect();
        {
            // What each image writes to: one set of planes a stage.
            let mut targets: Vec<Vec<Planes>> = (0..b).map(|_| Vec::with_capacity(count)).collect();
            for [heat, points, edges] in &mut stages {
                let planes = heat.images(b).zip(points.images(b)).zip(edges.images(b));
                for (target, ((heatmaps, pointmaps), edgemaps)) in targets.iter_mut().zip(planes) {
                    target.push(Planes { heatmaps, pointmaps, edgemaps });
                }
            }
            let targets: Vec<Mutex<Vec<Planes>>> = targets.into_iter().map(Mutex::new).collect();
            self.each_image(pixels, b, |image, pixels, arena| {
                let mut targets = targets[image].lock().unwrap_or_else(PoisonError::into_inner);
                let mut write = |stage: usize, maps: &[f32], machine: &mut Machine| {
                    if let Some(planes) = stage.checked_sub(first).and_then(|stage| targets.get_mut(stage)) {
                        heads::planes(machine, layout, self.program.gates.as_ref(), maps, planes);
                    }
                };
                self.program.run(self.kernels, arena, pixels, &mut write, None);
            });
        }
        let stage = |[heat, points, edges]: [Maps; 3]| {
            let aux = if layout.attention {
                Some(AuxMaps { pointmaps: points.tensor(b, side)?, edgemaps: edges.tensor(b, side)? })
            } else {
                None
            };
            Ok(Stage { heatmaps: heat.tensor(b, side)?, aux })
        };
        stages.into_iter().map(stage).collect()
    }

    /// Means `[B, K, 2]` and covariances `[B, K, 2, 2]` of the last stage, flat.
    pub(super) fn run_moments(&self, pixels: &[f32], b: usize) -> (Vec<f32>, Vec<f32>) {
        let (program, last) = (&self.program, self.program.stages - 1);
        let found: Vec<Mutex<Vec<moments::Moment>>> = (0..b).map(|_| Mutex::default()).collect();
        self.each_image(pixels, b, |image, pixels, arena| {
            let mut write = |stage: usize, maps: &[f32], machine: &mut Machine| {
                if stage == last {
                    let gates = program.gates.as_ref();
                    let found_here =
                        moments::moments(machine, &program.layout, gates, maps, program.map_size);
                    *found[image].lock().unwrap_or_else(PoisonError::into_inner) = found_here;
                }
            };
            program.run(self.kernels, arena, pixels, &mut write, None);
        });
        let (mut means, mut covariances) = (Vec::new(), Vec::new());
        for image in found {
            for (mean, [xx, xy, yy]) in image.into_inner().unwrap_or_else(PoisonError::into_inner) {
                means.extend(mean.map(|v| v as f32));
                covariances.extend([xx, xy, xy, yy].map(|v| v as f32));
            }
        }
        (means, covariances)
    }

    /// The time of each step on one image.
    pub(super) fn run_timed(&self, pixels: &[f32]) -> Vec<Duration> {
        let mut starts = Vec::with_capacity(self.program.steps.len() + 1);
        self.watch(pixels, &mut |_, _| starts.push(Instant::now()));
        starts.push(Instant::now());
        starts.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect()
    }

    /// Runs one image, and calls `before` with each step and what it reads.
    pub(super) fn watch(&self, pixels: &[f32], before: &mut (dyn FnMut(&Step, &[Buffer]) + Send)) {
        let before = Mutex::new(before);
        self.each_image(pixels, 1, |_, pixels, arena| {
            let mut before = before.lock().unwrap_or_else(PoisonError::into_inner);
            let mut before = |step: &Step, slots: &[Buffer]| before(step, slots);
            self.program.run(self.kernels, arena, pixels, &mut |_, _, _| {}, Some(&mut before));
        });
    }

    /// Calls `work` with each image: one a thread while there are enough, then all threads on each that is left.
    fn each_image(&self, pixels: &[f32], b: usize, work: impl Fn(usize, &[f32], &mut Arena) + Sync) {
        let threads = self.threads.unwrap_or(usize::MAX).min(rayon::current_num_threads()).max(1);
        let each = pixels.len() / b.max(1);
        let image = |i: usize| &pixels[i * each..(i + 1) * each];
        if threads == 1 {
            return self.with_arena(1, |arena| (0..b).for_each(|i| work(i, image(i), arena)));
        }
        let together = b - b % threads;
        let next = AtomicUsize::new(0);
        let alone = || {
            self.with_arena(1, |arena| {
                loop {
                    // Only hands out numbers: results are published by the end of the scope.
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= together {
                        break;
                    }
                    work(i, image(i), arena);
                }
            });
        };
        // A scope moves to a thread of the pool, where the steps' own scopes cost next to nothing.
        rayon::scope(|scope| {
            if together > 0 {
                for _ in 1..threads {
                    scope.spawn(|_| alone());
                }
                alone();
            }
        });
        rayon::scope(|_| {
            self.with_arena(threads, |arena| (together..b).for_each(|i| work(i, image(i), arena)));
        });
    }

    /// Calls `work` with memory that no other call is using.
    fn with_arena(&self, threads: usize, work: impl FnOnce(&mut Arena)) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut arena = idle.unwrap_or_else(|| Arena::new(&self.program));
        arena.team.resize(threads);
        work(&mut arena);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(arena);
    }
}
