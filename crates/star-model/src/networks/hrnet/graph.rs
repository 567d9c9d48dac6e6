//! HRNetV2 with the landmark head of the public checkpoints, as a graph.

use super::config::HrNetConfig;
use crate::activation::Activation;
use crate::graph::builder::GraphBuilder;
use crate::graph::{Graph, NodeId, Op};

/// Output channels of a bottleneck over its inner ones.
const EXPANSION: usize = 4;

/// The whole network.
pub(crate) fn graph(config: &HrNetConfig) -> Graph {
    let (mut g, image) = GraphBuilder::new(config.image_size, "stem");
    let x = Conv::of(config.stem, 3, 2).at(&mut g, image, "conv1", "bn1", Activation::Relu);
    let mut x = Conv::of(config.stem, 3, 2).at(&mut g, x, "conv2", "bn2", Activation::Relu);
    g.section("stage 1".to_string());
    for block in 0..config.blocks {
        x = bottleneck(&mut g, x, config.stem, &format!("layer1.{block}"));
    }
    let mut branches = vec![x];
    for number in 2..=4 {
        g.section(format!("stage {number}"));
        branches = stage(&mut g, config, branches, number);
    }
    g.section("head".to_string());
    let joined = branches.iter().enumerate().map(|(branch, &x)| match branch {
        0 => x,
        _ => g.bilinear(x, 1 << branch),
    });
    let joined = joined.collect();
    let joined = g.concat(joined);
    let mix = Conv { bias: true, ..Conv::of(g.channels(joined), 1, 1) };
    let x = mix.at(&mut g, joined, "head.0", "head.1", Activation::Relu);
    let raw = g.conv(x, "head.3", config.keypoints, 1, 1);
    let heatmaps = g.heatmaps(raw, config.activation);
    g.stage(heatmaps, None);
    g.finish()
}

/// A convolution with a batch norm, which takes a bias away again.
struct Conv {
    channels: usize,
    kernel: usize,
    stride: usize,
    bias: bool,
}

impl Conv {
    fn of(channels: usize, kernel: usize, stride: usize) -> Self {
        Self { channels, kernel, stride, bias: false }
    }

    /// With the convolution's and the norm's place.
    fn at(self, g: &mut GraphBuilder, x: NodeId, conv: &str, bn: &str, behind: Activation) -> NodeId {
        let Self { channels, kernel, stride, bias } = self;
        let x = g.conv_with(x, conv, channels, Op::Conv2d { kernel, stride, bias });
        let x = g.norm(x, bn);
        if behind.is_relu() { g.relu(x) } else { x }
    }

    /// With places 0 and 1 under `place`.
    fn under(self, g: &mut GraphBuilder, x: NodeId, place: &str, behind: Activation) -> NodeId {
        self.at(g, x, &format!("{place}.0"), &format!("{place}.1"), behind)
    }

    /// With places `conv` and `bn` and the number `n` under `place`.
    fn numbered(self, g: &mut GraphBuilder, x: NodeId, place: &str, n: usize, behind: Activation) -> NodeId {
        self.at(g, x, &format!("{place}.conv{n}"), &format!("{place}.bn{n}"), behind)
    }
}

/// `relu(x + bn2(conv2(relu(bn1(conv1(x))))))`, 3x3 both.
fn basic(g: &mut GraphBuilder, x: NodeId, place: &str) -> NodeId {
    let channels = g.channels(x);
    let y = Conv::of(channels, 3, 1).numbered(g, x, place, 1, Activation::Relu);
    let y = Conv::of(channels, 3, 1).numbered(g, y, place, 2, Activation::None);
    let sum = g.add(y, x);
    g.relu(sum)
}

/// 1x1 to `inner` channels, 3x3, 1x1 to `4 inner`, added to the input (through a 1x1 where the widths differ), ReLU.
fn bottleneck(g: &mut GraphBuilder, x: NodeId, inner: usize, place: &str) -> NodeId {
    let output = EXPANSION * inner;
    let y = Conv::of(inner, 1, 1).numbered(g, x, place, 1, Activation::Relu);
    let y = Conv::of(inner, 3, 1).numbered(g, y, place, 2, Activation::Relu);
    let y = Conv::of(output, 1, 1).numbered(g, y, place, 3, Activation::None);
    let around = if g.channels(x) == output {
        x
    } else {
        Conv::of(output, 1, 1).under(g, x, &format!("{place}.downsample"), Activation::None)
    };
    let sum = g.add(y, around);
    g.relu(sum)
}

/// Stage `number` (2, 3 or 4): one branch more than before, then modules of parallel branches that exchange at their ends.
fn stage(g: &mut GraphBuilder, config: &HrNetConfig, before: Vec<NodeId>, number: usize) -> Vec<NodeId> {
    let channels = &config.channels()[..number];
    let lowest = before.last().copied().unwrap_or(0);
    let mut branches: Vec<NodeId> = Vec::with_capacity(number);
    for (branch, &output) in channels.iter().enumerate() {
        let place = format!("transition{}.{branch}", number - 1);
        branches.push(match before.get(branch) {
            Some(&x) if g.channels(x) == output => x,
            Some(&x) => Conv::of(output, 3, 1).under(g, x, &place, Activation::Relu),
            None => Conv::of(output, 3, 2).under(g, lowest, &format!("{place}.0"), Activation::Relu),
        });
    }
    for module in 0..config.modules[number - 2] {
        let place = format!("stage{number}.{module}");
        for (branch, x) in branches.iter_mut().enumerate() {
            for k in 0..config.blocks {
                *x = basic(g, *x, &format!("{place}.branches.{branch}.{k}"));
            }
        }
        let exchange = |to: usize| exchange(g, &branches, to, &format!("{place}.fuse_layers.{to}"));
        branches = (0..number).map(exchange).collect();
    }
    branches
}

/// What branch `to` receives: the sum of all, brought to its own size.
fn exchange(g: &mut GraphBuilder, branches: &[NodeId], to: usize, place: &str) -> NodeId {
    let own = g.channels(branches[to]);
    let mut sum = None;
    for (from, &x) in branches.iter().enumerate() {
        let place = format!("{place}.{from}");
        let mut part = x;
        if from > to {
            // From a lower resolution: 1x1, then upsampled.
            part = Conv::of(own, 1, 1).under(g, part, &place, Activation::None);
            part = g.bilinear(part, 1 << (from - to));
        }
        for step in from..to {
            // From a higher one: 3x3 of stride 2 until the size fits, a ReLU between but not behind them.
            let last = step + 1 == to;
            let channels = if last { own } else { g.channels(x) };
            let behind = Activation::relu_if(!last);
            part = Conv::of(channels, 3, 2).under(g, part, &format!("{place}.{}", step - from), behind);
        }
        sum = Some(sum.map_or(part, |sum| g.add(sum, part)));
    }
    let sum = sum.unwrap_or(branches[to]);
    g.relu(sum)
}
