//! Every op of this folder against candle's operations on the CPU. Where no card opens, these tests say so and pass.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::VarBuilder;

use super::card;
use crate::activation::Activation;
use crate::builder::Builder;
use crate::checkpoint::Architecture;
use crate::gradient_check::noise;
use crate::interpolate::{max_pool_2x2, upsample_add};
use crate::layers::Conv2d;
use crate::norm::{BatchNorm, instance_norm_relu};
use crate::{
    HeatmapActivation, HrNetConfig, LandmarkModel, LightPyramidConfig, Parameters, SlimHourglassConfig,
    StackedHourglassConfig,
};

/// The card, or a line that there is none.
fn on_card() -> Option<Device> {
    match card::open(0) {
        Ok(device) => Some(device),
        Err(error) => {
            println!("skipped: no CUDA card: {error}");
            None
        }
    }
}

/// `|a - b| / |b|` over all values.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let host = |t: &Tensor| t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
    let norm = |t: &Tensor| t.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    let (a, b) = (host(a), host(b));
    assert_eq!(a.dims(), b.dims());
    norm(&(&a - &b).unwrap()) / norm(&b).max(1e-30)
}

/// Types of values with what an op may be off by.
const TYPES: [(DType, f64); 4] =
    [(DType::F64, 1e-12), (DType::F32, 2e-6), (DType::F16, 6e-3), (DType::BF16, 4e-2)];

/// Output and gradients of `f` over `inputs` on a device, in a type; the loss weighs every output differently.
fn outcome(
    inputs: &[Tensor],
    device: &Device,
    dtype: DType,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Vec<Tensor> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|t| Var::from_tensor(&t.to_dtype(dtype).unwrap().to_device(device).unwrap()).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&tensors).unwrap();
    let weights = noise(y.dims(), 77).to_dtype(y.dtype()).unwrap().to_device(device).unwrap();
    let loss = (&y * weights).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let gradients = vars.iter().map(|v| gradients.get(v).unwrap().clone());
    std::iter::once(y.detach()).chain(gradients).collect()
}

/// The op on the card in every type against the CPU in f64, on inputs rounded to that type.
fn compare(name: &str, card: &Device, shapes: &[&[usize]], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) {
    for (dtype, tolerance) in TYPES {
        // cuDNN convolves by transforms, too, which round more often.
        let tolerance =
            if dtype == DType::F32 && name.contains("convol") { 10.0 * tolerance } else { tolerance };
        let round = |t: Tensor| t.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap();
        let inputs: Vec<Tensor> =
            shapes.iter().zip(1..).map(|(shape, seed)| round(noise(shape, seed))).collect();
        let wanted = outcome(&inputs, &Device::Cpu, DType::F64, f);
        let got = outcome(&inputs, card, dtype, f);
        for (i, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            let off = distance(got, wanted);
            assert!(off <= tolerance, "{name} {shapes:?} {dtype:?}: result {i} is off by {off:e}");
        }
    }
}

#[test]
fn pointwise_ops_are_those_of_the_cpu_with_their_gradients() {
    let Some(card) = on_card() else { return };
    for shape in [&[2, 3, 4, 6][..], &[1, 1, 2, 2], &[3, 5, 2, 10], &[1, 2, 32, 64]] {
        compare("relu", &card, &[shape], &|x| crate::activation::relu(&x[0]));
        compare("max pool", &card, &[shape], &|x| max_pool_2x2(&x[0]));
        let low = [shape[0], shape[1], shape[2] / 2, shape[3] / 2];
        compare("upsample", &card, &[shape, &low], &|x| upsample_add(&x[0], &x[1]));
        // Of a view: not contiguous, and not at the start of its storage.
        compare("relu of a view", &card, &[shape], &|x| {
            crate::activation::relu(&x[0].narrow(3, 1, shape[3] - 1)?.transpose(2, 3)?)
        });
    }
    let odd = noise(&[1, 1, 3, 7], 1).to_dtype(DType::F32).unwrap().to_device(&card).unwrap();
    let cut = crate::activation::relu(&odd).unwrap();
    assert!(distance(&cut, &odd.to_device(&Device::Cpu).unwrap().relu().unwrap()) == 0.0);
}

