//! The passes against the network's layers in f64, on every instruction set of this CPU.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Result, Tensor};

use super::linear::{Finish, Input, Linear, panels};
use super::memory::Memory;
use super::pixels::{Pixels, floats_of};
use super::token::forward_on;
use super::window::Window;
use super::{Maps, Passes, Plan};
use crate::builder::Builder;
use crate::checkpoint::Architecture;
use crate::gradient_check::noise;
use crate::graph::Graph;
use crate::networks::{Network, hourglass, hrnet};
use crate::plan::Isa;
use crate::plan::kernels::pixels::{pair, unpair};
use crate::plan::ops::pointwise::{Residual, ScaleRelu};
use crate::process_group::{ProcessGroup, tests::pair as ranks};
use crate::{
    HeatmapActivation, HrNetConfig, InputSpec, LightPyramidConfig, Parameters, SlimHourglassConfig,
    StackedHourglassConfig, Stage,
};

/// What a network is tried on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) channels: usize,
    pub(super) stem: usize,
    pub(super) levels: usize,
    /// Side of the images, four times that of the maps.
    pub(super) size: usize,
    pub(super) images: usize,
    pub(super) keypoints: usize,
    pub(super) attention: bool,
    pub(super) coord_conv: bool,
    /// Largest error of the gradient by one parameter, see [`worst_gradient`].
    pub(super) tolerance: f64,
}

pub(super) const SMALL: Case = Case {
    channels: 32,
    stem: 64,
    levels: 1,
    size: 16,
    images: 2,
    keypoints: 5,
    attention: true,
    coord_conv: true,
    tolerance: 1e-3,
};

/// Window by window and in tiles, one keypoint and whole registers of them, odd maps and maps of one pixel, with and without each
/// part of the network, pixels for several blocks and slices. In `f32` a value near 0 falls on the other side of a ReLU now and
/// then, in candle's operations too: the numbers of images are such that it does not happen in the smaller cases.
const CASES: [Case; 12] = [
    SMALL,
    Case { attention: false, ..SMALL },
    Case { coord_conv: false, images: 3, ..SMALL },
    Case { attention: false, coord_conv: false, images: 3, ..SMALL },
    Case { keypoints: 3, images: 3, ..SMALL },
    Case { stem: 32, images: 5, ..SMALL },
    Case { keypoints: 16, ..SMALL },
    Case { keypoints: 98, size: 24, images: 1, ..SMALL },
    Case { channels: 64, size: 40, images: 1, ..SMALL },
    Case { levels: 2, images: 7, ..SMALL },
    Case { channels: 64, levels: 3, size: 64, images: 3, tolerance: 0.2, ..SMALL },
    // no whole registers
    Case { channels: 20, stem: 6, ..SMALL },
];

/// Norm of the difference of maps and of statistics over their norm.
const TOLERANCE: f64 = 2e-4;

/// Numbers of images for which no value of an HRNet falls on the other side of a ReLU, and [`Case::tolerance`] for them.
const HRNETS: [usize; 2] = [1, 4];
const HRNET: f64 = 2e-3;

/// Numbers of images and sides of windows of a light pyramid; as for HRNets, and within [`HRNET`].
const PYRAMIDS: [(usize, usize); 4] = [(1, 3), (3, 5), (2, 7), (9, 3)];

impl Case {
    fn config(&self) -> SlimHourglassConfig {
        let hourglass = StackedHourglassConfig {
            stacks: 2,
            levels: self.levels,
            channels: self.channels,
            image_size: self.size,
            attention: self.attention,
            coord_conv: self.coord_conv,
            ..StackedHourglassConfig::reference(self.keypoints, vec![vec![0, 1], vec![1, 2]])
        };
        SlimHourglassConfig { hourglass, stem: self.stem, face_scale: 1.0 }
    }
}

pub(super) struct Net {
    pub(super) network: Network,
    parameters: Parameters,
    images: Tensor,
    /// The first of its images among those of the whole batch, and how many those are.
    part: [usize; 2],
}

impl Net {
    pub(super) fn new(case: &Case, dtype: DType) -> Self {
        let images = noise(&[case.images, 3, case.size, case.size], 7).to_dtype(dtype).unwrap();
        Self::on(case, images, [0, case.images], None)
    }

    fn on(case: &Case, images: Tensor, part: [usize; 2], group: Option<ProcessGroup>) -> Self {
        let config = case.config();
        Self::of(hourglass::graph::graph(&config), config.input(), images, part, group)
    }

