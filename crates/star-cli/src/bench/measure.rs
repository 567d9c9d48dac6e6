//! Measuring a network: times, memory, and what the machine could do.

use std::time::{Duration, Instant};

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use star_model::{CompiledModel, LandmarkModel, Precision, StepTime, gemm_peak, register_peak};
use star_predict::tensors;

use crate::args::BenchArgs;

/// Runs before the timed ones: the first takes memory from the system.
const WARM_UP: usize = 2;

/// Floats that are copied to measure memory: far more than any cache holds.
const COPIED: usize = 32 * 1024 * 1024;

/// What was measured. Times in milliseconds, memory in mebibytes.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) network: String,
    pub(super) isa: &'static str,
    /// Of its 1x1 convolutions.
    pub(super) precision: &'static str,
    pub(super) threads: usize,
    pub(super) batch_size: usize,
    pub(super) runs: usize,
    /// Reading or drawing the weights and compiling the network.
    pub(super) start_ms: f64,
    /// Of a whole batch.
    pub(super) median_ms: f64,
    pub(super) min_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) images_per_second: f64,
    /// Of one image by plain convolution.
    pub(super) gmac: f64,
    /// Plain convolution's multiplications a second: beyond the peak where Winograd saves some.
    pub(super) gmac_per_second: f64,
    /// Of multiplications on registers alone, one thread.
    pub(super) register_gmac_per_second: f64,
    /// Of the micro-kernel alone, one thread.
    pub(super) peak_gmac_per_second: f64,
    /// Of a large copy, read and written, one thread.
    pub(super) copy_gb_per_second: f64,
    pub(super) weights_mib: f64,
    pub(super) activations_mib: f64,
    /// Of the whole process, where the system tells.
    pub(super) process_peak_mib: Option<f64>,
    pub(super) steps: Vec<StepFigures>,
    /// Of its landmarks from those of another precision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) distances: Option<Distances>,
}

/// Distances of landmarks in pixels of the network's input.
#[derive(Debug, Serialize)]
pub(super) struct Distances {
    pub(super) against: &'static str,
    pub(super) mean_px: f32,
    pub(super) largest_px: f32,
}

#[derive(Debug, Serialize)]
pub(super) struct StepFigures {
    pub(super) name: String,
    /// Median over the runs.
    pub(super) ms: f64,
    pub(super) gmac: f64,
}

/// Times the network that `open` returns with its name; opening it is timed too.
///
/// # Errors
/// When it cannot be opened, or fails.
pub(super) fn measure(
    args: &BenchArgs,
    threads: usize,
    open: impl FnOnce() -> Result<(String, CompiledModel)>,
) -> Result<Figures> {
    let start = Instant::now();
    let (network, model) = open()?;
    let start_ms = milliseconds(start.elapsed());
    let images = images(&model, args.batch_size)?;
    for _ in 0..WARM_UP {
        once(&model, &images, args.maps)?;
    }
    let mut times = Vec::with_capacity(args.runs);
    for _ in 0..args.runs {
        let start = Instant::now();
        once(&model, &images, args.maps)?;
        times.push(milliseconds(start.elapsed()));
    }
    times.sort_by(f64::total_cmp);
    let process_peak_mib = peak_memory();
    let profiles: Vec<Vec<StepTime>> =
        (0..args.runs.min(10)).map(|_| model.profile(&images)).collect::<Result<_, _>>()?;
    let (weights, activations) = model.memory();
    let (median_ms, gmac) = (percentile(&times, 0.5), model.multiplications() as f64 / 1e9);
    let images_per_second = args.batch_size as f64 / median_ms * 1e3;
    Ok(Figures {
        network,
        isa: model.isa().name(),
        precision: name(model.precision()),
        threads,
        batch_size: args.batch_size,
        runs: args.runs,
        start_ms,
        median_ms,
        min_ms: times[0],
        p90_ms: percentile(&times, 0.9),
        p99_ms: percentile(&times, 0.99),
        images_per_second,
        gmac,
        gmac_per_second: gmac * images_per_second,
        register_gmac_per_second: register_peak(model.isa())? / 1e9,
        peak_gmac_per_second: gemm_peak(model.isa())? / 1e9,
        copy_gb_per_second: copy_speed() / 1e9,
        weights_mib: mebibytes(weights),
        activations_mib: mebibytes(activations),
        process_peak_mib,
        steps: steps(&profiles),
        distances: None,
    })
}