#[test]
fn ties_and_values_that_are_not_numbers_go_the_way_they_go_on_the_cpu() {
    let Some(card) = on_card() else { return };
    let nan = f32::NAN;
    let values = vec![7.0, 7.0, nan, 1.0, 0.0, 7.0, 2.0, -0.0, -1.0, -2.0, 0.0, 0.0, -3.0, -1.0, 0.0, 0.0f32];
    let run = |device: &Device, op: &dyn Fn(&Tensor) -> Result<Tensor>| {
        let x = Var::from_tensor(&Tensor::from_vec(values.clone(), (1, 1, 4, 4), device).unwrap()).unwrap();
        let y = op(&x).unwrap();
        let gradient = y.sum_all().unwrap().backward().unwrap().get(&x).unwrap().clone();
        [y.detach(), gradient].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan());
    for op in [max_pool_2x2 as fn(&Tensor) -> Result<Tensor>, crate::activation::relu] {
        let ([y, g], [wy, wg]) = (run(&card, &|x| op(x)), run(&Device::Cpu, &|x| op(x)));
        assert!(same(&y, &wy) && same(&g, &wg), "{y:?} {g:?} against {wy:?} {wg:?}");
    }
}

/// A norm whose parameters are the second and third of some tensors.
fn batch_norm(tensors: &[Tensor], train: bool, behind: Activation) -> Result<[Tensor; 3]> {
    let x = &tensors[0];
    let parameter = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let channels = x.dim(1)?;
    let running = |value: f64, by: f64| -> Result<Tensor> {
        let steps = (0..channels).map(|c| value + by * c as f64).collect::<Vec<_>>();
        Tensor::from_vec(steps, channels, &Device::Cpu)?.to_dtype(parameter)?.to_device(x.device())
    };
    let map = std::collections::HashMap::from([
        ("weight".to_string(), tensors[1].to_dtype(parameter)?),
        ("bias".to_string(), tensors[2].to_dtype(parameter)?),
        ("running_mean".to_string(), running(0.1, 0.05)?),
        ("running_var".to_string(), running(0.5, 0.1)?),
    ]);
    let vb = VarBuilder::from_tensors(map, parameter, x.device());
    let norm = BatchNorm::new(channels, Builder::new(vb, None, false))?;
    let y = norm.forward_t(x, train, behind)?;
    Ok([y, norm.running_mean.as_tensor().copy()?, norm.running_var.as_tensor().copy()?])
}

#[test]
fn batch_norm_and_its_relu_are_those_of_the_cpu_with_their_gradients_and_running_statistics() {
    let Some(card) = on_card() else { return };
    let shapes: [[usize; 4]; 5] = [[2, 3, 4, 4], [3, 2, 3, 5], [1, 5, 1, 6], [2, 1, 64, 80], [5, 7, 2, 2]];
    for shape in shapes {
        for (train, behind) in [
            (true, Activation::None),
            (true, Activation::Relu),
            (false, Activation::None),
            (false, Activation::Relu),
        ] {
            let channels = [shape[1]];
            compare(&format!("norm {train} {behind:?}"), &card, &[&shape, &channels, &channels], &|t| {
                Ok(batch_norm(t, train, behind)?[0].clone())
            });
        }
        let inputs: Vec<Tensor> = [&shape[..], &shape[1..2], &shape[1..2]].map(|s| noise(s, 3)).to_vec();
        let there: Vec<Tensor> = inputs.iter().map(|t| t.to_device(&card).unwrap()).collect();
        let [_, mean, variance] = batch_norm(&there, true, Activation::Relu).unwrap();
        let [_, wanted_mean, wanted_variance] = batch_norm(&inputs, true, Activation::Relu).unwrap();
        assert!(distance(&mean, &wanted_mean) < 1e-12 && distance(&variance, &wanted_variance) < 1e-12);
    }
}

#[test]
fn a_large_offset_does_not_cost_the_variance_its_digits() {
    let Some(card) = on_card() else { return };
    let x: Vec<f32> = (0..4096).map(|i| 4096.0 + (i % 2) as f32).collect();
    let x = Tensor::from_vec(x, (1, 1, 64, 64), &card).unwrap();
    let parameters = [1.0f32, 0.0].map(|v| Tensor::full(v, 1, &card).unwrap());
    let [y, ..] =
        batch_norm(&[x, parameters[0].clone(), parameters[1].clone()], true, Activation::None).unwrap();
    let y = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!((y[0] + 1.0).abs() < 1e-3 && (y[1] - 1.0).abs() < 1e-3, "{:?}", &y[..2]);
}

