//! HRNet against an independent implementation (`fixtures/hrnet.py`: PyTorch and timm), and the three public namings.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use star_model::checkpoint::{Architecture, Folder, Tensors, Which};
use star_model::{ChannelOrder, HeatmapActivation, HrNet, HrNetConfig, Parameters};

/// Largest absolute difference of maps in f32.
const MAPS: f64 = 1e-4;

/// Largest difference of gradients and statistics in f64, relative to the largest value: they are stored in f32.
const STORED: f64 = 1e-6;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn fixture() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(golden("hrnet_thin.safetensors"), &Device::Cpu).unwrap()
}

/// The fixture's weights, under the names of the public landmark checkpoints.
fn weights(fixture: &HashMap<String, Tensor>) -> Tensors {
    let own =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix("net.")?.to_string(), tensor.clone()));
    fixture.iter().filter_map(own).collect()
}

fn thin() -> HrNetConfig {
    HrNetConfig { width: 4, modules: [1, 2, 1], blocks: 2, stem: 8, image_size: 64, ..HrNetConfig::w18(5) }
}

fn largest(t: &Tensor) -> f64 {
    let t = t.to_dtype(DType::F64).unwrap().abs().unwrap().flatten_all().unwrap();
    t.max(0).unwrap().to_scalar().unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    largest(&(a.to_dtype(DType::F64).unwrap() - b.to_dtype(DType::F64).unwrap()).unwrap())
}

#[test]
fn evaluation_maps_agree_with_pytorch() {
    let fixture = fixture();
    let vb = candle_nn::VarBuilder::from_tensors(
        weights(&fixture).into_iter().collect(),
        DType::F32,
        &Device::Cpu,
    );
    let maps = HrNet::new(&thin(), vb).unwrap().raw_maps(&fixture["input"], false).unwrap();
    let worst = difference(&maps, &fixture["eval.maps"]);
    assert!(largest(&maps) > 0.5, "maps that are all but zero prove nothing");
    assert!(worst <= MAPS, "largest difference {worst:e}");
}

#[test]
fn training_maps_gradients_and_statistics_agree_with_pytorch() {
    let fixture = fixture();
    let parameters = Parameters::from_tensors(&weights(&fixture), DType::F64, &Device::Cpu, 0).unwrap();
    let model = HrNet::new(&thin(), parameters.var_builder(DType::F64, &Device::Cpu)).unwrap();
    let wide = |name: &str| fixture[name].to_dtype(DType::F64).unwrap();
    let maps = model.raw_maps(&wide("input"), true).unwrap();
    assert!(difference(&maps, &fixture["train.maps"]) <= STORED * largest(&maps));
    let loss = (&maps * wide("train.weights")).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let mut compared = 0;
    for (name, expected) in &fixture {
        let ours = if let Some(name) = name.strip_prefix("gradient.") {
            gradients.get(&parameters.get(name).unwrap()).unwrap().clone()
        } else if let Some(name) = name.strip_prefix("after.") {
            parameters.get(name).unwrap().as_detached_tensor()
        } else {
            continue;
        };
        let worst = difference(&ours, expected) / largest(expected);
        assert!(worst <= STORED, "{name}: relative difference {worst:e}");
        compared += 1;
    }
    assert_eq!(compared, 15);
}

/// Name and shape of every tensor of timm's `hrnet_w18`, which are the public ImageNet checkpoints' too.
fn timm_w18() -> BTreeMap<String, Vec<usize>> {
    let table = std::fs::read_to_string(golden("hrnet_w18.tensors.tsv")).unwrap();
    let row = |line: &str| {
        let (name, shape) = line.split_once('\t').unwrap();
        let sizes = shape.trim_matches(['[', ']']).split(", ").map(|n| n.parse().unwrap());
        (name.to_string(), sizes.collect())
    };
    table.lines().map(row).collect()
}

#[test]
fn the_full_size_trunk_has_the_public_names_and_shapes() {
    let published = timm_w18();
    let expected = Architecture::HrNet(HrNetConfig::w18(98)).expected().unwrap();
    let (head, trunk): (Vec<_>, Vec<_>) = expected.iter().partition(|(name, _)| name.starts_with("head."));
    for (name, shape) in &trunk {
        assert_eq!(published.get(*name), Some(*shape), "{name}");
    }
    let classifier = ["incre_modules.", "downsamp_modules.", "final_layer.", "classifier."];
    let left = published.keys().filter(|name| !expected.contains_key(*name));
    assert!(left.clone().all(|name| classifier.iter().any(|first| name.starts_with(first))));
    assert_eq!(trunk.len() + left.count(), published.len());
    let head: Vec<String> = head.iter().map(|(name, shape)| format!("{name} {shape:?}")).collect();
    assert_eq!(
        head,
        [
            "head.0.bias [270]",
            "head.0.weight [270, 270, 1, 1]",
            "head.1.bias [270]",
            "head.1.running_mean [270]",
            "head.1.running_var [270]",
            "head.1.weight [270]",
            "head.3.bias [98]",
            "head.3.weight [98, 270, 1, 1]",
        ]
    );
}

