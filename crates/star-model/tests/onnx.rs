//! Exported networks in ONNX Runtime, beside ours on the same images. Skips where Python or onnxruntime is absent.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use star_loss::moments::soft_argmax;
use star_model::checkpoint::{Architecture, Folder, FolderConfig, Provenance, Which};
use star_model::onnx::{ExportOptions, MadeLandmarks, OPSETS};
use star_model::{
    HeatmapActivation, HrNetConfig, LightPyramidConfig, Parameters, SlimHourglassConfig,
    StackedHourglassConfig, onnx,
};

/// Largest absolute difference of landmarks, and of maps relative to their largest value.
const TOLERANCE: f64 = 1e-4;

/// Runs a model over images and stores what it returns.
const RUN: &str = r#"
import sys
import numpy as np
runtime, model, images, shape, out = sys.argv[1:6]
x = np.fromfile(images, dtype="<f4").reshape([int(n) for n in shape.split(",")])
names = ["landmarks", "heatmaps"]
if runtime == "onnxruntime":
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert session.get_modelmeta().graph_name.startswith("star-"), session.get_modelmeta().graph_name
    outputs = session.run(names, {"images": x})
else:
    import openvino
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = openvino.compile_model(model, "CPU", settings)
    found = compiled({"images": x})
    outputs = [found[name] for name in names]
for name, values in zip(names, outputs):
    values.astype("<f4").tofile(out + "." + name)
    print(name, ",".join(str(n) for n in values.shape))
"#;

/// What runs the files elsewhere.
#[derive(Clone, Copy)]
enum Runtime {
    OnnxRuntime,
    OpenVino,
}

impl Runtime {
    fn package(self) -> &'static str {
        match self {
            Self::OnnxRuntime => "onnxruntime",
            Self::OpenVino => "openvino",
        }
    }

    /// Whether it is installed; says so where it is not.
    fn is_there(self) -> bool {
        let imports = format!("import numpy, {}", self.package());
        let check = Command::new(python()).args(["-c", &imports]).output();
        let there = check.is_ok_and(|output| output.status.success());
        if !there {
            let name = self.package();
            println!(
                "skipped: {} (or STAR_PYTHON) has not numpy and {name} (pip install numpy {name})",
                python()
            );
        }
        there
    }
}

fn python() -> String {
    std::env::var("STAR_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn runtime_is_there() -> bool {
    Runtime::OnnxRuntime.is_there()
}

/// Outputs of the exported network in another runtime, by name.
fn elsewhere(
    folder: &Folder,
    options: &ExportOptions,
    images: &Tensor,
    runtime: Runtime,
) -> HashMap<String, Tensor> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("model.onnx"), onnx::export_with(folder, options).unwrap()).unwrap();
    let values = images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    std::fs::write(path("images"), values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let shape: Vec<String> = images.dims().iter().map(ToString::to_string).collect();
    let [model, images, out] = ["model.onnx", "images", "out"].map(path);
    let output = Command::new(python())
        .args(["-c", RUN, runtime.package(), &model, &images, &shape.join(","), &out])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let read = |line: &str| {
        let (name, shape) = line.split_once(' ').unwrap();
        let shape: Vec<usize> = shape.split(',').map(|n| n.parse().unwrap()).collect();
        let bytes = std::fs::read(path(&format!("out.{name}"))).unwrap();
        (name.to_string(), Tensor::from_raw_buffer(&bytes, DType::F32, &shape, &Device::Cpu).unwrap())
    };
    text.lines().map(read).collect()
}

fn largest(t: &Tensor) -> f64 {
    f64::from(t.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap())
}

fn assert_same(folder: &Folder, images: &Tensor) {
    assert_same_in(Runtime::OnnxRuntime, folder, &ExportOptions::default(), images);
}

fn assert_same_in(runtime: Runtime, folder: &Folder, options: &ExportOptions, images: &Tensor) {
    let theirs = elsewhere(folder, options, images, runtime);
    let stages = folder.model(DType::F32, &Device::Cpu).unwrap().forward_t(images, false).unwrap();
    let maps = &stages.last().unwrap().heatmaps;
    let difference = |a: &Tensor, b: &Tensor| {
        assert_eq!(a.dims(), b.dims());
        largest(&(a - b).unwrap())
    };
    let landmarks = difference(&soft_argmax(maps).unwrap(), &theirs["landmarks"]);
    let worst = difference(maps, &theirs["heatmaps"]) / largest(maps);
    let said = format!("{}, opset {}", folder.config.architecture, options.opset);
    println!("{said}: landmarks {landmarks:.1e}, maps {worst:.1e}");
    assert!(landmarks <= TOLERANCE && worst <= TOLERANCE, "{said}: landmarks {landmarks:e}, maps {worst:e}");
}

