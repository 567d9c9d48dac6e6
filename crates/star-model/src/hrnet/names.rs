//! Names of an HRNet's tensors: other people's brought to ours, and the network's shape read off them.
//!
//! Ours are those of the public HRNet-Facial-Landmark-Detection checkpoints. mmpose puts `backbone.` before the trunk and
//! calls the head `keypoint_head.final_layer` (0.x) or `head.conv_layers` and `head.final_layer` (1.x). Classifiers (the
//! public ImageNet files and timm's) share the trunk's names and carry a classification head, which is left out.

use candle_core::{Result, bail};

use super::{HeatmapActivation, HrNetConfig};
use crate::checkpoint::Tensors;

/// A tensor that every HRNet has, whatever its shape.
const WITNESS: &str = "stage2.0.branches.0.0.conv1.weight";

/// First parts of the names of a classification head.
const CLASSIFIER: [&str; 4] = ["incre_modules.", "downsamp_modules.", "final_layer.", "classifier."];

/// How the public landmark code and mmpose cut faces: the box is enlarged by 1.25 before it fills the input.
const PUBLIC_FACE_SCALE: f32 = 0.8;

/// First part of the names of what follows the trunk.
const HEAD: &str = "head.";

/// mmpose's names of the head, most telling first, and ours.
const MMPOSE_HEAD: [(&str, &str); 5] = [
    ("keypoint_head.final_layer.", "head."),
    ("keypoint_head.conv_layers.", "head."),
    ("head.conv_layers.", "head."),
    ("head.final_layer.weight", "head.3.weight"),
    ("head.final_layer.bias", "head.3.bias"),
];

/// Whether tensors are those of an HRNet, under any of the known names.
pub(crate) fn recognised(tensors: &Tensors) -> bool {
    tensors.contains_key(WITNESS) || tensors.contains_key(&format!("backbone.{WITNESS}"))
}

/// Whether `name` (ours) lies behind the trunk and so depends on the keypoints.
pub(crate) fn of_the_head(name: &str) -> bool {
    name.starts_with(HEAD)
}

/// The same tensors under our names, classification heads and counters left out.
pub(crate) fn ours(tensors: Tensors) -> Tensors {
    let mmpose = tensors.contains_key(&format!("backbone.{WITNESS}"));
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
    let head =
        MMPOSE_HEAD.iter().find_map(|(theirs, ours)| Some(format!("{ours}{}", name.strip_prefix(theirs)?)));
    head.unwrap_or(name)
}

/// Reads keypoints, width, modules, blocks and stem off tensors under our names.
///
/// The network is fully convolutional, so `image_size` is the caller's. Foreign checkpoints were trained to draw bumps
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
        width: first_dim(WITNESS)?,
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    fn named(names: &[&str]) -> Tensors {
        let one = Tensor::zeros((2, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        names.iter().map(|name| (name.to_string(), one.clone())).collect()
    }

    #[test]
    fn both_generations_of_mmpose_and_classifiers_come_to_our_names() {
        let old = [
            "backbone.conv1.weight",
            "keypoint_head.final_layer.0.weight",
            "keypoint_head.final_layer.3.bias",
        ];
        let new = ["backbone.conv1.weight", "head.conv_layers.0.weight", "head.final_layer.bias"];
        let witness = format!("backbone.{WITNESS}");
        for names in [old, new] {
            let tensors = named(&[&names[..], &[&witness]].concat());
            assert!(recognised(&tensors));
            let ours: Vec<String> = ours(tensors).into_keys().collect();
            assert_eq!(ours, ["conv1.weight", "head.0.weight", "head.3.bias", WITNESS]);
        }
        let tensors = named(&[WITNESS, "bn1.num_batches_tracked", "classifier.bias", "final_layer.0.weight"]);
        assert_eq!(ours(tensors).into_keys().collect::<Vec<_>>(), [WITNESS]);
    }

    #[test]
    fn a_trunk_alone_is_told_what_it_is_good_for() {
        let message = infer(&named(&[WITNESS, "conv1.weight"]), 256).unwrap_err().to_string();
        assert!(message.contains("init_from"), "{message}");
    }
}
