//! A short training on a CUDA card beside the same on the CPU.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT, batch_norm, conv2d, ops};
use star_data::augment::Augmentation;
use star_data::scheme::Edge;
use star_data::{Dataset, Sample, Scheme};
use star_loss::HeatmapLoss;
use star_loss::moments::soft_argmax;
use star_model::{AuxMaps, InputSpec, LandmarkModel, Parameters, Stage};

use super::Outcome;
use crate::progress::Progress;
use crate::records::StepRecord;
use crate::{AdamW, Trainer};

const SIDE: usize = 16;
const SAMPLES: usize = 20;

/// Relative, of losses in f32 summed in different orders.
const TOLERANCE: f64 = 1e-3;

/// Convolution, batch norm, convolution for each kind of map.
struct Net {
    first: Conv2d,
    norm: BatchNorm,
    heads: [Conv2d; 3],
    input: InputSpec,
    parameters: Parameters,
}

impl Net {
    fn new(device: &Device) -> Self {
        let parameters = Parameters::new(1);
        let vb = parameters.var_builder(DType::F32, device);
        let same = Conv2dConfig { padding: 2, ..Default::default() };
        let head = |outputs: usize, name: &str| conv2d(4, outputs, 5, same, vb.pp(name)).unwrap();
        Self {
            first: conv2d(3, 4, 5, same, vb.pp("first")).unwrap(),
            norm: batch_norm(4, 1e-5, vb.pp("norm")).unwrap(),
            heads: [head(2, "second"), head(2, "points"), head(1, "edges")],
            input: InputSpec { map_size: SIDE, ..InputSpec::reference(SIDE) },
            parameters,
        }
    }
}

impl LandmarkModel for Net {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        let x = self.norm.forward_t(&self.first.forward(images)?, train)?.relu()?;
        let [maps, pointmaps, edgemaps] = &self.heads;
        let maps = maps.forward(&x)?;
        let heatmaps = ops::softmax(&maps.flatten_from(2)?, D::Minus1)?.reshape(maps.shape())?;
        let map = |head: &Conv2d| ops::sigmoid(&head.forward(&x)?);
        Ok(vec![Stage {
            heatmaps,
            aux: Some(AuxMaps { pointmaps: map(pointmaps)?, edgemaps: map(edgemaps)? }),
        }])
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.parameters.all()
    }
}

struct SquaredError;

impl HeatmapLoss for SquaredError {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        (soft_argmax(heatmaps)? - targets)?.sqr()?.sum(D::Minus1)
    }
}

/// Bright squares, one of which may be unreadable.
struct Squares {
    scheme: Scheme,
    count: usize,
    broken: Option<usize>,
}

impl Squares {
    fn new(count: usize, broken: Option<usize>) -> Self {
        let edge = Edge { name: "diagonal".into(), closed: false, points: vec![0, 1] };
        Self { scheme: Scheme { edges: vec![edge], ..Scheme::new("square", 2) }, count, broken }
    }
}

impl Dataset for Squares {
    fn len(&self) -> usize {
        self.count
    }

    fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    fn get(&self, index: usize) -> star_data::Result<Sample> {
        if self.broken == Some(index) {
            return Err(star_data::Error::Index { index, len: self.count });
        }
        let (left, top) = (2 + index as u32 % 5, 2 + index as u32 % 3);
        let inside = |x, y| (left..left + 7).contains(&x) && (top..top + 7).contains(&y);
        let image = image::RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            image::Rgb([if inside(x, y) { 220 } else { 30 }; 3])
        });
        let (left, top) = (left as f32, top as f32);
        Ok(Sample::new(image, vec![[left, top], [left + 6.0, top + 6.0]]))
    }
}

/// Total loss and norm of every step.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Vec<[f64; 2]>>>);

impl Progress for Steps {
    fn step(&mut self, record: &StepRecord, _: usize) {
        self.0.lock().unwrap().push([record.terms["total"], record.gradient_norm]);
    }
}

impl Steps {
    fn take(&self) -> Vec<[f64; 2]> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn trainer(device: &Device, accumulate: usize, steps: &Steps) -> Trainer {
    Trainer::new(Net::new(device), SquaredError)
        .optimizer(AdamW::default())
        .epochs(2)
        .batch_size(4)
        .accumulate(accumulate)
        .ema_half_life(10.0)
        .augmentation(Augmentation::none())
        .progress(steps.clone())
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

fn assert_follows(card: &[[f64; 2]], cpu: &[[f64; 2]]) {
    assert_eq!(card.len(), cpu.len());
    for (step, (a, b)) in card.iter().zip(cpu).enumerate() {
        let close = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE * b.abs());
        assert!(close, "step {}: {a:?} against {b:?}", step + 1);
    }
}

#[test]
fn losses_on_a_card_follow_those_on_the_cpu() {
    let Some(device) = card() else { return };
    let dir = tempfile::tempdir().unwrap();
    // Five batches an epoch: groups of one, and of two, two and one.
    for (accumulate, expected) in [(1, 10), (2, 6)] {
        let steps = Steps::default();
        let [card, cpu] = [&device, &Device::Cpu].map(|device| {
            let out = dir.path().join(format!("{accumulate}-{}", device.is_cuda()));
            let (train, validation) = (Squares::new(SAMPLES, None), Squares::new(3, None));
            let outcome = trainer(device, accumulate, &steps).run(&train, &validation, &out).unwrap();
            assert!(matches!(outcome, Outcome::Finished(Some(_))));
            steps.take()
        });
        assert_eq!(cpu.len(), expected);
        assert_follows(&card, &cpu);
    }
}

#[test]
fn a_batch_that_was_sent_ahead_of_a_stop_is_trained_on_after_it() {
    let Some(device) = card() else { return };
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps::default();
    let (train, validation) = (Squares::new(SAMPLES, None), Squares::new(3, None));
    let run = |trainer: Trainer, out: &str| {
        let out = dir.path().join(out);
        trainer.run(&train, &validation, &out).unwrap()
    };
    run(trainer(&device, 2, &steps), "whole");
    let whole = steps.take();
    let stopped = trainer(&device, 2, &steps).stop(Arc::new(AtomicBool::new(true)));
    assert_eq!(run(stopped, "parts"), Outcome::Stopped);
    run(trainer(&device, 2, &steps).resume(), "parts");
    assert_follows(&steps.take(), &whole);
}

#[test]
fn an_unreadable_batch_ends_the_run_at_its_own_step() {
    let Some(device) = card() else { return };
    let dir = tempfile::tempdir().unwrap();
    let steps = Steps::default();
    let ended = |device: &Device, broken: usize| {
        let out = dir.path().join(format!("{broken}-{}", device.is_cuda()));
        let (train, validation) = (Squares::new(SAMPLES, Some(broken)), Squares::new(3, None));
        let error = trainer(device, 1, &steps).run(&train, &validation, &out).unwrap_err();
        (format!("{error:#}"), steps.take())
    };
    for broken in [0, 7, 13] {
        let (card, cpu) = (ended(&device, broken), ended(&Device::Cpu, broken));
        assert_eq!(card.0, cpu.0);
        assert_follows(&card.1, &cpu.1);
    }
}