/// A network with drawn weights, and statistics from `steps` passes over noise.
fn drawn(architecture: Architecture, steps: u64) -> Folder {
    let parameters = Parameters::new(5);
    let model = architecture.build(parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    for seed in 0..steps {
        model.forward_t(&noise(1, architecture.input().image_size, seed), true).unwrap();
    }
    let config = FolderConfig::new(architecture, "test", Provenance::default());
    Folder::new(config, parameters.tensors()).unwrap()
}

/// Images of reproducible noise.
fn noise(count: usize, side: usize, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(2) + 1;
    let values: Vec<f32> = (0..count * 3 * side * side)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, (count, 3, side, side), &Device::Cpu).unwrap()
}

fn thin() -> HrNetConfig {
    HrNetConfig { width: 4, modules: [1, 2, 1], blocks: 2, stem: 8, image_size: 64, ..HrNetConfig::w18(5) }
}

#[test]
fn the_golden_hourglass_runs_elsewhere_with_the_same_landmarks() {
    if !runtime_is_there() {
        return;
    }
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let io =
        candle_core::safetensors::load(golden("hourglass_cofw_small.io.safetensors"), &Device::Cpu).unwrap();
    assert_same(&folder, &io["input"]);
    // another number of images through the same file
    assert_same(&folder, &noise(3, 64, 9));
}

#[test]
fn hourglasses_without_coordinates_or_attention_run_elsewhere() {
    if !runtime_is_there() {
        return;
    }
    let config = StackedHourglassConfig {
        stacks: 2,
        levels: 2,
        channels: 16,
        image_size: 64,
        coord_conv: false,
        attention: false,
        ..StackedHourglassConfig::reference(5, vec![])
    };
    let slim = SlimHourglassConfig { stem: 12, ..config.clone().into() };
    for architecture in [Architecture::StackedHourglass(config), Architecture::SlimHourglass(slim)] {
        assert_same(&drawn(architecture, 3), &noise(2, 64, 4));
    }
}

#[test]
fn an_hrnet_runs_elsewhere_with_every_activation() {
    if !runtime_is_there() {
        return;
    }
    for activation in [HeatmapActivation::InstanceNormRelu, HeatmapActivation::Relu, HeatmapActivation::Peak]
    {
        let folder = drawn(Architecture::HrNet(HrNetConfig { activation, ..thin() }), 3);
        assert_same(&folder, &noise(2, 64, 4));
    }
}

#[test]
fn a_light_pyramid_runs_elsewhere() {
    if !runtime_is_there() {
        return;
    }
    let config = LightPyramidConfig { image_size: 64, ..LightPyramidConfig::standard(5) };
    assert_same(&drawn(Architecture::LightPyramid(config), 3), &noise(2, 64, 4));
}

#[test]
fn full_size_networks_run_elsewhere() {
    if !runtime_is_there() {
        return;
    }
    let edges = (0..9).map(|e| (e * 10..e * 10 + 10).collect()).collect();
    let hourglass = StackedHourglassConfig::reference(98, edges);
    for architecture in [Architecture::StackedHourglass(hourglass), Architecture::HrNet(HrNetConfig::w18(98))]
    {
        assert_same(&drawn(architecture, 0), &noise(1, 256, 4));
    }
}

/// A small network of each kind with inputs of 64 pixels and coordinates, attention, edges: everything that a file can hold.
fn one_of_each() -> [Folder; 3] {
    let edges = vec![vec![0, 1, 2], vec![3, 4]];
    let hourglass = StackedHourglassConfig {
        stacks: 2,
        levels: 2,
        channels: 16,
        image_size: 64,
        ..StackedHourglassConfig::reference(5, edges)
    };
    let hrnet = HrNetConfig { activation: HeatmapActivation::Peak, ..thin() };
    let pyramid = LightPyramidConfig { image_size: 64, ..LightPyramidConfig::standard(5) };
    let all = [
        Architecture::StackedHourglass(hourglass),
        Architecture::HrNet(hrnet),
        Architecture::LightPyramid(pyramid),
    ];
    all.map(|architecture| drawn(architecture, 3))
}

