//! Timing a network: latency, throughput, memory, and where the time goes.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use star_model::{
    CompileOptions, CompiledModel, HrNet, HrNetConfig, Isa, LandmarkModel, Parameters, StackedHourglass,
    StackedHourglassConfig, StepTime, gemm_peak,
};
use star_predict::tensors;

use crate::args::{BenchArgs, IsaName, Preset};
use crate::output;

/// Runs before the timed ones: the first takes memory from the system.
const WARM_UP: usize = 2;

/// Floats that are copied to measure memory: far more than any cache holds.
const COPIED: usize = 32 * 1024 * 1024;

/// What was measured. Times in milliseconds, memory in mebibytes.
#[derive(Debug, Serialize)]
struct Figures {
    network: String,
    isa: &'static str,
    threads: usize,
    batch_size: usize,
    runs: usize,
    /// Reading or drawing the weights and compiling the network.
    start_ms: f64,
    /// Of a whole batch.
    median_ms: f64,
    min_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    images_per_second: f64,
    /// Of one image by plain convolution.
    gmac: f64,
    /// Plain convolution's multiplications a second: beyond the peak where Winograd saves some.
    gmac_per_second: f64,
    /// Of the micro-kernel alone, one thread.
    peak_gmac_per_second: f64,
    /// Of a large copy, read and written, one thread.
    copy_gb_per_second: f64,
    weights_mib: f64,
    activations_mib: f64,
    /// Of the whole process, where the system tells.
    process_peak_mib: Option<f64>,
    steps: Vec<StepFigures>,
}

#[derive(Debug, Serialize)]
struct StepFigures {
    name: String,
    /// Median over the runs.
    ms: f64,
    gmac: f64,
}

/// Runs `star bench`.
///
/// # Errors
/// When the weights cannot be read, the CPU lacks the instruction set or the results cannot be written.
pub fn run(args: &BenchArgs) -> Result<()> {
    ensure!(args.runs > 0, "--runs: expected at least 1, got 0");
    ensure!(args.batch_size > 0, "--batch-size: expected at least 1, got 0");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0)).build()?;
    let threads = pool.current_num_threads();
    // With one thread everything stays on this one.
    let figures =
        if threads == 1 { measure(args, threads)? } else { pool.install(|| measure(args, threads))? };
    let json = || Ok::<_, anyhow::Error>(serde_json::to_string_pretty(&figures)? + "\n");
    match &args.json {
        Some(path) if path == Path::new("-") => output::write_text(path, &json()?),
        Some(path) => {
            output::write_text(path, &json()?)?;
            output::write_text(Path::new("-"), &table(&figures, args.steps))
        }
        None => output::write_text(Path::new("-"), &table(&figures, args.steps)),
    }
}

fn measure(args: &BenchArgs, threads: usize) -> Result<Figures> {
    let start = Instant::now();
    let options = CompileOptions { isa: args.isa.map(isa), threads: Some(threads) };
    let (network, model) = open(args, &options)?;
    let start_ms = milliseconds(start.elapsed());
    let size = model.input().image_size;
    let bytes: Vec<u8> =
        (0..args.batch_size * 3 * size * size).map(|i| ((i * 7919 + i / 97) % 256) as u8).collect();
    let images = tensors::images(&bytes, size, model.input(), DType::F32, &Device::Cpu)?;
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
        peak_gmac_per_second: gemm_peak(model.isa())? / 1e9,
        copy_gb_per_second: copy_speed() / 1e9,
        weights_mib: mebibytes(weights),
        activations_mib: mebibytes(activations),
        process_peak_mib,
        steps: steps(&profiles),
    })
}

/// The network that the arguments ask for, and what to call it.
fn open(args: &BenchArgs, options: &CompileOptions) -> Result<(String, CompiledModel)> {
    if let Some(dir) = &args.weights {
        return Ok((dir.display().to_string(), CompiledModel::open(dir, options)?));
    }
    // 98 points on 9 edges, as WFLW has.
    let edges = (0..9).map(|e| (10 * e..10 * e + 12).map(|k| k % 98).collect()).collect();
    let vb = Parameters::new(0).var_builder(DType::F32, &Device::Cpu);
    let hourglass = |config| StackedHourglass::new(&config, vb.clone())?.compile_with(options);
    let (name, model) = match args.preset {
        Preset::Reference => ("reference", hourglass(StackedHourglassConfig::reference(98, edges))?),
        Preset::Lite => ("lite", hourglass(StackedHourglassConfig::lite(98, edges))?),
        Preset::Tiny => ("tiny", hourglass(StackedHourglassConfig::tiny(98, edges))?),
        Preset::HrnetW18 => ("hrnet-w18", HrNet::new(&HrNetConfig::w18(98), vb)?.compile_with(options)?),
    };
    Ok((format!("{name}, random weights"), model))
}

