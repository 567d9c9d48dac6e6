//! A network, a loss and a data set that none of our crates knows.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Module, ModuleT, batch_norm, conv2d, ops};
use star_data::augment::Augmentation;
use star_data::scheme::Edge;
use star_data::{Dataset, Sample, Scheme};
use star_loss::HeatmapLoss;
use star_loss::moments::soft_argmax;
use star_model::{AuxMaps, InputSpec, LandmarkModel, Parameters, Stage};
use star_train::records::{self, Record};
use star_train::{AdamW, OneCycle, Outcome, Trainer};

const SIDE: usize = 16;

/// Convolution, batch norm, convolution; with pointmaps and edgemaps where it has heads for them.
struct Net {
    first: Conv2d,
    norm: BatchNorm,
    second: Conv2d,
    heads: Option<[Conv2d; 2]>,
    input: InputSpec,
    parameters: Parameters,
}

impl Net {
    fn new(seed: u64, keypoints: usize, edges: Option<usize>) -> Self {
        let parameters = Parameters::new(seed);
        let vb = parameters.var_builder(DType::F32, &Device::Cpu);
        let same = Conv2dConfig { padding: 2, ..Default::default() };
        let head = |outputs: usize, name: &str| conv2d(4, outputs, 5, same, vb.pp(name)).unwrap();
        Self {
            first: conv2d(3, 4, 5, same, vb.pp("first")).unwrap(),
            norm: batch_norm(4, 1e-5, vb.pp("norm")).unwrap(),
            second: head(keypoints, "second"),
            heads: edges.map(|edges| [head(keypoints, "points"), head(edges, "edges")]),
            input: InputSpec { map_size: SIDE, ..InputSpec::reference(SIDE) },
            parameters,
        }
    }
}

impl LandmarkModel for Net {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        let x = self.norm.forward_t(&self.first.forward(images)?, train)?.relu()?;
        let maps = self.second.forward(&x)?;
        let heatmaps = ops::softmax(&maps.flatten_from(2)?, D::Minus1)?.reshape(maps.shape())?;
        let aux = match &self.heads {
            Some([points, edges]) => Some(AuxMaps {
                pointmaps: ops::sigmoid(&points.forward(&x)?)?,
                edgemaps: ops::sigmoid(&edges.forward(&x)?)?,
            }),
            None => None,
        };
        Ok(vec![Stage { heatmaps, aux }])
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

/// A bright square, its corner at the top left and the one at the bottom right.
struct Squares(Scheme, usize);

impl Squares {
    fn new(count: usize) -> Self {
        let edge = Edge { name: "diagonal".into(), closed: false, points: vec![0, 1] };
        Self(Scheme { edges: vec![edge], ..Scheme::new("square", 2) }, count)
    }
}

impl Dataset for Squares {
    fn len(&self) -> usize {
        self.1
    }

    fn scheme(&self) -> &Scheme {
        &self.0
    }

    fn get(&self, index: usize) -> star_data::Result<Sample> {
        let (left, top) = (2 + index as u32 % 5, 2 + index as u32 % 3);
        let inside = |x, y| (left..left + 7).contains(&x) && (top..top + 7).contains(&y);
        let image = image::RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
            image::Rgb([if inside(x, y) { 220 } else { 30 }; 3])
        });
        let (left, top) = (left as f32, top as f32);
        Ok(Sample::new(image, vec![[left, top], [left + 6.0, top + 6.0]]))
    }
}

fn trainer(net: Net) -> Trainer {
    Trainer::new(net, SquaredError)
        .optimizer(AdamW::default())
        .schedule(OneCycle::default())
        .epochs(3)
        .batch_size(4)
        .ema_half_life(10.0)
        .augmentation(Augmentation::none())
}

fn run(trainer: Trainer, out: &Path) -> Outcome {
    trainer.run(&Squares::new(12), &Squares::new(5), out).unwrap()
}

fn weights(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("last/model.safetensors")).unwrap()
}

