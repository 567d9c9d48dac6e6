//! A network compiled for inference on a CPU: weights folded, joined and packed once, memory planned and reused.
//!
//! [`StackedHourglass::compile`](crate::StackedHourglass::compile) makes one. `lowered` is the network's graph, which `passes` rewrite;
//! `fold` says what its convolutions are made of and works that out; `schedule` makes a `program` of steps of it; `run` walks through
//! that; `ops` are the steps, shared out over threads; `kernels` are their inner loops, one set for each instruction set.

mod batch;
mod fold;
pub(crate) mod kernels;
mod lowered;
pub(crate) mod memory;
mod open;
pub(crate) mod ops;
mod passes;
mod peak;
mod program;
mod quantize;
mod run;
mod schedule;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use candle_core::{DType, Device, Result, Tensor, bail};

pub use kernels::Isa;
use kernels::Kernels;
use lowered::Lowered;
pub use peak::{gemm_peak, register_peak};
use program::Program;
use quantize::Narrow;
pub use quantize::{Quantization, QuantizationSamples};
use run::Arena;

use crate::networks::Network;
use crate::{InputSpec, LandmarkModel, Stage};

/// How a network is compiled.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions {
    /// Instruction set of the kernels; `None` is the best that this CPU has.
    pub isa: Option<Isa>,
    /// Most threads that a call uses, all of the rayon pool that it is made in; `None` is all of that pool. With 1
    /// everything stays on the calling thread.
    pub threads: Option<usize>,
    /// What products are computed in.
    pub precision: Precision,
}

/// What a compiled network's products are computed in: 1x1 convolutions and those of 3x3 by Winograd, nearly all of its arithmetic; on
/// [`Isa::Amx`] all convolutions but those of each channel by itself. Sums, norms, heads' activations and moments are `f32` whatever this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Weights and activations rounded to bf16 on their way into a product: faster where the CPU has instructions for it
    /// ([`Isa::gains_by_bf16`]), slower elsewhere. On [`Isa::Amx`] what only products read is also kept so in memory.
    Bf16,
    /// 1x1 convolutions of bytes, as far as the weights' [`Quantization`] has ranges for what they read; all else as with
    /// [`Precision::Auto`]. Needs weights that have one; much slower where the CPU has no instructions for it ([`Isa::has_bf16`]).
    Int8,
    /// [`Precision::Bf16`] where that is faster ([`Isa::gains_by_bf16`]), [`Precision::F32`] elsewhere.
    Auto,
}

impl Precision {
    /// Whether products that are not of bytes are in bf16.
    fn is_bf16(self, isa: Isa) -> bool {
        match self {
            Self::F32 => false,
            Self::Bf16 => true,
            Self::Int8 | Self::Auto => isa.gains_by_bf16(),
        }
    }
}

/// A network compiled for inference on the CPU. Returns what the network that it was compiled from returns
/// in eval mode, up to rounding, and a multiple faster.
///
/// Calls may be made from several threads at once: the plan is shared, each call in flight has memory of its own, and
/// all of them work in one thread pool, so that together they keep no more threads busy than one does.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use star_model::{LandmarkModel, Parameters, StackedHourglass, StackedHourglassConfig};
///
/// let config = StackedHourglassConfig {
///     stacks: 2, levels: 2, channels: 8, image_size: 32,
///     ..StackedHourglassConfig::reference(5, vec![vec![0, 1, 2]])
/// };
/// let vb = Parameters::new(1).var_builder(DType::F32, &Device::Cpu);
/// let compiled = StackedHourglass::new(&config, vb)?.compile()?;
/// let images = Tensor::zeros((1, 3, 32, 32), DType::F32, &Device::Cpu)?;
/// assert_eq!(compiled.forward_t(&images, false)?[1].heatmaps.dims(), [1, 5, 8, 8]);
/// // where only the landmarks are wanted, no map is written
/// assert_eq!(compiled.moments(&images)?.means.dims(), [1, 5, 2]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub struct CompiledModel {
    program: Program,
    input: InputSpec,
    isa: Isa,
    kernels: &'static dyn Kernels,
    threads: Option<usize>,
    precision: Precision,
    /// Memory of calls that are over, for the next ones.
    idle: Mutex<Vec<Arena>>,
}

/// Centres of mass and covariances of the last stage's heatmaps, as `star_loss::moments` defines them.
#[derive(Clone, Debug)]
pub struct Moments {
    /// `[B, K, 2]`, x then y, in `[-1, 1]` with the ends on the outer pixel centres.
    pub means: Tensor,
    /// `[B, K, 2, 2]`, symmetric.
    pub covariances: Tensor,
}

/// One step of a plan and the time that it took.
#[derive(Clone, Debug)]
pub struct StepTime {
    /// Where in the network it is, such as `hgs.0.up1.conv2`.
    pub name: String,
    /// Wall time.
    pub time: Duration,
    /// Multiplications of the plain convolution, however it was computed; 0 for steps that are none.
    pub multiplications: u64,
}

