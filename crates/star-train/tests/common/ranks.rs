//! What a training leaves behind, compared between one process and several that share its batches.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use star_train::records::{Record, read};

/// Relative, in f64: sums are taken in another order and nothing else differs.
const TOLERANCE: f64 = 1e-6;

/// Share of the largest gradient below which one counts as 0: biases before a batch norm have rounding noise for a gradient.
const NOISE: f64 = 1e-12;

/// A step an epoch on the same four faces, in f64; plain gradient descent keeps the last gradient as its state.
pub(crate) const FOUR_FACES: &str = r#"
scheme = "wflw98"
seed = 3
epochs = 3
batch_size = 4
precision = "f64"
ema_half_life = 10
optimizer = { kind = "sgd", momentum = 0.0 }
schedule = { learning_rate = 1e-3, decay = { kind = "constant" } }
[data.train]
format = "synthetic"
count = 4
image_size = 64
[data.validation]
format = "synthetic"
count = 5
seed = 9
image_size = 64
"#;

pub(crate) const HOURGLASS: &str = "[model]\nstacks = 2\nlevels = 2\nchannels = 8\nimage_size = 32\n";

/// With fewer batch norms to wait at, for runs of many steps.
pub(crate) const SMALL: &str = "[model]\nstacks = 1\nlevels = 1\nchannels = 8\nimage_size = 32\n";

/// The losses of all epochs, and the validation errors.
pub(crate) fn losses(out: &Path) -> Vec<[f64; 3]> {
    let figures = |record| match record {
        Record::Epoch(epoch) => {
            Some([epoch.terms["total"], epoch.validation_nme.unwrap(), epoch.validation_nme_ema.unwrap()])
        }
        Record::Step(_) => None,
    };
    read(&out.join("metrics.jsonl")).unwrap().into_iter().filter_map(figures).collect()
}

/// Gradients of the first step, by name.
pub(crate) fn first_gradients(out: &Path) -> BTreeMap<String, Vec<f64>> {
    let path = out.join("state/step-00000001/optimizer.safetensors");
    let values = |t: &Tensor| t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    let tensors = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    tensors.iter().map(|(name, tensor)| (name.clone(), values(tensor))).collect()
}

pub(crate) fn assert_same_losses(one: &Path, several: &Path, count: usize) {
    let (one, several) = (losses(one), losses(several));
    assert_eq!((one.len(), several.len()), (count, count));
    for (a, b) in one.iter().flatten().zip(several.iter().flatten()) {
        assert!((a - b).abs() <= TOLERANCE * a.abs(), "{one:?} against {several:?}");
    }
}

pub(crate) fn assert_same_gradients(one: &Path, several: &Path) {
    let (one, several) = (first_gradients(one), first_gradients(several));
    assert_eq!(one.keys().collect::<Vec<_>>(), several.keys().collect::<Vec<_>>());
    let largest = |values: &[f64]| values.iter().fold(0f64, |most, v| most.max(v.abs()));
    let overall = one.values().map(|values| largest(values)).fold(0.0, f64::max);
    assert!(overall > 0.0 && one.len() > 50);
    for (name, a) in &one {
        let allowed = TOLERANCE * largest(a) + NOISE * overall;
        for (a, b) in a.iter().zip(&several[name]) {
            assert!((a - b).abs() <= allowed, "{name}: {a} against {b}, allowed {allowed}");
        }
    }
}
