//! The kinds of network that a folder of weights can hold.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{Result, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::hourglass::config::{SlimHourglassConfig, StackedHourglassConfig};
use super::hrnet::config::HrNetConfig;
use super::light_pyramid::config::LightPyramidConfig;
use super::network::Network;
use super::{hourglass, hrnet, light_pyramid};
use crate::builder::{Builder, TrainingOptions};
use crate::checkpoint::{Tensors, fit};
use crate::graph::Graph;
use crate::{InputSpec, LandmarkModel};

/// Parameters beyond every network there is, 1 GiB in f32; the published hourglass has 13 million.
const MOST_PARAMETERS: u64 = 1 << 28;

/// What a kind of network says of itself; everything else follows from its graph.
pub(super) trait Definition {
    /// Names the first field that is out of range.
    fn validate(&self) -> Result<()>;
    /// The fields that its number of parameters follows from.
    fn sizes(&self) -> &'static str;
    fn keypoints(&self) -> usize;
    fn input(&self) -> InputSpec;
    /// Of a shape that is valid.
    fn graph(&self) -> Graph;
    fn build(&self, vb: &Builder, recompute: bool) -> Result<Box<dyn LandmarkModel>>;
    /// Whether a file may hold the tensor `name`, which the network does not use.
    fn may_be_surplus(&self, name: &str) -> bool {
        name.ends_with(".num_batches_tracked")
    }
    /// Whether the tensor `name` depends on the keypoint scheme.
    fn is_head_key(&self, name: &str) -> bool;
    /// What is wrong with tensors whose names and shapes are right.
    fn problems(&self, _: &Tensors) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// Tensors that external loaders expect beside those of the graph.
    fn fixed_tensors(&self) -> Result<Tensors> {
        Ok(Tensors::new())
    }
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

/// A network's kind and shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Architecture {
    /// [`StackedHourglass`](crate::StackedHourglass).
    StackedHourglass(StackedHourglassConfig),
    /// [`StackedHourglass::slim`](crate::StackedHourglass::slim).
    SlimHourglass(SlimHourglassConfig),
    /// [`HrNet`](crate::HrNet).
    #[serde(rename = "hrnet")]
    HrNet(HrNetConfig),
    /// [`LightPyramid`](crate::LightPyramid).
    LightPyramid(LightPyramidConfig),
}

impl Architecture {
    /// Tells which network tensors belong to and reads its shape off them; returns them under the keys used here.
    ///
    /// Networks are fully convolutional, so `image_size` (pixels) cannot be read off them and is the caller's; nor can `face_scale`,
    /// which is 1 here.
    ///
    /// # Errors
    /// When the tensors are those of no known network.
    pub fn infer(tensors: Tensors, image_size: usize) -> Result<(Self, Tensors)> {
        let (found, tensors) = if hrnet::names::is_hrnet(&tensors) {
            let tensors = hrnet::names::to_internal_keys(tensors);
            (Self::HrNet(hrnet::names::infer(&tensors, image_size)?), tensors)
        } else if light_pyramid::names::is_light_pyramid(&tensors) {
            (Self::LightPyramid(light_pyramid::names::infer(&tensors, image_size)?), tensors)
        } else {
            (hourglass::names::infer_any(&tensors, image_size)?, tensors)
        };
        found.validate()?;
        Ok((found, tensors))
    }

    fn definition(&self) -> Box<dyn Definition> {
        match self {
            Self::StackedHourglass(config) => Box::new(SlimHourglassConfig::from(config.clone())),
            Self::SlimHourglass(config) => Box::new(config.clone()),
            Self::HrNet(config) => Box::new(config.clone()),
            Self::LightPyramid(config) => Box::new(config.clone()),
        }
    }

    /// The network as a graph.
    pub(crate) fn graph(&self) -> Result<Graph> {
        let definition = self.definition();
        definition.validate()?;
        Ok(definition.graph())
    }

    /// The graph with its parameters, for inference alone.
    pub(crate) fn network(&self, vb: VarBuilder) -> Result<Network> {
        Network::new(self.graph()?, self.input(), &vb.into())
    }

    /// Builds the network on the tensors of `vb`.
    ///
    /// # Errors
    /// When the shape is out of range, or a tensor is missing or misshapen.
    pub fn build(&self, vb: VarBuilder) -> Result<Box<dyn LandmarkModel>> {
        self.build_for_training(vb, &TrainingOptions::default())
    }

    /// Builds the network for training.
    ///
    /// # Errors
    /// As [`Architecture::build`].
    pub fn build_for_training(
        &self,
        vb: VarBuilder,
        options: &TrainingOptions,
    ) -> Result<Box<dyn LandmarkModel>> {
        let builder = Builder::new(vb, options.process_group.clone(), options.bf16);
        self.definition().build(&builder, options.recompute)
    }

