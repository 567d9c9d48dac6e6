//! Compiled networks against the networks that they were compiled from, and against the reference's numbers.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use star_loss::moments;
use star_model::checkpoint::{Folder, WEIGHTS_FILE, Which};
use star_model::{
    CompileOptions, CompiledModel, HeatmapActivation, HrNet, HrNetConfig, Isa, LandmarkModel, LightPyramid,
    LightPyramidConfig, Parameters, Precision, Quantization, QuantizationSamples, SlimHourglassConfig,
    StackedHourglass, StackedHourglassConfig, Stage,
};

/// Largest absolute difference from the reference, for maps and landmarks alike.
const GOLDEN: f32 = 1e-4;

/// Largest absolute difference of a map from the layers' result. Winograd's rounding is some 1e-5.
const MAPS: f32 = 1e-3;

/// Largest absolute difference of a normalised coordinate, whose range is 2: 1e-4 of the image's width.
const LANDMARKS: f32 = 2e-4;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn worst(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn assert_close(name: &str, a: &Tensor, b: &Tensor, tolerance: f32) {
    let worst = worst(a, b);
    assert!(worst <= tolerance, "{name}: largest difference {worst:e}");
}

fn assert_stages_agree(compiled: &[Stage], layers: &[Stage]) {
    assert_eq!(compiled.len(), layers.len());
    for (i, (a, b)) in compiled.iter().zip(layers).enumerate() {
        assert_close(&format!("stage {i}: heatmaps"), &a.heatmaps, &b.heatmaps, MAPS);
        assert_eq!(a.aux.is_some(), b.aux.is_some());
        if let (Some(a), Some(b)) = (&a.aux, &b.aux) {
            assert_close(&format!("stage {i}: point maps"), &a.pointmaps, &b.pointmaps, MAPS);
            assert_close(&format!("stage {i}: edge maps"), &a.edgemaps, &b.edgemaps, MAPS);
        }
    }
}

/// Every instruction set of this CPU.
fn isas() -> Vec<Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available()).collect()
}

fn options(isa: Isa) -> CompileOptions {
    CompileOptions { isa: Some(isa), ..CompileOptions::default() }
}

/// Pixels in `[-1, 1]`, the same for the same shape.
fn images(b: usize, size: usize) -> Tensor {
    let values: Vec<f32> =
        (0..b * 3 * size * size).map(|i| ((i * 7919 + i / 97) % 256) as f32 / 127.5 - 1.0).collect();
    Tensor::from_vec(values, (b, 3, size, size), &Device::Cpu).unwrap()
}

/// A network with random weights and batch norms that have seen a few batches.
fn network(config: &StackedHourglassConfig) -> StackedHourglass {
    slim_network(&config.clone().into())
}

