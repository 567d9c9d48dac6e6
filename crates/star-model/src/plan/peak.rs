//! What the micro-kernel can do on this machine when nothing but arithmetic is in its way.

use std::time::{Duration, Instant};

use candle_core::Result;

use super::kernels::Isa;
use super::ops::Machine;
use super::ops::panels::Panels;
use super::ops::pointwise::{Cells, Pointwise, Residual, Source};
use super::ops::team::Team;
use crate::activation::Activation;

/// Depth of the product: a panel of 16 KiB for 32 output channels, so that everything stays in a first-level cache.
const DEPTH: usize = 128;

/// Pixels: whole tiles of 14, 12 or 6, whichever the instruction set has.
const PIXELS: usize = 84;

/// Multiplications a second of the micro-kernel on data in the first-level cache, on the calling thread: the best of
/// a few dozen tries of a millisecond or two.
///
/// # Errors
/// When the CPU does not have the instruction set.
pub fn gemm_peak(isa: Isa) -> Result<f64> {
    const REPEATS: usize = 200;
    let kernels = isa.kernels()?;
    let channels = 2 * kernels.lanes();
    let panels = Panels::pack(&vec![0.5; channels * DEPTH], &vec![0.0; channels], DEPTH, kernels.lanes());
    let (x, mut out) = (vec![0.25; PIXELS * DEPTH], vec![0.0; PIXELS * channels]);
    let product = Pointwise {
        pixels: PIXELS,
        sources: &[Source { values: &x, stride: DEPTH, len: DEPTH, pairs: false }],
        prepare: None,
        panels: &panels,
        residual: Residual::None,
        cells: &Cells::F32,
        pairs: false,
        activation: Activation::None,
    };
    let mut team = Team::new(1);
    let mut best = Duration::MAX;
    for _ in 0..40 {
        let start = Instant::now();
        for _ in 0..REPEATS {
            product.run(&mut Machine { kernels, team: &mut team }, &mut out);
        }
        best = best.min(start.elapsed());
    }
    std::hint::black_box(&out);
    Ok((REPEATS * PIXELS * DEPTH * channels) as f64 / best.as_secs_f64())
}

/// Multiplications a second on registers alone, on the calling thread: what [`gemm_peak`] could reach if loads took no time. The best
/// of a few dozen tries of half a millisecond or so.
///
/// # Errors
/// When the CPU does not have the instruction set.
pub fn register_peak(isa: Isa) -> Result<f64> {
    const STEPS: usize = 100_000;
    let kernels = isa.kernels()?;
    let mut best = Duration::MAX;
    for _ in 0..40 {
        let mut values = std::hint::black_box([0.5; 16]);
        let start = Instant::now();
        #[expect(unsafe_code, reason = "call of a kernel")]
        // SAFETY: no register has more than 16 values.
        unsafe {
            kernels.registers(STEPS, values.as_mut_ptr());
        }
        best = best.min(start.elapsed());
        std::hint::black_box(values);
    }
    Ok((STEPS * 2 * kernels.pixels() * kernels.lanes()) as f64 / best.as_secs_f64())
}
