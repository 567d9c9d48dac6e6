//! Networks as ONNX files, for other runtimes: images in, landmarks and heatmaps out, any number of images.
//!
//! Tests run the files elsewhere, in ONNX Runtime and in OpenVINO, beside the network that runs here.
//!
//! OpenVINO computes in bf16 on CPUs that have it unless told otherwise, which moved landmarks of a small network by up to 0.09 of
//! `[-1, 1]`: compile with `INFERENCE_PRECISION_HINT` `f32`.

mod model;
mod walk;
mod writer;

use std::ops::RangeInclusive;

use candle_core::{Error, Result, bail};

use crate::checkpoint::Folder;
use writer::Writer;

/// Versions of ONNX's operators that a file can be written in. Older ones cannot enlarge maps by the rule of the networks.
pub const OPSETS: RangeInclusive<i64> = 11..=24;

/// Name of the input: `[batch, 3, S, S]`, in the channel order and scaling of the file's metadata.
pub const INPUT: &str = "images";

/// Name of the output `[batch, K, 2]`: x then y in `[-1, 1]`, outer pixel centres of the map at the ends.
pub const LANDMARKS: &str = "landmarks";

/// Name of the output `[batch, K, S / 4, S / 4]`.
pub const HEATMAPS: &str = "heatmaps";

/// Least sum of a map that is divided by: the decoder's.
const LEAST_MASS: f32 = 1e-6;

/// What a file is written for.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportOptions {
    /// Exactly so many images at a time, for runtimes that want a fixed shape (TensorRT, NPUs); any number where it is `None`.
    pub images: Option<usize>,
    /// Version of ONNX's operators, one of [`OPSETS`].
    pub opset: i64,
    /// Landmarks made of the network's own, to be given instead of them.
    pub made: Option<MadeLandmarks>,
}

impl ExportOptions {
    /// Version of the operators unless another is asked for: old enough for every runtime in use.
    pub const OPSET: i64 = 17;
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { images: None, opset: Self::OPSET, made: None }
    }
}

/// Landmarks of another scheme than the network's, each a weighted mean of some of its own. Heatmaps stay the network's.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeLandmarks {
    /// Name of their scheme.
    pub scheme: String,
    /// The scheme itself, as in [`FolderConfig`](crate::checkpoint::FolderConfig).
    pub keypoint_scheme: Option<serde_json::Value>,
    /// For each, the network's keypoints that it is made of and their weights.
    pub parts: Vec<Vec<(usize, f32)>>,
}

/// The bytes of an ONNX file that computes what `folder`'s network does in evaluation, weights in `f32`, for any number of images.
///
/// # Errors
/// When a tensor is missing or misshapen.
pub fn export(folder: &Folder) -> Result<Vec<u8>> {
    export_with(folder, &ExportOptions::default())
}

/// The same as `options` ask for.
///
/// # Errors
/// As [`export`], and names the option that cannot be followed.
pub fn export_with(folder: &Folder, options: &ExportOptions) -> Result<Vec<u8>> {
    if options.images == Some(0) {
        bail!("images: expected at least 1, got 0")
    }
    if !OPSETS.contains(&options.opset) {
        bail!("opset: expected {} to {}, got {}", OPSETS.start(), OPSETS.end(), options.opset)
    }
    let architecture = &folder.config.architecture;
    architecture.check(&folder.tensors)?;
    let mut graph = Writer::new(&folder.tensors, options.opset);
    let maps = walk::write(&mut graph, &architecture.graph()?, INPUT)?;
    let size = architecture.input().map_size;
    let maps = graph.named("Identity", &[&maps], HEATMAPS);
    let landmarks = decode(&mut graph, &maps, size);
    let landmarks = match &options.made {
        Some(made) => make(&mut graph, &landmarks, made, architecture.keypoints())?,
        None => landmarks,
    };
    graph.named("Identity", &[&landmarks], LANDMARKS);
    model::encode(graph, folder, options).map_err(Error::wrap)
}

/// Centres of mass over a grid whose ends are the outer pixel centres.
fn decode(graph: &mut Writer, maps: &str, size: usize) -> String {
    let axis = |i: usize| (2.0 * i as f64 / (size.max(2) - 1) as f64 - 1.0) as f32;
    let grid = (0..size * size).flat_map(|i| [axis(i % size), axis(i / size)]).collect();
    let grid = graph.constant("decoder.grid", &[size * size, 2], grid);
    let least = graph.constant("decoder.least_mass", &[], vec![LEAST_MASS]);
    let shape = graph.integers("decoder.shape", &[0, 0, -1]);
    let flat = graph.node("Reshape", &[maps, &shape]);
    let moments = graph.node("MatMul", &[&flat, &grid]);
    let mass = graph.reduce("ReduceSum", &flat, &[2]);
    let mass = graph.node("Max", &[&mass, &least]);
    graph.node("Div", &[&moments, &mass])
}

/// The landmarks that `made` asks for, of the network's `keypoints`: as many gathers as the most parts of one.
fn make(graph: &mut Writer, own: &str, made: &MadeLandmarks, keypoints: usize) -> Result<String> {
    let wrong = |part: &Vec<(usize, f32)>| part.is_empty() || part.iter().any(|(k, _)| *k >= keypoints);
    if let Some(i) = made.parts.iter().position(wrong) {
        bail!("landmark {i} of `{}`: expected parts below {keypoints}, got {:?}", made.scheme, made.parts[i])
    }
    let most = made.parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut sum: Option<String> = None;
    for place in 0..most {
        // One with fewer parts has its first again, of no weight.
        let parts = made.parts.iter().map(|part| part.get(place).copied().unwrap_or((part[0].0, 0.0)));
        let (indices, weights): (Vec<i64>, Vec<f32>) = parts.map(|(k, weight)| (k as i64, weight)).unzip();
        let indices = graph.integers(&format!("made.{place}.index"), &indices);
        let mut landmarks = graph.node_with("Gather", &[own, &indices], vec![writer::int("axis", 1)]);
        if weights.iter().any(|weight| *weight != 1.0) {
            let weights = graph.constant(&format!("made.{place}.weight"), &[weights.len(), 1], weights);
            landmarks = graph.node("Mul", &[&landmarks, &weights]);
        }
        sum = Some(sum.map_or(landmarks.clone(), |sum| graph.sum(&sum, &landmarks)));
    }
    match sum {
        Some(landmarks) => Ok(landmarks),
        None => bail!("`{}`: expected landmarks, got none", made.scheme),
    }
}
