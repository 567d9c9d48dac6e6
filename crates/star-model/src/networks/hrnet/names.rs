//! Keys of external HRNet checkpoints, mapped onto the keys used here, and the network's shape read off them.
//!
//! The keys here are those of the public HRNet-Facial-Landmark-Detection checkpoints. mmpose puts `backbone.` before the trunk and
//! calls the head `keypoint_head.final_layer` (0.x) or `head.conv_layers` and `head.final_layer` (1.x). Classifiers (the
//! public ImageNet files and timm's) share the trunk's names and carry a classification head, which is left out.

use std::fmt;

use candle_core::{Result, bail};

use super::HrNet;
use super::config::HrNetConfig;
use super::graph::graph;
use crate::builder::Builder;
use crate::checkpoint::Tensors;
use crate::graph::Graph;
use crate::networks::architecture::Definition;
use crate::{HeatmapActivation, InputSpec, LandmarkModel};

/// A tensor that every HRNet has, whatever its shape.
const SIGNATURE_KEY: &str = "stage2.0.branches.0.0.conv1.weight";

/// Prefixes of the keys of a classification head.
const CLASSIFIER: [&str; 4] = ["incre_modules.", "downsamp_modules.", "final_layer.", "classifier."];

/// How the public landmark code and mmpose cut faces: the box is enlarged by 1.25 before it fills the input.
const PUBLIC_FACE_SCALE: f32 = 0.8;

/// Prefix of the keys of what follows the trunk.
const HEAD: &str = "head.";

/// Prefixes of mmpose's head, longest first, and those used here.
const MMPOSE_HEAD: [(&str, &str); 5] = [
    ("keypoint_head.final_layer.", "head."),
    ("keypoint_head.conv_layers.", "head."),
    ("head.conv_layers.", "head."),
    ("head.final_layer.weight", "head.3.weight"),
    ("head.final_layer.bias", "head.3.bias"),
];

/// Whether tensors are those of an HRNet, whatever scheme its keys follow.
pub(crate) fn is_hrnet(tensors: &Tensors) -> bool {
    tensors.contains_key(SIGNATURE_KEY) || tensors.contains_key(&format!("backbone.{SIGNATURE_KEY}"))
}

/// The same tensors under the keys used here, without classification heads and counters.
pub(crate) fn to_internal_keys(tensors: Tensors) -> Tensors {
    let mmpose = tensors.contains_key(&format!("backbone.{SIGNATURE_KEY}"));
    let wanted = |name: &String| {
        !name.ends_with(".num_batches_tracked") && !CLASSIFIER.iter().any(|head| name.starts_with(head))
    };
    let renamed =
        tensors.into_iter().map(|(name, tensor)| (if mmpose { from_mmpose(name) } else { name }, tensor));
    renamed.filter(|(name, _)| wanted(name)).collect()
}

fn from_mmpose(name: String) -> String {
    if let Some(trunk) = name.strip_prefix("backbone.") {
        return trunk.to_string();
    }
    let head = MMPOSE_HEAD
        .iter()
        .find_map(|(external, internal)| Some(format!("{internal}{}", name.strip_prefix(external)?)));
    head.unwrap_or(name)
}

/// Reads keypoints, width, modules, blocks and stem off tensors under the keys used here.
///
/// The network is fully convolutional, so `image_size` is the caller's. External checkpoints were trained to draw bumps
/// by a squared error, so their maps are read as [`HeatmapActivation::Peak`], and on faces cut with a margin.
///
/// # Errors
/// Names the first tensor that is not there.
pub(crate) fn infer(tensors: &Tensors, image_size: usize) -> Result<HrNetConfig> {
    let first_dim = |name: &str| match tensors.get(name).and_then(|tensor| tensor.dims().first().copied()) {
        Some(size) => Ok(size),
        None if name.starts_with(HEAD) => bail!(
            "an HRNet without a landmark head (no tensor `{name}`): a trunk to start a training from, not a network to \
             run; name it as `init_from` in a training file"
        ),
        None => bail!("not a whole HRNet: no tensor `{name}` among {} tensors", tensors.len()),
    };
    let count =
        |name: &dyn Fn(usize) -> String| (0..).take_while(|&i| tensors.contains_key(&name(i))).count();
    let modules = |stage: usize| count(&|m| format!("stage{stage}.{m}.branches.0.0.conv1.weight"));
    let config = HrNetConfig {
        keypoints: first_dim("head.3.weight")?,
        width: first_dim(SIGNATURE_KEY)?,
        modules: [modules(2), modules(3), modules(4)],
        blocks: count(&|k| format!("stage2.0.branches.0.{k}.conv1.weight")),
        stem: first_dim("conv1.weight")?,
        image_size,
        activation: HeatmapActivation::Peak,
        face_scale: PUBLIC_FACE_SCALE,
    };
    config.validate()?;
    Ok(config)
}

impl Definition for HrNetConfig {
    fn validate(&self) -> Result<()> {
        Self::validate(self)
    }

    fn sizes(&self) -> &'static str {
        "width, modules, blocks, stem"
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
        Ok(Box::new(HrNet::build(self, vb)?.recompute(recompute)))
    }

    /// Those behind the trunk.
    fn is_head_key(&self, name: &str) -> bool {
        name.starts_with(HEAD)
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, modules: [second, third, fourth], blocks, image_size, .. } = self;
        write!(f, "HRNet-W{width}, {second}/{third}/{fourth} modules of {blocks} blocks a stage, ")?;
        write!(f, "image {image_size} px")
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn named(names: &[&str]) -> Tensors {
        let one = Tensor::zeros((2, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        names.iter().map(|name| (name.to_string(), one.clone())).collect()
    }

    #[test]
    fn keys_of_both_generations_of_mmpose_and_of_classifiers_become_internal_keys() {
        let old = [
            "backbone.conv1.weight",
            "keypoint_head.final_layer.0.weight",
            "keypoint_head.final_layer.3.bias",
        ];
        let new = ["backbone.conv1.weight", "head.conv_layers.0.weight", "head.final_layer.bias"];
        let witness = format!("backbone.{SIGNATURE_KEY}");
        for names in [old, new] {
            let tensors = named(&[&names[..], &[&witness]].concat());
            assert!(is_hrnet(&tensors));
            let keys: Vec<String> = to_internal_keys(tensors).into_keys().collect();
            assert_eq!(keys, ["conv1.weight", "head.0.weight", "head.3.bias", SIGNATURE_KEY]);
        }
        let tensors =
            named(&[SIGNATURE_KEY, "bn1.num_batches_tracked", "classifier.bias", "final_layer.0.weight"]);
        assert_eq!(to_internal_keys(tensors).into_keys().collect::<Vec<_>>(), [SIGNATURE_KEY]);
    }

    #[test]
    fn the_error_about_a_trunk_without_a_head_names_init_from() {
        let message = infer(&named(&[SIGNATURE_KEY, "conv1.weight"]), 256).unwrap_err().to_string();
        assert!(message.contains("init_from"), "{message}");
    }
}