    fn of(
        graph: Graph,
        input: InputSpec,
        images: Tensor,
        part: [usize; 2],
        group: Option<ProcessGroup>,
    ) -> Self {
        let dtype = images.dtype();
        let parameters = Parameters::new(1);
        let vb = parameters.var_builder(dtype, &Device::Cpu);
        let network = Network::new(graph, input, &Builder::new(vb, group, false)).unwrap();
        // norms that do something
        for (i, (name, var)) in parameters.all().into_iter().enumerate() {
            if name.contains("bn") && !name.contains("running") {
                let values = (noise(var.dims(), i as u64) * 0.3).unwrap().to_dtype(dtype).unwrap();
                var.set(&(var.as_tensor() + values).unwrap()).unwrap();
            }
        }
        Self { network, parameters, images, part }
    }

    /// Loss, maps, gradients and statistics of a step by `run` on the images.
    pub(super) fn step(
        &self,
        run: impl Fn(&Network, &Tensor) -> Result<Vec<Stage>>,
    ) -> BTreeMap<String, Vec<f64>> {
        let stages = run(&self.network, &self.images).unwrap();
        let mut results = BTreeMap::new();
        let gradients = loss(&stages, self.part).backward().unwrap();
        for (name, var) in self.parameters.trainable() {
            let gradient = gradients.get(&var).unwrap_or_else(|| panic!("{name} has no gradient"));
            results.insert(format!("gradient {name}"), flat(gradient));
        }
        for (name, var) in self.parameters.all() {
            if name.contains("running") {
                results.insert(name, flat(&var));
            }
        }
        for (i, stage) in stages.iter().enumerate() {
            for (j, maps) in maps(stage).into_iter().enumerate() {
                results.insert(format!("stage {i} maps {j}"), flat(&maps));
            }
        }
        results
    }
}

fn maps(stage: &Stage) -> Vec<Tensor> {
    let mut maps = vec![stage.heatmaps.clone()];
    maps.extend(stage.aux.iter().flat_map(|aux| [aux.pointmaps.clone(), aux.edgemaps.clone()]));
    maps
}

