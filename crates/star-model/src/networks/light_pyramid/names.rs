//! A light pyramid's shape read off its tensors, and what it says of itself.

use std::fmt;

use candle_core::{Result, bail};

use super::LightPyramid;
use super::config::LightPyramidConfig;
use super::graph::graph;
use crate::builder::Builder;
use crate::checkpoint::Tensors;
use crate::graph::Graph;
use crate::input::tight;
use crate::networks::architecture::Definition;
use crate::{HeatmapActivation, InputSpec, LandmarkModel};

/// A tensor that every light pyramid has, and no other network.
const SIGNATURE_KEY: &str = "down.0.0.window.conv.weight";

/// Prefix of the keys of what depends on the keypoints.
const HEAD: &str = "head.";

pub(crate) fn is_light_pyramid(tensors: &Tensors) -> bool {
    tensors.contains_key(SIGNATURE_KEY)
}

/// Reads the shape off tensors. `image_size` is the caller's, since the network is fully convolutional; so is `face_scale`, 1 here.
///
/// # Errors
/// Names the first tensor that is not there.
pub(crate) fn infer(tensors: &Tensors, image_size: usize) -> Result<LightPyramidConfig> {
    let side = |name: String, dim: usize| match tensors.get(&name).and_then(|x| x.dims().get(dim).copied()) {
        Some(size) => Ok(size),
        None => bail!("not a whole light pyramid: no tensor `{name}` among {} tensors", tensors.len()),
    };
    let count =
        |name: &dyn Fn(usize) -> String| (0..).take_while(|&i| tensors.contains_key(&name(i))).count();
    let depth = count(&|level| format!("down.{level}.0.window.conv.weight"));
    let level = |level: usize| side(format!("down.{level}.0.project.conv.weight"), 0);
    let blocks = |level: usize| count(&|block| format!("down.{level}.{block}.window.conv.weight"));
    let stem = side("stem.conv.weight".to_string(), 0)?;
    let config = LightPyramidConfig {
        keypoints: side("head.conv.weight".to_string(), 0)?,
        stem,
        levels: (0..depth).map(level).collect::<Result<_>>()?,
        blocks: (0..depth).map(blocks).collect(),
        expansion: side(SIGNATURE_KEY.to_string(), 0)? / stem.max(1),
        kernel: side(SIGNATURE_KEY.to_string(), 2)?,
        channels: side("up.0.lateral.conv.weight".to_string(), 0)?,
        image_size,
        activation: HeatmapActivation::default(),
        face_scale: tight(),
    };
    config.validate()?;
    Ok(config)
}

impl Definition for LightPyramidConfig {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn sizes(&self) -> &'static str {
        "levels, blocks, expansion, channels, stem"
    }

    fn keypoints(&self) -> usize {
        self.keypoints
    }

    fn input(&self) -> InputSpec {
        Self::input(self)
    }

    fn graph(&self) -> Graph {
        graph(self)
    }

    fn build(&self, vb: &Builder, recompute: bool) -> Result<Box<dyn LandmarkModel>> {
        Ok(Box::new(LightPyramid::build(self, vb)?.recompute(recompute)))
    }

    fn is_head_key(&self, name: &str) -> bool {
        name.starts_with(HEAD)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { levels, channels, kernel, image_size, .. } = self;
        let levels: Vec<String> = levels.iter().map(ToString::to_string).collect();
        write!(f, "light pyramid, {} channels down, {channels} up, windows of {kernel}, ", levels.join("/"))?;
        write!(f, "image {image_size} px")
    }
}
