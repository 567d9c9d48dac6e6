//! Time of scoring: `cargo bench -p star-eval --bench score`.
//!
//! `SCORE_BENCH_RATIO=1` skips criterion's series and prints medians alone, for `peers/score_numpy.py`, which runs this program after
//! each of its own rounds so that both are measured in alternation.

#![allow(missing_docs, clippy::unwrap_used, reason = "a program")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group};
use star_eval::{Ced, Normalizer, nme};

/// Samples and keypoints of the WFLW test.
const SAMPLES: usize = 2500;
const KEYPOINTS: usize = 98;
/// Errors of the large case.
const MANY: usize = 10_000_000;
const THRESHOLD: f64 = 0.10;
const ROUNDS: usize = 9;

/// Numbers in [0, 1) that look random: multiples of the golden ratio, scattered.
fn numbers(count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 11) as f64 / (1u64 << 53) as f64)
}

/// Predicted and true keypoints.
type Sample = (Vec<[f32; 2]>, Vec<[f32; 2]>);

fn shapes() -> Vec<Sample> {
    let values: Vec<f32> = numbers(SAMPLES * KEYPOINTS * 4).map(|v| v as f32).collect();
    let sample = |sample: &[f32]| {
        let truth: Vec<[f32; 2]> = sample.chunks_exact(4).map(|v| [200.0 * v[0], 200.0 * v[1]]).collect();
        let off = |(t, v): (&[f32; 2], &[f32])| [t[0] + 8.0 * (v[2] - 0.5), t[1] + 8.0 * (v[3] - 0.5)];
        let predicted = truth.iter().zip(sample.chunks_exact(4)).map(off).collect();
        (predicted, truth)
    };
    values.chunks_exact(4 * KEYPOINTS).map(sample).collect()
}

/// NME of every sample, mean, FR and AUC.
fn evaluate(samples: &[Sample]) -> [f64; 3] {
    let normalizer = Normalizer::Between(vec![60], vec![72]);
    let error = |(p, t): &Sample| nme(p, t, None, normalizer.length(t).unwrap()).unwrap();
    figures(samples.iter().map(error).collect())
}

/// Errors to curve, mean, FR and AUC.
fn figures(errors: Vec<f64>) -> [f64; 3] {
    let ced = Ced::new(errors).unwrap();
    [ced.mean(), ced.failure_rate(THRESHOLD), ced.auc(THRESHOLD)]
}

fn many() -> Vec<f64> {
    numbers(MANY).map(|v| 0.3 * v * v).collect()
}

fn series(c: &mut Criterion) {
    let samples = shapes();
    c.bench_function("evaluate/2500x98", |b| b.iter(|| evaluate(black_box(&samples))));
    let errors = many();
    let mut group = c.benchmark_group("ced");
    group.sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("10000000", |b| {
        b.iter_batched(|| errors.clone(), figures, criterion::BatchSize::PerIteration);
    });
    group.finish();
}

fn median(mut work: impl FnMut() -> Duration) -> f64 {
    let mut times: Vec<Duration> = (0..ROUNDS).map(|_| work()).collect();
    times.sort();
    1e3 * times[ROUNDS / 2].as_secs_f64()
}

fn ratios() {
    let samples = shapes();
    let small = median(|| {
        let start = Instant::now();
        black_box(evaluate(black_box(&samples)));
        start.elapsed()
    });
    let errors = many();
    let large = median(|| {
        let fresh = errors.clone();
        let start = Instant::now();
        black_box(figures(fresh));
        start.elapsed()
    });
    println!("evaluate/2500x98 {small:.3} ms");
    println!("ced/10000000 {large:.1} ms");
}

criterion_group!(benches, series);

fn main() {
    if std::env::var_os("SCORE_BENCH_RATIO").is_some() {
        ratios();
    } else {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}
