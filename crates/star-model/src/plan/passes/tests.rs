//! Each pass by itself: what it leaves of a small network, and that the network computes the same with and without it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use candle_core::{DType, Device, Tensor};

use super::super::kernels::Isa;
use super::super::lowered::{Conv, Kind, Lowered};
use super::super::{CompileOptions, CompiledModel};
use super::PASSES;
use crate::activation::Activation;
use crate::gradient_check::noise;
use crate::graph::NodeId;
use crate::graph::builder::GraphBuilder;
use crate::networks::Network;
use crate::{HeatmapActivation, InputSpec, LandmarkModel, Parameters, Stage};

/// Largest difference from candle's operations; maps have a variance of 1.
const TOLERANCE: f32 = 1e-3;

/// Side of the images.
const SIDE: usize = 32;

/// Keypoints.
const POINTS: usize = 3;

/// A network of an image of `SIDE` pixels: a stem of stride 2, then what `middle` makes of it, then one head.
pub(in crate::plan) fn network(middle: impl Fn(&mut GraphBuilder, NodeId) -> NodeId) -> Network {
    let (mut g, image) = GraphBuilder::new(SIDE, "all");
    let x = g.conv(image, "stem.conv", 16, 3, 2);
    let x = g.relu(x);
    let x = middle(&mut g, x);
    let raw = g.conv(x, "head.conv", POINTS, 1, 1);
    let maps = g.heatmaps(raw, HeatmapActivation::InstanceNormRelu);
    g.stage(maps, None);
    whole(g)
}

/// With norms that do something.
fn whole(g: GraphBuilder) -> Network {
    let parameters = Parameters::new(3);
    let input = InputSpec { map_size: SIDE / 2, ..InputSpec::reference(SIDE) };
    let vb = parameters.var_builder(DType::F32, &Device::Cpu).into();
    let network = Network::new(g.finish(), input, &vb).unwrap();
    for (seed, (name, var)) in parameters.all().into_iter().enumerate() {
        if name.contains("bn") {
            let values = (noise(var.dims(), seed as u64) * 0.3).unwrap().to_dtype(DType::F32).unwrap();
            var.set(&(var.as_tensor() + values).unwrap()).unwrap();
        }
    }
    network
}

/// The network after the first passes, up to and with the one whose name contains `last`; then those for heads, without which there
/// is no program.
fn rewritten<'a>(network: &'a Network, last: &str) -> Lowered<'a> {
    let mut lowered = Lowered::new(network, Isa::Portable.kernels().unwrap().lanes()).unwrap();
    let count = 1 + PASSES.iter().position(|(name, _)| name.contains(last)).unwrap();
    PASSES[..count].iter().for_each(|(_, pass)| pass(&mut lowered));
    lowered
}

fn count(lowered: &Lowered, which: impl Fn(&Kind) -> bool) -> usize {
    lowered.values.iter().filter(|value| which(&value.kind)).count()
}

fn is_conv(kind: &Kind) -> bool {
    matches!(kind, Kind::Conv(_))
}

/// The first convolution that fits.
fn find<'a>(lowered: &Lowered<'a>, which: impl Fn(&Conv<'a>) -> bool) -> Conv<'a> {
    lowered.convs().into_iter().filter_map(|id| lowered.conv(id)).find(|conv| which(conv)).unwrap().clone()
}

fn worst(a: &[Stage], b: &[Stage]) -> f32 {
    let difference = |(a, b): (&Stage, &Stage)| {
        let d = (&a.heatmaps - &b.heatmaps).unwrap().abs().unwrap();
        d.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap()
    };
    a.iter().zip(b).map(difference).fold(0.0, f32::max)
}

/// The program computes what candle's operations compute.
fn assert_same(network: &Network) {
    let images = noise(&[2, 3, SIDE, SIDE], 9).to_dtype(DType::F32).unwrap();
    let layers = network.graph.stages(&network.layers, &images, false).unwrap();
    let heights: Tensor = layers[0].heatmaps.max_keepdim(3).unwrap();
    assert!(heights.flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap() > 0.5, "empty maps");
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let options = CompileOptions { isa: Some(isa), threads: Some(1), ..CompileOptions::default() };
        let compiled = CompiledModel::new(network, &options, None).unwrap();
        let worst = worst(&compiled.forward_t(&images, false).unwrap(), &layers);
        assert!(worst <= TOLERANCE, "{}: off by {worst:e}", isa.name());
    }
}