#[test]
fn instance_norm_is_that_of_the_cpu_with_its_gradient() {
    let Some(card) = on_card() else { return };
    for shape in [&[2, 3, 8, 8][..], &[1, 4, 5, 3]] {
        compare("instance norm", &card, &[shape], &|x| instance_norm_relu(&x[0]));
    }
}

/// With weights in a tensor: `(input, output, kernel, stride, height, width, batch)`.
#[cfg(feature = "cudnn")]
#[test]
fn convolutions_are_those_of_the_cpu_with_their_gradients() {
    let Some(card) = on_card() else { return };
    for (input, output, kernel, stride, h, w, batch) in [
        (3, 4, 1, 1, 5, 6, 2),
        (4, 3, 3, 1, 5, 4, 3),
        (2, 3, 3, 2, 6, 6, 1),
        (3, 2, 7, 2, 8, 10, 2),
        (8, 16, 3, 1, 16, 16, 2),
    ] {
        let shapes: [&[usize]; 3] = [&[batch, input, h, w], &[output, input, kernel, kernel], &[output]];
        compare("convolution", &card, &shapes, &|t| {
            let map = [("weight".to_string(), t[1].clone()), ("bias".to_string(), t[2].clone())];
            let vb = VarBuilder::from_tensors(map.into_iter().collect(), t[0].dtype(), t[0].device());
            Conv2d::new(input, output, kernel, stride, vb.into())?.forward(&t[0])
        });
    }
    for (channels, kernel, stride, side) in [(3, 3, 1, 5), (2, 5, 2, 6)] {
        let shapes: [&[usize]; 2] = [&[2, channels, side, side], &[channels, 1, kernel, kernel]];
        compare("channels convolved by themselves", &card, &shapes, &|t| {
            let map = [("weight".to_string(), t[1].clone())];
            let vb = VarBuilder::from_tensors(map.into_iter().collect(), t[0].dtype(), t[0].device());
            Conv2d::depthwise(channels, kernel, stride, vb.into())?.forward(&t[0])
        });
    }
}

/// A small network of each kind, with all that the kind has.
fn networks() -> [Architecture; 3] {
    let hourglass = StackedHourglassConfig {
        stacks: 2,
        levels: 2,
        channels: 8,
        image_size: 32,
        ..StackedHourglassConfig::reference(4, vec![vec![0, 1], vec![1, 2]])
    };
    let hrnet = HrNetConfig {
        width: 4,
        stem: 8,
        modules: [1, 1, 1],
        blocks: 1,
        image_size: 64,
        ..HrNetConfig::w18(3)
    };
    let pyramid = LightPyramidConfig {
        stem: 4,
        levels: vec![8, 12],
        blocks: vec![1, 2],
        channels: 8,
        image_size: 32,
        activation: HeatmapActivation::Peak,
        ..LightPyramidConfig::standard(3)
    };
    [
        Architecture::SlimHourglass(SlimHourglassConfig { stem: 4, ..hourglass.into() }),
        Architecture::HrNet(hrnet),
        Architecture::LightPyramid(pyramid),
    ]
}

/// Maps and gradients of a training step, and the running statistics after it.
struct Step {
    maps: Vec<Tensor>,
    gradients: Vec<Tensor>,
    statistics: Vec<Tensor>,
}

