//! Per-image errors and figures of the public reference implementation on 200 shapes of each scheme.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use safetensors::SafeTensors;
use star_eval::{Ced, Normalizer, nme};

/// The golden errors are stored in f32, whose rounding is 6e-8 relative.
const NME_RELATIVE: f64 = 1e-6;
const MEAN_RELATIVE: f64 = 1e-6;
/// Both integrations must come this close to the reference's printed area.
const AUC_ABSOLUTE: f64 = 1e-4;

struct Golden {
    predicted: Vec<Vec<[f32; 2]>>,
    truth: Vec<Vec<[f32; 2]>>,
    nmes: Vec<f64>,
    figures: serde_json::Value,
}

fn read(scheme: &str) -> Golden {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let bytes = std::fs::read(format!("{folder}/metrics_{scheme}.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).unwrap().data();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    let keypoints = tensors.tensor("truth").unwrap().shape()[1];
    let shapes = |name: &str| -> Vec<Vec<[f32; 2]>> {
        let floats = floats(name);
        floats
            .chunks_exact(2 * keypoints)
            .map(|s| s.chunks_exact(2).map(|p| [p[0], p[1]]).collect())
            .collect()
    };
    let text = std::fs::read_to_string(format!("{folder}/metrics.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_str(&text).unwrap();
    Golden {
        predicted: shapes("predicted"),
        truth: shapes("truth"),
        nmes: floats("nme").into_iter().map(f64::from).collect(),
        figures: figures[scheme].clone(),
    }
}

/// `grid_end` is where the reference stops integrating: the threshold, or one step of 1e-4 beyond it at 0.05.
fn agrees_with_the_reference(scheme: &str, normalizer: Normalizer, threshold: f64, grid_end: f64) {
    let golden = read(scheme);
    assert_eq!(golden.nmes.len(), 200);
    let errors: Vec<f64> = golden
        .predicted
        .iter()
        .zip(&golden.truth)
        .map(|(p, t)| nme(p, t, None, normalizer.length(t).unwrap()).unwrap())
        .collect();
    for (i, (ours, theirs)) in errors.iter().zip(&golden.nmes).enumerate() {
        assert!((ours - theirs).abs() <= NME_RELATIVE * theirs, "image {i}: {ours} against {theirs}");
    }
    let figure = |name: &str| golden.figures[name].as_f64().unwrap();
    assert_eq!(figure("threshold"), threshold);
    let ced = Ced::new(errors).unwrap();
    let mean = figure("nme_mean");
    assert!((ced.mean() - mean).abs() <= MEAN_RELATIVE * mean, "{} against {mean}", ced.mean());
    assert!((ced.failure_rate(threshold) - figure("failure_rate")).abs() < 1e-12);
    let auc = figure("auc");
    let simpson = ced.auc_simpson(threshold);
    assert!((simpson - auc).abs() < AUC_ABSOLUTE, "Simpson {simpson} against {auc}");
    // The exact area, taken to where the reference's grid ends, is the same number.
    let exact = ced.auc(grid_end) * grid_end / threshold;
    assert!((exact - auc).abs() < AUC_ABSOLUTE, "exact {exact} against {auc}");
}

#[test]
fn wflw_figures_are_the_references() {
    agrees_with_the_reference("wflw", Normalizer::Between(vec![60], vec![72]), 0.10, 0.10);
}

#[test]
fn face300w_figures_are_the_references() {
    agrees_with_the_reference("300w", Normalizer::Between(vec![36], vec![45]), 0.05, 0.0501);
}
