//! The light pyramid as a graph: a trunk of inverted residuals down to low resolutions, and a way up that joins what they saw.

use super::config::LightPyramidConfig;
use crate::activation::Activation;
use crate::graph::builder::GraphBuilder;
use crate::graph::{Graph, NodeId, Op};

/// The whole network.
pub(crate) fn graph(config: &LightPyramidConfig) -> Graph {
    let (mut g, image) = GraphBuilder::new(config.image_size, "stem");
    let stem = Op::Conv2d { kernel: 3, stride: 2, bias: false };
    let x = g.conv_with(image, "stem.conv", config.stem, stem);
    let mut x = behind(&mut g, x, "stem", Activation::Relu);
    let mut trunk = Vec::with_capacity(config.levels.len());
    for (level, (&channels, &blocks)) in config.levels.iter().zip(&config.blocks).enumerate() {
        g.section(format!("level {}", level + 1));
        for block in 0..blocks {
            let stride = if block == 0 { 2 } else { 1 };
            x = Residual { channels, stride, config }.at(&mut g, x, &format!("down.{level}.{block}"));
        }
        trunk.push(x);
    }
    g.section("way up".to_string());
    let mut joined: Option<NodeId> = None;
    for (level, &x) in trunk.iter().enumerate().rev() {
        let place = format!("up.{level}");
        let lateral = pointwise(&mut g, x, &format!("{place}.lateral"), config.channels, Activation::None);
        let x = joined.map_or(lateral, |low| g.upsample_add(lateral, low));
        let residual = Residual { channels: config.channels, stride: 1, config };
        joined = Some(residual.at(&mut g, x, &format!("{place}.block")));
    }
    g.section("head".to_string());
    let raw = g.conv(joined.unwrap_or(x), "head.conv", config.keypoints, 1, 1);
    let heatmaps = g.heatmaps(raw, config.activation);
    g.stage(heatmaps, None);
    g.finish()
}

/// The norm of a convolution `place`.conv, and what stands behind it.
fn behind(g: &mut GraphBuilder, x: NodeId, place: &str, activation: Activation) -> NodeId {
    let x = g.norm(x, &format!("{place}.bn"));
    if activation.is_relu() { g.relu(x) } else { x }
}

fn pointwise(
    g: &mut GraphBuilder,
    x: NodeId,
    place: &str,
    channels: usize,
    activation: Activation,
) -> NodeId {
    let op = Op::Conv2d { kernel: 1, stride: 1, bias: false };
    let x = g.conv_with(x, &format!("{place}.conv"), channels, op);
    behind(g, x, place, activation)
}

/// MobileNetV2's block: more channels, a window over each by itself, fewer channels, and the input where it has their shape.
struct Residual<'a> {
    channels: usize,
    stride: usize,
    config: &'a LightPyramidConfig,
}

impl Residual<'_> {
    fn at(self, g: &mut GraphBuilder, x: NodeId, place: &str) -> NodeId {
        let inner = self.config.expansion * g.channels(x);
        let y = pointwise(g, x, &format!("{place}.expand"), inner, Activation::Relu);
        let window = format!("{place}.window");
        let y = g.depthwise(y, &format!("{window}.conv"), self.config.kernel, self.stride);
        let y = behind(g, y, &window, Activation::Relu);
        let y = pointwise(g, y, &format!("{place}.project"), self.channels, Activation::None);
        if self.stride == 1 && g.channels(x) == self.channels { g.add(x, y) } else { y }
    }
}
