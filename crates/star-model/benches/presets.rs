//! Time of the networks that have names, full size, through their ordinary layers: one image forward, and a training step
//! of four (forward and backward, no optimiser). `cargo bench -p star-model --bench presets`

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop")]

use std::hint::black_box;

use candle_core::{DType, Device, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use star_model::checkpoint::Architecture;
use star_model::{HrNetConfig, LightPyramidConfig, Parameters, StackedHourglassConfig};

/// Faces of a training step.
const BATCH: usize = 4;

fn networks() -> [(&'static str, Architecture); 5] {
    let edges = || (0..9).map(|e| (11 * e..11 * e + 10).collect()).collect();
    [
        ("light", Architecture::LightPyramid(LightPyramidConfig::standard(98))),
        ("tiny", Architecture::StackedHourglass(StackedHourglassConfig::tiny(98, edges()))),
        ("lite", Architecture::StackedHourglass(StackedHourglassConfig::lite(98, edges()))),
        ("hrnet-w18", Architecture::HrNet(HrNetConfig::w18(98))),
        ("reference", Architecture::StackedHourglass(StackedHourglassConfig::reference(98, edges()))),
    ]
}

fn benches(c: &mut Criterion) {
    let mut group = c.benchmark_group("presets");
    group.sample_size(10);
    for (name, architecture) in networks() {
        let size = architecture.input().image_size;
        let images = |batch: usize| {
            let pixels = (0..batch * 3 * size * size).map(|i| ((i * 7919) % 255) as f32 / 127.5 - 1.0);
            Tensor::from_vec(pixels.collect(), (batch, 3, size, size), &Device::Cpu).unwrap()
        };
        let parameters = Parameters::new(0);
        let trained = architecture.build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
        // Constants, so that no graph is kept, as in evaluation.
        let constants = parameters.tensors().into_iter().collect();
        let vb = candle_nn::VarBuilder::from_tensors(constants, DType::F32, &Device::Cpu);
        let fixed = architecture.build(vb).unwrap();
        let one = images(1);
        group.bench_function(format!("{name}/{size}px/forward"), |b| {
            b.iter(|| black_box(fixed.forward_t(&one, false).unwrap()));
        });
        let several = images(BATCH);
        group.bench_function(format!("{name}/{size}px/step of {BATCH}"), |b| {
            b.iter(|| {
                let stages = trained.forward_t(&several, true).unwrap();
                let loss = stages[stages.len() - 1].heatmaps.sqr().unwrap().mean_all().unwrap();
                black_box(loss.backward().unwrap())
            });
        });
    }
    group.finish();
}

criterion_group!(presets, benches);
criterion_main!(presets);