fn once(model: &CompiledModel, images: &Tensor, maps: bool) -> Result<()> {
    if maps {
        std::hint::black_box(model.forward_t(images, false)?);
    } else {
        std::hint::black_box(model.moments(images)?);
    }
    Ok(())
}

fn isa(name: IsaName) -> Isa {
    match name {
        IsaName::Portable => Isa::Portable,
        IsaName::Neon => Isa::Neon,
        IsaName::Avx2 => Isa::Avx2,
        IsaName::Avx512 => Isa::Avx512,
    }
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

/// The group that a step is counted in: the part of the network, and what kind of step at which size is told by its name.
fn group(name: &str) -> String {
    let part = name.split('.').next().unwrap_or(name);
    let kind = match name.rsplit('.').next().unwrap_or(name) {
        kind @ ("conv1" | "conv2" | "conv3" | "entry" | "pool" | "up2" | "activate" | "stage"
        | "coordinates") => kind,
        _ => "conv",
    };
    let depth = name.matches(".low").count();
    match part {
        "hgs" => format!("hgs level {depth} {kind}"),
        part => format!("{part} {kind}"),
    }
}

fn table(figures: &Figures, every_step: bool) -> String {
    let mut text = String::new();
    let f = figures;
    let peak = f.peak_gmac_per_second;
    // Writing into a string cannot fail.
    let mut line = |what: String| {
        let _ = writeln!(text, "{what}");
    };
    line(format!("network       {} ({:.2} GMAC an image)", f.network, f.gmac));
    line(format!("runs          {} of {} images, {} threads, {}", f.runs, f.batch_size, f.threads, f.isa));
    line(format!("start         {:.0} ms", f.start_ms));
    line(format!(
        "latency       median {:.1} ms, min {:.1}, 90 % {:.1}, 99 % {:.1}",
        f.median_ms, f.min_ms, f.p90_ms, f.p99_ms
    ));
    line(format!(
        "throughput    {:.1} images/s, {:.1} GMAC/s of plain convolution",
        f.images_per_second, f.gmac_per_second
    ));
    line(format!(
        "machine       {peak:.1} GMAC/s and {:.1} GB/s of copying, one thread",
        f.copy_gb_per_second
    ));
    line(format!(
        "memory        weights {:.0} MiB, activations {:.0} MiB{}",
        f.weights_mib,
        f.activations_mib,
        f.process_peak_mib.map_or(String::new(), |peak| format!(", process at most {peak:.0} MiB"))
    ));
    let mut groups: Vec<(String, f64, f64)> = Vec::new();
    for step in &f.steps {
        let name = if every_step { step.name.clone() } else { group(&step.name) };
        match groups.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, ms, gmac)) => {
                *ms += step.ms;
                *gmac += step.gmac;
            }
            None => groups.push((name, step.ms, step.gmac)),
        }
    }
    let total: f64 = groups.iter().map(|(_, ms, _)| ms).sum();
    line(format!(
        "\n{:<40} {:>9} {:>7} {:>8} {:>9}",
        "one image, all threads", "ms", "share", "GMAC", "GMAC/s"
    ));
    for (name, ms, gmac) in &groups {
        let speed = if *gmac > 0.0 { format!("{:.0}", gmac / ms * 1e3) } else { String::new() };
        line(format!("{name:<40} {ms:>9.3} {:>6.1}% {gmac:>8.3} {speed:>9}", 100.0 * ms / total));
    }
    text
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

    #[test]
    fn steps_are_grouped_by_part_level_and_kind() {
        assert_eq!(group("hgs.0.low2.low1.conv2"), "hgs level 2 conv2");
        assert_eq!(group("hgs.3.up1.conv1"), "hgs level 0 conv1");
        assert_eq!(group("features.2.0.conv1"), "features conv1");
        assert_eq!(group("merge.1"), "merge conv");
    }
}