fn slim_network(config: &SlimHourglassConfig) -> StackedHourglass {
    let parameters = Parameters::new(11);
    let model = StackedHourglass::slim(config, parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
    for _ in 0..3 {
        model.forward_t(&images(2, config.hourglass.image_size), true).unwrap();
    }
    model
}

#[test]
fn every_stack_agrees_with_the_reference_on_every_instruction_set() {
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let io: HashMap<String, Tensor> =
        candle_core::safetensors::load(golden("hourglass_cofw_small.io.safetensors"), &Device::Cpu).unwrap();
    for isa in isas() {
        let compiled = CompiledModel::from_folder(&folder, &options(isa)).unwrap();
        let stages = compiled.forward_t(&io["input"], false).unwrap();
        for (i, stage) in stages.iter().enumerate() {
            let aux = stage.aux.as_ref().unwrap();
            for (name, ours) in [
                ("fusion_heatmap", &stage.heatmaps),
                ("pointmap", &aux.pointmaps),
                ("edgemap", &aux.edgemaps),
                ("landmarks", &moments::soft_argmax(&stage.heatmaps).unwrap()),
            ] {
                let name = format!("stack{i}.{name}");
                assert_close(&format!("{} {name}", isa.name()), ours, &io[&name], GOLDEN);
            }
        }
        let found = compiled.moments(&io["input"]).unwrap();
        assert_close(isa.name(), &found.means, &io["landmarks"], GOLDEN);
    }
}

#[test]
fn every_shape_of_network_agrees_with_its_layers_on_every_instruction_set() {
    let base = StackedHourglassConfig {
        stacks: 2,
        levels: 2,
        channels: 24,
        image_size: 64,
        ..StackedHourglassConfig::reference(5, vec![vec![0, 1, 2], vec![2, 3]])
    };
    let cases = [
        base.clone(),
        StackedHourglassConfig { channels: 10, ..base.clone() },
        StackedHourglassConfig { attention: false, edges: vec![], ..base.clone() },
        StackedHourglassConfig { coord_conv: false, ..base.clone() },
        StackedHourglassConfig { stacks: 1, levels: 1, image_size: 72, channels: 64, ..base.clone() },
        // 17 keypoints and 19 edges: more edges than a register's padding hides
        StackedHourglassConfig {
            keypoints: 17,
            edges: (0..19).map(|e| vec![e % 16, e % 16 + 1]).collect(),
            stacks: 3,
            ..base.clone()
        },
    ];
    let slim = [4, 20].map(|stem| SlimHourglassConfig { stem, ..base.clone().into() });
    for slim in cases.into_iter().map(SlimHourglassConfig::from).chain(slim) {
        let model = slim_network(&slim);
        let config = slim.hourglass;
        let x = images(3, config.image_size);
        let layers = model.forward_t(&x, false).unwrap();
        for isa in isas() {
            let compiled = model.compile_with(&options(isa)).unwrap();
            let stages = compiled.forward_t(&x, false).unwrap();
            assert_stages_agree(&stages, &layers);
            assert_stages_agree(&[compiled.last_stage(&x).unwrap()], &layers[config.stacks - 1..]);
            let heatmaps = &layers[config.stacks - 1].heatmaps;
            let found = compiled.moments(&x).unwrap();
            assert_close("means", &found.means, &moments::soft_argmax(heatmaps).unwrap(), LANDMARKS);
            assert_close(
                "covariances",
                &found.covariances,
                &moments::covariance(heatmaps).unwrap(),
                LANDMARKS,
            );
        }
    }
}

#[test]
fn an_hrnet_agrees_with_its_layers_on_every_instruction_set() {
    let base = HrNetConfig {
        width: 6,
        modules: [1, 2, 1],
        blocks: 2,
        stem: 12,
        image_size: 96,
        ..HrNetConfig::w18(7)
    };
    let cases = [
        (HeatmapActivation::InstanceNormRelu, base.clone()),
        (HeatmapActivation::Relu, HrNetConfig { width: 18, blocks: 1, image_size: 64, ..base.clone() }),
        (HeatmapActivation::Peak, HrNetConfig { width: 16, modules: [1, 1, 1], keypoints: 19, ..base }),
    ];
    for (activation, config) in cases {
        let config = HrNetConfig { activation, ..config };
        let parameters = Parameters::new(12);
        let model = HrNet::new(&config, parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
        for _ in 0..3 {
            model.forward_t(&images(2, config.image_size), true).unwrap();
        }
        let x = images(3, config.image_size);
        let layers = model.forward_t(&x, false).unwrap();
        for isa in isas() {
            let compiled = model.compile_with(&options(isa)).unwrap();
            assert_stages_agree(&compiled.forward_t(&x, false).unwrap(), &layers);
            let found = compiled.moments(&x).unwrap();
            let means = moments::soft_argmax(&layers[0].heatmaps).unwrap();
            assert_close(&format!("{activation:?}"), &found.means, &means, LANDMARKS);
        }
    }
}

#[test]
fn a_light_pyramid_agrees_with_its_layers_on_every_instruction_set() {
    let base = LightPyramidConfig {
        stem: 6,
        levels: vec![10, 12, 20],
        blocks: vec![2, 1, 2],
        channels: 12,
        image_size: 96,
        ..LightPyramidConfig::standard(7)
    };
    for (kernel, expansion) in [(3, 4), (5, 1), (7, 2)] {
        let config = LightPyramidConfig { kernel, expansion, ..base.clone() };
        let parameters = Parameters::new(12);
        let model = LightPyramid::new(&config, parameters.var_builder(DType::F32, &Device::Cpu)).unwrap();
        for _ in 0..3 {
            model.forward_t(&images(2, config.image_size), true).unwrap();
        }
        let x = images(3, config.image_size);
        let layers = model.forward_t(&x, false).unwrap();
        for isa in isas() {
            let compiled = model.compile_with(&options(isa)).unwrap();
            assert_stages_agree(&compiled.forward_t(&x, false).unwrap(), &layers);
        }
    }
}

#[test]
fn moments_are_those_of_the_maps() {
    // The same plan both ways, so that only the decoding differs.
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 2,
        channels: 16,
        image_size: 64,
        ..StackedHourglassConfig::reference(7, vec![vec![0, 1, 2]])
    };
    let compiled = network(&config).compile().unwrap();
    let x = images(2, 64);
    let heatmaps = compiled.last_stage(&x).unwrap().heatmaps;
    let found = compiled.moments(&x).unwrap();
    assert_close("means", &found.means, &moments::soft_argmax(&heatmaps).unwrap(), 1e-6);
    assert_close("covariances", &found.covariances, &moments::covariance(&heatmaps).unwrap(), 1e-6);
}

#[test]
fn neither_threads_nor_the_batch_change_a_result() {
    let config = StackedHourglassConfig {
        stacks: 2,
        levels: 2,
        channels: 64,
        image_size: 128,
        ..StackedHourglassConfig::reference(5, vec![vec![0, 1, 2]])
    };
    let model = network(&config);
    let x = images(3, 128);
    let one = model.compile_with(&CompileOptions { threads: Some(1), ..Default::default() }).unwrap();
    let expected = one.forward_t(&x, false).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    for threads in [2, 3] {
        let options = CompileOptions { threads: Some(threads), ..Default::default() };
        let many = model.compile_with(&options).unwrap();
        let stages = pool.install(|| many.forward_t(&x, false)).unwrap();
        let single = pool.install(|| many.forward_t(&x.narrow(0, 1, 1).unwrap(), false)).unwrap();
        for ((a, b), c) in stages.iter().zip(&expected).zip(&single) {
            assert_eq!(worst(&a.heatmaps, &b.heatmaps), 0.0);
            assert_eq!(worst(&c.heatmaps, &b.heatmaps.narrow(0, 1, 1).unwrap()), 0.0);
        }
    }
}

/// Mean and largest distance of landmarks in pixels of the image.
fn distances(a: &CompiledModel, b: &CompiledModel, x: &Tensor) -> [f32; 2] {
    let means = |model: &CompiledModel| model.moments(x).unwrap().means;
    // [-1, 1] reaches over all pixels of a map but one
    let pixels = 0.5 * (a.input().image_size as f32 - 4.0);
    let d = ((means(a) - means(b)).unwrap() * f64::from(pixels)).unwrap();
    let d = d.sqr().unwrap().sum(2).unwrap().sqrt().unwrap().flatten_all().unwrap();
    [d.mean(0).unwrap(), d.max(0).unwrap()].map(|value| value.to_scalar::<f32>().unwrap())
}

#[test]
fn products_in_bf16_move_landmarks_by_less_than_half_a_pixel_on_average_where_maps_are_spread_wide() {
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let io: HashMap<String, Tensor> =
        candle_core::safetensors::load(golden("hourglass_cofw_small.io.safetensors"), &Device::Cpu).unwrap();
    let with = |isa: Isa, precision: Precision| {
        let options = CompileOptions { precision, ..options(isa) };
        CompiledModel::from_folder(&folder, &options).unwrap()
    };
    for isa in isas() {
        let (single, half) = (with(isa, Precision::F32), with(isa, Precision::Bf16));
        assert_eq!((single.precision(), half.precision()), (Precision::F32, Precision::Bf16));
        let [mean, most] = distances(&single, &half, &io["input"]);
        println!("{}: mean {mean} px, largest {most} px", isa.name());
        // Rounding is there. The small golden network's mass lies over the whole map (deviation 0.45 of half a side, 0.61 if it were
        // uniform), so that its landmarks move much further than those of the weights in the program, which star-predict tests.
        assert!(mean > 0.0 && mean < 0.5 && most < 4.0, "{}: {mean} {most}", isa.name());
        let auto = with(isa, Precision::Auto).precision();
        assert_eq!(auto, if isa.gains_by_bf16() { Precision::Bf16 } else { Precision::F32 });
        assert!(isa == Isa::Avx512 || isa.gains_by_bf16() == (isa == Isa::Amx), "{}", isa.name());
    }
}

#[test]
fn products_of_bytes_need_ranges_which_the_folder_keeps_and_move_landmarks_little() {
    let mut folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let io: HashMap<String, Tensor> =
        candle_core::safetensors::load(golden("hourglass_cofw_small.io.safetensors"), &Device::Cpu).unwrap();
    let with = |folder: &Folder, isa: Isa, precision: Precision| {
        CompiledModel::from_folder(folder, &CompileOptions { precision, ..options(isa) })
    };
    let error = with(&folder, Isa::Portable, Precision::Int8).err().unwrap().to_string();
    assert!(error.contains("star quantize"), "{error}");
    let single = with(&folder, Isa::best(), Precision::F32).unwrap();
    let mut samples = QuantizationSamples::default();
    single.sample(&io["input"], &mut samples).unwrap();
    let ranges = samples.ranges();
    // What follows a norm and a ReLU is never below 0; what a residual block reads is.
    assert!(ranges.values().flatten().any(|[low, _]| *low == 0.0));
    assert!(ranges.values().flatten().any(|[low, _]| *low < 0.0));
    let some = Quantization {
        ranges,
        fitted_on: "a test".into(),
        nme_fractions: Some([0.02, 0.0201]),
        shift_fraction: 0.001,
    };
    folder.config.quantization = Some(some.clone());
    let dir = tempfile::tempdir().unwrap();
    folder.save(dir.path()).unwrap();
    let mut folder = Folder::load(dir.path()).unwrap();
    assert_eq!(folder.config.quantization.as_ref(), Some(&some));
    for isa in isas() {
        let bytes = with(&folder, isa, Precision::Int8).unwrap();
        assert_eq!(bytes.precision(), Precision::Int8);
        let [mean, most] = distances(&single, &bytes, &io["input"]);
        println!("{}: mean {mean} px, largest {most} px", isa.name());
        assert!(mean > 0.0 && mean < 1.0 && most < 6.0, "{}: {mean} {most}", isa.name());
    }
    // A range of another number of inputs, and one that is none.
    for ranges in [vec![], vec![[1.0, -1.0]; 9]] {
        let name = some.ranges.keys().next().unwrap().clone();
        folder.config.quantization.as_mut().unwrap().ranges.insert(name.clone(), ranges);
        let error = with(&folder, Isa::best(), Precision::Int8).err().unwrap().to_string();
        assert!(error.contains(&name) && error.contains("ranges"), "{error}");
    }
}

#[test]
fn several_callers_share_a_plan() {
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 1,
        channels: 16,
        image_size: 64,
        ..StackedHourglassConfig::reference(5, vec![vec![0, 1, 2]])
    };
    let compiled = network(&config).compile().unwrap();
    let x = images(4, 64);
    let expected = compiled.forward_t(&x, false).unwrap();
    std::thread::scope(|scope| {
        for i in 0..4 {
            let (compiled, x, expected) = (&compiled, &x, &expected);
            scope.spawn(move || {
                for _ in 0..5 {
                    let stages = compiled.forward_t(&x.narrow(0, i, 1).unwrap(), false).unwrap();
                    let expected = expected[0].heatmaps.narrow(0, i, 1).unwrap();
                    assert_eq!(worst(&stages[0].heatmaps, &expected), 0.0);
                }
            });
        }
    });
}