#[test]
fn every_network_runs_in_openvino_for_any_and_for_a_fixed_number_of_images() {
    if !Runtime::OpenVino.is_there() {
        return;
    }
    for folder in one_of_each() {
        for images in [None, Some(1), Some(2)] {
            let options = ExportOptions { images, ..ExportOptions::default() };
            assert_same_in(Runtime::OpenVino, &folder, &options, &noise(images.unwrap_or(3), 64, 4));
        }
    }
}

#[test]
fn every_opset_in_which_a_node_is_written_another_way_gives_the_same() {
    if !runtime_is_there() {
        return;
    }
    // Axes of sums and the region of `Resize`: 13; axes of other reductions: 18.
    for opset in [*OPSETS.start(), 12, 13, 18, *OPSETS.end()] {
        for folder in one_of_each() {
            let options = ExportOptions { opset, ..ExportOptions::default() };
            assert_same_in(Runtime::OnnxRuntime, &folder, &options, &noise(2, 64, 4));
        }
    }
}

#[test]
fn landmarks_of_another_scheme_are_means_of_the_networks_own() {
    if !runtime_is_there() {
        return;
    }
    let [_, _, folder] = one_of_each();
    let images = noise(2, 64, 4);
    let made = |parts: Vec<Vec<(usize, f32)>>| {
        let made = MadeLandmarks { scheme: "three".into(), keypoint_scheme: None, parts };
        let options = ExportOptions { made: Some(made), ..ExportOptions::default() };
        elsewhere(&folder, &options, &images, Runtime::OnnxRuntime)
    };
    let stages = folder.model(DType::F32, &Device::Cpu).unwrap().forward_t(&images, false).unwrap();
    let own = soft_argmax(&stages.last().unwrap().heatmaps).unwrap().to_vec3::<f32>().unwrap();
    for parts in [vec![vec![(4, 1.0)], vec![(0, 1.0)]], vec![vec![(1, 0.25), (3, 0.75)], vec![(2, 1.0)]]] {
        let found = made(parts.clone());
        assert_eq!(found["heatmaps"].dims(), [2, 5, 16, 16]);
        let landmarks = found["landmarks"].to_vec3::<f32>().unwrap();
        for (image, landmarks) in landmarks.iter().enumerate() {
            assert_eq!(landmarks.len(), parts.len());
            for (landmark, part) in landmarks.iter().zip(&parts) {
                for axis in [0, 1] {
                    let mean: f32 = part.iter().map(|(k, weight)| weight * own[image][*k][axis]).sum();
                    assert!((landmark[axis] - mean).abs() < TOLERANCE as f32, "{landmark:?} {mean}");
                }
            }
        }
    }
}

#[test]
fn a_fixed_number_of_images_is_said_in_the_file_and_none_refused() {
    let config = StackedHourglassConfig {
        attention: false,
        channels: 8,
        image_size: 32,
        levels: 1,
        ..StackedHourglassConfig::tiny(2, vec![])
    };
    let folder = drawn(Architecture::StackedHourglass(config), 0);
    // TensorShapeProto.Dimension.dim_param, a string of five bytes.
    let export = |images, opset| onnx::export_with(&folder, &ExportOptions { images, opset, made: None });
    let names_a_batch =
        |images| export(images, 17).unwrap().windows(7).any(|window| window == b"\x12\x05batch");
    assert!(names_a_batch(None) && !names_a_batch(Some(4)));
    assert!(export(Some(0), 17).unwrap_err().to_string().contains("images: expected at least 1"));
    for opset in [OPSETS.start() - 1, OPSETS.end() + 1] {
        let message = export(None, opset).unwrap_err().to_string();
        assert!(message.contains("opset: expected 11 to 24"), "{message}");
    }
    let made = MadeLandmarks { scheme: "x".into(), keypoint_scheme: None, parts: vec![vec![(2, 1.0)]] };
    let options = ExportOptions { made: Some(made), ..ExportOptions::default() };
    let message = onnx::export_with(&folder, &options).unwrap_err().to_string();
    assert!(message.contains("landmark 0 of `x`: expected parts below 2"), "{message}");
}