#[test]
fn it_is_trained_stopped_and_resumed_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let net = Net::new(1, 2, None);
    let parameters = net.parameters.clone();
    let first = parameters.get("first.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let before = parameters.get("norm.running_mean").unwrap().to_vec1::<f32>().unwrap();
    assert!(matches!(run(trainer(net), &whole), Outcome::Finished(Some(best)) if best.nme.is_finite()));
    assert_ne!(
        first,
        parameters.get("first.weight").unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    );
    // The variables are the network's own, the average was only lent them, and statistics were updated and saved.
    let saved = candle_core::safetensors::load(whole.join("last/model.safetensors"), &Device::Cpu).unwrap();
    assert_eq!(saved.len(), parameters.all().len());
    for (name, var) in parameters.all() {
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&saved[&name]), values(var.as_tensor()), "{name}");
    }
    assert_ne!(before, parameters.get("norm.running_mean").unwrap().to_vec1::<f32>().unwrap());
    assert!(std::fs::read_to_string(whole.join("best/input.json")).unwrap().contains("\"square\""));

    let stopped = trainer(Net::new(1, 2, None)).stop(Arc::new(AtomicBool::new(true)));
    assert_eq!(run(stopped, &parts), Outcome::Stopped);
    // Resumed from what is on disk, whatever the network was drawn with.
    assert!(matches!(run(trainer(Net::new(9, 2, None)).resume(), &parts), Outcome::Finished(_)));
    assert_eq!(weights(&whole), weights(&parts));

    let other = trainer(Net::new(1, 2, None)).seed(5).resume();
    let error = other.run(&Squares::new(12), &Squares::new(5), &parts).unwrap_err().to_string();
    assert!(error.contains("configuration differs") && error.contains("run.json"), "{error}");
}

#[test]
fn auxiliary_maps_are_trained_where_it_has_them() {
    let dir = tempfile::tempdir().unwrap();
    run(trainer(Net::new(1, 2, Some(1))).epochs(1), dir.path());
    let records = records::read(&dir.path().join("metrics.jsonl")).unwrap();
    let Some(Record::Epoch(epoch)) = records.last() else { panic!("no epoch on record") };
    assert!(epoch.terms["pointmap"] > 0.0 && epoch.terms["edgemap"] > 0.0, "{:?}", epoch.terms);
}

/// The same loss on maps that are cut off from the network.
struct Detached;

impl HeatmapLoss for Detached {
    fn per_keypoint(&self, heatmaps: &Tensor, targets: &Tensor) -> Result<Tensor> {
        SquaredError.per_keypoint(&heatmaps.detach(), targets)
    }
}

#[test]
fn a_loss_that_no_gradient_comes_back_from_is_refused_at_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let cut_off = trainer(Net::new(1, 2, None)).loss(Detached);
    let error = cut_off.run(&Squares::new(12), &Squares::new(5), dir.path()).unwrap_err().to_string();
    assert!(error.contains("no gradient reaches a variable"), "{error}");
}

#[test]
fn what_does_not_fit_is_named_before_the_first_step() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |trainer: Trainer| {
        format!("{:#}", trainer.run(&Squares::new(12), &Squares::new(5), dir.path()).unwrap_err())
    };
    let cases = [
        (trainer(Net::new(1, 2, None)).variables(Vec::new()), "implement LandmarkModel::variables"),
        (trainer(Net::new(1, 3, None)), "predicts 3 keypoints, scheme `square` has 2"),
        (trainer(Net::new(1, 2, Some(4))), "edgemaps: expected [1, 1, 16, 16], got [1, 4, 16, 16]"),
        (
            trainer(Net::new(1, 2, None)).precision(star_train::Precision::F64),
            "precision: expected variables in F64",
        ),
        (trainer(Net::new(1, 2, None)).start_from("foreign", Default::default()), "foreign: no tensor"),
        (trainer(Net::new(1, 2, None)).batch_size(13), "batch_size: 12 training samples"),
    ];
    for (trainer, expected) in cases {
        let message = refused(trainer);
        assert!(message.contains(expected), "`{expected}` missing in: {message}");
    }
}