fn name(precision: Precision) -> &'static str {
    match precision {
        Precision::Int8 => "int8",
        Precision::Bf16 => "bf16",
        _ => "f32",
    }
}

/// `count` images that are the same in every run.
fn images(model: &CompiledModel, count: usize) -> Result<Tensor> {
    let size = model.input().image_size;
    let bytes: Vec<u8> = (0..count * 3 * size * size).map(|i| ((i * 7919 + i / 97) % 256) as u8).collect();
    Ok(tensors::images(&bytes, size, model.input(), DType::F32, &Device::Cpu)?)
}

/// How far `model`'s landmarks lie from those of `other`.
pub(super) fn distances(model: &CompiledModel, other: &CompiledModel, count: usize) -> Result<Distances> {
    let images = images(model, count)?;
    let means = |model: &CompiledModel| model.moments(&images)?.means.flatten_all()?.to_vec1::<f32>();
    // [-1, 1] reaches from the centre of a map's first pixel to that of its last.
    let input = model.input();
    let scale = 0.5 * (input.image_size - input.image_size / input.map_size) as f32;
    let (ours, theirs) = (means(model)?, means(other)?);
    let pairs = ours.chunks_exact(2).zip(theirs.chunks_exact(2));
    let all: Vec<f32> = pairs.map(|(a, b)| scale * (a[0] - b[0]).hypot(a[1] - b[1])).collect();
    Ok(Distances {
        against: name(other.precision()),
        mean_px: all.iter().sum::<f32>() / all.len().max(1) as f32,
        largest_px: all.iter().copied().fold(0.0, f32::max),
    })
}

fn once(model: &CompiledModel, images: &Tensor, maps: bool) -> Result<()> {
    if maps {
        std::hint::black_box(model.forward_t(images, false)?);
    } else {
        std::hint::black_box(model.moments(images)?);
    }
    Ok(())
}

/// Medians over profiles of the same steps.
fn steps(profiles: &[Vec<StepTime>]) -> Vec<StepFigures> {
    let Some(first) = profiles.first() else { return Vec::new() };
    let median = |i: usize| {
        let mut times: Vec<f64> = profiles.iter().map(|profile| milliseconds(profile[i].time)).collect();
        times.sort_by(f64::total_cmp);
        percentile(&times, 0.5)
    };
    let figures = |(i, step): (usize, &StepTime)| StepFigures {
        name: step.name.clone(),
        ms: median(i),
        gmac: step.multiplications as f64 / 1e9,
    };
    first.iter().enumerate().map(figures).collect()
}

/// Value below which a share of the sorted values lies, interpolated.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

/// Largest resident memory of this process, where the system tells (Linux).
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// Bytes a second, read and written, of one thread's best copy.
fn copy_speed() -> f64 {
    let (from, mut to) = (vec![1.0f32; COPIED], vec![0.0f32; COPIED]);
    let mut best = Duration::MAX;
    for _ in 0..4 {
        let start = Instant::now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&mut to);
        best = best.min(start.elapsed());
    }
    (2 * COPIED * size_of::<f32>()) as f64 / best.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_interpolated() {
        let values = [1.0, 2.0, 3.0, 5.0];
        assert_eq!(percentile(&values, 0.0), 1.0);
        // halfway between 2 and 3; nine tenths of three steps is 0.7 beyond 3
        assert_eq!(percentile(&values, 0.5), 2.5);
        assert!((percentile(&values, 0.9) - 4.4).abs() < 1e-12);
        assert_eq!(percentile(&[7.0], 0.99), 7.0);
    }
}
