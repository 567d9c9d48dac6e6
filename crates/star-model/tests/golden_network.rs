//! The network against numbers of the method's reference implementation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use star_loss::moments::soft_argmax;
use star_model::checkpoint::{Folder, Which};

/// Largest absolute difference allowed, for maps and landmarks alike.
const TOLERANCE: f32 = 1e-4;

mod devices;

/// Tests run in the folder of their crate.
fn golden(name: &str) -> PathBuf {
    Path::new("tests/golden").join(name)
}

fn assert_close(name: &str, ours: &Tensor, theirs: &Tensor) {
    assert_eq!(ours.dims(), theirs.dims(), "{name}");
    let worst = (ours - theirs).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    let worst = worst.to_scalar::<f32>().unwrap();
    assert!(worst <= TOLERANCE, "{name}: largest difference {worst:e}");
}

#[test]
fn every_stack_agrees_with_the_reference() {
    devices::devices().iter().for_each(every_stack_agrees_on);
}

fn every_stack_agrees_on(device: &Device) {
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let model = folder.model(DType::F32, device).unwrap();
    let io: HashMap<String, Tensor> =
        candle_core::safetensors::load(golden("hourglass_cofw_small.io.safetensors"), device).unwrap();
    let stages = model.forward_t(&io["input"], false).unwrap();
    assert_eq!(stages.len(), 4);
    for (i, stage) in stages.iter().enumerate() {
        let aux = stage.aux.as_ref().unwrap();
        for (name, ours) in [
            ("fusion_heatmap", &stage.heatmaps),
            ("pointmap", &aux.pointmaps),
            ("edgemap", &aux.edgemaps),
            ("landmarks", &soft_argmax(&stage.heatmaps).unwrap()),
        ] {
            let name = format!("stack{i}.{name}");
            assert_close(&name, ours, &io[&name]);
        }
    }
    assert_close("landmarks", &soft_argmax(&stages[3].heatmaps).unwrap(), &io["landmarks"]);
}

#[test]
fn an_image_of_the_wrong_size_is_an_error_with_both_shapes() {
    let folder =
        Folder::import(&golden("hourglass_cofw_small.pkl"), Which::Net, "cofw29", 64, "test").unwrap();
    let model = folder.model(DType::F32, &Device::Cpu).unwrap();
    let images = Tensor::zeros((1, 3, 64, 32), DType::F32, &Device::Cpu).unwrap();
    let message = model.forward_t(&images, false).unwrap_err().to_string();
    assert!(message.contains("[B, 3, 64, 64]") && message.contains("[1, 3, 64, 32]"), "{message}");
}
