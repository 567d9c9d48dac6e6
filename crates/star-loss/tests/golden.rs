//! Losses and gradients of the public reference implementation, computed in f64.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use star_loss::{AwingConfig, Distance, Form, Reduction, Restriction, StarLoss, StarLossConfig, awing};

/// Relative for the loss, of the norm for the gradient.
struct Tolerance {
    loss: f64,
    gradient: f64,
}

const F64: Tolerance = Tolerance { loss: 1e-9, gradient: 1e-7 };
const F32: Tolerance = Tolerance { loss: 1e-5, gradient: 1e-4 };

const CASES: [&str; 3] = ["gauss_2x5x16x16", "relu_2x4x16x16", "softmax_1x3x12x20"];
const FORMS: [(&str, Form); 2] = [("v1", Form::Whitened), ("v2", Form::PerAxis)];
const DISTANCES: [(&str, Distance); 4] = [
    ("smoothl1", Distance::smooth_l1()),
    ("l1", Distance::l1()),
    ("l2", Distance::l2()),
    ("wing", Distance::wing()),
];
const WEIGHTS: [(&str, f64); 2] = [("w1", 1.0), ("w0.25", 0.25)];

/// The CPU, and a CUDA card where this build and this machine have one.
fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    if cfg!(feature = "cuda") {
        match Device::new_cuda_with_stream(0) {
            Ok(card) => devices.push(card),
            Err(error) => println!("skipped on a card: {error}"),
        }
    }
    devices
}

fn golden(device: &Device) -> HashMap<String, Tensor> {
    // Tests run in the folder of their crate.
    candle_core::safetensors::load("tests/golden/star_loss.safetensors", device).unwrap()
}

fn scalar(t: &Tensor) -> f64 {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()[0]
}

fn norm(t: &Tensor) -> f64 {
    scalar(&t.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap()).sqrt()
}

fn assert_near(name: &str, ours: f64, theirs: f64, relative: f64) {
    let error = (ours - theirs).abs();
    assert!(
        error <= relative * theirs.abs(),
        "{name}: {ours} against {theirs}, off by {:e}",
        error / theirs.abs()
    );
}

fn assert_same_gradient(name: &str, ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    let error = norm(&(ours.to_dtype(DType::F64).unwrap() - theirs).unwrap()) / norm(theirs);
    assert!(error <= tolerance, "{name}: gradient off by {error:e} of its norm");
}

/// Loss and gradient.
type Run = fn(&StarLoss, &Var, &Tensor) -> (Tensor, Tensor);

fn backward(loss: &StarLoss, heatmaps: &Var, targets: &Tensor) -> (Tensor, Tensor) {
    let loss = loss.forward(heatmaps, targets).unwrap().reduce(None, Reduction::Mean).unwrap();
    let gradient = loss.backward().unwrap().remove(heatmaps).unwrap();
    (loss, gradient)
}

fn composed(loss: &StarLoss, heatmaps: &Var, targets: &Tensor) -> (Tensor, Tensor) {
    backward(&loss.clone().composed(), heatmaps, targets)
}

fn kernel(loss: &StarLoss, heatmaps: &Var, targets: &Tensor) -> (Tensor, Tensor) {
    loss.loss_and_gradient(heatmaps, targets, None, Reduction::Mean).unwrap()
}

/// Every stored loss of the two forms against ours, on every device; how many there were.
fn compare_all(run: Run, dtype: DType, tolerance: &Tolerance) -> usize {
    let compared = devices().into_iter().map(|device| compare_on(&device, run, dtype, tolerance));
    compared.reduce(|a, b| if a == b { a } else { 0 }).unwrap()
}

fn compare_on(device: &Device, run: Run, dtype: DType, tolerance: &Tolerance) -> usize {
    let golden = golden(device);
    let mut compared = 0;
    for case in CASES {
        let heatmaps =
            Var::from_tensor(&golden[&format!("{case}.heatmap")].to_dtype(dtype).unwrap()).unwrap();
        let targets = golden[&format!("{case}.target")].to_dtype(dtype).unwrap();
        for (form_name, form) in FORMS {
            for (distance_name, distance) in DISTANCES {
                for (weight_name, weight) in WEIGHTS {
                    let name = format!("{case}.{form_name}.{distance_name}.{weight_name}");
                    let Some(expected) = golden.get(&format!("{name}.loss")) else {
                        // The reference crashes on per-axis Wing.
                        assert_eq!((form_name, distance_name), ("v2", "wing"));
                        continue;
                    };
                    let config = StarLossConfig {
                        form,
                        distance,
                        restriction: Restriction::Value { weight },
                        ..Default::default()
                    };
                    let (loss, gradient) = run(&StarLoss::new(config).unwrap(), &heatmaps, &targets);
                    assert_near(&name, scalar(&loss), scalar(expected), tolerance.loss);
                    assert_eq!(gradient.dtype(), dtype);
                    let expected = &golden[&format!("{name}.gradnorm")];
                    assert_near(&name, norm(&gradient), scalar(expected), tolerance.gradient);
                    if let Some(expected) = golden.get(&format!("{name}.grad")) {
                        assert_same_gradient(&name, &gradient, expected, tolerance.gradient);
                    }
                    compared += 1;
                }
            }
        }
    }
    compared
}

/// 3 maps x (4 + 3 distances of the two forms) x 2 weights.
const STORED: usize = 42;

#[test]
fn sweeps_and_kernels_are_the_reference() {
    assert_eq!(compare_all(backward, DType::F64, &F64), STORED);
    assert_eq!(compare_all(backward, DType::F32, &F32), STORED);
}

#[test]
fn the_path_of_candle_ops_is_the_reference() {
    assert_eq!(compare_all(composed, DType::F64, &F64), STORED);
    assert_eq!(compare_all(composed, DType::F32, &F32), STORED);
}

#[test]
fn loss_and_gradient_at_once_is_the_reference() {
    assert_eq!(compare_all(kernel, DType::F64, &F64), STORED);
    assert_eq!(compare_all(kernel, DType::F32, &F32), STORED);
}

#[test]
fn awing_and_its_gradient_are_the_references() {
    for device in devices() {
        let golden = golden(&device);
        for (dtype, tolerance) in [(DType::F64, F64), (DType::F32, F32)] {
            let output = Var::from_tensor(&golden["awing.output"].to_dtype(dtype).unwrap()).unwrap();
            let target = golden["awing.target"].to_dtype(dtype).unwrap();
            let loss = awing(&output, &target, &AwingConfig::default()).unwrap();
            assert_near("awing", scalar(&loss), scalar(&golden["awing.loss"]), tolerance.loss);
            let grads = loss.backward().unwrap();
            let gradient = grads.get(&output).unwrap();
            assert_same_gradient("awing", gradient, &golden["awing.grad"], tolerance.gradient);
        }
    }
}