    /// Checks that the numbers describe a network that can be built, before anything is sized by them.
    ///
    /// # Errors
    /// Names the first field that is out of range, or the fields that together make too large a network.
    pub fn validate(&self) -> Result<()> {
        // Names and shapes alone, which take no memory.
        let elements = |shape: &Vec<usize>| shape.iter().map(|&side| side as u64).product::<u64>();
        let parameters: u64 = self.expected()?.values().map(elements).sum();
        if parameters > MOST_PARAMETERS {
            let fields = self.definition().sizes();
            bail!(
                "{fields}: expected a network of at most {MOST_PARAMETERS} parameters, got one of {parameters}"
            )
        }
        Ok(())
    }

    /// Number of keypoints.
    pub fn keypoints(&self) -> usize {
        self.definition().keypoints()
    }

    /// The hourglasses of the network, where it has any.
    pub fn hourglass(&self) -> Option<&StackedHourglassConfig> {
        match self {
            Self::StackedHourglass(config) => Some(config),
            Self::SlimHourglass(config) => Some(&config.hourglass),
            Self::HrNet(_) | Self::LightPyramid(_) => None,
        }
    }

    /// The keypoints on each edge, where the network has edge maps.
    pub fn edges(&self) -> Option<&[Vec<usize>]> {
        self.hourglass().filter(|config| config.attention).map(|config| config.edges.as_slice())
    }

    /// What the network expects of its input.
    pub fn input(&self) -> InputSpec {
        self.definition().input()
    }

    /// Name and shape of every tensor that the network uses, running statistics included.
    ///
    /// # Errors
    /// When the shape is out of range.
    pub fn expected(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        Ok(self.graph()?.tensors())
    }

    /// Compares tensors with those of the network.
    ///
    /// # Errors
    /// Lists *all* missing, misshapen and surplus tensors by name, and edges of another scheme.
    pub fn check(&self, tensors: &Tensors) -> Result<()> {
        let definition = self.definition();
        let spare = |name: &str| definition.may_be_surplus(name);
        let mut problems = fit::misfits(tensors, &self.expected()?, spare);
        problems.extend(definition.problems(tensors)?);
        fit::refuse(&problems)
    }

    /// Of the tensors of another training (a landmark network of any scheme, or an ImageNet classifier), those that this
    /// network can start from: the whole trunk, and heads where they fit. Also the names of those left to be drawn.
    ///
    /// # Errors
    /// Lists the tensors of the trunk that are missing or misshapen.
    pub fn start_from(&self, tensors: Tensors) -> Result<(Tensors, Vec<String>)> {
        let tensors =
            if hrnet::names::is_hrnet(&tensors) { hrnet::names::to_internal_keys(tensors) } else { tensors };
        let (definition, expected) = (self.definition(), self.expected()?);
        let fits = |name: &String, shape: &Vec<usize>| {
            tensors.get(name).is_some_and(|tensor| tensor.dims() == shape.as_slice())
        };
        let (kept, drawn): (Vec<_>, Vec<_>) = expected.iter().partition(|(name, shape)| fits(name, shape));
        let trunk: BTreeMap<String, Vec<usize>> = drawn
            .iter()
            .filter(|(name, _)| !definition.is_head_key(name))
            .map(|(name, shape)| ((*name).clone(), (*shape).clone()))
            .collect();
        if !trunk.is_empty() {
            let problems = fit::misfits(&tensors, &trunk, |_| true);
            bail!("no trunk for {self}: {}", problems.join("\n  "))
        }
        let kept = kept.iter().map(|(name, _)| ((*name).clone(), tensors[*name].clone())).collect();
        Ok((kept, drawn.into_iter().map(|(name, _)| name.clone()).collect()))
    }

    /// Fixed tensors that external loaders expect beside those of [`Architecture::expected`].
    pub(crate) fn fixed_tensors(&self) -> Result<Tensors> {
        self.definition().fixed_tensors()
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.definition().describe(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_whose_fields_are_in_range_each_and_too_large_together_is_refused_by_their_names() {
        let hourglass = |stacks, channels| StackedHourglassConfig {
            stacks,
            channels,
            ..StackedHourglassConfig::reference(98, vec![vec![0]; 9])
        };
        let slim = |stem| SlimHourglassConfig { stem, ..hourglass(4, 256).into() };
        let hrnet = HrNetConfig { modules: [64; 3], ..HrNetConfig::w48(98) };
        let cases = [
            (Architecture::StackedHourglass(hourglass(64, 2048)), "channels, stacks, levels: "),
            (Architecture::SlimHourglass(slim(4096)), "channels, stacks, levels, stem: "),
            (Architecture::HrNet(hrnet), "width, modules, blocks, stem: "),
        ];
        for (architecture, fields) in cases {
            let message = architecture.validate().unwrap_err().to_string();
            let limit = "at most 268435456 parameters, got one of ";
            assert!(message.contains(fields) && message.contains(limit), "{message}");
        }
        for fine in
            [Architecture::StackedHourglass(hourglass(8, 512)), Architecture::HrNet(HrNetConfig::w48(98))]
        {
            fine.validate().unwrap();
        }
    }
}