/// A sum over all maps with fixed weights, squared so that gradients depend on the maps.
fn loss(stages: &[Stage], [first, whole]: [usize; 2]) -> Tensor {
    let all = stages.iter().flat_map(maps).enumerate().map(|(i, maps)| {
        let (images, k, h, w) = maps.dims4().unwrap();
        let weights = noise(&[whole, k, h, w], 100 + i as u64).narrow(0, first, images).unwrap();
        let weights = weights.to_dtype(maps.dtype()).unwrap();
        (maps.sqr().unwrap() * weights).unwrap().sum_all().unwrap()
    });
    all.reduce(|a, b| (a + b).unwrap()).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The norm of the difference over the norm of what it should be: of the maps of both stages, of the statistics.
fn errors(ours: &BTreeMap<String, Vec<f64>>, theirs: &BTreeMap<String, Vec<f64>>) -> [f64; 2] {
    ["stage", "running"].map(|kind| {
        let of = |results: &BTreeMap<String, Vec<f64>>| -> Vec<f64> {
            results
                .iter()
                .filter(|(name, _)| name.contains(kind))
                .flat_map(|(_, values)| values.clone())
                .collect()
        };
        let (a, b) = (of(ours), of(theirs));
        norm(a.iter().zip(&b).map(|(a, b)| a - b)) / norm(b.iter().copied())
    })
}

/// The norm of the difference of the gradients by all parameters over the norm of what they should be.
pub(super) fn gradient_error(ours: &BTreeMap<String, Vec<f64>>, theirs: &BTreeMap<String, Vec<f64>>) -> f64 {
    let of = |results: &BTreeMap<String, Vec<f64>>| -> Vec<f64> {
        let gradients = results.iter().filter(|(name, _)| name.starts_with("gradient"));
        gradients.flat_map(|(_, values)| values.clone()).collect()
    };
    let (a, b) = (of(ours), of(theirs));
    assert_eq!(a.len(), b.len());
    norm(a.iter().zip(&b).map(|(a, b)| a - b)) / norm(b.iter().copied())
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// The largest error of the gradient by one parameter, over its own norm or, where that is small (a bias in front of a norm has only
/// rounding for a gradient), over the norm that it would have if all numbers had their share of the whole gradient's, a tenth of it.
fn worst_gradient(ours: &BTreeMap<String, Vec<f64>>, theirs: &BTreeMap<String, Vec<f64>>) -> (f64, String) {
    assert_eq!(ours.len(), theirs.len());
    let gradients = || theirs.iter().filter(|(name, _)| name.starts_with("gradient"));
    let numbers: usize = gradients().map(|(_, values)| values.len()).sum();
    let whole = norm(gradients().flat_map(|(_, values)| values.iter().copied()));
    let error = |(name, expected): (&String, &Vec<f64>)| {
        let difference = norm(ours[name].iter().zip(expected).map(|(a, b)| a - b));
        assert!(difference.is_finite(), "{name}");
        let share = 0.1 * whole * (expected.len() as f64 / numbers as f64).sqrt();
        (difference / norm(expected.iter().copied()).max(share), name.clone())
    };
    gradients().map(error).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

pub(super) fn layers(network: &Network, images: &Tensor) -> Result<Vec<Stage>> {
    network.graph.stages(&network.layers, images, true)
}

pub(super) fn plan(network: &Network) -> &Arc<Plan> {
    network.training.plan.as_ref().unwrap()
}

/// By the passes of the best instruction set.
fn passes(network: &Network, images: &Tensor) -> Result<Vec<Stage>> {
    forward_on(Isa::best(), network, plan(network), images)
}

#[test]
fn maps_gradients_and_statistics_are_those_of_the_layers() {
    for case in CASES {
        let expected = Net::new(&case, DType::F64).step(layers);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let ours = Net::new(&case, DType::F32)
                .step(|network, images| forward_on(isa, network, plan(network), images));
            let ([maps, statistics], (gradient, name)) =
                (errors(&ours, &expected), worst_gradient(&ours, &expected));
            println!("{case:?}: {maps:e} {statistics:e} {gradient:e} {name}");
            assert!(gradient <= case.tolerance, "{}, {case:?}: {name} off by {gradient:e}", isa.name());
            assert!(maps.max(statistics) <= TOLERANCE, "{}, {case:?}: {maps:e}, {statistics:e}", isa.name());
        }
    }
}

/// bf16 has 16 bits less than f32, and all errors grow with it: on random weights by norms of few values, each by a hundred times in either.
#[test]
fn products_in_bf16_are_off_by_no_more_than_bf16_has_fewer_bits_on_every_instruction_set() {
    const BITS: f64 = 65_536.0;
    let case = Case { channels: 64, levels: 2, size: 64, images: 2, ..SMALL };
    let expected = Net::new(&case, DType::F64).step(layers);
    let step = |isa: Isa, bf16: bool| {
        let mut net = Net::new(&case, DType::F32);
        net.network.training.bf16 = bf16;
        net.step(|network, images| forward_on(isa, network, plan(network), images))
    };
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let [single, half] = [false, true].map(|bf16| errors(&step(isa, bf16), &expected));
        println!("{}: maps and statistics off by {single:?} in f32, {half:?} in bf16", isa.name());
        for (single, half) in single.into_iter().zip(half) {
            assert!(half > 100.0 * single && half < BITS * single, "{}: {single:e} {half:e}", isa.name());
        }
        assert!(half[1] < 0.01, "{}: {half:?}", isa.name());
    }
}

/// A tensor's values in bf16.
fn rounded(x: &Tensor) -> Tensor {
    x.to_dtype(DType::BF16).unwrap().to_dtype(DType::F64).unwrap()
}

/// What products run on, without a network.
pub(super) fn bare(isa: Isa, memory: &Memory, bf16: bool) -> Passes<'_> {
    let (kernels, outcome) = (isa.kernels().unwrap(), Mutex::default());
    Passes { kernels, memory, values: &[], group: None, bf16, outcome }
}

/// Neighbouring values as pairs in bf16.
pub(super) fn paired(values: &[f32]) -> Vec<f32> {
    values.chunks_exact(2).map(|two| pair(two[0], two[1])).collect()
}

pub(super) fn unpaired(pairs: &[f32]) -> Vec<f32> {
    pairs.iter().flat_map(|&pair| unpair(pair)).collect()
}

