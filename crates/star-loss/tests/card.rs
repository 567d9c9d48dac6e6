//! The kernels of a CUDA card against the sweeps of the CPU, on ordinary and on hostile maps. Where no card opens, these tests say so
//! and pass.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use candle_core::{DType, Device, Result, Tensor, Var};
use star_loss::moments::Moments;
use star_loss::{
    Activation, AwingConfig, Distance, Form, Grid, Reduction, Restriction, StarLoss, StarLossConfig, awing,
};

fn on_card() -> Option<Device> {
    match Device::new_cuda_with_stream(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: no CUDA card: {error}");
            None
        }
    }
}

/// Types of maps, and what loss and gradient may be off by.
const TYPES: [(DType, f64, f64); 4] = [
    (DType::F64, 1e-10, 1e-8),
    (DType::F32, 1e-6, 1e-5),
    (DType::F16, 1e-6, 2e-3),
    (DType::BF16, 1e-6, 1e-2),
];

fn host(t: &Tensor) -> Vec<f64> {
    let t = t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    t.flatten_all().unwrap().to_vec1().unwrap()
}

/// Largest difference over the largest value; NaN only where both are.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
    let (a, b) = (host(a), host(b));
    let largest = b.iter().filter(|b| b.is_finite()).fold(1e-300f64, |m, b| m.max(b.abs()));
    let off = a.iter().zip(&b).map(|(a, b)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if a == b => 0.0,
        (false, false) => (a - b).abs() / largest,
        _ => f64::INFINITY,
    });
    off.fold(0.0, f64::max)
}

/// Bumps of every shape and place, an empty map, a single pixel, a faint map, noise and, where `signed`, negative values:
/// `[2, 4, H, W]`.
fn maps(h: usize, w: usize, signed: bool) -> Vec<f64> {
    let pixel = |map: usize, y: usize, x: usize| {
        let (u, v) = (x as f64 / w as f64 - 0.2 - 0.1 * map as f64, y as f64 / h as f64 - 0.6);
        let bump = (-(9.0 * u * u + 3.0 * u * v + 4.0 * v * v)).exp();
        match map {
            3 => 0.0,
            4 => f64::from(u8::from(y == 0 && x + 1 == w)),
            5 => 3e-9 * bump,
            6 if signed => (0.7 * (y * w + x) as f64).sin(),
            6 => (0.7 * (y * w + x) as f64).sin().abs(),
            7 if signed => 3.0 * bump - 0.5,
            _ => bump,
        }
    };
    (0..8).flat_map(|m| (0..h * w).map(move |i| pixel(m, i / w, i % w))).collect()
}

const SIZES: [(usize, usize); 6] = [(16, 16), (5, 7), (1, 9), (1, 1), (64, 64), (130, 90)];

fn configs() -> Vec<StarLossConfig> {
    let mut configs = Vec::new();
    for form in [Form::PerAxis, Form::Whitened] {
        for distance in [Distance::L1, Distance::L2, Distance::smooth_l1(), Distance::wing()] {
            for restriction in [Restriction::Value { weight: 0.7 }, Restriction::Detach, Restriction::None] {
                configs.push(StarLossConfig { form, distance, restriction, ..Default::default() });
            }
        }
    }
    configs
}

/// Maps, targets and weights of 2 x 4 keypoints on a device; one target is not a number, and weighs nothing.
fn inputs(h: usize, w: usize, signed: bool, dtype: DType, device: &Device) -> [Tensor; 3] {
    let on = |values: Vec<f64>, shape: &[usize], dtype: DType| {
        Tensor::from_vec(values, shape, &Device::Cpu)
            .unwrap()
            .to_dtype(dtype)
            .unwrap()
            .to_device(device)
            .unwrap()
    };
    let mut targets: Vec<f64> = (0..16).map(|i| (1.3 * f64::from(i)).sin()).collect();
    targets[5] = f64::NAN;
    let mut weights: Vec<f64> = (0..8).map(|i| 0.5 + 0.25 * f64::from(i)).collect();
    weights[2] = 0.0;
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    [on(maps(h, w, signed), &[2, 4, h, w], dtype), on(targets, &[2, 4, 2], wide), on(weights, &[2, 4], wide)]
}

fn compare(name: &str, [card, cpu]: [&Tensor; 2], tolerance: f64) {
    let off = distance(card, cpu);
    if off > tolerance {
        let (card, cpu) = (host(card), host(cpu));
        let far = |&i: &usize| (card[i] - cpu[i]).abs();
        let worst = (0..cpu.len()).max_by(|a, b| far(a).total_cmp(&far(b))).unwrap();
        panic!("{name}: off by {off:e}, most at {worst}: {} against {}", card[worst], cpu[worst]);
    }
}

