//! Times a network from an ONNX file in tract, for `../inference.py --against tract`:
//!
//!     tract-peer MODEL.onnx THREADS RUNS

use std::time::Instant;

use tract_onnx::prelude::*;
use tract_linalg::multithread::{Executor, set_default_executor};

fn main() -> TractResult<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, path, threads, runs] = arguments.as_slice() else {
        stop("tract-peer MODEL.onnx THREADS RUNS");
    };
    let (threads, runs): (usize, usize) = (threads.parse()?, runs.parse()?);
    if threads > 1 {
        set_default_executor(Executor::multithread(threads));
    }
    let start = Instant::now();
    let model = tract_onnx::onnx().model_for_path(path)?.into_optimized()?;
    let shape = model.input_fact(0)?.shape.as_concrete().map(<[usize]>::to_vec).unwrap_or_default();
    let model = model.into_runnable()?;
    let started = start.elapsed();
    let values = (0..shape.iter().product()).map(|i: usize| (i * 7919 % 255) as f32 / 127.5 - 1.0).collect();
    let images: Tensor = tract_ndarray::ArrayD::from_shape_vec(shape, values)?.into();
    let mut times = Vec::new();
    for run in 0..2 + runs {
        let start = Instant::now();
        model.run(tvec!(images.clone().into_tvalue()))?;
        if run >= 2 {
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{}",
        serde_json::json!({
            "median_ms": times[times.len() / 2],
            "min_ms": times[0],
            "start_ms": 1e3 * started.as_secs_f64(),
            "process_peak_mib": peak_memory(),
            "version": "0.23",
        })
    );
    Ok(())
}

fn stop(usage: &str) -> ! {
    eprintln!("usage: {usage}");
    std::process::exit(2)
}

/// The largest resident size of this process, MiB, where the system tells (Linux).
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