#[test]
fn a_product_in_bf16_is_that_of_rounded_values_from_and_to_floats_and_pairs() {
    let (pixels, lengths, outputs) = (131, [21, 34], 19);
    let depth: usize = lengths.iter().sum();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let (memory, lanes) = (Memory::default(), isa.kernels().unwrap().lanes());
        let passes = bare(isa, &memory, true);
        let values = |shape: &[usize], seed| noise(shape, seed).to_dtype(DType::F32).unwrap();
        let weights = values(&[outputs, depth], 1);
        let row: Vec<Vec<f32>> = weights.to_vec2().unwrap();
        let panels = panels(&passes, &vec![0.25; outputs], &lengths, |output, k| row[output][k]);
        let inputs: Vec<(Tensor, usize)> = lengths
            .iter()
            .map(|&len| {
                (values(&[pixels, len.next_multiple_of(lanes)], len as u64), len.next_multiple_of(lanes))
            })
            .collect();
        let norm = ScaleRelu { scale: vec![0.5; inputs[1].1], shift: vec![0.125; inputs[1].1] };
        let flat: Vec<Vec<f32>> =
            inputs.iter().map(|(x, _)| x.flatten_all().unwrap().to_vec1().unwrap()).collect();
        let narrow: Vec<Vec<f32>> = flat.iter().map(|values| paired(values)).collect();
        for (pairs, added) in [(false, false), (true, false), (true, true)] {
            let input = |i: usize| {
                let (values, channels) = (if pairs { &narrow[i] } else { &flat[i] }, inputs[i].1);
                let x = Pixels { values, channels, pairs };
                Input { x, len: lengths[i], norm: (i == 1).then_some(&norm) }
            };
            let mut out = vec![0.0; floats_of(pixels * panels.channels, pairs)];
            let (inputs_of, finish) = (&[input(0), input(1)], Finish::Sums);
            let add = if added { Residual::InPlace } else { Residual::None };
            if added {
                out.fill(pair(1.0, 1.0));
            }
            let product = Linear { pixels, inputs: inputs_of, panels: &panels, add, finish, pairs };
            let sums = product.run(&passes, &mut out);
            let of = Pixels { values: &out, channels: panels.channels, pairs };
            let statistics = sums.statistics(&passes, of);
            let out = if pairs { unpaired(&out) } else { out };
            let rounded_if = |x: Tensor| if pairs { rounded(&x) } else { x };
            let first = rounded_if(inputs[0].0.narrow(1, 0, lengths[0]).unwrap());
            let second = rounded_if(inputs[1].0.narrow(1, 0, lengths[1]).unwrap());
            let second = second.affine(0.5, 0.125).unwrap().relu().unwrap();
            let x = rounded(&Tensor::cat(&[first, second], 1).unwrap());
            let bias = if added { 1.25 } else { 0.25 };
            let y = (x.matmul(&rounded(&weights).t().unwrap()).unwrap() + bias).unwrap();
            let y: Vec<Vec<f64>> = y.to_vec2().unwrap();
            // Pairs are rounded once more, to 8 bits.
            let share = if pairs { 1.0 / 256.0 } else { 0.0 };
            for (row, wanted) in out.chunks_exact(panels.channels).zip(&y) {
                for (a, b) in row.iter().zip(wanted) {
                    let off = (f64::from(*a) - b).abs();
                    assert!(off < 1e-4 + share * b.abs(), "{}, {pairs}: {a} {b}", isa.name());
                }
            }
            for c in 0..outputs {
                let column = || out.iter().skip(c).step_by(panels.channels).map(|&v| f64::from(v));
                let mean = column().sum::<f64>() / pixels as f64;
                let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / pixels as f64;
                let off = [statistics.mean[c] - mean, statistics.variance[c] - variance];
                assert!(off.iter().all(|off| off.abs() < 1e-4), "{}, {pairs}: {off:?}", isa.name());
            }
        }
    }
}