impl CompiledModel {
    /// Rewrites `network` for the registers of the instruction set that `options` ask for.
    pub(crate) fn new(
        network: &Network,
        options: &CompileOptions,
        quantization: Option<&Quantization>,
    ) -> Result<Self> {
        let isa = options.isa.unwrap_or_else(Isa::best);
        let kernels = isa.kernels()?;
        let mut lowered = Lowered::new(network, kernels.lanes())?;
        lowered.rewrite()?;
        let bf16 = options.precision.is_bf16(isa);
        let (int8, precision) = match (options.precision, quantization) {
            (Precision::Int8, None) => {
                bail!(
                    "precision int8: these weights have no ranges of what is quantised: `star quantize` measures them"
                )
            }
            (Precision::Int8, ranges) => (ranges, Precision::Int8),
            _ if bf16 => (None, Precision::Bf16),
            _ => (None, Precision::F32),
        };
        let program = Program::of(
            &lowered,
            kernels.lanes(),
            Narrow { bf16, tiles: bf16 && kernels.has_tiles(), int8 },
        )?;
        let (input, threads) = (network.input.clone(), options.threads);
        Ok(Self { program, input, isa, kernels, threads, precision, idle: Mutex::default() })
    }

    /// The instruction set that it was compiled for.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What its products are computed in; never [`Precision::Auto`].
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Multiplications of one image by plain convolution, the measure that throughput is compared in.
    pub fn multiplications(&self) -> u64 {
        self.program.steps.iter().map(|step| step.multiplications).sum()
    }

    /// Bytes of packed weights, and of memory for activations and scratch held at the moment.
    pub fn memory(&self) -> (usize, usize) {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        (self.program.weight_bytes(), idle.iter().map(Arena::bytes).sum())
    }

    /// The last stage's centres of mass and covariances: what decoding needs, without writing a map.
    ///
    /// # Errors
    /// When the shape, dtype or device of `images` does not fit the network.
    pub fn moments(&self, images: &Tensor) -> Result<Moments> {
        self.with_images(images, |pixels, b| {
            let (means, covariances) = self.run_moments(pixels, b);
            let k = self.program.layout.points;
            Ok(Moments {
                means: Tensor::from_vec(means, (b, k, 2), &Device::Cpu)?,
                covariances: Tensor::from_vec(covariances, (b, k, 2, 2), &Device::Cpu)?,
            })
        })
    }

    /// The last stage alone.
    ///
    /// # Errors
    /// As [`CompiledModel::moments`].
    pub fn last_stage(&self, images: &Tensor) -> Result<Stage> {
        let last = self.program.stages - 1;
        let stages = self.with_images(images, |pixels, b| self.run_stages(pixels, b, last))?;
        match stages.into_iter().next() {
            Some(stage) => Ok(stage),
            None => bail!("the network has no stage"),
        }
    }

    /// The time of each step, in order, of one run over the first of `images`.
    ///
    /// # Errors
    /// As [`CompiledModel::moments`].
    pub fn profile(&self, images: &Tensor) -> Result<Vec<StepTime>> {
        let times = self.with_images(images, |pixels, b| {
            if b == 0 {
                bail!("images: expected at least one")
            }
            Ok(self.run_timed(&pixels[..pixels.len() / b]))
        })?;
        let step_time = |(step, time): (&program::Step, Duration)| StepTime {
            name: step.name.clone(),
            time,
            multiplications: step.multiplications,
        };
        Ok(self.program.steps.iter().zip(times).map(step_time).collect())
    }

    /// Checks `images` and hands out their values and number.
    fn with_images<R>(&self, images: &Tensor, f: impl FnOnce(&[f32], usize) -> Result<R>) -> Result<R> {
        let size = self.input.image_size;
        let b = match images.dims() {
            [b, 3, h, w] if *h == size && *w == size => *b,
            dims => bail!("images: expected [B, 3, {size}, {size}], got {dims:?}"),
        };
        if images.dtype() != DType::F32 || !images.device().is_cpu() {
            bail!(
                "images: a compiled network runs on the cpu in F32, got {:?} on {:?}; convert them, or use the network \
                 that it was compiled from",
                images.dtype(),
                images.device().location()
            )
        }
        crate::slices::with(images, |pixels| f(pixels, b))
    }
}

impl LandmarkModel for CompiledModel {
    fn forward_t(&self, images: &Tensor, train: bool) -> Result<Vec<Stage>> {
        if train {
            bail!(
                "a compiled network does not train: train the network that it was compiled from, and compile that again"
            )
        }
        self.with_images(images, |pixels, b| self.run_stages(pixels, b, 0))
    }

    fn input(&self) -> &InputSpec {
        &self.input
    }
}
