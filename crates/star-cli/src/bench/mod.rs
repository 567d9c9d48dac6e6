//! `star bench`: timing a network: latency, throughput, memory, and where the time goes.

mod measure;
mod table;

use std::path::Path;

use anyhow::{Result, ensure};
use candle_core::{DType, Device};
use star_model::{
    CompileOptions, CompiledModel, HrNet, HrNetConfig, Isa, LightPyramid, LightPyramidConfig, Parameters,
    Precision, StackedHourglass, StackedHourglassConfig,
};

use crate::args::{BenchArgs, HintArgs, IsaName, PrecisionName, Preset};
use crate::output;
use crate::weights::open_named;
use measure::{distances, measure};
use table::table;

/// Runs `star bench`.
///
/// # Errors
/// When the weights cannot be read, the CPU lacks the instruction set or the results cannot be written.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    ensure!(args.runs > 0, "--runs: expected at least 1, got 0");
    args.json.iter().try_for_each(|path| output::claim(path, args.weights.as_slice()))?;
    ensure!(args.batch_size > 0, "--batch-size: expected at least 1, got 0");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads.unwrap_or(0)).build()?;
    let threads = pool.current_num_threads();
    // With one thread everything stays on this one.
    let measure = || {
        let options = |name| CompileOptions {
            isa: args.isa.map(isa),
            threads: Some(threads),
            precision: precision(name),
        };
        let mut figures = measure(args, threads, || open(args, &options(args.precision)))?;
        if let Some(other) = args.against {
            let model = |name| Ok::<_, anyhow::Error>(open(args, &options(name))?.1);
            figures.distances = Some(distances(&model(args.precision)?, &model(other)?, args.batch_size)?);
        }
        Ok::<_, anyhow::Error>(figures)
    };
    let figures = if threads == 1 { measure()? } else { pool.install(measure)? };
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

/// The network that the arguments ask for, and what to call it.
fn open(args: &BenchArgs, options: &CompileOptions) -> Result<(String, CompiledModel)> {
    if let Some(weights) = &args.weights {
        let model = if weights.is_dir() {
            CompiledModel::open(weights, options)?
        } else {
            CompiledModel::from_folder(&open_named(weights, &HintArgs::default())?.0, options)?
        };
        return Ok((weights.display().to_string(), model));
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
        Preset::Light => {
            ("light", LightPyramid::new(&LightPyramidConfig::standard(98), vb)?.compile_with(options)?)
        }
    };
    Ok((format!("{name}, random weights"), model))
}

/// What the name of a precision stands for.
pub(crate) fn precision(name: PrecisionName) -> Precision {
    match name {
        PrecisionName::F32 => Precision::F32,
        PrecisionName::Bf16 => Precision::Bf16,
        PrecisionName::Int8 => Precision::Int8,
        PrecisionName::Auto => Precision::Auto,
    }
}

fn isa(name: IsaName) -> Isa {
    match name {
        IsaName::Portable => Isa::Portable,
        IsaName::Neon => Isa::Neon,
        IsaName::Avx2 => Isa::Avx2,
        IsaName::Avx512 => Isa::Avx512,
        IsaName::Amx => Isa::Amx,
    }
}
