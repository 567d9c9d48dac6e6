//! Networks as ONNX files, for other runtimes: images in, landmarks and heatmaps out, any number of images.
//!
//! Opset 17; a test runs the files elsewhere, beside the network that runs here.
//!
//! OpenVINO computes in bf16 on CPUs that have it unless told otherwise, which moved landmarks of a small network by up to 0.09 of
//! `[-1, 1]`: compile with `INFERENCE_PRECISION_HINT` `f32`.

mod model;
mod walk;
mod writer;

use candle_core::{Error, Result, bail};

use crate::checkpoint::Folder;
use writer::Writer;

/// Version of the operators: the first with everything that is needed and old enough for every runtime in use.
const OPSET: i64 = 17;

/// Name of the input: `[batch, 3, S, S]`, in the channel order and scaling of the file's metadata.
pub const INPUT: &str = "images";

/// Name of the output `[batch, K, 2]`: x then y in `[-1, 1]`, outer pixel centres of the map at the ends.
pub const LANDMARKS: &str = "landmarks";

/// Name of the output `[batch, K, S / 4, S / 4]`.
pub const HEATMAPS: &str = "heatmaps";

/// Least sum of a map that is divided by: the decoder's.
const LEAST_MASS: f32 = 1e-6;

/// The bytes of an ONNX file that computes what `folder`'s network does in evaluation, weights in `f32`, for any number of images.
///
/// # Errors
/// When a tensor is missing or misshapen.
pub fn export(folder: &Folder) -> Result<Vec<u8>> {
    export_for(folder, None)
}

/// The same for exactly `batch` images: some runtimes (TensorRT, NPUs) want a fixed shape.
///
/// # Errors
/// As [`export`], and when `batch` is 0.
pub fn export_for(folder: &Folder, batch: Option<usize>) -> Result<Vec<u8>> {
    if batch == Some(0) {
        bail!("batch: expected at least 1 image, got 0")
    }
    let architecture = &folder.config.architecture;
    architecture.check(&folder.tensors)?;
    let mut graph = Writer::new(&folder.tensors);
    let maps = walk::write(&mut graph, &architecture.graph()?, INPUT)?;
    let size = architecture.input().map_size;
    let maps = graph.named("Identity", &[&maps], HEATMAPS);
    decode(&mut graph, &maps, size);
    model::encode(graph, folder, batch).map_err(Error::wrap)
}

/// Centres of mass over a grid whose ends are the outer pixel centres.
fn decode(graph: &mut Writer, maps: &str, size: usize) {
    let axis = |i: usize| (2.0 * i as f64 / (size.max(2) - 1) as f64 - 1.0) as f32;
    let grid = (0..size * size).flat_map(|i| [axis(i % size), axis(i / size)]).collect();
    let grid = graph.constant("decoder.grid", &[size * size, 2], grid);
    let least = graph.constant("decoder.least_mass", &[], vec![LEAST_MASS]);
    let shape = graph.integers("decoder.shape", &[0, 0, -1]);
    let axes = graph.integers("decoder.axes", &[2]);
    let flat = graph.node("Reshape", &[maps, &shape]);
    let moments = graph.node("MatMul", &[&flat, &grid]);
    let mass = graph.node_with("ReduceSum", &[&flat, &axes], vec![writer::int("keepdims", 1)]);
    let mass = graph.node("Max", &[&mass, &least]);
    graph.named("Div", &[&moments, &mass], LANDMARKS);
}
