//! A stacked hourglass read off its tensors, and tensors compared with one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candle_core::{DType, Device, Result, Tensor, bail};

use super::StackedHourglass;
use super::config::{PUBLISHED_STEM, SlimHourglassConfig, StackedHourglassConfig};
use super::graph::graph;
use crate::builder::Builder;
use crate::checkpoint::Tensors;
use crate::gate::edge_to_point;
use crate::graph::Graph;
use crate::input::tight;
use crate::networks::architecture::{Architecture, Definition};
use crate::{InputSpec, LandmarkModel};

/// The stem's convolution.
const STEM_KEY: &str = "pre.0.conv.weight";

/// The fixed edge-to-point matrix.
const EDGES_KEY: &str = "e2h_transform.weight";

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
            "neither a stacked hourglass, an HRNet nor a light pyramid: no tensor `{name}` among {} tensors",
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
    let Some(matrix) = tensors.get(EDGES_KEY) else { return Ok(Vec::new()) };
    if matrix.dims().first() != Some(&keypoints) {
        bail!("{EDGES_KEY}: expected [{keypoints}, E, 1, 1], got {:?}", matrix.dims())
    }
    let rows = matrix.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
    let count = rows.first().map_or(0, Vec::len);
    Ok((0..count).map(|e| (0..keypoints).filter(|&k| rows[k][e] > 0.5).collect()).collect())
}

/// [`infer`] with the stem's width.
pub(crate) fn infer_any(tensors: &Tensors, image_size: usize) -> Result<Architecture> {
    let hourglass = infer(tensors, image_size)?;
    let stem = tensors.get(STEM_KEY).map_or(PUBLISHED_STEM, |weight| weight.dims()[0]);
    Ok(if stem == PUBLISHED_STEM {
        Architecture::StackedHourglass(hourglass)
    } else {
        Architecture::SlimHourglass(SlimHourglassConfig { stem, ..hourglass.into() })
    })
}

/// Name and shape of every tensor that a network of this shape uses, running statistics included.
///
/// # Errors
/// When `config` is out of range.
pub fn expected(config: &StackedHourglassConfig) -> Result<BTreeMap<String, Vec<usize>>> {
    Architecture::StackedHourglass(config.clone()).expected()
}

/// Compares tensors with those of a network.
///
/// # Errors
/// Lists *all* missing, misshapen and surplus tensors by name, and an edge-to-point matrix of another scheme.
pub fn check(tensors: &Tensors, config: &StackedHourglassConfig) -> Result<()> {
    Architecture::StackedHourglass(config.clone()).check(tensors)
}

/// Whether a network may leave `name` unread: blocks that the reference allocates and never uses, counters, and the
/// edge-to-point transform, which follows from the edges.
fn may_be_surplus(name: &str) -> bool {
    name.contains(".skip_layer.")
        || name.ends_with(".num_batches_tracked")
        || name.starts_with("e2h_transform.")
}

impl Definition for SlimHourglassConfig {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn sizes(&self) -> &'static str {
        if self.stem == PUBLISHED_STEM {
            "channels, stacks, levels"
        } else {
            "channels, stacks, levels, stem"
        }
    }

    fn keypoints(&self) -> usize {
        self.hourglass.keypoints
    }

    fn input(&self) -> InputSpec {
        Self::input(self)
    }

    fn graph(&self) -> Graph {
        graph(self)
    }

    fn build(&self, vb: &Builder, recompute: bool) -> Result<Box<dyn LandmarkModel>> {
        Ok(Box::new(StackedHourglass::build(self, vb)?.recompute(recompute)))
    }

    fn may_be_surplus(&self, name: &str) -> bool {
        may_be_surplus(name)
    }

    fn is_head_key(&self, name: &str) -> bool {
        is_head_key(name)
    }

    /// An edge-to-point matrix of another scheme.
    fn problems(&self, tensors: &Tensors) -> Result<Vec<String>> {
        let config = &self.hourglass;
        if !config.attention || !tensors.contains_key(EDGES_KEY) {
            return Ok(Vec::new());
        }
        let stored = edges(tensors, config.keypoints)?;
        let sets = |edges: &[Vec<usize>]| -> Vec<BTreeSet<usize>> {
            edges.iter().map(|edge| edge.iter().copied().collect()).collect()
        };
        let other = sets(&stored) != sets(&config.edges);
        Ok(other.then(|| format!("{EDGES_KEY}: its edges are not those of the scheme")).into_iter().collect())
    }

    /// The reference's edge-to-point tensors, for files that the reference should be able to read.
    fn fixed_tensors(&self) -> Result<Tensors> {
        let config = &self.hourglass;
        if !config.attention {
            return Ok(Tensors::new());
        }
        let (matrix, bias) = edge_to_point(config.keypoints, &config.edges);
        let (k, e) = (config.keypoints, config.edges.len());
        Ok(Tensors::from([
            (EDGES_KEY.to_string(), Tensor::from_vec(matrix, (k, e, 1, 1), &Device::Cpu)?),
            ("e2h_transform.bias".to_string(), Tensor::from_vec(bias, k, &Device::Cpu)?),
        ]))
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let published = self.stem == PUBLISHED_STEM && self.face_scale == tight();
        let StackedHourglassConfig { stacks, levels, channels, edges, image_size, .. } = &self.hourglass;
        let (kind, edges) = (if published { "stacked" } else { "slim" }, edges.len());
        let counted =
            |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (stacks, levels) = (counted(*stacks, "stack"), counted(*levels, "level"));
        let (channels, edges) = (counted(*channels, "channel"), counted(edges, "edge"));
        write!(f, "{kind} hourglass, {stacks} of {levels}, {channels}, {edges}, image {image_size} px")?;
        if published {
            return Ok(());
        }
        write!(f, ", stem of {} channels, face scale {}", self.stem, self.face_scale)
    }
}

/// Whether `name` belongs to a head or to what reads one, and so depends on the keypoint scheme.
fn is_head_key(name: &str) -> bool {
    let maps = ["heatmaps.", "pointmaps.", "edgemaps."];
    let rest = name.strip_prefix("out_").or_else(|| name.strip_prefix("merge_"));
    rest.is_some_and(|rest| maps.iter().any(|map| rest.starts_with(map)))
}
