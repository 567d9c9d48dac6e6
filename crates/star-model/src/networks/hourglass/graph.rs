//! The stacked hourglass as a graph; places are the published checkpoints' names.

use super::config::{SlimHourglassConfig, StackedHourglassConfig};
use crate::HeatmapActivation;
use crate::graph::builder::GraphBuilder;
use crate::graph::{Graph, NodeId};

/// The whole network.
pub(crate) fn graph(config: &SlimHourglassConfig) -> Graph {
    let SlimHourglassConfig { hourglass: config, stem, .. } = config;
    let (mut g, image) = GraphBuilder::new(config.image_size, "stem");
    let mut trunk = trunk(&mut g, config, *stem, image);
    let mut boundary = None;
    for stack in 0..config.stacks {
        g.section(format!("stack {}", stack + 1));
        let entered = if config.coord_conv {
            let x = g.with_coordinates(trunk, boundary);
            g.conv(x, &format!("hgs.{stack}.coordconv.conv"), config.channels, 1, 1)
        } else {
            trunk
        };
        let x = level(&mut g, entered, &format!("hgs.{stack}"), config.levels);
        let x = residual(&mut g, x, &format!("features.{stack}.0"), config.channels);
        let features = conv_norm_relu(&mut g, x, &format!("features.{stack}.1"), config.channels, 1, 1);
        let maps = heads(&mut g, config, features, stack);
        if stack + 1 < config.stacks {
            trunk = merge(&mut g, trunk, features, &maps, stack);
            boundary = Some(maps.heatmaps);
        }
    }
    g.finish()
}

/// Image to `[B, C, S / 4, S / 4]`.
fn trunk(g: &mut GraphBuilder, config: &StackedHourglassConfig, stem: usize, image: NodeId) -> NodeId {
    let x = if config.coord_conv { g.with_coordinates(image, None) } else { image };
    let x = conv_norm_relu(g, x, "pre.0", stem, 7, 2);
    let x = residual(g, x, "pre.1", 2 * stem);
    // 2 is the pooling, which has no parameters
    let x = g.max_pool(x);
    let x = residual(g, x, "pre.3", 2 * stem);
    residual(g, x, "pre.4", config.channels)
}

fn conv_norm_relu(
    g: &mut GraphBuilder,
    x: NodeId,
    place: &str,
    channels: usize,
    kernel: usize,
    stride: usize,
) -> NodeId {
    let x = g.conv(x, &format!("{place}.conv"), channels, kernel, stride);
    let x = g.norm(x, &format!("{place}.bn"));
    g.relu(x)
}

/// The pre-activation bottleneck: `x + conv3(relu(bn3(conv2(relu(bn2(conv1(relu(bn1(x)))))))))`.
///
/// The identity goes through a 1x1 `skip_layer` where input and output widths differ. Published checkpoints hold
/// one everywhere; where the widths agree it is never used and not part of the network.
fn residual(g: &mut GraphBuilder, x: NodeId, place: &str, output: usize) -> NodeId {
    let half = output / 2;
    let mut y = x;
    for (n, channels, kernel) in [(1, half, 1), (2, half, 3), (3, output, 1)] {
        y = g.norm(y, &format!("{place}.bn{n}"));
        y = g.relu(y);
        y = g.conv(y, &format!("{place}.conv{n}.conv"), channels, kernel, 1);
    }
    let around = if g.channels(x) == output {
        x
    } else {
        g.conv(x, &format!("{place}.skip_layer.conv"), output, 1, 1)
    };
    g.add(y, around)
}

/// One level: the branch at full resolution, and the branch at half resolution that goes through the next level.
fn level(g: &mut GraphBuilder, x: NodeId, place: &str, levels: usize) -> NodeId {
    let channels = g.channels(x);
    let low = g.max_pool(x);
    let up = residual(g, x, &format!("{place}.up1"), channels);
    let low = residual(g, low, &format!("{place}.low1"), channels);
    let inner = format!("{place}.low2");
    let low = if levels > 1 { level(g, low, &inner, levels - 1) } else { residual(g, low, &inner, channels) };
    let low = residual(g, low, &format!("{place}.low3"), channels);
    g.upsample_add(up, low)
}

/// A stack's maps; point and edge maps where the network has attention.
struct Maps {
    heatmaps: NodeId,
    aux: Option<[NodeId; 2]>,
}

/// The 1x1 heads of one stack, and its stage.
fn heads(g: &mut GraphBuilder, config: &StackedHourglassConfig, features: NodeId, stack: usize) -> Maps {
    let head = |g: &mut GraphBuilder, kind: &str, maps: usize| {
        g.conv(features, &format!("out_{kind}.{stack}.conv"), maps, 1, 1)
    };
    let raw = head(g, "heatmaps", config.keypoints);
    let heatmaps = g.heatmaps(raw, HeatmapActivation::InstanceNormRelu);
    if !config.attention {
        g.stage(heatmaps, None);
        return Maps { heatmaps, aux: None };
    }
    let aux = [("pointmaps", config.keypoints), ("edgemaps", config.edges.len())].map(|(kind, maps)| {
        let raw = head(g, kind, maps);
        g.sigmoid(raw)
    });
    let [pointmaps, edgemaps] = aux;
    let gated = g.gate([heatmaps, pointmaps, edgemaps], config.edges.clone());
    g.stage(gated, Some(aux));
    Maps { heatmaps, aux: Some(aux) }
}

/// What a stack hands to the next: 1x1 convolutions of its features and maps, as they were before the gate, added to the trunk.
fn merge(g: &mut GraphBuilder, trunk: NodeId, features: NodeId, maps: &Maps, stack: usize) -> NodeId {
    let channels = g.channels(trunk);
    let mut parts = vec![("features", features), ("heatmaps", maps.heatmaps)];
    if let Some([pointmaps, edgemaps]) = maps.aux {
        parts.extend([("pointmaps", pointmaps), ("edgemaps", edgemaps)]);
    }
    parts.into_iter().fold(trunk, |sum, (kind, x)| {
        let part = g.conv(x, &format!("merge_{kind}.{stack}.conv"), channels, 1, 1);
        g.add(sum, part)
    })
}
