//! Time of a forward pass and of a training step (forward and backward, no optimiser), named
//! `kind/stacks x levels x channels/batch x image size`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop")]

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use star_model::{LandmarkModel, Parameters, StackedHourglass, StackedHourglassConfig};

/// `(stacks, levels, channels, batch, image size)`
const SHAPES: [(usize, usize, usize, usize, usize); 2] = [(1, 3, 32, 8, 64), (1, 3, 64, 8, 128)];

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("hourglass");
    group.sample_size(10);
    for (stacks, levels, channels, batch, image_size) in SHAPES {
        let edges = (0..9).map(|e| (11 * e..11 * e + 10).collect()).collect();
        let config = StackedHourglassConfig {
            stacks,
            levels,
            channels,
            image_size,
            ..StackedHourglassConfig::reference(98, edges)
        };
        let parameters = Parameters::new(0);
        let model = StackedHourglass::new(&config, parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
        let count = batch * 3 * image_size * image_size;
        let pixels: Vec<f32> = (0..count).map(|i| ((i * 7919) % 255) as f32 / 127.5 - 1.0).collect();
        let images = Tensor::from_vec(pixels, (batch, 3, image_size, image_size), &Device::Cpu).unwrap();
        let name = format!("{stacks}x{levels}x{channels}/{batch}x{image_size}");
        group.bench_function(format!("forward/{name}"), |b| {
            b.iter(|| black_box(model.forward_t(&images, false).unwrap()));
        });
        group.bench_function(format!("step/{name}"), |b| {
            b.iter(|| {
                let stages = model.forward_t(&images, true).unwrap();
                let loss = stages[stages.len() - 1].heatmaps.sqr().unwrap().mean_all().unwrap();
                black_box(loss.backward().unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(hourglass, benches);
criterion_main!(hourglass);