#[test]
fn windows_in_bf16_are_off_by_at_most_3_per_cent_forward_and_back() {
    let (maps, inputs, outputs) = (Maps { images: 2, height: 12, width: 9 }, 20, 33);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let (memory, lanes) = (Memory::default(), isa.kernels().unwrap().lanes());
        let weight: Vec<f32> =
            flat(&noise(&[outputs * inputs * 9], 2)).into_iter().map(|v| v as f32).collect();
        let (kernel, stride) = (3, 1);
        let window = Window { from: maps, to: maps, inputs, outputs, kernel, stride, weight: &weight };
        let of = |channels: usize, seed: u64| -> (Vec<f32>, usize) {
            let pitch = channels.next_multiple_of(lanes);
            let mut x: Vec<f32> =
                flat(&noise(&[maps.pixels() * pitch], seed)).into_iter().map(|v| v as f32).collect();
            x.chunks_exact_mut(pitch).for_each(|pixel| pixel[channels..].fill(0.0));
            (x, pitch)
        };
        let ((x, pitch), (d, depth)) = (of(inputs, 3), of(outputs, 4));
        let (narrow_x, narrow_d) = (paired(&x), paired(&d));
        let norms = ScaleRelu { scale: vec![0.5; pitch], shift: vec![0.125; pitch] };
        let all = |bf16: bool, pairs: bool| {
            let passes = bare(isa, &memory, bf16);
            let (x, d) = if pairs { (&narrow_x, &narrow_d) } else { (&x, &d) };
            let x = Input { norm: Some(&norms), ..Input::all(Pixels { values: x, channels: pitch, pairs }) };
            let d = Pixels { values: d, channels: depth, pairs };
            let forward = window.forward(&passes, &x, &vec![0.5; outputs], pairs).to_vec();
            let back = window.input_gradient(&passes, d, (pitch, pairs)).to_vec();
            let [forward, back] = [forward, back].map(|all| if pairs { unpaired(&all) } else { all });
            [forward, back, window.weight_gradient(&passes, &x, d)]
        };
        for pairs in [false, true].into_iter().filter(|pairs| !pairs || isa.kernels().unwrap().has_tiles()) {
            for (single, half) in all(false, false).iter().zip(&all(true, pairs)) {
                let off = norm(single.iter().zip(half).map(|(a, b)| f64::from(a - b)));
                let share = off / norm(single.iter().map(|v| f64::from(*v)));
                assert!(share > 1e-3 && share < 0.03, "{}, {pairs}: {share:e}", isa.name());
            }
        }
    }
}

/// Bits of maps and gradients of a step on `threads` threads.
fn bits(threads: usize) -> Vec<u64> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let step = pool.install(|| Net::new(&CASES[9], DType::F32).step(passes));
    step.into_values().flatten().map(f64::to_bits).collect()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let one = bits(1);
    assert!(one == bits(2) && one == bits(5));
}

#[test]
fn a_second_backward_pass_and_a_stage_without_a_gradient_are_as_they_should_be() {
    let net = Net::new(&CASES[0], DType::F32);
    let first = net.parameters.get("pre.1.conv1.conv.weight").unwrap();
    let stages = passes(&net.network, &net.images).unwrap();
    let whole = loss(&stages, net.part);
    let gradient = |loss: &Tensor| flat(loss.backward().unwrap().get(&first).unwrap());
    let once = gradient(&whole);
    assert!(once == gradient(&whole));
    // The loss of one stage and of the other add up to that of both.
    let apart = [
        gradient(&loss(&stages[..1], net.part)),
        gradient(&(&whole - loss(&stages[..1], net.part)).unwrap()),
    ];
    let error =
        once.iter().zip(&apart[0]).zip(&apart[1]).map(|((all, a), b)| (all - a - b).powi(2)).sum::<f64>();
    let norm = once.iter().map(|v| v * v).sum::<f64>();
    assert!(error <= 1e-8 * norm, "{error:e} of {norm:e}");
}

/// An HRNet whose widths are no whole registers.
fn hrnet(dtype: DType, images: usize, activation: HeatmapActivation) -> Net {
    let config = HrNetConfig {
        width: 6,
        modules: [1, 2, 1],
        blocks: 2,
        stem: 12,
        image_size: 64,
        activation,
        ..HrNetConfig::w18(5)
    };
    let pixels = noise(&[images, 3, 64, 64], 7).to_dtype(dtype).unwrap();
    Net::of(hrnet::graph::graph(&config), config.input(), pixels, [0, images], None)
}

#[test]
fn an_hrnets_maps_gradients_and_statistics_are_those_of_the_layers() {
    let activations = [HeatmapActivation::Relu, HeatmapActivation::Peak].map(|activation| (1, activation));
    let all =
        HRNETS.map(|images| (images, HeatmapActivation::InstanceNormRelu)).into_iter().chain(activations);
    for (images, activation) in all {
        let net = |dtype: DType| hrnet(dtype, images, activation);
        let expected = net(DType::F64).step(layers);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let ours =
                net(DType::F32).step(|network, images| forward_on(isa, network, plan(network), images));
            let ([maps, statistics], (gradient, name)) =
                (errors(&ours, &expected), worst_gradient(&ours, &expected));
            println!("{images}: {maps:e} {statistics:e} {gradient:e} {name}");
            assert!(gradient <= HRNET, "{}, {images} images: {name} off by {gradient:e}", isa.name());
            assert!(maps.max(statistics) <= TOLERANCE, "{}, {images}: {maps:e}, {statistics:e}", isa.name());
        }
    }
}

