//! One training step (forward and backward, no optimiser), timed from inside for a comparison from outside:
//! `cargo bench -p star-model --bench step`, `STAR_STEP=full` for the published network at batch 4 instead of the offline one at 8,
//! `STAR_STEP=hrnet` for HRNet-W18 at batch 4, `STAR_RECOMPUTE=1` to work parts out again instead of keeping them,
//! `STAR_BF16=1` for products in bf16.
//! `benches/peers/hourglass_step_pytorch.py` runs it in alternation with the same step in PyTorch.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on should stop")]

use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use star_model::checkpoint::Architecture;
use star_model::{HrNetConfig, LandmarkModel, Parameters, StackedHourglassConfig, TrainingOptions};

fn main() {
    let shape = std::env::var("STAR_STEP").unwrap_or_default();
    let edges = (0..9).map(|e| (11 * e..11 * e + 10).filter(|k| *k < 98).collect()).collect();
    let reference = StackedHourglassConfig::reference(98, edges);
    let (architecture, batch) = match shape.as_str() {
        "full" => (Architecture::StackedHourglass(reference), 4),
        "hrnet" => (Architecture::HrNet(HrNetConfig::w18(98)), 4),
        _ => {
            let small =
                StackedHourglassConfig { stacks: 1, levels: 3, channels: 64, image_size: 64, ..reference };
            (Architecture::StackedHourglass(small), 8)
        }
    };
    let parameters = Parameters::new(0);
    let recompute = std::env::var("STAR_RECOMPUTE").is_ok_and(|value| value == "1");
    let bf16 = std::env::var("STAR_BF16").is_ok_and(|value| value == "1");
    let options = TrainingOptions { recompute, bf16, ..TrainingOptions::default() };
    let vb = parameters.var_builder(DType::F32, &Device::Cpu);
    let model = architecture.build_for_training(vb, &options).unwrap();
    let size = architecture.input().image_size;
    let pixels: Vec<f32> =
        (0..batch * 3 * size * size).map(|i| ((i * 7919) % 255) as f32 / 127.5 - 1.0).collect();
    let images = Tensor::from_vec(pixels, (batch, 3, size, size), &Device::Cpu).unwrap();
    let before = peak();
    // One that warms up, and those that are timed.
    for step in 0..=if shape.is_empty() { 20 } else { 2 } {
        let start = Instant::now();
        let mut loss = Tensor::new(0f32, &Device::Cpu).unwrap();
        for stage in model.forward_t(&images, true).unwrap() {
            let aux = stage.aux.into_iter().flat_map(|aux| [aux.pointmaps, aux.edgemaps]);
            for maps in aux.chain([stage.heatmaps]) {
                loss = (loss + maps.sqr().unwrap().mean_all().unwrap()).unwrap();
            }
        }
        drop(loss.backward().unwrap());
        if step > 0 {
            println!("star {:.1} ms", 1e3 * start.elapsed().as_secs_f64());
        }
    }
    if let (Some(before), Some(after)) = (before, peak()) {
        println!("star peak over the model: {:.0} MiB", (after - before) / 1024.0);
    }
}

/// The largest resident size of this process so far, KiB, where the system tells (Linux).
fn peak() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