#[test]
fn a_concatenation_is_read_part_by_part() {
    let network = network(|g, x| {
        let (a, b) = (g.conv(x, "a.conv", 16, 3, 1), g.conv(x, "b.conv", 32, 3, 1));
        let (a, b) = (g.relu(a), g.relu(b));
        let both = g.concat(vec![a, b]);
        g.conv(both, "both.conv", 16, 1, 1)
    });
    let lowered = rewritten(&network, "parts of a concatenation");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Concat(_))), 0);
    let lengths =
        find(&lowered, |conv| conv.sources.len() == 2).sources.iter().map(|s| s.len).collect::<Vec<_>>();
    assert_eq!(lengths, [16, 32]);
    assert_same(&network);
}

#[test]
fn a_norm_behind_a_convolution_goes_into_its_weights_and_one_behind_something_else_does_not() {
    let network = network(|g, x| {
        let y = g.conv(x, "a.conv", 16, 3, 1);
        let y = g.norm(y, "a.bn");
        let low = g.max_pool(y);
        let low = g.norm(low, "b.bn");
        g.upsample_add(y, low)
    });
    let lowered = rewritten(&network, "norm behind a convolution");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Affine(..))), 1);
    assert_same(&network);
}

#[test]
fn a_convolution_of_each_channel_takes_its_norm_and_its_relu() {
    let network = network(|g, x| {
        let y = g.depthwise(x, "a.conv", 5, 2);
        let y = g.norm(y, "a.bn");
        let y = g.relu(y);
        let low = g.conv(y, "b.conv", 16, 1, 1);
        g.upsample_add(x, low)
    });
    let lowered = rewritten(&network, "a ReLU becomes part");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Affine(..) | Kind::Relu(_))), 0);
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Depthwise(of) if of.activation.is_relu())), 1);
    assert_same(&network);
}

#[test]
fn coordinates_of_the_image_become_a_constant() {
    let (mut g, image) = GraphBuilder::new(SIDE, "all");
    let x = g.with_coordinates(image, None);
    let x = g.conv(x, "stem.conv", 16, 7, 2);
    let raw = g.conv(x, "head.conv", POINTS, 1, 1);
    let maps = g.heatmaps(raw, HeatmapActivation::Relu);
    g.stage(maps, None);
    let network = whole(g);
    let lowered = rewritten(&network, "constant coordinates");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Coordinates { .. })), 0);
    let stem = find(&lowered, |conv| conv.constant.is_some());
    assert_eq!((stem.linear.inputs, stem.constant.unwrap().inputs), (3, 3));
    assert_same(&network);
}

#[test]
fn a_norm_with_its_relu_in_front_of_1x1_convolutions_is_done_on_their_input() {
    let network = network(|g, x| {
        let low = g.max_pool(x);
        let y = g.norm(low, "a.bn");
        let y = g.relu(y);
        let (a, b) = (g.conv(y, "a.conv", 16, 1, 1), g.conv(y, "b.conv", 16, 1, 1));
        let (a, b) = (g.relu(a), g.relu(b));
        let low = g.add(a, b);
        g.upsample_add(x, low)
    });
    let lowered = rewritten(&network, "in front of 1x1");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Affine(..))), 0);
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Conv(conv) if conv.prepare.is_some())), 2);
    // the image's convolution is read by the pooling and by the sum: it stays for both
    assert_same(&network);
}

#[test]
fn a_sum_of_two_1x1_convolutions_is_one_and_a_sum_with_anything_else_is_an_addend() {
    let network = network(|g, x| {
        let y = g.conv(x, "a.conv", 24, 3, 1);
        let y = g.relu(y);
        let (a, b) = (g.conv(y, "b.conv", 16, 1, 1), g.conv(x, "c.conv", 16, 1, 1));
        let sum = g.add(a, b);
        let window = g.conv(sum, "d.conv", 16, 3, 1);
        g.add(sum, window)
    });
    let lowered = rewritten(&network, "a sum becomes");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Add(..))), 0);
    let both = find(&lowered, |conv| conv.sources.len() == 2);
    assert_eq!((both.linear.inputs, both.addend), (24 + 16, None));
    assert!(find(&lowered, |conv| conv.addend.is_some()).linear.kernel == 3);
    assert_same(&network);
}

#[test]
fn a_sum_that_no_convolution_takes_in_is_computed_all_the_same() {
    let network = network(|g, x| {
        let (low, same) = (g.max_pool(x), g.conv(x, "a.conv", 16, 3, 2));
        let same = g.relu(same);
        let both = g.add(low, same);
        let twice = g.add(both, low);
        let (twice, up) = (g.relu(twice), g.relu(x));
        g.upsample_add(up, twice)
    });
    let lowered = rewritten(&network, "a sum becomes");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Add(..))), 2);
    assert_same(&network);
}