/// A light pyramid whose widths are no whole registers.
fn light_pyramid(dtype: DType, images: usize, kernel: usize) -> Net {
    let config = LightPyramidConfig {
        stem: 6,
        levels: vec![6, 10],
        blocks: vec![1, 2],
        channels: 8,
        image_size: 32,
        kernel,
        ..LightPyramidConfig::standard(5)
    };
    let pixels = noise(&[images, 3, 32, 32], 7).to_dtype(dtype).unwrap();
    Net::of(
        Architecture::LightPyramid(config.clone()).graph().unwrap(),
        config.input(),
        pixels,
        [0, images],
        None,
    )
}

#[test]
fn a_light_pyramids_maps_gradients_and_statistics_are_those_of_the_layers() {
    for (images, kernel) in PYRAMIDS {
        let net = |dtype: DType| light_pyramid(dtype, images, kernel);
        let expected = net(DType::F64).step(layers);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let ours =
                net(DType::F32).step(|network, images| forward_on(isa, network, plan(network), images));
            let ([maps, statistics], (gradient, name)) =
                (errors(&ours, &expected), worst_gradient(&ours, &expected));
            println!("{images}, {kernel}: {maps:e} {statistics:e} {gradient:e} {name}");
            assert!(gradient <= HRNET, "{}, {images} images: {name} off by {gradient:e}", isa.name());
            assert!(maps.max(statistics) <= TOLERANCE, "{}, {images}: {maps:e}, {statistics:e}", isa.name());
        }
    }
}

#[test]
fn parts_of_an_hrnet_worked_out_again_give_the_same_bits() {
    let (kept, mut again) = (
        hrnet(DType::F32, 2, HeatmapActivation::InstanceNormRelu),
        hrnet(DType::F32, 2, HeatmapActivation::InstanceNormRelu),
    );
    again.network.training.recompute = true;
    assert!(kept.step(passes) == again.step(passes));
}

#[test]
fn networks_that_do_not_fit_go_node_by_node() {
    let narrow = Case { channels: 20, ..CASES[0] };
    for (case, dtype, fits) in
        [(CASES[0], DType::F32, true), (CASES[0], DType::F64, false), (narrow, DType::F32, true)]
    {
        let net = Net::new(&case, dtype);
        assert_eq!(super::forward(&net.network, &net.images).unwrap().is_some(), fits, "{case:?} {dtype:?}");
    }
}

#[test]
fn stacks_worked_out_again_give_the_same_bits() {
    let kept = Net::new(&CASES[7], DType::F32);
    let mut again = Net::new(&CASES[7], DType::F32);
    again.network.training.recompute = true;
    assert!(kept.step(passes) == again.step(passes));
}

#[test]
fn two_halves_of_a_batch_that_share_their_statistics_are_the_whole_batch() {
    let case = CASES[0];
    let whole = Net::new(&case, DType::F32);
    let images = whole.images.clone();
    let whole = whole.step(passes);
    let halves = ranks(|rank, group| {
        let images = images.narrow(0, rank, 1).unwrap().contiguous().unwrap();
        Net::on(&case, images, [rank, case.images], Some(group)).step(passes)
    });
    let [first, second] = &halves;
    let joined = first.iter().zip(second.values()).map(|((name, a), b)| {
        let both = match name.split(' ').next() {
            Some("gradient") => a.iter().zip(b).map(|(a, b)| a + b).collect(),
            Some("stage") => [a.as_slice(), b].concat(),
            _ => a.clone(),
        };
        (name.clone(), both)
    });
    let joined = joined.collect();
    let ([maps, statistics], (gradient, name)) = (errors(&joined, &whole), worst_gradient(&joined, &whole));
    assert!(gradient <= case.tolerance, "{name} off by {gradient:e}");
    assert!(maps.max(statistics) <= TOLERANCE, "{maps:e}, {statistics:e}");
}

#[test]
fn memory_of_a_larger_batch_is_not_kept_for_a_smaller_one() {
    let net = Net::new(&CASES[0], DType::F32);
    let step = |images: usize| {
        let x = net.images.narrow(0, 0, images).unwrap();
        let part = [0, CASES[0].images];
        drop(loss(&passes(&net.network, &x).unwrap(), part).backward().unwrap());
        net.network.training.memory.spare()
    };
    let one = step(1);
    assert!(step(2) > one);
    assert_eq!(step(1), one);
}
