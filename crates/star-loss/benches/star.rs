//! Time of the loss on the CPU, and its ratio to moving the same bytes: `cargo bench -p star-loss --bench star`.
//!
//! `STAR_BENCH_RATIO=1` skips criterion's series and prints the alternated ratios alone.

#![allow(missing_docs, clippy::unwrap_used, reason = "a program")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use criterion::{Criterion, criterion_group};
use rayon::prelude::*;
use star_loss::losses::gaussian_targets;
use star_loss::{AwingConfig, Grid, Reduction, StarLoss, StarLossConfig, awing};

const SHAPE: (usize, usize, usize, usize) = (32, 98, 64, 64);
const ROUNDS: usize = 15;

struct Case {
    loss: StarLoss,
    heatmaps: Var,
    targets: Tensor,
    gradient: Tensor,
    /// Bumps at the targets, cut off below 1 %.
    points: Tensor,
}

fn case() -> Case {
    let (b, k, h, w) = SHAPE;
    let map = |n: usize| {
        let (mx, my) = (8.0 + (n * 7 % 48) as f32, 8.0 + (n * 13 % 48) as f32);
        (0..h * w).map(move |i| {
            let (dx, dy) = ((i % w) as f32 - mx, (i / w) as f32 - my);
            // Cut off as a ReLU does.
            ((-(dx * dx) / 8.0 - dy * dy / 3.0).exp() - 1e-4).max(0.0)
        })
    };
    let values: Vec<f32> = (0..b * k).flat_map(map).collect();
    let heatmaps = Var::from_vec(values, SHAPE, &Device::Cpu).unwrap();
    let targets: Vec<f32> = (0..2 * b * k).map(|i| (i as f32 * 0.37).sin() * 0.8).collect();
    let targets = Tensor::from_vec(targets, (b, k, 2), &Device::Cpu).unwrap();
    let points = gaussian_targets(&targets, (h, w), Grid::default(), 1.5).unwrap();
    let points = points.ge(0.01).unwrap().to_dtype(DType::F32).unwrap().mul(&points).unwrap();
    Case {
        points,
        loss: StarLoss::new(StarLossConfig::default()).unwrap(),
        gradient: Tensor::zeros(SHAPE, DType::F32, &Device::Cpu).unwrap(),
        targets,
        heatmaps,
    }
}

impl Case {
    fn forward(&self) {
        black_box(
            self.loss.forward(&self.heatmaps, &self.targets).unwrap().reduce(None, Reduction::Mean).unwrap(),
        );
    }

    fn backward(&self, loss: &StarLoss) {
        let loss =
            loss.forward(&self.heatmaps, &self.targets).unwrap().reduce(None, Reduction::Mean).unwrap();
        black_box(loss.backward().unwrap());
    }

    /// Adaptive Wing, forward and backward, against targets that are mostly 0.
    fn awing(&self) {
        let loss = awing(&self.heatmaps, &self.points, &AwingConfig::default()).unwrap();
        black_box(loss.backward().unwrap());
    }

    fn fresh(&self) {
        black_box(self.loss.loss_and_gradient(&self.heatmaps, &self.targets, None, Reduction::Mean).unwrap());
    }

    fn reused(&self) {
        let (loss, how) = (&self.loss, Reduction::Mean);
        black_box(
            loss.loss_and_gradient_into(&self.heatmaps, &self.targets, None, how, &self.gradient).unwrap(),
        );
    }
}

/// Reads the maps, reads them again and writes as many bytes: what no separate forward and backward can beat.
fn read_read_write(maps: &[f32], out: &mut [f32]) {
    const CHUNK: usize = 1 << 16;
    let sum: f32 = maps
        .par_chunks(CHUNK)
        .map(|maps| {
            let mut lanes = [0f32; 16];
            for cells in maps.chunks_exact(16) {
                for (lane, h) in lanes.iter_mut().zip(cells) {
                    *lane += h;
                }
            }
            lanes.iter().sum::<f32>()
        })
        .sum();
    black_box(sum);
    maps.par_chunks(CHUNK).zip(out.par_chunks_mut(CHUNK)).for_each(|(maps, out)| out.copy_from_slice(maps));
    black_box(out);
}

fn series(criterion: &mut Criterion) {
    let case = case();
    let (b, k, h, w) = SHAPE;
    let mut group = criterion.benchmark_group(format!("star/{b}x{k}x{h}x{w}"));
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    let maps = case.heatmaps.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut out = vec![0f32; maps.len()];
    group.bench_function("bound", |bench| bench.iter(|| read_read_write(&maps, &mut out)));
    group.bench_function("gradient-reused", |bench| bench.iter(|| case.reused()));
    group.bench_function("gradient-fresh", |bench| bench.iter(|| case.fresh()));
    group.bench_function("forward", |bench| bench.iter(|| case.forward()));
    group.bench_function("backward", |bench| bench.iter(|| case.backward(&case.loss)));
    group.bench_function("awing-backward", |bench| bench.iter(|| case.awing()));
    let composed = case.loss.clone().composed();
    group.bench_function("backward-composed", |bench| bench.iter(|| case.backward(&composed)));
    group.finish();
}

criterion_group!(benches, series);

/// Milliseconds of each candidate, one after the other in every round.
fn ratios() {
    let case = case();
    let maps = case.heatmaps.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut out = vec![0f32; maps.len()];
    let names = ["bound", "gradient-reused", "gradient-fresh", "forward", "backward", "awing-backward"];
    let mut times = vec![Vec::new(); names.len()];
    for round in 0..=ROUNDS {
        for (i, times) in times.iter_mut().enumerate() {
            let start = Instant::now();
            match i {
                0 => read_read_write(&maps, &mut out),
                1 => case.reused(),
                2 => case.fresh(),
                3 => case.forward(),
                4 => case.backward(&case.loss),
                _ => case.awing(),
            }
            // The first round warms up.
            if round > 0 {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    let quartile = |times: &[f64], share: f64| times[((times.len() - 1) as f64 * share).round() as usize];
    let bounds = times[0].clone();
    for (name, mut times) in names.iter().zip(times) {
        let mut ratios: Vec<f64> = times.iter().zip(&bounds).map(|(t, b)| t / b).collect();
        times.sort_by(f64::total_cmp);
        ratios.sort_by(f64::total_cmp);
        println!(
            "{name:16} {:7.2} ms (quartiles {:.2} to {:.2}), {:.2} of the bound ({:.2} to {:.2})",
            quartile(&times, 0.5),
            quartile(&times, 0.25),
            quartile(&times, 0.75),
            quartile(&ratios, 0.5),
            quartile(&ratios, 0.25),
            quartile(&ratios, 0.75),
        );
    }
}

fn main() {
    println!("{ROUNDS} alternated rounds, {} threads", rayon::current_num_threads());
    ratios();
    if std::env::var_os("STAR_BENCH_RATIO").is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
