//! Networks whose activations have 16 bits on parameters in f32, as GPUs train them in bf16. candle multiplies no bf16 on a CPU, so
//! there the test takes f16: the same operations with other rounding. On a CUDA card it takes both.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::{DType, Device, Result, Tensor, Var};
use star_model::{HrNet, HrNetConfig, LandmarkModel, Parameters, StackedHourglass, StackedHourglassConfig};

mod devices;

/// A rounding by 1 part in 2048 grows some hundredfold through these layers and norms, as those of f32 do.
const TOLERANCE: f64 = 0.1;

/// One by 1 part in 256 does, too: this finds what is wrong, not what is imprecise, for which layers have tests of their own.
const TOLERANCE_BF16: f64 = 8.0 * TOLERANCE;

fn images() -> Tensor {
    let values: Vec<f32> = (0..4 * 3 * 64 * 64).map(|i| ((i * 7919) % 255) as f32 / 127.5 - 1.0).collect();
    Tensor::from_vec(values, (4, 3, 64, 64), &Device::Cpu).unwrap()
}

fn norm(tensor: &Tensor) -> f64 {
    tensor
        .to_dtype(DType::F64)
        .unwrap()
        .sqr()
        .unwrap()
        .sum_all()
        .unwrap()
        .sqrt()
        .unwrap()
        .to_scalar()
        .unwrap()
}

/// Heatmaps of the last stage and the gradient of a weight of the head.
fn step(model: &dyn LandmarkModel, head: &Var, dtype: DType) -> Result<[Tensor; 2]> {
    let stages = model.forward_t(&images().to_dtype(dtype)?.to_device(head.device())?, true)?;
    let maps = &stages.last().unwrap().heatmaps;
    let gradients = maps.sqr()?.sum_all()?.backward()?;
    Ok([maps.clone(), gradients.get(head).unwrap().clone()])
}

fn check(model: &dyn LandmarkModel, head: &Var) {
    let full = step(model, head, DType::F32).unwrap();
    let mut halves = vec![(DType::F16, TOLERANCE)];
    if !head.device().is_cpu() {
        halves.push((DType::BF16, TOLERANCE_BF16));
    }
    for (dtype, tolerance) in halves {
        for (full, half) in full.iter().zip(&step(model, head, dtype).unwrap()) {
            assert_eq!(half.dtype(), DType::F32);
            let error = norm(&(full - half).unwrap()) / norm(full);
            assert!(error > 0.0 && error <= tolerance, "{dtype:?}: off by {error} of its norm");
        }
    }
}

#[test]
fn an_hourglass_returns_the_maps_and_gradients_of_full_precision_up_to_rounding() {
    let config = StackedHourglassConfig {
        stacks: 2,
        levels: 1,
        channels: 16,
        image_size: 64,
        ..StackedHourglassConfig::reference(3, vec![vec![0, 1]])
    };
    for device in devices::devices() {
        let parameters = Parameters::new(1);
        let model = StackedHourglass::new(&config, parameters.var_builder(DType::F32, &device)).unwrap();
        check(&model, &parameters.get("out_heatmaps.1.conv.weight").unwrap());
    }
}

#[test]
fn an_hrnet_returns_the_maps_and_gradients_of_full_precision_up_to_rounding() {
    let config = HrNetConfig {
        width: 4,
        stem: 8,
        modules: [1, 1, 1],
        blocks: 1,
        image_size: 64,
        ..HrNetConfig::w18(3)
    };
    for device in devices::devices() {
        let parameters = Parameters::new(1);
        let model = HrNet::new(&config, parameters.var_builder(DType::F32, &device)).unwrap();
        let mut trainable = parameters.trainable().into_iter();
        let (_, head) = trainable.rfind(|(name, _)| name.starts_with("head")).unwrap();
        check(&model, &head);
    }
}
