//! HRNet as a graph.

use candle_core::Result;

use super::graph::{Graph, Upsampling, int, ints};
use crate::HrNetConfig;
use crate::activation::Activation;
use crate::heatmap_activation::{HeatmapActivation, PEAK_SHARE};

/// Adds the network behind the input `x`; returns its heatmaps.
pub(super) fn build(graph: &mut Graph, config: &HrNetConfig, x: &str) -> Result<String> {
    let x = conv_norm(graph, x, ("conv1", "bn1"), 2, Activation::Relu)?;
    let mut x = conv_norm(graph, &x, ("conv2", "bn2"), 2, Activation::Relu)?;
    for block in 0..config.blocks {
        x = bottleneck(graph, &x, &format!("layer1.{block}"))?;
    }
    let mut branches = vec![x];
    for number in 2..=4 {
        branches = stage(graph, config, branches, number)?;
    }
    let mut joined = vec![branches[0].clone()];
    for (branch, x) in branches.iter().enumerate().skip(1) {
        joined.push(graph.upsample(x, 1 << branch, Upsampling::Bilinear));
    }
    let joined: Vec<&str> = joined.iter().map(String::as_str).collect();
    let x = graph.concat(&joined);
    let x = conv_norm(graph, &x, ("head.0", "head.1"), 1, Activation::Relu)?;
    let raw = graph.conv(&x, "head.3", 1)?;
    Ok(activation(graph, config, &raw))
}

fn conv_norm(
    graph: &mut Graph,
    x: &str,
    (conv, bn): (&str, &str),
    stride: usize,
    activation: Activation,
) -> Result<String> {
    let x = graph.conv(x, conv, stride)?;
    let x = graph.batch_norm(&x, bn)?;
    Ok(if activation.is_relu() { graph.relu(&x) } else { x })
}

/// The convolution and norm at places 0 and 1 under `name`.
fn pair(graph: &mut Graph, x: &str, name: &str, stride: usize, activation: Activation) -> Result<String> {
    conv_norm(graph, x, (&format!("{name}.0"), &format!("{name}.1")), stride, activation)
}

/// Convolutions `conv1` to `convN` under `name`, added to what `identity` is; ReLU.
fn block(graph: &mut Graph, x: &str, name: &str, convs: usize, identity: &str) -> Result<String> {
    let mut y = x.to_string();
    for n in 1..=convs {
        let keys = (format!("{name}.conv{n}"), format!("{name}.bn{n}"));
        y = conv_norm(graph, &y, (&keys.0, &keys.1), 1, Activation::relu_if(n < convs))?;
    }
    let sum = graph.sum(&y, identity);
    Ok(graph.relu(&sum))
}

fn bottleneck(graph: &mut Graph, x: &str, name: &str) -> Result<String> {
    let downsample = format!("{name}.downsample");
    let narrow = graph.tensor(&format!("{downsample}.0.weight")).is_ok();
    let identity = if narrow { pair(graph, x, &downsample, 1, Activation::None)? } else { x.to_string() };
    block(graph, x, name, 3, &identity)
}

fn stage(graph: &mut Graph, config: &HrNetConfig, before: Vec<String>, number: usize) -> Result<Vec<String>> {
    let mut branches = Vec::with_capacity(number);
    for branch in 0..number {
        let name = format!("transition{}.{branch}", number - 1);
        let changed = graph.tensor(&format!("{name}.0.weight")).is_ok();
        branches.push(match before.get(branch) {
            Some(x) if changed => pair(graph, x, &name, 1, Activation::Relu)?,
            Some(x) => x.clone(),
            None => pair(graph, &before[before.len() - 1], &format!("{name}.0"), 2, Activation::Relu)?,
        });
    }
    for module in 0..config.modules[number - 2] {
        let name = format!("stage{number}.{module}");
        for (branch, x) in branches.iter_mut().enumerate() {
            for k in 0..config.blocks {
                *x = block(graph, x, &format!("{name}.branches.{branch}.{k}"), 2, &x.clone())?;
            }
        }
        branches = (0..number)
            .map(|to| exchange(graph, &branches, to, &format!("{name}.fuse_layers")))
            .collect::<Result<_>>()?;
    }
    Ok(branches)
}

/// What branch `to` receives from all.
fn exchange(graph: &mut Graph, branches: &[String], to: usize, name: &str) -> Result<String> {
    let mut sum: Option<String> = None;
    for (from, x) in branches.iter().enumerate() {
        let name = format!("{name}.{to}.{from}");
        let mut part = x.clone();
        if from > to {
            part = pair(graph, &part, &name, 1, Activation::None)?;
            part = graph.upsample(&part, 1 << (from - to), Upsampling::Bilinear);
        }
        for step in from..to {
            let activation = Activation::relu_if(step + 1 < to);
            part = pair(graph, &part, &format!("{name}.{}", step - from), 2, activation)?;
        }
        sum = Some(match sum {
            Some(sum) => graph.sum(&sum, &part),
            None => part,
        });
    }
    let sum = sum.unwrap_or_default();
    Ok(graph.relu(&sum))
}

fn activation(graph: &mut Graph, config: &HrNetConfig, raw: &str) -> String {
    let masses = match config.activation {
        HeatmapActivation::InstanceNormRelu => graph.instance_norm(raw, config.keypoints),
        HeatmapActivation::Relu => raw.to_string(),
        HeatmapActivation::Peak => {
            let attributes = vec![ints("axes", &[2, 3]), int("keepdims", 1)];
            let largest = graph.node_with("ReduceMax", &[raw], attributes);
            let share = graph.constant("peak.share", &[], vec![PEAK_SHARE as f32]);
            let level = graph.node("Mul", &[&largest, &share]);
            graph.node("Sub", &[raw, &level])
        }
    };
    graph.relu(&masses)
}