#[test]
fn loss_and_gradient_at_once_are_those_of_the_cpu() {
    let Some(card) = on_card() else { return };
    for (h, w) in SIZES {
        for (dtype, by_loss, by_gradient) in TYPES {
            for (i, config) in configs().into_iter().enumerate() {
                // All settings on one size, and each of the others on another few.
                if (h, w) != (16, 16) && i % 5 != h % 5 {
                    continue;
                }
                for (activation, grid) in
                    [(Activation::NonNegative, Grid::CornerAligned), (Activation::Relu, Grid::Pixels)]
                {
                    let loss =
                        StarLoss::new(config.clone()).unwrap().with_grid(grid).with_activation(activation);
                    let loss = loss.unwrap();
                    let run = |device: &Device, how: Reduction| -> Result<(Tensor, Tensor)> {
                        let [maps, targets, weights] =
                            inputs(h, w, activation == Activation::Relu, dtype, device);
                        let given = Tensor::ones_like(&maps)?;
                        let weights = Some(&weights);
                        let (value, gradient) = loss.loss_and_gradient(&maps, &targets, weights, how)?;
                        let again = loss.loss_and_gradient_into(&maps, &targets, weights, how, &given)?;
                        assert!(distance(&again, &value) == 0.0 && distance(&given, &gradient) == 0.0);
                        Ok((value, gradient))
                    };
                    for how in [Reduction::Mean, Reduction::Sum] {
                        let name = format!("{h}x{w} {dtype:?} {config:?} {activation:?} {how:?}");
                        let ((loss, gradient), (wanted, wanted_gradient)) =
                            (run(&card, how).unwrap(), run(&Device::Cpu, how).unwrap());
                        compare(&format!("loss {name}"), [&loss, &wanted], by_loss);
                        compare(&format!("gradient {name}"), [&gradient, &wanted_gradient], by_gradient);
                    }
                }
            }
        }
    }
}

#[test]
fn terms_moments_and_what_flows_back_through_the_graph_are_those_of_the_cpu() {
    let Some(card) = on_card() else { return };
    for (h, w) in SIZES {
        for (dtype, by_loss, by_gradient) in TYPES {
            let run = |device: &Device| -> Result<Vec<Tensor>> {
                let [maps, targets, weights] = inputs(h, w, false, dtype, device);
                let (maps, targets) = (Var::from_tensor(&maps)?, Var::from_tensor(&targets)?);
                let terms = StarLoss::new(StarLossConfig::default())?.forward(&maps, &targets)?;
                let total = terms.reduce(Some(&weights), Reduction::Mean)?;
                let gradients = total.backward()?;
                let moments = Moments::new(&maps, Grid::PixelCentres, Activation::Relu)?;
                let spread = moments.covariances.sqr()?.sum_all()?;
                let second = (spread + moments.means.sum_all()?)?.backward()?;
                let gradient = |t: &Var| gradients.get(t).unwrap().clone();
                Ok(vec![
                    terms.distance,
                    terms.restriction,
                    terms.means,
                    total,
                    gradient(&maps),
                    gradient(&targets),
                    second.get(&maps).unwrap().clone(),
                ])
            };
            let (got, wanted) = (run(&card).unwrap(), run(&Device::Cpu).unwrap());
            for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
                let tolerance = if i < 4 { by_loss } else { by_gradient };
                compare(
                    &format!("result {i} of {h}x{w} {dtype:?}"),
                    [&got.detach(), &wanted.detach()],
                    tolerance,
                );
            }
        }
    }
}

#[test]
fn huge_and_broken_maps_are_read_as_on_the_cpu() {
    let Some(card) = on_card() else { return };
    for scale in [1e200, 1e300, f64::NAN, f64::INFINITY] {
        let run = |device: &Device| {
            let [maps, targets, _] = inputs(9, 12, false, DType::F64, device);
            let maps = (maps * scale).unwrap();
            let loss = StarLoss::new(StarLossConfig::default()).unwrap();
            let (value, gradient) = loss.loss_and_gradient(&maps, &targets, None, Reduction::Sum).unwrap();
            [
                value,
                gradient,
                Moments::new(&maps, Grid::default(), Activation::NonNegative).unwrap().covariances,
            ]
        };
        let (got, wanted) = (run(&card), run(&Device::Cpu));
        for (got, wanted) in got.iter().zip(&wanted) {
            compare(&format!("maps of {scale:e}"), [got, wanted], 1e-8);
        }
    }
}

#[test]
fn adaptive_wing_and_its_gradient_are_those_of_the_cpu() {
    let Some(card) = on_card() else { return };
    let config = AwingConfig { epsilon: 0.7, theta: 0.3, ..Default::default() };
    for (h, w) in SIZES {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let run = |device: &Device| {
                let [maps, ..] = inputs(h, w, true, dtype, device);
                let target = maps.clamp(0.0, 1.0).unwrap().flip(&[3]).unwrap();
                let output = Var::from_tensor(&maps).unwrap();
                let loss = awing(&output, &target, &config).unwrap();
                let gradient = loss.backward().unwrap().get(&output).unwrap().clone();
                [loss.detach(), gradient]
            };
            for (got, wanted) in run(&card).iter().zip(&run(&Device::Cpu)) {
                compare(&format!("{h}x{w} {dtype:?}"), [got, wanted], tolerance);
            }
        }
    }
}

#[test]
fn a_gradient_that_does_not_fit_is_refused() {
    let Some(card) = on_card() else { return };
    let [maps, targets, _] = inputs(5, 7, false, DType::F32, &card);
    let loss = StarLoss::new(StarLossConfig::default()).unwrap();
    let into = |gradient: &Tensor| {
        loss.loss_and_gradient_into(&maps, &targets, None, Reduction::Mean, gradient).unwrap_err().to_string()
    };
    assert!(into(&maps.narrow(3, 0, 6).unwrap()).contains("[2, 4, 5, 7]"));
    assert!(into(&maps.to_dtype(DType::F64).unwrap()).contains("F32"));
    assert!(into(&maps).contains("storage of its own"));
    assert!(into(&Tensor::zeros_like(&maps.to_device(&Device::Cpu).unwrap()).unwrap()).contains("CUDA"));
    let other = Tensor::zeros((2, 5, 4, 7), DType::F32, &card).unwrap().transpose(1, 2).unwrap();
    assert!(into(&other).contains("contiguous"));
}
