//! The kinds of network that a folder of weights can hold.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::{Result, bail};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Tensors, check, expected, external_keys, fit, infer, shape};
use crate::builder::{Builder, TrainingOptions};
use crate::config::PUBLISHED_STEM;
use crate::{
    HrNet, HrNetConfig, InputSpec, LandmarkModel, SlimHourglassConfig, StackedHourglass,
    StackedHourglassConfig,
};

/// The stem's convolution.
const STEM_KEY: &str = "pre.0.conv.weight";

/// Parameters beyond every network there is, 1 GiB in f32; the published hourglass has 13 million.
const MOST_PARAMETERS: u64 = 1 << 28;

/// A network's kind and shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Architecture {
    /// [`StackedHourglass`].
    StackedHourglass(StackedHourglassConfig),
    /// [`StackedHourglass::slim`].
    SlimHourglass(SlimHourglassConfig),
    /// [`HrNet`].
    #[serde(rename = "hrnet")]
    HrNet(HrNetConfig),
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
        if external_keys::is_hrnet(&tensors) {
            let tensors = external_keys::to_internal_keys(tensors);
            return Ok((Self::HrNet(external_keys::infer(&tensors, image_size)?), tensors));
        }
        let hourglass = infer(&tensors, image_size)?;
        let stem = tensors.get(STEM_KEY).map_or(PUBLISHED_STEM, |weight| weight.dims()[0]);
        let found = if stem == PUBLISHED_STEM {
            Self::StackedHourglass(hourglass)
        } else {
            Self::SlimHourglass(SlimHourglassConfig { stem, ..hourglass.into() })
        };
        found.validate()?;
        Ok((found, tensors))
    }

    /// Builds the network on the tensors of `vb`.
    ///
    /// # Errors
    /// When the shape is out of range, or a tensor is missing or misshapen.
    pub fn build(&self, vb: VarBuilder) -> Result<Box<dyn LandmarkModel>> {
        match self {
            Self::StackedHourglass(config) => Ok(Box::new(StackedHourglass::new(config, vb)?)),
            Self::SlimHourglass(config) => Ok(Box::new(StackedHourglass::slim(config, vb)?)),
            Self::HrNet(config) => Ok(Box::new(HrNet::new(config, vb)?)),
        }
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
        let builder = Builder::new(vb, options.process_group.clone());
        match self {
            Self::StackedHourglass(config) => {
                Ok(Box::new(StackedHourglass::build(config, &builder)?.recompute(options.recompute)))
            }
            Self::SlimHourglass(config) => {
                Ok(Box::new(StackedHourglass::build_slim(config, &builder)?.recompute(options.recompute)))
            }
            Self::HrNet(config) => Ok(Box::new(HrNet::build(config, &builder)?)),
        }
    }

    /// Checks that the numbers describe a network that can be built, before anything is sized by them.
    ///
    /// # Errors
    /// Names the first field that is out of range, or the fields that together make too large a network.
    pub fn validate(&self) -> Result<()> {
        let fields = match self {
            Self::StackedHourglass(config) => config.validate().map(|()| "channels, stacks, levels")?,
            Self::SlimHourglass(config) => config.validate().map(|()| "channels, stacks, levels, stem")?,
            Self::HrNet(config) => config.validate().map(|()| "width, modules, blocks, stem")?,
        };
        // Names and shapes alone, which take no memory.
        let elements = |shape: &Vec<usize>| shape.iter().map(|&side| side as u64).product::<u64>();
        let parameters: u64 = self.expected()?.values().map(elements).sum();
        if parameters > MOST_PARAMETERS {
            bail!(
                "{fields}: expected a network of at most {MOST_PARAMETERS} parameters, got one of {parameters}"
            )
        }
        Ok(())
    }

    /// Number of keypoints.
    pub fn keypoints(&self) -> usize {
        match self {
            Self::StackedHourglass(config) => config.keypoints,
            Self::SlimHourglass(config) => config.hourglass.keypoints,
            Self::HrNet(config) => config.keypoints,
        }
    }

    /// The hourglasses of the network, where it has any.
    pub fn hourglass(&self) -> Option<&StackedHourglassConfig> {
        match self {
            Self::StackedHourglass(config) => Some(config),
            Self::SlimHourglass(config) => Some(&config.hourglass),
            Self::HrNet(_) => None,
        }
    }

    /// The keypoints on each edge, where the network has edge maps.
    pub fn edges(&self) -> Option<&[Vec<usize>]> {
        self.hourglass().filter(|config| config.attention).map(|config| config.edges.as_slice())
    }

    /// What the network expects of its input.
    pub fn input(&self) -> InputSpec {
        match self {
            Self::StackedHourglass(config) => InputSpec::reference(config.image_size),
            Self::SlimHourglass(config) => config.input(),
            Self::HrNet(config) => config.input(),
        }
    }

    /// Name and shape of every tensor that the network uses, running statistics included.
    ///
    /// # Errors
    /// When the shape is out of range.
    pub fn expected(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        match self {
            Self::StackedHourglass(config) => expected(config),
            Self::SlimHourglass(config) => fit::record(|vb| StackedHourglass::slim(config, vb)),
            Self::HrNet(config) => fit::record(|vb| HrNet::new(config, vb)),
        }
    }

    /// Compares tensors with those of the network.
    ///
    /// # Errors
    /// Lists *all* missing, misshapen and surplus tensors by name.
    pub fn check(&self, tensors: &Tensors) -> Result<()> {
        match self {
            Self::StackedHourglass(config) => check(tensors, config),
            Self::SlimHourglass(config) => {
                shape::check_against(tensors, &config.hourglass, &self.expected()?)
            }
            Self::HrNet(_) => {
                let counter = |name: &str| name.ends_with(".num_batches_tracked");
                fit::refuse(&fit::misfits(tensors, &self.expected()?, counter))
            }
        }
    }

    /// Of the tensors of another training (a landmark network of any scheme, or an ImageNet classifier), those that this
    /// network can start from: the whole trunk, and heads where they fit. Also the names of those left to be drawn.
    ///
    /// # Errors
    /// Lists the tensors of the trunk that are missing or misshapen.
    pub fn start_from(&self, tensors: Tensors) -> Result<(Tensors, Vec<String>)> {
        let tensors = if external_keys::is_hrnet(&tensors) {
            external_keys::to_internal_keys(tensors)
        } else {
            tensors
        };
        let expected = self.expected()?;
        let fits = |name: &String, shape: &Vec<usize>| {
            tensors.get(name).is_some_and(|tensor| tensor.dims() == shape.as_slice())
        };
        let (kept, drawn): (Vec<_>, Vec<_>) = expected.iter().partition(|(name, shape)| fits(name, shape));
        let trunk: BTreeMap<String, Vec<usize>> = drawn
            .iter()
            .filter(|(name, _)| !self.is_head_key(name))
            .map(|(name, shape)| ((*name).clone(), (*shape).clone()))
            .collect();
        if !trunk.is_empty() {
            let problems = fit::misfits(&tensors, &trunk, |_| true);
            bail!("no trunk for {self}: {}", problems.join("\n  "))
        }
        let kept = kept.iter().map(|(name, _)| ((*name).clone(), tensors[*name].clone())).collect();
        Ok((kept, drawn.into_iter().map(|(name, _)| name.clone()).collect()))
    }

    /// Whether the tensor `name` depends on the keypoint scheme.
    fn is_head_key(&self, name: &str) -> bool {
        match self {
            Self::StackedHourglass(_) | Self::SlimHourglass(_) => shape::is_head_key(name),
            Self::HrNet(_) => external_keys::is_head_key(name),
        }
    }

    /// Fixed tensors that external loaders expect beside those of [`Architecture::expected`].
    pub(super) fn fixed_tensors(&self) -> Result<Tensors> {
        self.hourglass().map_or_else(|| Ok(Tensors::new()), shape::edge_to_point_tensors)
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StackedHourglass(c) => write!(f, "stacked hourglass, {}", Hourglasses(c)),
            Self::SlimHourglass(c) => {
                write!(
                    f,
                    "slim hourglass, {}, stem of {} channels, face scale {}",
                    Hourglasses(&c.hourglass),
                    c.stem,
                    c.face_scale
                )
            }
            Self::HrNet(c) => {
                write!(
                    f,
                    "HRNet-W{}, {} modules of {} blocks a stage, image {} px",
                    c.width,
                    {
                        let [second, third, fourth] = c.modules;
                        format!("{second}/{third}/{fourth}")
                    },
                    c.blocks,
                    c.image_size
                )
            }
        }
    }
}

/// A hourglass's numbers in words.
struct Hourglasses<'a>(&'a StackedHourglassConfig);

impl fmt::Display for Hourglasses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StackedHourglassConfig { stacks, levels, channels, edges, image_size, .. } = self.0;
        let edges = edges.len();
        write!(
            f,
            "{stacks} stacks of {levels} levels, {channels} channels, {edges} edges, image {image_size} px"
        )
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
