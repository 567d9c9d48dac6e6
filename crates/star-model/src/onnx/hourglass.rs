//! The stacked hourglass as a graph.

use candle_core::{DType, Device, Result};

use super::graph::{Graph, Upsampling};
use crate::StackedHourglassConfig;
use crate::coord_conv::{BOUNDARY, coordinates};

/// Adds the network behind the input `x`; returns the last stack's heatmaps.
pub(super) fn build(graph: &mut Graph, config: &StackedHourglassConfig, x: &str) -> Result<String> {
    let mut trunk = stem(graph, config, x)?;
    let (mut fused, mut boundary) = (String::new(), None);
    for stack in 0..config.stacks {
        let hg = format!("hgs.{stack}");
        let entered = if config.coord_conv {
            entry(graph, config, &trunk, boundary.as_deref(), &format!("{hg}.coordconv.conv"))?
        } else {
            trunk.clone()
        };
        let x = hourglass(graph, &entered, &hg, config.levels)?;
        let x = residual(graph, &x, &format!("features.{stack}.0"))?;
        let features = conv_norm_relu(graph, &x, &format!("features.{stack}.1"), 1)?;
        let heads = heads(graph, config, &features, stack)?;
        if stack + 1 < config.stacks {
            trunk = merge(graph, &trunk, &features, &heads, stack)?;
            let mask = graph.channel(&heads.heatmaps, config.keypoints - 1);
            boundary = Some(graph.above(&mask, BOUNDARY as f32, "boundary.threshold"));
        }
        fused = heads.fused;
    }
    Ok(fused)
}

fn stem(graph: &mut Graph, config: &StackedHourglassConfig, x: &str) -> Result<String> {
    let x = if config.coord_conv {
        with_coordinates(graph, x, None, "pre.0.conv", (3, config.image_size), (7, 2))?
    } else {
        graph.conv(x, "pre.0.conv", 2)?
    };
    let x = graph.batch_norm(&x, "pre.0.bn")?;
    let x = graph.relu(&x);
    let x = residual(graph, &x, "pre.1")?;
    let x = graph.max_pool(&x);
    let x = residual(graph, &x, "pre.3")?;
    residual(graph, &x, "pre.4")
}

fn entry(
    graph: &mut Graph,
    config: &StackedHourglassConfig,
    trunk: &str,
    boundary: Option<&str>,
    name: &str,
) -> Result<String> {
    with_coordinates(graph, trunk, boundary, name, (config.channels, config.map_size()), (1, 1))
}

/// A convolution over features and coordinate channels, as the sum of one over each: the coordinates need not be repeated
/// for every image, and what they add is the same for all.
fn with_coordinates(
    graph: &mut Graph,
    x: &str,
    boundary: Option<&str>,
    name: &str,
    (channels, side): (usize, usize),
    size: (usize, usize),
) -> Result<String> {
    let weight = graph.tensor(&format!("{name}.weight"))?;
    let part = |first: usize, count: usize| weight.narrow(1, first, count)?.contiguous();
    let features = graph.add(&format!("{name}.weight.features"), &part(0, channels)?)?;
    let places = graph.add(&format!("{name}.weight.coordinates"), &part(channels, 3)?)?;
    let bias = graph.tensor(&format!("{name}.bias"))?;
    let bias = graph.add(&format!("{name}.bias"), bias)?;
    let grid = coordinates(side, side, DType::F32, &Device::Cpu)?;
    let all = graph.add(&format!("coordinates.{side}"), &grid)?;
    let from_features = graph.conv_by(x, &features, Some(&bias), size);
    let from_places = graph.conv_by(&all, &places, None, size);
    let mut sum = graph.sum(&from_features, &from_places);
    if let Some(boundary) = boundary {
        let masked = graph.add(&format!("{name}.weight.boundary"), &part(channels + 3, 2)?)?;
        let axes = graph.add(&format!("coordinates.{side}.axes"), &grid.narrow(1, 0, 2)?.contiguous()?)?;
        let on_boundary = graph.node("Mul", &[boundary, &axes]);
        let from_boundary = graph.conv_by(&on_boundary, &masked, None, size);
        sum = graph.sum(&sum, &from_boundary);
    }
    Ok(sum)
}