fn step(architecture: &Architecture, dtype: DType, device: &Device) -> Step {
    let parameters = Parameters::new(5);
    let vb = parameters.var_builder(dtype, device);
    let model = architecture.build(vb).unwrap();
    let size = model.input().image_size;
    let images = noise(&[3, 3, size, size], 6).to_dtype(dtype).unwrap().to_device(device).unwrap();
    let stages = model.forward_t(&images, true).unwrap();
    let maps: Vec<Tensor> = stages
        .into_iter()
        .flat_map(|stage| {
            let aux = stage.aux.into_iter().flat_map(|aux| [aux.pointmaps, aux.edgemaps]);
            aux.chain([stage.heatmaps]).collect::<Vec<_>>()
        })
        .collect();
    let term = |(i, maps): (usize, &Tensor)| {
        let weights = noise(maps.dims(), i as u64).to_dtype(maps.dtype()).unwrap().to_device(device).unwrap();
        (maps.sqr().unwrap() * weights).unwrap().sum_all().unwrap()
    };
    let loss = maps.iter().enumerate().map(term).reduce(|a, b| (a + b).unwrap()).unwrap();
    let store = loss.backward().unwrap();
    let gradient = |(name, var): (String, Var)| {
        store.get(&var).unwrap_or_else(|| panic!("{name} received no gradient")).clone()
    };
    Step {
        maps: maps.iter().map(Tensor::detach).collect(),
        gradients: parameters.trainable().into_iter().map(gradient).collect(),
        statistics: parameters
            .tensors()
            .into_iter()
            .filter_map(|(name, tensor)| name.contains("running").then_some(tensor))
            .collect(),
    }
}

/// All values of some tensors as one vector: gradients of single biases in front of a norm are noise about 0.
fn flat(tensors: &[Tensor]) -> Tensor {
    let flat =
        |t: &Tensor| t.to_device(&Device::Cpu).unwrap().to_dtype(DType::F64).unwrap().flatten_all().unwrap();
    Tensor::cat(&tensors.iter().map(flat).collect::<Vec<_>>(), 0).unwrap()
}

#[test]
fn a_training_step_of_every_network_is_that_of_the_cpu() {
    let Some(card) = on_card() else { return };
    for architecture in networks() {
        let wanted = step(&architecture, DType::F64, &Device::Cpu);
        // In 16 bits: tests/mixed_precision.rs.
        for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 5e-3)] {
            let got = step(&architecture, dtype, &card);
            for (what, got, wanted) in [
                ("maps", &got.maps, &wanted.maps),
                ("gradients", &got.gradients, &wanted.gradients),
                ("running statistics", &got.statistics, &wanted.statistics),
            ] {
                assert_eq!(got.len(), wanted.len(), "{what} of {architecture}");
                let off = distance(&flat(got), &flat(wanted));
                assert!(off <= tolerance, "{what} of {architecture} in {dtype:?} are off by {off:e}");
            }
        }
    }
}

#[test]
fn evaluation_of_every_network_is_that_of_the_cpu() {
    let Some(card) = on_card() else { return };
    for architecture in networks() {
        let run = |device: &Device| {
            let model = architecture.build(Parameters::new(5).var_builder(DType::F64, device)).unwrap();
            let size = model.input().image_size;
            let images = noise(&[2, 3, size, size], 6).to_device(device).unwrap();
            model.forward_t(&images, false).unwrap().pop().unwrap().heatmaps
        };
        let off = distance(&run(&card), &run(&Device::Cpu));
        assert!(off <= 1e-10, "maps of {architecture} are off by {off:e}");
    }
}

/// Gradients of a sum are handed out once: a second backward pass recomputes them, and does not move the running statistics again.
#[cfg(feature = "cudnn")]
#[test]
fn a_second_backward_pass_gives_the_same_gradients() {
    let Some(card) = on_card() else { return };
    let parameters = Parameters::new(5);
    let model = networks()[0].build(parameters.var_builder(DType::F64, &card)).unwrap();
    let images = noise(&[2, 3, 32, 32], 6).to_device(&card).unwrap();
    let loss =
        model.forward_t(&images, true).unwrap().pop().unwrap().heatmaps.sqr().unwrap().sum_all().unwrap();
    let (_, var) = parameters.trainable().swap_remove(0);
    let statistics = || {
        let all = parameters.tensors().into_iter().filter(|(name, _)| name.contains("running"));
        flat(&all.map(|(_, tensor)| tensor.copy().unwrap()).collect::<Vec<_>>())
    };
    let first = loss.backward().unwrap().get(&var).unwrap().clone();
    let before = statistics();
    let second = loss.backward().unwrap().get(&var).unwrap().clone();
    assert!(distance(&second, &first) < 1e-12 && distance(&statistics(), &before) == 0.0);
}