fn saved(tensors: &Tensors, dir: &Path) -> PathBuf {
    let path = dir.join("weights.safetensors");
    star_model::checkpoint::save_safetensors(tensors, &path).unwrap();
    path
}

#[test]
fn all_three_namings_convert_to_the_same_folder() {
    let dir = tempfile::tempdir().unwrap();
    let public = weights(&fixture());
    let mmpose = |head: [&str; 3]| -> Tensors {
        let renamed = public.iter().map(|(name, tensor)| {
            let name = match name.split_at(name.find('.').unwrap()) {
                ("head", rest) => match rest.split_at(2) {
                    (".3", rest) => format!("{}{rest}", head[2]),
                    (layer, rest) => format!("{}{layer}{rest}", head[if layer == ".0" { 0 } else { 1 }]),
                },
                _ => format!("backbone.{name}"),
            };
            (name, tensor.clone())
        });
        renamed.collect()
    };
    let old =
        mmpose(["keypoint_head.final_layer", "keypoint_head.final_layer", "keypoint_head.final_layer.3"]);
    let new = mmpose(["head.conv_layers", "head.conv_layers", "head.final_layer"]);
    assert!(old.contains_key("keypoint_head.final_layer.1.running_var"));
    assert!(new.contains_key("head.conv_layers.0.weight") && new.contains_key("head.final_layer.bias"));
    for tensors in [&public, &old, &new] {
        let path = saved(tensors, dir.path());
        let folder = Folder::import(&path, Which::Net, "five", 64, "test").unwrap();
        let config = HrNetConfig { activation: HeatmapActivation::Peak, face_scale: 0.8, ..thin() };
        assert_eq!(folder.config.architecture, Architecture::HrNet(config));
        assert_eq!((folder.config.input.order, folder.config.input.face_scale), (ChannelOrder::Rgb, 0.8));
        assert_eq!(folder.tensors.keys().collect::<Vec<_>>(), public.keys().collect::<Vec<_>>());
        folder.save(&dir.path().join("folder")).unwrap();
        let back = Folder::load(&dir.path().join("folder")).unwrap();
        assert_eq!(back.config, folder.config);
        let stages = back.model(DType::F32, &Device::Cpu).unwrap();
        let stages = stages.forward_t(&fixture()["input"], false).unwrap();
        assert_eq!(stages[0].heatmaps.dims(), [2, 5, 16, 16]);
    }
}

#[test]
fn a_classifier_is_a_start_for_training_and_no_network_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let zeros =
        |shape: &[usize]| Tensor::zeros((), DType::F32, &Device::Cpu).unwrap().broadcast_as(shape).unwrap();
    let classifier: Tensors = timm_w18().iter().map(|(name, shape)| (name.clone(), zeros(shape))).collect();
    let wflw = Architecture::HrNet(HrNetConfig::w18(98));
    let (kept, drawn) = wflw.start_from(classifier.clone()).unwrap();
    assert!(drawn.iter().all(|name| name.starts_with("head.")) && drawn.len() == 8);
    assert_eq!(kept.len() + drawn.len(), wflw.expected().unwrap().len());
    let message =
        Architecture::HrNet(HrNetConfig::w32(98)).start_from(classifier.clone()).unwrap_err().to_string();
    assert!(message.contains("HRNet-W32") && message.contains("misshapen"), "{message}");
    let small: Tensors = classifier.into_iter().filter(|(name, _)| name.starts_with("stage2.")).collect();
    let message =
        Folder::import(&saved(&small, dir.path()), Which::Net, "", 256, "test").unwrap_err().to_string();
    assert!(message.contains("weights.safetensors") && message.contains("init_from"), "{message}");
}

#[test]
fn every_misfit_of_an_hrnet_is_listed_at_once() {
    let mut tensors = weights(&fixture());
    let architecture = Architecture::HrNet(thin());
    architecture.check(&tensors).unwrap();
    tensors.remove("bn1.running_mean");
    tensors.insert("head.3.bias".into(), Tensor::zeros(7, DType::F32, &Device::Cpu).unwrap());
    tensors.insert("extra".into(), Tensor::zeros(7, DType::F32, &Device::Cpu).unwrap());
    let message = architecture.check(&tensors).unwrap_err().to_string();
    for part in ["3 tensors", "missing: bn1.running_mean [8]", "misshapen: head.3.bias", "surplus: extra [7]"]
    {
        assert!(message.contains(part), "`{part}` missing in: {message}");
    }
}
