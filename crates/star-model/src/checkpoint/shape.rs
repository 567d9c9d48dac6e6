//! A stacked hourglass read off its tensors, and tensors compared with one.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::{Tensors, fit};
use crate::hourglass::attention::edge_to_point;
use crate::{StackedHourglass, StackedHourglassConfig};

/// Infers keypoints, edges, stacks, levels, channels, coordinate channels and attention of a stacked hourglass, whose stem may be any.
///
/// The network is fully convolutional, so `image_size` (pixels) cannot be read off it and is the caller's.
///
/// # Errors
/// When the tensors are not those of a stacked hourglass: names the first one that is not there.
pub fn infer(tensors: &Tensors, image_size: usize) -> Result<StackedHourglassConfig> {
    let dim = |name: &str, axis: usize| match tensors.get(name).map(|t| t.dims().get(axis).copied()) {
        Some(Some(size)) => Ok(size),
        Some(None) => bail!("{name}: expected more than {axis} dimensions"),
        None => bail!(
            "neither a stacked hourglass nor an HRNet: no tensor `{name}` among {} tensors",
            tensors.len()
        ),
    };
    let keypoints = dim("out_heatmaps.0.conv.weight", 0)?;
    let channels = dim("out_heatmaps.0.conv.weight", 1)?;
    let stem_inputs = dim("pre.0.conv.weight", 1)?;
    let stacks = (0..).take_while(|i| tensors.contains_key(&format!("out_heatmaps.{i}.conv.weight"))).count();
    let depth =
        |levels: &usize| tensors.contains_key(&format!("hgs.0{}.up1.bn1.weight", ".low2".repeat(*levels)));
    let levels = (0..).take_while(depth).count();
    let config = StackedHourglassConfig {
        keypoints,
        edges: edges(tensors, keypoints)?,
        stacks,
        levels,
        channels,
        image_size,
        coord_conv: stem_inputs > 3,
        attention: tensors.contains_key("out_edgemaps.0.conv.weight"),
    };
    config.validate()?;
    Ok(config)
}

/// Keypoints on each edge, from the fixed edge-to-point matrix.
fn edges(tensors: &Tensors, keypoints: usize) -> Result<Vec<Vec<usize>>> {
    let Some(matrix) = tensors.get("e2h_transform.weight") else { return Ok(Vec::new()) };
    if matrix.dims().first() != Some(&keypoints) {
        bail!("e2h_transform.weight: expected [{keypoints}, E, 1, 1], got {:?}", matrix.dims())
    }
    let rows = matrix.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
    let count = rows.first().map_or(0, Vec::len);
    Ok((0..count).map(|e| (0..keypoints).filter(|&k| rows[k][e] > 0.5).collect()).collect())
}

/// Name and shape of every tensor that a network of this shape uses, running statistics included.
///
/// # Errors
/// When `config` is out of range.
pub fn expected(config: &StackedHourglassConfig) -> Result<BTreeMap<String, Vec<usize>>> {
    fit::record(|vb| StackedHourglass::new(config, vb))
}

/// Whether a network may leave `name` unread: blocks that the reference allocates and never uses, counters, and the
/// edge-to-point transform, which follows from the edges.
fn may_be_surplus(name: &str) -> bool {
    name.contains(".skip_layer.")
        || name.ends_with(".num_batches_tracked")
        || name.starts_with("e2h_transform.")
}

/// Compares tensors with those of a network.
///
/// # Errors
/// Lists *all* missing, misshapen and surplus tensors by name, and an edge-to-point matrix of another scheme.
pub fn check(tensors: &Tensors, config: &StackedHourglassConfig) -> Result<()> {
    check_against(tensors, config, &expected(config)?)
}

/// The same for a stem of any width: `expected` are the names and shapes of the network's tensors.
pub(super) fn check_against(
    tensors: &Tensors,
    config: &StackedHourglassConfig,
    expected: &BTreeMap<String, Vec<usize>>,
) -> Result<()> {
    let mut problems = fit::misfits(tensors, expected, may_be_surplus);
    if config.attention && tensors.contains_key("e2h_transform.weight") {
        let stored = edges(tensors, config.keypoints)?;
        let sorted = |edges: &[Vec<usize>]| -> Vec<Vec<usize>> {
            edges
                .iter()
                .map(|edge| edge.iter().copied().collect::<std::collections::BTreeSet<_>>())
                .map(|set| set.into_iter().collect())
                .collect()
        };
        if sorted(&stored) != sorted(&config.edges) {
            problems.push("e2h_transform.weight: its edges are not those of the scheme".to_string());
        }
    }
    fit::refuse(&problems)
}

/// The reference's fixed edge-to-point tensors, for files that the reference should be able to read.
pub(super) fn edge_to_point_tensors(config: &StackedHourglassConfig) -> Result<Tensors> {
    if !config.attention {
        return Ok(Tensors::new());
    }
    let (matrix, bias) = edge_to_point(config);
    let (k, e) = (config.keypoints, config.edges.len());
    Ok(Tensors::from([
        ("e2h_transform.weight".to_string(), Tensor::from_vec(matrix, (k, e, 1, 1), &Device::Cpu)?),
        ("e2h_transform.bias".to_string(), Tensor::from_vec(bias, k, &Device::Cpu)?),
    ]))
}

/// Whether `name` belongs to a head or to what reads one, and so depends on the keypoint scheme.
pub(super) fn is_head_key(name: &str) -> bool {
    let maps = ["heatmaps.", "pointmaps.", "edgemaps."];
    let rest = name.strip_prefix("out_").or_else(|| name.strip_prefix("merge_"));
    rest.is_some_and(|rest| maps.iter().any(|map| rest.starts_with(map)))
}