#[test]
fn a_relu_is_done_where_a_result_is_written_unless_something_else_reads_it() {
    let network = network(|g, x| {
        let y = g.conv(x, "a.conv", 16, 3, 1);
        let z = g.relu(y);
        // reads what is in front of the ReLU
        let other = g.conv(y, "b.conv", 16, 3, 1);
        let other = g.relu(other);
        g.add(z, other)
    });
    let lowered = rewritten(&network, "ReLU becomes part");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Relu(_))), 1);
    assert_eq!(
        count(&lowered, |kind| matches!(kind, Kind::Conv(conv) if conv.activation == Activation::Relu)),
        2
    );
    assert_same(&network);
}

/// A head for each kind of map.
fn heads(g: &mut GraphBuilder, x: NodeId, stage: usize) -> [NodeId; 3] {
    let mut head = |kind: &str, maps: usize| g.conv(x, &format!("{kind}.{stage}.conv"), maps, 1, 1);
    let raw = [head("heat", POINTS), head("points", POINTS), head("edges", 2)];
    let heat = g.heatmaps(raw[0], HeatmapActivation::InstanceNormRelu);
    let maps = [heat, g.sigmoid(raw[1]), g.sigmoid(raw[2])];
    let gated = g.gate(maps, vec![vec![0, 1], vec![1]]);
    g.stage(gated, Some([maps[1], maps[2]]));
    maps
}

#[test]
fn the_heads_of_a_stage_are_one_convolution_whose_maps_are_read_as_one() {
    let (mut g, image) = GraphBuilder::new(SIDE, "all");
    let x = g.conv(image, "stem.conv", 16, 3, 2);
    let x = g.relu(x);
    let maps = heads(&mut g, x, 0);
    // in another order than they lie in
    let next = [2, 0, 1].into_iter().fold(x, |sum, i| {
        let part = g.conv(maps[i], &format!("merge.{i}.conv"), 16, 1, 1);
        g.add(sum, part)
    });
    let next = g.relu(next);
    heads(&mut g, next, 1);
    let network = whole(g);
    let lowered = rewritten(&network, "heads become one");
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Maps { .. })), 2);
    let merge = find(&lowered, |conv| conv.addend.is_some());
    assert_eq!(merge.sources.iter().map(|source| source.len).collect::<Vec<_>>(), [lowered.layout.used()]);
    assert_same(&network);
}

#[test]
fn two_1x1_convolutions_become_one_where_that_is_no_more_work() {
    let widths = |first: usize, second: usize| {
        network(move |g, x| {
            let y = g.conv(x, "a.conv", first, 1, 1);
            let y = g.conv(y, "b.conv", second, 1, 1);
            let y = g.relu(y);
            g.conv(y, "c.conv", 16, 3, 1)
        })
    };
    // 16 -> 32 -> 16: 1024 products, at once 256; 16 -> 4 -> 16: 128, at once 256
    for (network, convs) in [(widths(32, 16), 3), (widths(4, 16), 4)] {
        assert_eq!(count(&rewritten(&network, "one behind the other"), is_conv), convs);
        assert_same(&network);
    }
}

#[test]
fn a_residual_in_front_of_a_1x1_convolution_becomes_another_input_of_it() {
    let network = network(|g, x| {
        let y = g.conv(x, "a.conv", 8, 3, 1);
        let y = g.relu(y);
        let y = g.conv(y, "b.conv", 16, 1, 1);
        let sum = g.add(y, x);
        let z = g.conv(sum, "c.conv", 16, 1, 1);
        g.relu(z)
    });
    let lowered = rewritten(&network, "one behind the other");
    // c of b is 16 x 8, c itself 16 x 16
    let both = find(&lowered, |conv| conv.sources.len() == 2);
    assert_eq!((both.linear.inputs, both.addend, both.linear.outputs), (8 + 16, None, 16));
    assert_same(&network);
}

#[test]
fn upsampled_maps_are_convolved_before_they_are_upsampled() {
    let network = network(|g, x| {
        let low = g.conv(x, "a.conv", 24, 3, 2);
        let low = g.relu(low);
        let lower = g.conv(low, "b.conv", 24, 3, 2);
        let lower = g.relu(lower);
        let (low, lower) = (g.bilinear(low, 2), g.bilinear(lower, 4));
        let all = g.concat(vec![x, low, lower]);
        let y = g.conv(all, "c.conv", 16, 1, 1);
        let y = g.norm(y, "c.bn");
        g.relu(y)
    });
    let lowered = rewritten(&network, "before the upsampling");
    let sides: Vec<usize> = lowered
        .order
        .iter()
        .filter(|&&id| lowered.conv(id).is_some_and(|conv| conv.linear.kernel == 1))
        .map(|&id| lowered.values[id].side)
        .collect();
    assert_eq!(sides, [16, 8, 4]);
    assert_eq!(count(&lowered, |kind| matches!(kind, Kind::Bilinear { base: Some(_), .. })), 2);
    assert_same(&network);
}
