//! `star bench`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Preset;

/// Instruction set of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsaName {
    /// Any CPU
    Portable,
    /// 64-bit ARM
    Neon,
    /// x86-64 with AVX2 and FMA
    Avx2,
    /// x86-64 with AVX-512
    Avx512,
    /// x86-64 with AVX-512 and AMX
    Amx,
}

/// What a network's products are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    /// Single precision
    F32,
    /// Weights and activations rounded to bf16; sums and norms stay in f32
    Bf16,
    /// 1x1 convolutions of bytes, as far as `star quantize` found the weights to bear it; all else as with auto
    Int8,
    /// bf16 where that is faster (AMX, AMD's AVX512-BF16), f32 elsewhere
    Auto,
}

/// Arguments of `star bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Weights to time, as `star predict` takes them [default: random ones in the shape of --preset]
    #[arg(long, value_name = "DIR|FILE|NAME|hf:...", conflicts_with = "preset")]
    pub weights: Option<PathBuf>,
    /// A network for 98 points with random weights: time does not depend on their values
    #[arg(long, value_enum, default_value_t = Preset::Reference)]
    pub preset: Preset,
    /// Threads to use [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Images that go through the network together
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub batch_size: usize,
    /// Timed runs, after two that are not
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub runs: usize,
    /// Instruction set of the kernels [default: the best that the CPU has]
    #[arg(long, value_enum)]
    pub isa: Option<IsaName>,
    /// What products are computed in
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    pub precision: PrecisionName,
    /// Print how far landmarks lie from those of this precision, too
    #[arg(long, value_enum)]
    pub against: Option<PrecisionName>,
    /// Return every stage's maps instead of the last stage's landmarks alone
    #[arg(long)]
    pub maps: bool,
    /// Print the time of every step in the network's order, not of the five slowest groups of steps alone
    #[arg(long)]
    pub steps: bool,
    /// File for the figures as JSON, `-` for standard output instead of the table
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}
