//! Steps, norms and averages on a card against those of the CPU.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use super::super::{Adam, AdamW, Gradients, Optimizer, OptimizerConfig, Sgd};
use super::table::PIECE;

/// Relative to the values' scale. In f32 a root and a quotient are rounded, in f64 products may be fused with sums.
fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F32 { 1e-6 } else { 1e-12 }
}

/// Around the length of a piece, and a scalar.
fn shapes() -> [Vec<usize>; 6] {
    [vec![], vec![1], vec![7], vec![PIECE], vec![PIECE + 1], vec![7, 100, 100]]
}

fn card() -> Option<Device> {
    match star_model::cuda::open(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("no card, so this test is skipped: {error}");
            None
        }
    }
}

fn wave(shape: &[usize], seed: f64, dtype: DType) -> Tensor {
    let count = shape.iter().product::<usize>() as i64;
    let angles = Tensor::arange(0, count, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let values = ((angles + seed).unwrap() * (1.0 + 0.37 * seed)).unwrap().sin().unwrap();
    values.reshape(shape).unwrap().to_dtype(dtype).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Variables of both types and every shape; one of them has never a gradient.
fn vars(device: &Device) -> Vec<(String, Var)> {
    let mut vars = Vec::new();
    for dtype in [DType::F32, DType::F64] {
        for (i, shape) in shapes().iter().enumerate() {
            let values = wave(shape, i as f64, dtype).to_device(device).unwrap();
            vars.push((format!("{dtype:?}.{i}"), Var::from_tensor(&values).unwrap()));
        }
        let idle = wave(&[5], 0.5, dtype).to_device(device).unwrap();
        vars.push((format!("{dtype:?}.idle"), Var::from_tensor(&idle).unwrap()));
    }
    vars
}

/// Of a step; every third is transposed, and in every second step one more is missing.
fn gradients(vars: &[(String, Var)], step: usize) -> Gradients {
    let mut by_name = BTreeMap::new();
    for (i, (name, var)) in vars.iter().enumerate() {
        if name.ends_with("idle") || (step.is_multiple_of(2) && i == 2) {
            continue;
        }
        let gradient = wave(var.dims(), (step * 10 + i) as f64, var.dtype()).to_device(var.device()).unwrap();
        let gradient = match (gradient.rank(), step % 3) {
            (3, 0) => gradient.transpose(1, 2).unwrap(),
            _ => gradient,
        };
        by_name.insert(name.clone(), gradient);
    }
    Gradients { by_name }
}

#[test]
fn steps_on_a_card_are_those_on_the_cpu() {
    let Some(device) = card() else { return };
    let nesterov = Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };
    let configs: [OptimizerConfig; 4] = [
        Adam::default().into(),
        AdamW { weight_decay: 0.1, ..Default::default() }.into(),
        nesterov.into(),
        Sgd { nesterov: false, ..nesterov }.into(),
    ];
    for config in configs {
        let (here, there) = (vars(&Device::Cpu), vars(&device));
        let mut on_cpu = Optimizer::new(&config, here.clone()).unwrap();
        let mut on_card = Optimizer::new(&config, there.clone()).unwrap();
        for step in 1..=5 {
            on_cpu.step(&gradients(&here, step), 0.01, 0.5).unwrap();
            on_card.step(&gradients(&there, step), 0.01, 0.5).unwrap();
            if step == 3 {
                // Its state lies elsewhere from here on.
                let saved = on_card.state();
                on_card.restore(&saved, step).unwrap();
            }
        }
        let (state, other) = (on_cpu.state(), on_card.state());
        for ((name, a), (_, b)) in here.iter().zip(&there) {
            let most = tolerance(a.dtype());
            let (values, kept) = (apart(a.as_tensor(), b.as_tensor()), apart(&state[name], &other[name]));
            assert!(values <= most && kept <= most, "{config:?}: {name}: {values:e}, kept {kept:e}");
        }
        let idle = here.iter().zip(&there).filter(|((name, _), _)| name.ends_with("idle"));
        idle.for_each(|((_, a), (_, b))| assert_eq!(numbers(a.as_tensor()), numbers(b.as_tensor())));
    }
}

#[test]
fn a_gradient_that_does_not_fit_is_refused() {
    let Some(device) = card() else { return };
    let vars = vars(&device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), vars.clone()).unwrap();
    let mut gradients = gradients(&vars, 1);
    gradients.by_name.insert("F32.2".into(), Tensor::zeros(8, DType::F32, &device).unwrap());
    let message = optimizer.step(&gradients, 0.1, 1.0).unwrap_err().to_string();
    assert!(message.contains("F32.2") && message.contains("[7]"), "{message}");
}

#[test]
fn norms_on_a_card_are_those_on_the_cpu() {
    let Some(device) = card() else { return };
    let (here, there) = (vars(&Device::Cpu), vars(&device));
    for step in [1, 3] {
        let (a, b) = (gradients(&here, step).norm().unwrap(), gradients(&there, step).norm().unwrap());
        assert!((a - b).abs() <= 1e-12 * a, "{a} against {b}");
        assert_eq!(b.to_bits(), gradients(&there, step).norm().unwrap().to_bits());
    }
    let mut bad = gradients(&there, 1);
    let nan = (Tensor::zeros(PIECE + 1, DType::F32, &device).unwrap() / 0.0).unwrap();
    bad.by_name.insert("F32.4".into(), nan);
    assert!(bad.norm().unwrap().is_nan());
    assert_eq!(Gradients::default().norm().unwrap(), 0.0);
}

#[test]
fn averages_on_a_card_are_those_on_the_cpu() {
    let Some(device) = card() else { return };
    let start = |device: &Device| {
        // Those of f32 alone: a network has parameters of one type.
        let vars = vars(device).into_iter().filter(|(name, _)| name.starts_with("F32")).collect();
        star_model::Parameters::from_variables(vars).unwrap()
    };
    let (here, there) = (start(&Device::Cpu), start(&device));
    let (a, mut b) =
        (crate::Ema::new(&here, 50, 100.0).unwrap(), crate::Ema::new(&there, 50, 100.0).unwrap());
    for step in 1..=4 {
        for (name, var) in here.all() {
            let value = wave(var.dims(), step as f64, DType::F32);
            var.set(&value).unwrap();
            there.get(&name).unwrap().set(&value.to_device(&device).unwrap()).unwrap();
        }
        a.update(&here).unwrap();
        b.update(&there).unwrap();
        if step == 2 {
            let saved = b.tensors().clone();
            b.restore(&saved).unwrap();
        }
    }
    for (name, average) in a.tensors() {
        let difference = apart(average, &b.tensors()[name]);
        assert!(difference <= 1e-7, "{name}: {difference:e}");
    }
}
