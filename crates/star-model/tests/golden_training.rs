//! Training steps against the reference's, in f64: full loss, gradients of every parameter, Adam, batch-norm statistics.
//!
//! Later steps are chaotic (weights perturbed by 1e-12 differ by 1e-4 at step 6), so steps 0 to 3 are compared.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};
use star_loss::{AwingConfig, awing, star};
use star_model::checkpoint::{self, Which};
use star_model::{LandmarkModel, Parameters, StackedHourglass, Stage};

mod devices;

/// Weight of each auxiliary term beside the STAR term.
const AUX_WEIGHT: f64 = 10.0;

/// Tests run in the folder of their crate.
fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden").join(name)
}

fn tensors(name: &str, device: &Device) -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden(name), device).unwrap()
}

struct Step {
    total: f64,
    terms: Vec<f64>,
    grad_norm: f64,
}

fn expected_steps() -> Vec<Step> {
    let text = std::fs::read_to_string(golden("train_steps.json")).unwrap();
    let steps: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    steps
        .iter()
        .map(|step| Step {
            total: number(&step["total"]),
            terms: step["terms"].as_array().unwrap().iter().map(number).collect(),
            grad_norm: number(&step["grad_norm"]),
        })
        .collect()
}

/// `sum_i 2^i / 2^(n-1) (STAR + 10 AWing(point maps) + 10 AWing(edge maps))` and its unweighted terms.
fn objective(stages: &[Stage], inputs: &HashMap<String, Tensor>) -> Result<(Tensor, Vec<f64>)> {
    let mut total: Option<Tensor> = None;
    let mut terms = Vec::new();
    for (i, stage) in stages.iter().enumerate() {
        let aux = stage.aux.as_ref().unwrap();
        let config = AwingConfig::default();
        let parts = [
            (star(&stage.heatmaps, &inputs["landmarks"])?, 1.0),
            (awing(&aux.pointmaps, &inputs["pointmap"], &config)?, AUX_WEIGHT),
            (awing(&aux.edgemaps, &inputs["edgemap"], &config)?, AUX_WEIGHT),
        ];
        let stage_weight = 2f64.powi(i as i32 + 1 - stages.len() as i32);
        for (term, weight) in parts {
            terms.push(term.to_dtype(DType::F64)?.to_scalar::<f64>()?);
            let weighted = (term * (weight * stage_weight))?;
            total = Some(match total {
                Some(sum) => (sum + weighted)?,
                None => weighted,
            });
        }
    }
    Ok((total.unwrap(), terms))
}

struct Run {
    parameters: Parameters,
    model: StackedHourglass,
    inputs: HashMap<String, Tensor>,
}

impl Run {
    fn new(dtype: DType, device: &Device) -> Self {
        let weights = checkpoint::read(&golden("hourglass_cofw_small.pkl"), Which::Net).unwrap();
        let config = checkpoint::infer(&weights, 64).unwrap();
        let used = checkpoint::expected(&config).unwrap();
        let weights: BTreeMap<_, _> =
            weights.into_iter().filter(|(name, _)| used.contains_key(name)).collect();
        let parameters = Parameters::from_tensors(&weights, dtype, device, 0).unwrap();
        let model = StackedHourglass::new(&config, parameters.var_builder(dtype, device)).unwrap();
        let inputs = tensors("train_steps.inputs.safetensors", device);
        let inputs = inputs.into_iter().map(|(name, t)| (name, t.to_dtype(dtype).unwrap())).collect();
        Self { parameters, model, inputs }
    }

    fn forward(&self) -> (Tensor, Vec<f64>) {
        objective(&self.model.forward_t(&self.inputs["input"], true).unwrap(), &self.inputs).unwrap()
    }

    fn optimizer(&self) -> AdamW {
        let vars: Vec<Var> = self.parameters.trainable().into_iter().map(|(_, var)| var).collect();
        let params = ParamsAdamW { lr: 1e-3, weight_decay: 0.0, ..Default::default() };
        AdamW::new(vars, params).unwrap()
    }
}

fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn flat(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Norm of the difference over the norm of the reference's gradient, over all parameters that it has one for.
fn gradient_error(run: &Run, total: &Tensor) -> f64 {
    let gradients = total.backward().unwrap();
    let reference = tensors("train_steps.first_gradients.safetensors", &Device::Cpu);
    let (mut difference, mut whole) = (Vec::new(), Vec::new());
    for (name, expected) in &reference {
        let var = run.parameters.get(name).unwrap_or_else(|| panic!("no parameter {name}"));
        let ours = flat(gradients.get(&var).unwrap_or_else(|| panic!("{name} received no gradient")));
        let theirs = flat(expected);
        difference.push(norm(ours.iter().zip(&theirs).map(|(a, b)| a - b)));
        whole.push(norm(theirs));
    }
    assert_eq!(reference.len(), run.parameters.trainable().len(), "parameters that the reference trains");
    norm(difference) / norm(whole)
}

#[test]
fn first_gradients_agree_in_f64() {
    for device in devices::devices() {
        let run = Run::new(DType::F64, &device);
        let (total, _) = run.forward();
        let error = gradient_error(&run, &total);
        assert!(error <= 1e-6, "{device:?}: gradient off by {error:e} of its norm");
    }
}

#[test]
fn first_step_agrees_in_f32() {
    devices::devices().iter().for_each(first_step_in_f32);
}

fn first_step_in_f32(device: &Device) {
    let run = Run::new(DType::F32, device);
    let expected = expected_steps();
    let (total, _) = run.forward();
    let error = gradient_error(&run, &total);
    assert!(error <= 3e-2, "gradient off by {error:e} of its norm");
    let check = |total: &Tensor, step: &Step, tolerance: f64| {
        let ours = f64::from(total.to_scalar::<f32>().unwrap());
        assert!((ours / step.total - 1.0).abs() <= tolerance, "total {ours}, expected {}", step.total);
    };
    check(&total, &expected[0], 1e-5);
    run.optimizer().backward_step(&total).unwrap();
    check(&run.forward().0, &expected[1], 2e-3);
}

#[test]
fn four_adam_steps_follow_the_reference_in_f64() {
    devices::devices().iter().for_each(four_adam_steps);
}

fn four_adam_steps(device: &Device) {
    let run = Run::new(DType::F64, device);
    let mut optimizer = run.optimizer();
    for (i, expected) in expected_steps().iter().take(4).enumerate() {
        let (total, terms) = run.forward();
        let ours = total.to_scalar::<f64>().unwrap();
        assert!(
            (ours / expected.total - 1.0).abs() <= 1e-6,
            "step {i}: total {ours}, expected {}",
            expected.total
        );
        for (t, (ours, theirs)) in terms.iter().zip(&expected.terms).enumerate() {
            // Terms are a thousandth of the total each, so the total's absolute tolerance is too generous for them.
            assert!((ours / theirs - 1.0).abs() <= 1e-5, "step {i}, term {t}: {ours}, expected {theirs}");
        }
        let gradients = total.backward().unwrap();
        let ours =
            norm(run.parameters.trainable().iter().flat_map(|(_, var)| flat(gradients.get(var).unwrap())));
        assert!(
            (ours / expected.grad_norm - 1.0).abs() <= 1e-5,
            "step {i}: gradient norm {ours}, expected {}",
            expected.grad_norm
        );
        optimizer.step(&gradients).unwrap();
    }
}

#[test]
fn running_statistics_move_as_the_references_do() {
    // The golden statistics are those after 12 steps, when the trajectories have parted (see above), so they agree
    // only as far as the batches' own statistics do; a wrong momentum would be off by half their norm.
    const TOLERANCE: f64 = 6e-2;
    let run = Run::new(DType::F64, &Device::Cpu);
    let mut optimizer = run.optimizer();
    for _ in 0..12 {
        let (total, _) = run.forward();
        optimizer.backward_step(&total).unwrap();
    }
    for (name, expected) in tensors("train_steps.final_bn.safetensors", &Device::Cpu) {
        let (ours, theirs) = (flat(&run.parameters.get(&name).unwrap()), flat(&expected));
        let error = norm(ours.iter().zip(&theirs).map(|(a, b)| a - b)) / norm(theirs);
        assert!(error <= TOLERANCE, "{name}: off by {error:e} of its norm");
    }
}