fn residual(graph: &mut Graph, x: &str, name: &str) -> Result<String> {
    let mut y = x.to_string();
    for n in 1..=3 {
        y = graph.batch_norm(&y, &format!("{name}.bn{n}"))?;
        y = graph.relu(&y);
        y = graph.conv(&y, &format!("{name}.conv{n}.conv"), 1)?;
    }
    // A folder holds `skip_layer` only where it is used.
    let skip = format!("{name}.skip_layer.conv");
    let identity = if graph.tensor(&format!("{skip}.weight")).is_ok() {
        graph.conv(x, &skip, 1)?
    } else {
        x.to_string()
    };
    Ok(graph.sum(&y, &identity))
}

fn conv_norm_relu(graph: &mut Graph, x: &str, name: &str, stride: usize) -> Result<String> {
    let x = graph.conv(x, &format!("{name}.conv"), stride)?;
    let x = graph.batch_norm(&x, &format!("{name}.bn"))?;
    Ok(graph.relu(&x))
}

fn hourglass(graph: &mut Graph, x: &str, name: &str, levels: usize) -> Result<String> {
    let up = residual(graph, x, &format!("{name}.up1"))?;
    let low = graph.max_pool(x);
    let low = residual(graph, &low, &format!("{name}.low1"))?;
    let inner = format!("{name}.low2");
    let low =
        if levels > 1 { hourglass(graph, &low, &inner, levels - 1)? } else { residual(graph, &low, &inner)? };
    let low = residual(graph, &low, &format!("{name}.low3"))?;
    let low = graph.upsample(&low, 2, Upsampling::Nearest);
    Ok(graph.sum(&up, &low))
}

/// Maps of one stack; the auxiliary ones where the network has them.
struct Heads {
    heatmaps: String,
    aux: Option<[String; 2]>,
    fused: String,
}

fn heads(graph: &mut Graph, config: &StackedHourglassConfig, features: &str, stack: usize) -> Result<Heads> {
    let raw = graph.conv(features, &format!("out_heatmaps.{stack}.conv"), 1)?;
    let normal = graph.instance_norm(&raw, config.keypoints);
    let heatmaps = graph.relu(&normal);
    if !config.attention {
        return Ok(Heads { fused: heatmaps.clone(), heatmaps, aux: None });
    }
    let mut aux = |kind: &str| -> Result<String> {
        let raw = graph.conv(features, &format!("{kind}.{stack}.conv"), 1)?;
        Ok(graph.node("Sigmoid", &[&raw]))
    };
    let (points, edges) = (aux("out_pointmaps")?, aux("out_edgemaps")?);
    let on_edges = graph.conv(&edges, "e2h_transform", 1)?;
    let mask = graph.node("Mul", &[&on_edges, &points]);
    let fused = graph.node("Mul", &[&mask, &heatmaps]);
    Ok(Heads { heatmaps, aux: Some([points, edges]), fused })
}

fn merge(graph: &mut Graph, trunk: &str, features: &str, heads: &Heads, stack: usize) -> Result<String> {
    let mut parts = vec![("merge_features", features), ("merge_heatmaps", &heads.heatmaps)];
    if let Some([points, edges]) = &heads.aux {
        parts.extend([("merge_pointmaps", points.as_str()), ("merge_edgemaps", edges.as_str())]);
    }
    let mut next = trunk.to_string();
    for (name, maps) in parts {
        let part = graph.conv(maps, &format!("{name}.{stack}.conv"), 1)?;
        next = graph.sum(&next, &part);
    }
    Ok(next)
}