#[test]
fn what_a_plan_cannot_do_is_an_error_that_says_what_can() {
    let config = StackedHourglassConfig {
        stacks: 1,
        levels: 1,
        channels: 8,
        image_size: 32,
        ..StackedHourglassConfig::reference(2, vec![vec![0, 1]])
    };
    let compiled = network(&config).compile().unwrap();
    let message = |x: &Tensor, train| compiled.forward_t(x, train).unwrap_err().to_string();
    assert!(message(&images(1, 32), true).contains("train the network that it was compiled from"));
    assert!(message(&images(1, 64), false).contains("[B, 3, 32, 32], got [1, 3, 64, 64]"));
    assert!(message(&images(1, 32).to_dtype(DType::F64).unwrap(), false).contains("F32, got F64"));
    // no image is no error
    let none = images(1, 32).narrow(0, 0, 0).unwrap();
    assert_eq!(compiled.forward_t(&none, false).unwrap()[0].heatmaps.dims(), [0, 2, 8, 8]);
    assert!(compiled.profile(&none).unwrap_err().to_string().contains("at least one"));
}

#[test]
fn a_folder_is_opened_by_mapping_it_and_a_broken_one_is_named() {
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let dir = tempfile::tempdir().unwrap();
    folder.save(dir.path()).unwrap();
    let (opened, of) = (
        CompiledModel::open(dir.path(), &CompileOptions::default()).unwrap(),
        CompiledModel::from_folder(&folder, &CompileOptions::default()).unwrap(),
    );
    let x = images(1, 64);
    assert_eq!(worst(&opened.moments(&x).unwrap().means, &of.moments(&x).unwrap().means), 0.0);
    let weights = dir.path().join(WEIGHTS_FILE);
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let message = |dir: &Path| match CompiledModel::open(dir, &CompileOptions::default()) {
        Ok(_) => panic!("a broken folder was opened"),
        Err(error) => error.to_string(),
    };
    assert!(message(dir.path()).contains("model.safetensors"), "{}", message(dir.path()));
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(message(dir.path()).contains("config.json"), "{}", message(dir.path()));
}
